/* mem/paging_levels.h - layer 4: the entries that a translation is made of.
 *
 * For reports. Context: any but an NMI; takes the tables' lock (rank PAGING). */
#ifndef MEM_PAGING_LEVELS_H
#define MEM_PAGING_LEVELS_H

#include <mem/paging.h>

#ifdef __cplusplus
extern "C" {
#endif

struct paging_level {
    unsigned level, index; /* level 0 is the page table; the index is the entry's in its table */
    pfn_t table;
    arch_entry_t entry; /* as the processor reads it; it may set accessed and dirty bits meanwhile */
};

/* The entries that an address leads to, from the top down to the one that is a leaf or not present. Returns how many:
 * 0 for an address that isn't canonical. */
unsigned paging_levels(struct paging *tables, uintptr_t address, struct paging_level list[GEOMETRY_LEVELS]);

#ifdef __cplusplus
}
#endif
#endif
