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
 *     retire: P is cleared, the rest of the entry stays; a table whose last entry retires is retired in the table above
 *     flush:  no processor holds a translation of the span, or of a table above it, any more
 *     bury:   retired entries are zeroed, the mappings' counts dropped, tables freed
 *
 * If a page or table were let go before the flush, its next owner's bytes would show at the old address.
 *
 * Nearly every call stays inside one table that exists. It's done under one view of it, and the walk to it is
 * remembered (`hot`): the next call is often there too.
 *
 * Invariants, checked by paging_audit():
 *   T1  an entry is zero, or present; retired ones exist only while the lock is held.
 *   T2  a table made by paging_* is owned by FRAME_TABLE, and its entry count is the number of its present entries.
 *   T3  no leaf is both writable and executable; no leaf shows RAM that is free.
 *   T4  the table that is remembered is the one that a walk finds.
 *
 * Rights stand in the leaf alone; tables above allow everything (PAE's top level has no rights bits).
 * Locking: one lock for each set of tables, held over the flush. Cost: a view or two a table, and a load and a store an
 * entry and pass; counts change by the list (mem/frame.h), 64 pages at a time.
 * Not done: splitting large pages. Only paging_map_boot() makes them, for the frame view, and nothing unmaps those. */
#include <mem/paging.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

/* --- Tables ------------------------------------------------------------------------------------------------------- */

/* Returns how many are in use now; many for a table that isn't counted. */
static uint32_t count_entries(const struct paging *tables, pfn_t table, int change) {
    return tables->boot_tables == NULL ? frame_table_entries(table, change) : FRAME_MAPPINGS_MAX;
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
    if (table == tables->hot_table)
        tables->hot_table = PFN_NONE;
    frame_disown(table, FRAME_TABLE);
    tables->tables--;
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

static size_t retire_leaves(arch_entry_t *at, size_t count) {
    size_t retired = 0;
    for (const arch_entry_t *end = at + count; at < end; at++)
        arch_entry_retire(at, &retired);
    return retired;
}

/* How many entries from `at` on, which is retired, are retired, of one kind, and show consecutive pages. */
static size_t retired_run(const arch_entry_t *at, size_t count) {
    const arch_entry_t step = PAGE_SIZE, by_itself = PTE_ACCESSED | PTE_DIRTY;
    arch_entry_t next = arch_entry_read(at) & ~by_itself;
    size_t run = 0;
    for (; count - run >= 4; run += 4, next += 4 * step) {
        arch_entry_t differs = (arch_entry_read(&at[run]) ^ next) | (arch_entry_read(&at[run + 1]) ^ (next + step)) |
                               (arch_entry_read(&at[run + 2]) ^ (next + 2 * step)) |
                               (arch_entry_read(&at[run + 3]) ^ (next + 3 * step));
        if ((differs & ~by_itself) != 0)
            break;
    }
    for (; run < count && (arch_entry_read(&at[run]) & ~by_itself) == next; run++)
        next += step;
    return run;
}

/* Runs are let go as such; single pages are noted, and those of one kind let go together. */
static void bury_leaves(arch_entry_t *at, size_t count) {
    enum { SHORT = 8 };
    pfn_t list[NOTED];
    size_t noted = 0, run;
    arch_entry_t kind = 0;
    for (size_t i = 0; i < count; i += run) {
        arch_entry_t entry = arch_entry_read(&at[i]);
        run = 1;
        if (entry == 0 || arch_entry_present(entry))
            continue;
        run = retired_run(&at[i], count - i);
        if (run == count || run >= SHORT) {
            memset(&at[i], 0, run * sizeof(entry));
            frame_unmap_run(arch_entry_pfn(entry), run, attributes_of(entry));
            continue;
        }
        run = 1;
        if (noted == NOTED || kind_of(entry) != kind) {
            frame_unmap_list(list, noted, attributes_of(kind));
            noted = 0;
            kind = kind_of(entry);
        }
        list[noted++] = arch_entry_pfn(entry);
        arch_entry_fill(&at[i], 0);
    }
    if (noted > 0)
        frame_unmap_list(list, noted, attributes_of(kind));
}

/* True if the entry went from present to retired. */
static bool retire(struct removal *removal, pfn_t table, unsigned level, struct span part);

static void retire_below(struct removal *removal, pfn_t table, unsigned level, struct span span) {
    int retired = 0;
    if (level == 0 && removal->leaves) {
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
        retired = (int)retire_leaves(&entries[index_of(span.first, 0)], span.end - span.first);
        arch_frame_close(entries);
        removal->pages += (size_t)retired;
        removal->any = removal->any || retired > 0;
    }
    while (level > 0 && span.first < span.end) {
        struct span part = cut(span, level);
        retired += retire(removal, table, level, part);
        span.first = part.end;
    }
    if (retired > 0)
        count_entries(removal->tables, table, -retired);
}

/* Above level 0. */
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
    write_entry(table, index, entry & ~PTE_PRESENT);
    removal->any = true;
    return true;
}

static void bury_below(struct removal *removal, pfn_t table, unsigned level, struct span span);

static void bury(struct removal *removal, pfn_t table, unsigned level, struct span part) {
    unsigned index = index_of(part.first, level);
    arch_entry_t entry = read_entry(table, index);
    if (entry == 0)
        return;
    bool leaf = arch_entry_is_leaf(level, entry), retired = !arch_entry_present(entry);
    if (!leaf)
        bury_below(removal, arch_entry_pfn(entry), level - 1, part);
    if (retired)
        write_entry(table, index, 0);
    if (retired && leaf)
        frame_unmap_run(arch_entry_pfn(entry), step_of(level), attributes_of(entry));
    if (retired && !leaf)
        free_table(removal->tables, arch_entry_pfn(entry));
}

static void bury_below(struct removal *removal, pfn_t table, unsigned level, struct span span) {
    if (level == 0) {
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
        bury_leaves(&entries[index_of(span.first, 0)], span.end - span.first);
        arch_frame_close(entries);
        return;
    }
    while (span.first < span.end) {
        struct span part = cut(span, level);
        bury(removal, table, level, part);
        span.first = part.end;
    }
}

/* `any`: leaves in the span are retired already. */
static size_t remove(struct paging *tables, struct span span, bool leaves, bool any) {
    struct removal removal = { .tables = tables, .leaves = leaves, .any = any };
    retire_below(&removal, tables->root, TOP, span);
    if (!removal.any)
        return 0;
    arch_flush(tables->root, page_address(span.first), span.end - span.first);
    bury_below(&removal, tables->root, TOP, span);
    return removal.pages;
}

/* Of a span that one table, which exists, translates: leaves are removed under one view of it. False, and nothing is
 * flushed yet, if that leaves it empty. */
static bool remove_in_table(struct paging *tables, pfn_t table, struct span span, size_t *removed) {
    size_t pages = span.end - span.first;
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table), *at = &entries[index_of(span.first, 0)];
    *removed = retire_leaves(at, pages);
    bool rest = count_entries(tables, table, -(int)*removed) > 0;
    if (rest && *removed > 0) {
        arch_flush(tables->root, page_address(span.first), pages);
        bury_leaves(at, pages);
    }
    arch_frame_close(entries);
    return rest;
}

