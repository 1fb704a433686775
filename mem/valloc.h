/* mem/valloc.h - layer 5: virtual pages, with and without physical pages behind them.
 *
 * An address range that these give is followed by an unmapped guard page. Page numbers given to the free functions are
 * virtual page numbers: address / PAGE_SIZE, page_number() of base/types.h.
 *
 * Context: any but an NMI; takes the context's lock. Shortage is NULL or an error, with nothing changed; a range that
 * wasn't handed out is a broken contract.
 *
 * glibc's <stdlib.h> and <malloc.h> declare functions valloc and pvalloc of other types under _DEFAULT_SOURCE and
 * _GNU_SOURCE: a host program that uses these compiles with -std=c11. */
#ifndef MEM_VALLOC_H
#define MEM_VALLOC_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A free virtual range of the context, nothing behind it. NULL for 0 pages, when there is none, or no node for it.
 * Cost: O(log ranges). */
void *valloc(size_t pages, struct context *context);

/* The range, physical pages (not necessarily contiguous) and the mappings in one step, all or nothing. Read and write,
 * never executable; zeroed if the context is a task's. Cost: O(pages), the context's lock held. */
void *pvalloc(size_t pages, struct context *context);

/* What differs from the plain forms; all zero is the plain form. */
struct valloc_options {
    uintptr_t address;    /* with `fixed` the place, else a hint; 0: none */
    size_t align;         /* in pages, a power of two; 0 is 1 */
    uintptr_t low, high;  /* addresses; the range and its guards lie between; 0: no bound */
    uint8_t guard_before; /* unmapped pages before it */
    bool no_guard;        /* no unmapped page after it */
    bool fixed;
    /* For pvalloc_with() alone: */
    bool read_only, executable; /* executable makes it read-only */
    bool zero;
    pfn_t limit; /* physical pages below this number; 0: none */
};

/* 0 with *range set, or ERR_INVALID, ERR_EXISTS (the fixed place is taken), ERR_NO_SPACE, ERR_NO_MEMORY; a task's
 * executable memory and anything else follows frame_map(). */
int valloc_with(struct context *context, size_t pages, const struct valloc_options *options, void **range);
int pvalloc_with(struct context *context, size_t pages, const struct valloc_options *options, void **range);

/* Gives back a range of the kernel's context, or a part that includes its first or last page. Mappings in it are
 * removed first, and pages that only they kept are freed. The address can be handed out again when it returns. */
void vfree(uintptr_t num, size_t pages);

/* The same in any context, and for a part from the middle, which leaves two ranges and so may fail: ERR_NO_MEMORY. */
int vfree_in(struct context *context, uintptr_t num, size_t pages);

/* The reverse of pvalloc: as vfree, but every page in it must be mapped. */
void pvfree(uintptr_t num, size_t pages);
int pvfree_in(struct context *context, uintptr_t num, size_t pages);

/* Device memory at any physical address, not page-aligned if need be, in the kernel's context: read and write, cached
 * as `cache` says (PAGE_UNCACHED, PAGE_WRITE_COMBINING, 0: write-back). RAM is refused, but for what the loader left
 * (modules), which is mapped read-only and write-back alone. NULL when refused or short. */
void *io_map(uint64_t physical, size_t bytes, unsigned cache);
/* The reverse, with the address and length of io_map(): a range of another kind is a broken contract. */
void io_unmap(void *address, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
