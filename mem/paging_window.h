/* mem/paging_window.h - layer 4: pages of one set of tables shown in another.
 *
 * What leases (mem/lease.h) do for each page, as tight loops over tables: reading which pages a run shows, and showing
 * lists of pages in a window, each with a pin, and hiding them again.
 *
 * A window is a run of addresses whose tables are made once and pinned, so that they stay while nothing is mapped
 * there. It belongs to its user alone.
 *
 * Context: any but an NMI. Addresses are page-aligned and canonical, sizes pages. */
#ifndef MEM_PAGING_WINDOW_H
#define MEM_PAGING_WINDOW_H

#include <mem/paging.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The pages behind a run, up to the first one that isn't mapped with all of `rights` (PAGE_USER, PAGE_WRITE): fills
 * the list, says how many. Takes the tables' lock. Cost: a walk a table, and a load an entry. */
size_t paging_read(struct paging *tables, uintptr_t address, size_t pages, unsigned rights, pfn_t *list);

struct paging_window {
    struct paging *tables;
    uintptr_t first; /* page number */
    size_t pages;
    pfn_t leaf_tables[2]; /* of the first two parts that one table translates: as many as 512 pages can have */
};

/* Makes and pins the tables of a window, in which nothing is mapped. ERR_NO_MEMORY; ERR_LIMIT a table that is pinned by
 * too many. Takes the tables' lock. */
int paging_window_make(struct paging_window *window, struct paging *tables, uintptr_t address, size_t pages);

/* Lets the tables go, and frees those that are empty. Nothing may be shown any more. */
void paging_window_end(const struct paging_window *window);

/* Shows a list of pages from page `at` of the window on, where nothing is shown, with a mapping and a pin counted for
 * each; `attributes`: PAGE_WRITE or none. All or nothing: the errors of frame_lease_list(). Takes palloc's lock alone.
 * Cost: two stores and three loads a page. */
int paging_show(const struct paging_window *window, size_t at, const pfn_t *list, size_t pages, unsigned attributes);

/* The reverse for the window's first pages, in the order that paging_unmap() keeps: entries are cleared, this
 * processor's translations flushed, then the pages let go. A page that isn't shown is a broken contract. */
void paging_hide(const struct paging_window *window, size_t pages, unsigned attributes);

#ifdef __cplusplus
}
#endif
#endif
