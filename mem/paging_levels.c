/* One walk, which keeps what it passes. */
#include <mem/paging_levels.h>
#include <mem/paging_walk.h>

unsigned paging_levels(struct paging *tables, uintptr_t address, struct paging_level list[GEOMETRY_LEVELS]) {
    unsigned count = 0;
    if (!geometry_canonical(address))
        return 0;
    lock_take(&tables->lock);
    pfn_t table = tables->root;
    for (unsigned level = TOP;; level--) {
        unsigned index = index_of(page_number(address), level);
        arch_entry_t entry = read_entry(table, index);
        list[count++] = (struct paging_level){ level, index, table, entry };
        if (!arch_entry_present(entry) || arch_entry_is_leaf(level, entry))
            break;
        table = arch_entry_pfn(entry);
    }
    lock_release(&tables->lock);
    return count;
}
