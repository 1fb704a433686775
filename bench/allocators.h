/* bench/allocators.h - the tables through which allocators are called, so that all are called alike.
 *
 * Each kind has a `harness`: an allocator that only returns. Its rows are what a case costs without an allocator. */
#ifndef BENCH_ALLOCATORS_H
#define BENCH_ALLOCATORS_H

#include <base/types.h>

#define BENCH_HARNESS "harness"

/* --- Pages -------------------------------------------------------------------------------------------------------- */

/* The yardsticks manage numbers that nobody uses as pages, as many as palloc has free. They check nothing that their
 * callers do; palloc checks every free. */
struct page_allocator {
    const char *name;
    uint32_t pages_max; /* the longest run it can give */
    /* The signatures of palloc and pfree. */
    void *(*take)(uint32_t pages);
    void (*give)(uint32_t first, uint32_t pages);
    /* The longest free run, caches included; NULL: it can't be asked. */
    uint32_t (*longest)(void);
    /* Bytes that it needs to describe so many pages; NULL: it is up already. */
    size_t (*bytes)(uint32_t pages);
    void (*init)(void *memory, uint32_t pages);
};

extern const struct page_allocator page_harness;

/* A textbook buddy with a stack of 64 single pages in front of it. */
extern const struct page_allocator buddy;

/* A stack of page numbers without a lock, single pages only: as little as a page allocator can do. */
extern const struct page_allocator stack;

/* The first number that the yardsticks manage: as aligned as a run can ask for, and not 0. */
enum { YARDSTICKS_FIRST = 1 << 12 };

/* --- Bytes -------------------------------------------------------------------------------------------------------- */

struct heap_allocator {
    const char *name;
    /* The signatures of malloc, aligned_alloc and free. */
    void *(*take)(size_t bytes);
    void *(*take_aligned)(size_t align, size_t bytes);
    void (*give)(void *block);
    /* Bytes of memory that it holds, in use or not; where only the process' size tells, from the first call on. NULL:
     * nobody can tell here. */
    size_t (*held)(void);
};

extern const struct heap_allocator heap_harness;

#endif
