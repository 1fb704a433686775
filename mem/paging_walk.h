/* mem/paging_walk.h - spans and entries, for mem/paging*.c alone.
 *
 * A span is cut at the borders of the entries of a level: what is left of it after the cut belongs to the next
 * entry. */
#ifndef MEM_PAGING_WALK_H
#define MEM_PAGING_WALK_H

#include <arch/arch.h>

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

#endif
