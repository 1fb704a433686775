/* mem/nodes.h - layer 4: single pages of kernel memory for pools.
 *
 * A page each from palloc, mapped in a part of kernel address space that is set aside at boot, so that layer 3 can have
 * nodes without asking layer 5 for an address. Context: any; takes the locks of rank PALLOC, POOL_PAGES and PAGING. */
#ifndef MEM_NODES_H
#define MEM_NODES_H

#include <mem/paging.h>
#include <mem/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most pages of nodes at a time, and the kernel address space set aside for them. */
#define NODES_PAGES ((size_t)32768)

/* `tables` are the kernel's; NODES_PAGES pages from `first` on are the nodes'. */
void nodes_init(struct paging *tables, uintptr_t first);

/* take: a page, contents unspecified, or NULL; give: what take gave. Cost: a mapping, and an unmapping with its
 * flush. */
extern const struct pool_source nodes_source;

#ifdef __cplusplus
}
#endif
#endif
