/* bench/peers.h - the page allocators that stand side by side in the table.
 *
 * The peers manage numbers that nobody uses as pages, as many as palloc has free. They check nothing that their callers
 * do; palloc checks every free. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <base/types.h>

/* The signatures of palloc and pfree. */
struct allocator {
    const char *name;
    uint32_t pages_max; /* the longest run it can give */
    void *(*take)(uint32_t pages);
    void (*give)(uint32_t first, uint32_t pages);
    size_t (*bytes)(uint32_t pages); /* what it needs to describe so many; NULL: it is up already */
    void (*init)(void *memory, uint32_t pages);
};

/* A textbook buddy with a stack of 64 single pages in front of it. */
extern const struct allocator buddy;

/* A stack of page numbers without a lock, single pages only: as little as a page allocator can do. */
extern const struct allocator stack;

/* The first number that the peers manage: as aligned as a run can ask for, and not 0. */
enum { PEERS_FIRST = 1 << 12 };

#endif