static size_t unmap_locked(struct paging *tables, struct span span) {
    size_t removed = 0;
    if (cut(span, 1).end == span.end) {
        pfn_t table = leaf_table(tables, span.first);
        if (table != PFN_NONE && remove_in_table(tables, table, span, &removed))
            return removed;
    }
    return removed + remove(tables, span, true, removed > 0);
}

size_t paging_unmap(struct paging *tables, uintptr_t address, size_t pages) {
    struct span span;
    if (!make_span(address, pages, &span))
        return 0;
    lock_take(&tables->lock);
    size_t removed = unmap_locked(tables, span);
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
        remove(tables, span, false, false);
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

static int count_mappings(const struct source *source, size_t pages, unsigned attributes) {
    return source->list != NULL ? frame_map_list(source->list, pages, attributes)
                                : frame_map_run(source->first, pages, attributes);
}

/* An entry goes from zero to present, which needs no flush: the processor keeps no translation that isn't present (SDM
 * volume 3A, 4.10.2.3). `done` pages of the source are mapped already. */
static void fill_leaves(arch_entry_t *at, size_t pages, const struct source *source, size_t done, unsigned attributes) {
    arch_entry_t leaf = make_leaf(0, 0, attributes);
    if (source->list != NULL) {
        for (size_t i = 0; i < pages; i++)
            arch_entry_fill(&at[i], leaf | (arch_entry_t)source->list[done + i] << PAGE_SHIFT);
        return;
    }
    leaf |= (arch_entry_t)(source->first + (pfn_t)done) << PAGE_SHIFT;
    for (size_t i = 0; i < pages; i++, leaf += PAGE_SIZE)
        arch_entry_fill(&at[i], leaf);
}

/* A span of any length: looked at, given tables, counted, written. */
static int map_span(struct paging *tables, struct span span, const struct source *source, unsigned attributes) {
    if (paging_count_locked(tables, span) != 0)
        return ERR_EXISTS;
    int error = reserve(tables, span);
    if (error != 0)
        return error;
    error = count_mappings(source, span.end - span.first, attributes);
    if (error != 0) {
        remove(tables, span, false, false);
        return error;
    }
    for (size_t done = 0; span.first < span.end;) {
        struct span part = cut(span, 1);
        size_t pages = part.end - part.first;
        pfn_t table = leaf_table(tables, part.first);
        invariant(table != PFN_NONE);
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
        fill_leaves(&entries[index_of(part.first, 0)], pages, source, done, attributes);
        arch_frame_close(entries);
        count_entries(tables, table, (int)pages);
        done += pages;
        span.first = part.end;
    }
    return 0;
}

static bool are_zero(const arch_entry_t *at, size_t count) {
    const arch_entry_t *end = at + count;
    arch_entry_t any = 0;
    for (; end - at >= 4; at += 4)
        any |= at[0] | at[1] | at[2] | at[3];
    for (; at < end; at++)
        any |= *at;
    return any == 0;
}

/* A span that one table, which exists, translates: the same under one view. */
static int map_in_table(struct paging *tables, pfn_t table, struct span span, const struct source *source,
                        unsigned attributes) {
    size_t pages = span.end - span.first;
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table), *at = &entries[index_of(span.first, 0)];
    int error = are_zero(at, pages) ? count_mappings(source, pages, attributes) : ERR_EXISTS;
    if (error == 0)
        fill_leaves(at, pages, source, 0, attributes);
    arch_frame_close(entries);
    if (error == 0)
        count_entries(tables, table, (int)pages);
    return error;
}

static int map_locked(struct paging *tables, struct span span, const struct source *source, unsigned attributes) {
    pfn_t table = cut(span, 1).end == span.end ? leaf_table(tables, span.first) : PFN_NONE;
    if (table == PFN_NONE)
        return map_span(tables, span, source, attributes);
    int error = map_in_table(tables, table, span, source, attributes);
    if (error != 0 && is_empty_table(table))
        remove(tables, span, false, false);
    return error;
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

/* --- Life --------------------------------------------------------------------------------------------------------- */

void paging_adopt(struct paging *tables, pfn_t root) {
    *tables = (struct paging){ .root = root, .hot_table = PFN_NONE };
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
