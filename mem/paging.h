/* mem/paging.h - layer 4: page tables.
 *
 * One walk for PAE and 4-level tables. Every mapping of a page of RAM is counted with the page (mem/frame.h), so a page
 * can't become free while a translation shows it; other physical pages (device memory) are mapped uncounted.
 *
 * Context: any but an NMI; takes the tables' lock (rank PAGING). Addresses are page-aligned, sizes are pages.
 * Errors: ERR_INVALID an address that is misaligned, not canonical, or a run that wraps; the others below. */
#ifndef MEM_PAGING_H
#define MEM_PAGING_H

#include <arch/arch.h>
#include <base/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

struct paging {
    struct lock lock;
    pfn_t root;      /* what CR3 names */
    size_t tables;   /* pages in tables that paging_* made, the root included; guarded by lock */
    uintptr_t hot;   /* hot_table is the level-0 table for these pages, their numbers less the index in it; */
    pfn_t hot_table; /* PFN_NONE: none is known. Both guarded by lock */
    pfn_t (*boot_tables)(void); /* while booting: gives tables, and nothing is counted; NULL from then on */
};

/* New tables that map nothing; *tables is zero before, but for boot_tables. ERR_NO_MEMORY. */
int paging_create(struct paging *tables);

/* Manages tables that are live already; what they map stays as it is and isn't counted. */
void paging_adopt(struct paging *tables, pfn_t root);

/* Where top entries are read with the root alone (PAE), makes those that adopted tables lack; the root must be loaded
 * again before they are used. ERR_NO_MEMORY: partly done. */
int paging_fill_top(struct paging *tables);

/* Frees the tables. They must map nothing and not be loaded. */
void paging_destroy(struct paging *tables);

/* Maps `pages` contiguous physical pages from `first` on, with 4 KiB entries, nothing being mapped there. All or
 * nothing: ERR_NO_MEMORY no page for a table; ERR_EXISTS something is mapped; ERR_REFUSED rights (PAGE_* of
 * arch/x86/pte.h): write with execute, or what frame_map() refuses; ERR_LIMIT, ERR_FAULT from frame_map(). Cost:
 * O(pages), plus the tables. */
int paging_map(struct paging *tables, uintptr_t address, pfn_t first, size_t pages, unsigned attributes);

/* The same for pages in any order. */
int paging_map_list(struct paging *tables, uintptr_t address, const pfn_t *list, size_t pages, unsigned attributes);

/* Makes every table that mapping this run will need, so that mapping it can't fail for want of one. ERR_NO_MEMORY:
 * nothing has changed. paging_unmap() of the run takes the unused ones back; so does any removal, or failed mapping,
 * that passes over a table with no entry in use: whoever reserves keeps others off the run's tables until it is mapped
 * (mem/context.h: the context's lock). */
int paging_reserve(struct paging *tables, uintptr_t address, size_t pages);

/* Removes what is mapped in the run, if anything, and returns how many pages were: entries are cleared, this
 * processor's translations flushed once, only then are the pages let go (and freed, if nothing else keeps them) and
 * empty tables freed. A large page must lie in the run wholly. Cost: O(pages in tables that exist). */
size_t paging_unmap(struct paging *tables, uintptr_t address, size_t pages);

/* Changes the rights of what is mapped in the run. ERR_FAULT: a page in it isn't mapped; ERR_REFUSED as above; nothing
 * has changed then. */
int paging_protect(struct paging *tables, uintptr_t address, size_t pages, unsigned attributes);

/* Shows page `pfn` of RAM where another is shown: that one is let go after the flush. ERR_FAULT: nothing is mapped
 * there; else as frame_map(); nothing has changed then. No table is needed, so memory can't be short. */
int paging_replace(struct paging *tables, uintptr_t address, pfn_t pfn, unsigned attributes);

struct paging_entry {
    pfn_t pfn;           /* of the page that the address lies in */
    unsigned attributes; /* PAGE_* */
    size_t bytes;        /* of the page: 4 KiB, 2 MiB, 1 GiB */
};

/* What an address is translated to, any address allowed; false if to nothing. */
bool paging_find(struct paging *tables, uintptr_t address, struct paging_entry *entry);

/* How many pages of the run are mapped. */
size_t paging_count(struct paging *tables, uintptr_t address, size_t pages);

/* Checks the tables that translate the run (invariants T1 to T4 in mem/paging.c) and calls `leaf` for each mapped page,
 * in order. Cost: linear in the tables. */
void paging_audit(struct paging *tables, uintptr_t address, size_t pages,
                  void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes), void *to);

/* --- For boot (mem/init.c) ---------------------------------------------------------------------------------------- */

/* Maps without counting, with large pages where both sides are aligned; from boot_tables. ERR_NO_MEMORY, ERR_EXISTS:
 * partly done. */
int paging_map_boot(struct paging *tables, uintptr_t address, pfn_t first, size_t pages, unsigned attributes);

/* The page that is the level-0 table for an address, which must exist. */
pfn_t paging_table_of(struct paging *tables, uintptr_t address);

#ifdef __cplusplus
}
#endif
#endif
