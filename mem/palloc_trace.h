/* mem/palloc_trace.h - debug builds: who had a page, who freed it, and whether it was written to after that.
 *
 * Layer: inside mem/palloc. Release builds have none of it: the functions are called only if CONFIG_DEBUG, and the
 * arrays of mem/palloc_tables.h are NULL. Context: any; no lock is needed by whoever has the pages. */
#ifndef MEM_PALLOC_TRACE_H
#define MEM_PALLOC_TRACE_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The lower halves of return addresses; 0: not yet. */
struct palloc_trace {
    uint32_t had, freed;
};

/* Pages were taken, and nobody else knows of them yet: checks what was filled, notes the place. */
void trace_take(pfn_t first, uint32_t pages, uintptr_t place);

/* Pages are about to be given back, and are the caller's still: notes the place, fills. */
void trace_give(pfn_t first, uint32_t pages, uintptr_t place);

/* Fills a buffer with " (taken by 0x..., freed by 0x...)", as much of it as is known; "" in release builds. */
void trace_describe(pfn_t pfn, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
