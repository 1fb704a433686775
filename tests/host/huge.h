/* tests/host/huge.h - address space that costs nothing until it is touched, and how much of it was.
 *
 * A file of its own, since glibc's headers that declare mmap also declare valloc. */
#ifndef TESTS_HOST_HUGE_H
#define TESTS_HOST_HUGE_H

#include <base/types.h>

struct huge {
    uintptr_t address;
    size_t bytes;
};

/* False if the host has none so large. */
bool huge_reserve(struct huge *huge, size_t bytes);

void huge_give_back(struct huge *huge);

size_t huge_touched(const struct huge *huge);

#endif
