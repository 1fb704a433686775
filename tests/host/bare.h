/* tests/host/bare.h - palloc and frame alone, on any RAM: the descriptors stand in address space that the host backs as
 * it is touched, and there is neither a page behind a number nor an MMU. */
#ifndef TESTS_HOST_BARE_H
#define TESTS_HOST_BARE_H

#include <mem/frame.h>

struct bare_extent {
    uint64_t first, pages;
    enum bootmap_type type;
};

/* Boots; skips the test if the host has no such address space. The machine before is forgotten. */
void bare_boot(const struct bare_extent *extents, size_t count);

/* Descriptor pages that were touched since. */
size_t bare_touched(void);

#endif
