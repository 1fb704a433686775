/* mem/reserve.h - layer 2: pages that were promised.
 *
 * Who promises a task memory that it will touch later takes the pages now, and the fault finds one. So a shortage is
 * answered by the call that asks, and nobody else can spend what was promised.
 *
 * Context: any but an NMI; takes its own lock of rank RESERVE. Cost: one palloc() or pfree() and one frame view a
 * page. */
#ifndef MEM_RESERVE_H
#define MEM_RESERVE_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Promises so many pages more: ERR_NO_MEMORY, and nothing has changed. */
int reserve_add(size_t pages);

/* Takes so many promises back. More than there are is a broken contract. */
void reserve_drop(size_t pages);

/* One of the promised pages, held by the caller, contents unspecified; PFN_NONE if there is none. */
pfn_t reserve_take(void);

/* Back to the promised ones. */
void reserve_return(pfn_t pfn);

/* Pages promised and not yet taken. */
size_t reserve_pages(void);

#ifdef __cplusplus
}
#endif
#endif
