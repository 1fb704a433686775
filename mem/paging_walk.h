/* mem/paging_walk.h - spans and entries, for mem/paging*.c alone.
 *
 * A span is cut at the borders of the entries of a level: what is left of it after the cut belongs to the next
 * entry. */
#ifndef MEM_PAGING_WALK_H
#define MEM_PAGING_WALK_H

#include <mem/paging.h>

enum { TOP = GEOMETRY_LEVELS - 1 };

struct span {
    uintptr_t first, end; /* virtual page numbers */
};

static inline uintptr_t step_of(unsigned level) {
    return (uintptr_t)1 << (GEOMETRY_INDEX_BITS * level);
}

static inline unsigned index_of(uintptr_t page, unsigned level) {
    unsigned bits = level == TOP ? GEOMETRY_TOP_BITS : GEOMETRY_INDEX_BITS;
    return (unsigned)(page >> (GEOMETRY_INDEX_BITS * level)) & ((1u << bits) - 1);
}

/* The part of a span that starts in the entry of its first page. */
static inline struct span cut(struct span span, unsigned level) {
    uintptr_t end = (span.first & ~(step_of(level) - 1)) + step_of(level);
    return (struct span){ span.first, end < span.end ? end : span.end };
}

static inline bool covers(struct span span, unsigned level) {
    return (span.first & (step_of(level) - 1)) == 0 && span.end - span.first == step_of(level);
}

/* False for a run that is empty, misaligned, not canonical or wraps. */
static inline bool make_span(uintptr_t address, size_t pages, struct span *span) {
    uintptr_t last = address + (pages << PAGE_SHIFT) - 1;
    if ((address & (PAGE_SIZE - 1)) != 0 || pages == 0 || pages > UINTPTR_MAX >> PAGE_SHIFT || last < address)
        return false;
    *span = (struct span){ page_number(address), page_number(address) + pages };
    return geometry_canonical_run(address, last);
}

/* A bit of a leaf that the processor ignores (SDM volume 3A, 4.4.2 and 4.5.4), set where the processor has no NX to say
 * it: every page can be executed there, but what was asked for must still be told from the entry, or a mapping would be
 * uncounted with other rights than it was counted with. */
#define NOT_EXECUTABLE ((arch_entry_t)1 << 10)

static inline arch_entry_t make_leaf(unsigned level, pfn_t pfn, unsigned attributes) {
    bool unsaid = arch_no_execute == 0 && !(attributes & PAGE_EXECUTE);
    return arch_make_entry(level, pfn, attributes) | (unsaid ? NOT_EXECUTABLE : 0);
}

/* What a leaf was made with. */
static inline unsigned attributes_of(arch_entry_t leaf) {
    unsigned attributes = arch_entry_attributes(leaf);
    return leaf & NOT_EXECUTABLE ? attributes & ~(unsigned)PAGE_EXECUTE : attributes;
}

/* What leaves that were made with the same attributes have in common. */
static inline arch_entry_t kind_of(arch_entry_t leaf) {
    return leaf & ~(PTE_PFN_MASK | PTE_ACCESSED | PTE_DIRTY);
}

/* Pages whose numbers are noted on the stack at a time, to count their mappings under one lock. */
enum { NOTED = 64 };

static inline arch_entry_t read_entry(pfn_t table, unsigned index) {
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
    arch_entry_t entry = arch_entry_read(&entries[index]);
    arch_frame_close(entries);
    return entry;
}

static inline void write_entry(pfn_t table, unsigned index, arch_entry_t entry) {
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
    arch_entry_write(&entries[index], entry);
    arch_frame_close(entries);
}

struct place {
    pfn_t table;
    unsigned level, index;
    arch_entry_t entry;
};

/* Goes down to the entry that is a leaf or not present: nothing is opened any more when it returns. */
static inline struct place descend(const struct paging *tables, uintptr_t page) {
    struct place place;
    place.table = tables->root;
    for (place.level = TOP;; place.level--) {
        place.index = index_of(page, place.level);
        place.entry = read_entry(place.table, place.index);
        if (!arch_entry_present(place.entry) || arch_entry_is_leaf(place.level, place.entry))
            return place;
        place.table = arch_entry_pfn(place.entry);
    }
}

/* paging_count() of a span, with the lock held. */
size_t paging_count_locked(const struct paging *tables, struct span span);

static inline bool has_hot(const struct paging *tables, uintptr_t page) {
    return tables->hot_table != PFN_NONE && tables->hot == page >> GEOMETRY_INDEX_BITS;
}

/* The level-0 table for a page; PFN_NONE if there is none, or a large page. The lock is held. Cost: nothing if it is
 * the last one that was asked for, else a walk. */
static inline pfn_t leaf_table(struct paging *tables, uintptr_t page) {
    if (__builtin_expect(has_hot(tables, page), 1))
        return tables->hot_table;
    pfn_t table = tables->root;
    for (unsigned level = TOP; level > 0; level--) {
        arch_entry_t entry = read_entry(table, index_of(page, level));
        if (!arch_entry_present(entry) || arch_entry_is_leaf(level, entry))
            return PFN_NONE;
        table = arch_entry_pfn(entry);
    }
    tables->hot = page >> GEOMETRY_INDEX_BITS;
    tables->hot_table = table;
    return table;
}

#endif
