/* What addresses are translated to. Nothing here changes a table. */
#include <mem/paging.h>
#include <base/check.h>
#include <mem/paging_walk.h>

static size_t count_leaves(pfn_t table, struct span span) {
    size_t count = 0;
    const arch_entry_t *entries = (const arch_entry_t *)arch_frame_open(table);
    for (; span.first < span.end; span.first++)
        count += arch_entry_present(arch_entry_read(&entries[index_of(span.first, 0)]));
    arch_frame_close((void *)(uintptr_t)entries);
    return count;
}

static size_t count_present(pfn_t table, unsigned level, struct span span) {
    size_t count = 0;
    if (level == 0)
        return count_leaves(table, span);
    while (span.first < span.end) {
        struct span part = cut(span, level);
        arch_entry_t entry = read_entry(table, index_of(part.first, level));
        if (arch_entry_present(entry))
            count += arch_entry_is_leaf(level, entry) ? part.end - part.first
                                                      : count_present(arch_entry_pfn(entry), level - 1, part);
        span.first = part.end;
    }
    return count;
}

size_t paging_count_locked(const struct paging *tables, struct span span) {
    return count_present(tables->root, TOP, span);
}

bool paging_find(struct paging *tables, uintptr_t address, struct paging_entry *found) {
    if (!geometry_canonical(address))
        return false;
    lock_take(&tables->lock);
    struct place place = descend(tables, page_number(address));
    lock_release(&tables->lock);
    if (!arch_entry_present(place.entry))
        return false;
    pfn_t inside = (pfn_t)(page_number(address) & (step_of(place.level) - 1));
    *found = (struct paging_entry){ .pfn = arch_entry_pfn(place.entry) + inside,
                                    .attributes = attributes_of(place.entry),
                                    .bytes = step_of(place.level) << PAGE_SHIFT };
    return true;
}

size_t paging_count(struct paging *tables, uintptr_t address, size_t pages) {
    struct span span;
    if (!make_span(address, pages, &span))
        return 0;
    lock_take(&tables->lock);
    size_t count = paging_count_locked(tables, span);
    lock_release(&tables->lock);
    return count;
}

pfn_t paging_table_of(struct paging *tables, uintptr_t address) {
    struct place place = descend(tables, page_number(address));
    require(place.level == 0, "paging: no table for address %#zx", (size_t)address);
    return place.table;
}
