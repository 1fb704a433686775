/* A table is a page of 512 entries (PAE's top: 4); an entry at level 0 maps a page, one above refers to a table or maps
 * a large page. All work is done on spans of virtual page numbers, by recursion over the levels: at each level the span
 * is cut at the borders of the entries. Tables are reached through the frame view, one open at a time on the way down.
 *
 *     span   |-------------------------------|
 *     level 1        |  entry   |  entry   |  entry   |        step = 512 pages
 *     level 0        |e|e|e|e|..|                              step = 1 page
 *
 * Removing goes in two passes around one flush, without memory to note what was removed:
 *
 *     retire: P is cleared, the RETIRED bit (one that the processor ignores) set, the page number stays in the entry; a
 *     table whose last
 *             entry retires is retired in the table above it
 *     flush:  no processor holds a translation of the span, or of a table above it, any more
 *     bury:   RETIRED entries are zeroed, the mapping's count dropped, tables freed
 *
 * If a page or table were let go before the flush, its next owner's bytes would show at the old address.
 *
 * Invariants, checked by paging_audit():
 *   T1  an entry is zero, or present; RETIRED ones exist only while the lock is held.
 *   T2  a table made by paging_* is owned by FRAME_TABLE, and its entry count is the number of its present entries.
 *   T3  no leaf is both writable and executable; no leaf shows RAM that is free.
 *
 * Rights stand in the leaf alone; tables above allow everything (PAE's top level has no rights bits).
 * Locking: one lock for each set of tables, held over the flush. Cost: one view a table, one store an entry and pass.
 * Not done: splitting large pages. Only paging_map_boot() makes them, for the frame view, and nothing unmaps those. */
#include <mem/paging.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

/* --- Tables ------------------------------------------------------------------------------------------------------- */

static void count_entries(const struct paging *tables, pfn_t table, int change) {
    if (tables->boot_tables == NULL && change != 0)
        frame_table_entries(table, change);
}

/* PFN_NONE when memory is short. Zeroed before anything can refer to it. */
static pfn_t take_table(struct paging *tables, pfn_t limit) {
    struct palloc_request request = { .pages = 1, .limit = limit };
    pfn_t table = tables->boot_tables != NULL ? tables->boot_tables() : palloc_with(&request);
    if (table == PFN_NONE)
        return PFN_NONE;
    if (tables->boot_tables == NULL)
        frame_own(table, FRAME_TABLE);
    void *view = arch_frame_open(table);
    memset(view, 0, PAGE_SIZE);
    arch_frame_close(view);
    tables->tables++;
    return table;
}

static void free_table(struct paging *tables, pfn_t table) {
    frame_disown(table, FRAME_TABLE);
    tables->tables--;
}

