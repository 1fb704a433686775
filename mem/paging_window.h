/* mem/paging_window.h - layer 4: pages of one set of tables shown in another.
 *
 * What leases (mem/lease.h) do for each page, as tight loops over tables: reading which pages a run shows, and showing
 * a list of pages in a window, each with a pin, and hiding it again.
 *
 * Context: any but an NMI; takes the tables' lock (rank PAGING). Addresses are page-aligned, sizes pages. */
#ifndef MEM_PAGING_WINDOW_H
#define MEM_PAGING_WINDOW_H

#include <mem/paging.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The pages behind a run, up to the first one that isn't mapped with all of `rights` (PAGE_USER, PAGE_WRITE): fills
 * the list, says how many. Cost: a walk a table, and a load an entry. */
size_t paging_read(struct paging *tables, uintptr_t address, size_t pages, unsigned rights, pfn_t *list);

/* Shows the pages of a list from an address on, where nothing is mapped, with a mapping and a pin counted for each;
 * `attributes`: PAGE_WRITE or none. All or nothing: ERR_NO_MEMORY no page for a table, else as frame_lease_list().
 * Cost: a walk a table, two stores and a load a page. */
int paging_show(struct paging *tables, uintptr_t address, const pfn_t *list, size_t pages, unsigned attributes);

/* The reverse, in the order that paging_unmap() keeps: entries are cleared, this processor's translations flushed, then
 * the pages let go. A page of the run that isn't mapped is a broken contract. Tables stay, even empty ones: the next
 * window finds them there, and paging_unmap() of the run takes them back. */
void paging_hide(struct paging *tables, uintptr_t address, size_t pages, unsigned attributes);

#ifdef __cplusplus
}
#endif
#endif
