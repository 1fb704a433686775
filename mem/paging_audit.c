/* The tables looked at from outside, entry by entry, against what their pages' descriptors say: T1 to T4 of
 * mem/paging.c. */
#include <mem/paging.h>
#include <base/check.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

struct audit {
    void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes);
    void *to;
};

/* Entries are copied out by parts, so that no view is open when an audit panics: of a survived panic it would stay. */
enum { PART = 64 };

static unsigned copy_entries(pfn_t table, unsigned first, unsigned end, arch_entry_t *part) {
    unsigned count = end - first < PART ? end - first : (unsigned)PART;
    const arch_entry_t *entries = (const arch_entry_t *)arch_frame_open(table);
    for (unsigned i = 0; i < count; i++)
        part[i] = arch_entry_read(&entries[first + i]);
    arch_frame_close((void *)(uintptr_t)entries);
    return count;
}

static uint32_t count_entries_of(pfn_t table, unsigned level) {
    unsigned all = 1u << (level == TOP ? GEOMETRY_TOP_BITS : GEOMETRY_INDEX_BITS), count;
    uint32_t present = 0;
    arch_entry_t part[PART];
    for (unsigned first = 0; first < all; first += count) {
        count = copy_entries(table, first, all, part);
        for (unsigned i = 0; i < count; i++) {
            require(part[i] == 0 || arch_entry_present(part[i]), "paging: T1 broken: entry %u of table %#x is %#llx",
                    first + i, table, (unsigned long long)part[i]);
            present += part[i] != 0;
        }
    }
    return present;
}

static void audit_table(pfn_t table, unsigned level) {
    uint32_t present = count_entries_of(table, level);
    struct frame frame = frame_get(table);
    require(frame.owner != FRAME_TABLE || frame.mappings == present,
            "paging: T2 broken: table %#x has %u entries, %u noted", table, present, frame.mappings);
    require(frame.owner != FRAME_FREE && frame.owner != FRAME_CALLER && frame.owner != FRAME_MAPPED,
            "paging: T2 broken: table %#x is owned as %s", table, frame_owner_name(frame.owner));
}

static void audit_leaf(const struct audit *audit, uintptr_t page, unsigned level, arch_entry_t entry) {
    unsigned attributes = attributes_of(entry);
    require(!(attributes & PAGE_WRITE) || !(attributes & PAGE_EXECUTE),
            "paging: T3 broken: page %#zx is writable and executable", (size_t)page);
    for (uintptr_t i = 0; i < step_of(level); i++) {
        pfn_t pfn = arch_entry_pfn(entry) + (pfn_t)i;
        require(frame_get(pfn).owner != FRAME_FREE, "paging: T3 broken: page %#zx shows free page %#x",
                (size_t)(page + i), pfn);
        audit->leaf(audit->to, page + i, pfn, attributes);
    }
}

/* Not a view for each entry: where opening one changes a slot of the frame view it costs far more than reading. */
static void audit_leaves(const struct audit *audit, pfn_t table, struct span span) {
    unsigned first = index_of(span.first, 0), end = first + (unsigned)(span.end - span.first), count;
    arch_entry_t part[PART];
    for (uintptr_t page = span.first; page < span.end; page += count, first += count) {
        count = copy_entries(table, first, end, part);
        for (unsigned i = 0; i < count; i++)
            if (arch_entry_present(part[i]))
                audit_leaf(audit, page + i, 0, part[i]);
    }
}

static void audit_span(const struct audit *audit, pfn_t table, unsigned level, struct span span) {
    audit_table(table, level);
    if (level == 0) {
        audit_leaves(audit, table, span);
        return;
    }
    while (span.first < span.end) {
        struct span part = cut(span, level);
        arch_entry_t entry = read_entry(table, index_of(part.first, level));
        if (arch_entry_present(entry) && arch_entry_is_leaf(level, entry))
            audit_leaf(audit, part.first & ~(step_of(level) - 1), level, entry);
        else if (arch_entry_present(entry))
            audit_span(audit, arch_entry_pfn(entry), level - 1, part);
        span.first = part.end;
    }
}

static void audit_hot(const struct paging *tables) {
    if (tables->hot_table == PFN_NONE)
        return;
    struct place place = descend(tables, tables->hot << GEOMETRY_INDEX_BITS);
    require(place.level == 0 && place.table == tables->hot_table,
            "paging: T4 broken: table %#x is remembered for page %#zx, a walk ends at level %u of %#x",
            tables->hot_table, (size_t)(tables->hot << GEOMETRY_INDEX_BITS), place.level, place.table);
}

void paging_audit(struct paging *tables, uintptr_t address, size_t pages,
                  void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes), void *to) {
    struct span span;
    struct audit audit = { leaf, to };
    require(make_span(address, pages, &span), "paging: can't audit %zu pages from %#zx", pages, (size_t)address);
    lock_take(&tables->lock);
    audit_hot(tables);
    audit_span(&audit, tables->root, TOP, span);
    lock_release(&tables->lock);
}