static size_t count_present(pfn_t table, unsigned level, struct span span) {
    size_t count = 0;
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

/* --- Removing ----------------------------------------------------------------------------------------------------- */

struct removal {
    struct paging *tables;
    bool leaves;  /* false: only empty tables are removed */
    bool any;     /* an entry was retired: there is something to flush and to bury */
    size_t pages; /* leaves removed, in pages */
};

static bool is_empty_table(pfn_t table) {
    return frame_table_entries(table, 0) == 0 && frame_get(table).pins == 0; /* pinned: mem/paging_window.h */
}

/* True if the entry went from present to retired. */
static bool retire(struct removal *removal, pfn_t table, unsigned level, struct span part);

static void retire_below(struct removal *removal, pfn_t table, unsigned level, struct span span) {
    int retired = 0;
    while (span.first < span.end) {
        struct span part = cut(span, level);
        retired += retire(removal, table, level, part);
        span.first = part.end;
    }
    count_entries(removal->tables, table, -retired);
}

static bool retire(struct removal *removal, pfn_t table, unsigned level, struct span part) {
    unsigned index = index_of(part.first, level);
    arch_entry_t entry = read_entry(table, index);
    if (!arch_entry_present(entry))
        return false;
    if (arch_entry_is_leaf(level, entry)) {
        if (!removal->leaves)
            return false;
        require(covers(part, level), "paging: page %#zx is part of a large page that is to be unmapped in part",
                (size_t)part.first);
        removal->pages += part.end - part.first;
    } else {
        pfn_t below = arch_entry_pfn(entry);
        retire_below(removal, below, level - 1, part);
        if (!is_empty_table(below) || (GEOMETRY_TOP_FIXED && level == TOP))
            return false;
    }
    write_entry(table, index, (entry & ~PTE_PRESENT) | RETIRED);
    removal->any = true;
    return true;
}

static void bury_leaf(arch_entry_t entry, unsigned level) {
    pfn_t first = arch_entry_pfn(entry);
    for (pfn_t pfn = first; pfn < first + step_of(level); pfn++)
        if (palloc_state(pfn) != PALLOC_NOT_RAM)
            frame_unmap(pfn, attributes_of(entry));
}

static void bury(struct removal *removal, pfn_t table, unsigned level, struct span span) {
    while (span.first < span.end) {
        struct span part = cut(span, level);
        span.first = part.end;
        unsigned index = index_of(part.first, level);
        arch_entry_t entry = read_entry(table, index);
        if (entry == 0)
            continue;
        bool leaf = arch_entry_is_leaf(level, entry), retired = (entry & RETIRED) != 0;
        if (!leaf)
            bury(removal, arch_entry_pfn(entry), level - 1, part);
        if (retired)
            write_entry(table, index, 0);
        if (retired && leaf)
            bury_leaf(entry, level);
        if (retired && !leaf)
            free_table(removal->tables, arch_entry_pfn(entry));
    }
}

static size_t remove(struct paging *tables, struct span span, bool leaves) {
    struct removal removal = { .tables = tables, .leaves = leaves };
    retire_below(&removal, tables->root, TOP, span);
    if (!removal.any)
        return 0;
    arch_flush(tables->root, page_address(span.first), span.end - span.first);
    bury(&removal, tables->root, TOP, span);
    return removal.pages;
}

size_t paging_unmap(struct paging *tables, uintptr_t address, size_t pages) {
    struct span span;
    if (!make_span(address, pages, &span))
        return 0;
    lock_take(&tables->lock);
    size_t removed = remove(tables, span, true);
    lock_release(&tables->lock);
    return removed;
}

/* --- Making tables ------------------------------------------------------------------------------------------------ */

/* All tables on the way to the entries at level `to`. */
static int make_tables(struct paging *tables, pfn_t table, unsigned level, unsigned to, struct span span) {
    while (level > to && span.first < span.end) {
        struct span part = cut(span, level);
        unsigned index = index_of(part.first, level);
        arch_entry_t entry = read_entry(table, index);
        if (arch_entry_present(entry) && arch_entry_is_leaf(level, entry))
            return ERR_EXISTS;
        if (!arch_entry_present(entry)) {
            pfn_t below = take_table(tables, 0);
            if (below == PFN_NONE)
                return ERR_NO_MEMORY;
            entry = arch_make_table(level, below);
            write_entry(table, index, entry);
            count_entries(tables, table, +1);
        }
        int error = make_tables(tables, arch_entry_pfn(entry), level - 1, to, part);
        if (error != 0)
            return error;
        span.first = part.end;
    }
    return 0;
}

static int reserve(struct paging *tables, struct span span) {
    int error = make_tables(tables, tables->root, TOP, 0, span);
    if (error != 0 && tables->boot_tables == NULL)
        remove(tables, span, false);
    return error;
}

int paging_reserve(struct paging *tables, uintptr_t address, size_t pages) {
    struct span span;
    if (!make_span(address, pages, &span))
        return ERR_INVALID;
    lock_take(&tables->lock);
    int error = reserve(tables, span);
    lock_release(&tables->lock);
    return error;
}

/* --- Mapping ------------------------------------------------------------------------------------------------------ */

/* Physical pages to map: a list, or a run if there is none. */
struct source {
    const pfn_t *list;
    pfn_t first;
};

static pfn_t source_page(const struct source *source, size_t index) {
    return source->list != NULL ? source->list[index] : source->first + (pfn_t)index;
}

static void uncount_mappings(const struct source *source, size_t pages, unsigned attributes) {
    for (size_t i = 0; i < pages; i++)
        if (palloc_state(source_page(source, i)) != PALLOC_NOT_RAM)
            frame_unmap(source_page(source, i), attributes);
}

static int count_mappings(const struct source *source, size_t pages, unsigned attributes) {
    for (size_t i = 0; i < pages; i++) {
        pfn_t pfn = source_page(source, i);
        int error = palloc_state(pfn) == PALLOC_NOT_RAM ? 0 : frame_map(pfn, attributes);
        if (error != 0) {
            uncount_mappings(source, i, attributes);
            return error;
        }
    }
    return 0;
}

/* The tables exist. An entry goes from zero to present, which needs no flush: the processor keeps no translation that
 * isn't present (SDM volume 3A, 4.10.2.3). */
static void write_leaves(struct paging *tables, struct span span, const struct source *source, unsigned attributes) {
    size_t done = 0;
    while (span.first < span.end) {
        struct span part = cut(span, 1);
        struct place place = descend(tables, part.first);
        invariant(place.level == 0);
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(place.table);
        for (uintptr_t page = part.first; page < part.end; page++, done++)
            arch_entry_write(&entries[index_of(page, 0)], make_leaf(0, source_page(source, done), attributes));
        arch_frame_close(entries);
        count_entries(tables, place.table, (int)(part.end - part.first));
        span.first = part.end;
    }
}

static int map_locked(struct paging *tables, struct span span, const struct source *source, unsigned attributes) {
    if (count_present(tables->root, TOP, span) != 0)
        return ERR_EXISTS;
    int error = reserve(tables, span);
    if (error != 0)
        return error;
    error = count_mappings(source, span.end - span.first, attributes);
    if (error != 0) {
        remove(tables, span, false);
        return error;
    }
    write_leaves(tables, span, source, attributes);
    return 0;
}

static int map(struct paging *tables, uintptr_t address, size_t pages, const struct source *source,
               unsigned attributes) {
    struct span span;
    if (!make_span(address, pages, &span))
        return ERR_INVALID;
    if ((attributes & PAGE_WRITE) && (attributes & PAGE_EXECUTE))
        return ERR_REFUSED;
    lock_take(&tables->lock);
    int error = map_locked(tables, span, source, attributes);
    lock_release(&tables->lock);
    return error;
}

int paging_map(struct paging *tables, uintptr_t address, pfn_t first, size_t pages, unsigned attributes) {
    if (pages > (size_t)(PFN_NONE - first))
        return ERR_INVALID;
    struct source source = { NULL, first };
    return map(tables, address, pages, &source, attributes);
}

int paging_map_list(struct paging *tables, uintptr_t address, const pfn_t *list, size_t pages, unsigned attributes) {
    struct source source = { list, 0 };
    return map(tables, address, pages, &source, attributes);
}

/* Entries of one table, which exists: all of a span's, under one view. */
static int map_boot_entries(struct paging *tables, unsigned level, struct span part, pfn_t first, unsigned attributes) {
    struct place place = descend(tables, part.first);
    if (place.level != level)
        return ERR_EXISTS;
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(place.table);
    int error = 0;
    for (unsigned at = place.index; error == 0 && part.first < part.end; at++) {
        if (arch_entry_present(arch_entry_read(&entries[at])))
            error = ERR_EXISTS;
        else
            arch_entry_write(&entries[at], make_leaf(level, first, attributes));
        first += (pfn_t)step_of(level);
        part.first += step_of(level);
    }
    arch_frame_close(entries);
    return error;
}

int paging_map_boot(struct paging *tables, uintptr_t address, pfn_t first, size_t pages, unsigned attributes) {
    struct span span;
    if (!make_span(address, pages, &span))
        return ERR_INVALID;
    while (span.first < span.end) {
        bool large = span.end - span.first >= step_of(1) && ((span.first | first) & (step_of(1) - 1)) == 0;
        unsigned level = large ? 1 : 0;
        struct span part = cut(span, 1); /* an entry of level 1, or a table of level 0 */
        int error = make_tables(tables, tables->root, TOP, level, part);
        if (error == 0)
            error = map_boot_entries(tables, level, part, first, attributes);
        if (error != 0)
            return error;
        first += (pfn_t)(part.end - part.first);
        span.first = part.end;
    }
    return 0;
}

/* --- Changing rights ---------------------------------------------------------------------------------------------- */

static int remap_counts(struct paging *tables, uintptr_t page, unsigned attributes) {
    struct place place = descend(tables, page);
    if (!arch_entry_present(place.entry) || place.level != 0)
        return ERR_FAULT;
    pfn_t pfn = arch_entry_pfn(place.entry);
    if (palloc_state(pfn) == PALLOC_NOT_RAM)
        return 0;
    return frame_remap(pfn, attributes_of(place.entry), attributes);
}

/* Only counts may refuse, so they change first; the entries still tell the old rights if they must change back. */
static void remap_back(struct paging *tables, uintptr_t first, uintptr_t end, unsigned attributes) {
    for (uintptr_t page = first; page < end; page++) {
        struct place place = descend(tables, page);
        pfn_t pfn = arch_entry_pfn(place.entry);
        if (palloc_state(pfn) == PALLOC_NOT_RAM)
            continue;
        int error = frame_remap(pfn, attributes, attributes_of(place.entry));
        require(error == 0, "paging: page %#x refuses the rights that it had", pfn);
    }
}

static int protect_locked(struct paging *tables, struct span span, unsigned attributes) {
    for (uintptr_t page = span.first; page < span.end; page++) {
        int error = remap_counts(tables, page, attributes);
        if (error != 0) {
            remap_back(tables, span.first, page, attributes);
            return error;
        }
    }
    for (uintptr_t page = span.first; page < span.end; page++) {
        struct place place = descend(tables, page);
        write_entry(place.table, place.index, make_leaf(0, arch_entry_pfn(place.entry), attributes));
    }
    arch_flush(tables->root, page_address(span.first), span.end - span.first);
    return 0;
}

int paging_protect(struct paging *tables, uintptr_t address, size_t pages, unsigned attributes) {
    struct span span;
    if (!make_span(address, pages, &span))
        return ERR_INVALID;
    if ((attributes & PAGE_WRITE) && (attributes & PAGE_EXECUTE))
        return ERR_REFUSED;
    lock_take(&tables->lock);
    int error = protect_locked(tables, span, attributes);
    lock_release(&tables->lock);
    return error;
}

/* --- Another page in place of one --------------------------------------------------------------------------------- */

static int replace_locked(struct paging *tables, uintptr_t page, pfn_t pfn, unsigned attributes) {
    struct place place = descend(tables, page);
    if (!arch_entry_present(place.entry) || place.level != 0)
        return ERR_FAULT;
    int error = frame_map(pfn, attributes);
    if (error != 0)
        return error;
    write_entry(place.table, place.index, make_leaf(0, pfn, attributes));
    arch_flush(tables->root, page_address(page), 1);
    bury_leaf(place.entry, 0);
    return 0;
}

int paging_replace(struct paging *tables, uintptr_t address, pfn_t pfn, unsigned attributes) {
    struct span span;
    if (!make_span(address, 1, &span))
        return ERR_INVALID;
    lock_take(&tables->lock);
    int error = replace_locked(tables, span.first, pfn, attributes);
    lock_release(&tables->lock);
    return error;
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

void paging_adopt(struct paging *tables, pfn_t root) {
    *tables = (struct paging){ .root = root };
    lock_init(&tables->lock, "page tables", LOCK_RANK_PAGING);
}

int paging_fill_top(struct paging *tables) {
    for (unsigned i = 0; GEOMETRY_TOP_FIXED && i < 1u << GEOMETRY_TOP_BITS; i++) {
        if (arch_entry_present(read_entry(tables->root, i)))
            continue;
        pfn_t below = take_table(tables, 0);
        if (below == PFN_NONE)
            return ERR_NO_MEMORY;
        write_entry(tables->root, i, arch_make_table(TOP, below));
        count_entries(tables, tables->root, +1);
    }
    return 0;
}

int paging_create(struct paging *tables) {
    pfn_t (*boot_tables)(void) = tables->boot_tables;
    paging_adopt(tables, PFN_NONE);
    tables->boot_tables = boot_tables;
    tables->root = take_table(tables, GEOMETRY_ROOT_LIMIT);
    if (tables->root == PFN_NONE)
        return ERR_NO_MEMORY;
    int error = paging_fill_top(tables);
    if (error != 0 && boot_tables == NULL)
        paging_destroy(tables);
    return error;
}

void paging_destroy(struct paging *tables) {
    require(tables->root != arch_root(), "paging: the tables at page %#x are loaded and can't be freed", tables->root);
    for (unsigned i = 0; i < 1u << GEOMETRY_TOP_BITS; i++) {
        arch_entry_t entry = read_entry(tables->root, i);
        if (entry == 0)
            continue;
        require(GEOMETRY_TOP_FIXED && is_empty_table(arch_entry_pfn(entry)),
                "paging: the tables at page %#x still map something in top entry %u", tables->root, i);
        write_entry(tables->root, i, 0);
        count_entries(tables, tables->root, -1);
        free_table(tables, arch_entry_pfn(entry));
    }
    free_table(tables, tables->root);
    tables->root = PFN_NONE;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

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
    size_t count = count_present(tables->root, TOP, span);
    lock_release(&tables->lock);
    return count;
}

pfn_t paging_table_of(struct paging *tables, uintptr_t address) {
    struct place place = descend(tables, page_number(address));
    require(place.level == 0, "paging: no table for address %#zx", (size_t)address);
    return place.table;
}
