/* A run is cut into the parts that one table translates; each part is one walk, or none where the window knows its
 * table, one view, and a loop over entries.
 *
 * A window's tables are pinned, and so never taken for empty by others who map and unmap beside it: paging_show() and
 * paging_hide() need no walk and not the tables' lock, since nobody else has a use for these entries. The tables'
 * counts of entries change with the pages' own, under palloc's lock.
 *
 * Making a window: the tables are made by paging_reserve(), and pinned under the tables' lock if they are still there.
 * Others may take an empty table back between the two, and so it's a loop; each turn means that somebody else got
 * something done.
 *
 * T1 to T3 of mem/paging.c hold here too. What paging_hide() cleared is noted in a list, not in the entries, since a
 * window is hidden in batches that fit the stack. */
#include <mem/paging_window.h>
#include <base/check.h>
#include <base/fail.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

enum { BATCH = 128 };

/* The level-0 table for a page, or PFN_NONE. */
static inline pfn_t table_of(const struct paging *tables, uintptr_t page) {
    pfn_t table = tables->root;
    for (unsigned level = TOP; level > 0; level--) {
        arch_entry_t entry = read_entry(table, index_of(page, level));
        if ((entry & (PTE_PRESENT | PTE_LARGE)) != PTE_PRESENT)
            return PFN_NONE;
        table = arch_entry_pfn(entry);
    }
    return table;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static arch_entry_t bits_of(unsigned rights) {
    return PTE_PRESENT | (rights & PAGE_USER ? PTE_USER : 0) | (rights & PAGE_WRITE ? PTE_WRITE : 0);
}

/* A large page, or nothing. */
static size_t read_large(struct paging *tables, struct span part, arch_entry_t need, pfn_t *list) {
    struct place place = descend(tables, part.first);
    pfn_t inside = (pfn_t)(part.first & (step_of(place.level) - 1));
    size_t done = 0;
    for (; (place.entry & need) == need && done < part.end - part.first; done++)
        list[done] = arch_entry_pfn(place.entry) + inside + (pfn_t)done;
    return done;
}

/* Of a part that one entry of level 1 stands for. */
static size_t read_part(struct paging *tables, struct span part, arch_entry_t need, pfn_t *list) {
    size_t pages = part.end - part.first, done = 0;
    pfn_t table = table_of(tables, part.first);
    if (table == PFN_NONE)
        return read_large(tables, part, need, list);
    const arch_entry_t *view = (const arch_entry_t *)arch_frame_open(table), *at = view + index_of(part.first, 0);
    for (; done < pages; done++) {
        arch_entry_t entry = arch_entry_read(&at[done]);
        if ((entry & need) != need)
            break;
        list[done] = arch_entry_pfn(entry);
    }
    arch_frame_close((void *)(uintptr_t)view);
    return done;
}

size_t paging_read(struct paging *tables, uintptr_t address, size_t pages, unsigned rights, pfn_t *list) {
    arch_entry_t need = bits_of(rights);
    struct span span = { page_number(address), page_number(address) + pages };
    size_t done = 0;
    lock_take(&tables->lock);
    for (bool all = true; all && span.first < span.end;) {
        struct span part = cut(span, 1);
        size_t count = read_part(tables, part, need, list + done);
        all = count == part.end - part.first;
        done += count;
        span.first = part.end;
    }
    lock_release(&tables->lock);
    return done;
}

/* --- Windows ------------------------------------------------------------------------------------------------------ */

static struct span span_of(const struct paging_window *window) {
    return (struct span){ window->first, window->first + window->pages };
}

/* Of the parts before `end`. */
static void unpin_tables(const struct paging_window *window, uintptr_t end) {
    struct span span = { window->first, end };
    for (; span.first < span.end; span.first = cut(span, 1).end)
        frame_unpin(table_of(window->tables, span.first));
}

/* ERR_EXISTS: a table is gone again. The tables' lock is held. */
static int pin_tables(struct paging_window *window) {
    struct span span = span_of(window);
    for (unsigned i = 0; span.first < span.end; span.first = cut(span, 1).end, i++) {
        pfn_t table = table_of(window->tables, span.first);
        int error = table == PFN_NONE ? ERR_EXISTS : fail_here() ? ERR_LIMIT : frame_pin(table);
        if (error != 0) {
            unpin_tables(window, span.first);
            return error;
        }
        if (i < 2)
            window->leaf_tables[i] = table;
    }
    return 0;
}

int paging_window_make(struct paging_window *window, struct paging *tables, uintptr_t address, size_t pages) {
    *window = (struct paging_window){ .tables = tables, .first = page_number(address), .pages = pages };
    for (;;) {
        int error = paging_reserve(tables, address, pages);
        if (error != 0)
            return error;
        lock_take(&tables->lock);
        error = pin_tables(window);
        lock_release(&tables->lock);
        if (error == 0)
            return 0;
        if (error != ERR_EXISTS) {
            paging_unmap(tables, address, pages); /* empty tables */
            return error;
        }
    }
}

void paging_window_end(const struct paging_window *window) {
    lock_take(&window->tables->lock);
    unpin_tables(window, window->first + window->pages);
    lock_release(&window->tables->lock);
    size_t shown = paging_unmap(window->tables, page_address(window->first), window->pages);
    require(shown == 0, "paging_window_end: the window at %#zx still shows %zu pages",
            (size_t)page_address(window->first), shown);
}

/* Of the part that a page of the window lies in. */
static inline pfn_t window_table(const struct paging_window *window, uintptr_t page) {
    uintptr_t part = (page >> GEOMETRY_INDEX_BITS) - (window->first >> GEOMETRY_INDEX_BITS);
    return part < 2 ? window->leaf_tables[part] : table_of(window->tables, page);
}

/* --- Showing ------------------------------------------------------------------------------------------------------ */

static void hide_span(const struct paging_window *window, struct span span, unsigned attributes);

static int show_part(const struct paging_window *window, struct span part, const pfn_t *list, unsigned attributes) {
    pfn_t table = window_table(window, part.first);
    size_t pages = part.end - part.first;
    int error = frame_lease_list(list, pages, attributes, table);
    if (error != 0)
        return error;
    arch_entry_t leaf = make_leaf(0, 0, attributes & PAGE_WRITE);
    arch_entry_t *view = (arch_entry_t *)arch_frame_open(table), *at = view + index_of(part.first, 0);
    for (size_t i = 0; i < pages; i++) {
        invariant(arch_entry_read(&at[i]) == 0);
        arch_entry_write(&at[i], leaf | (arch_entry_t)list[i] << PAGE_SHIFT);
    }
    arch_frame_close(view);
    return 0;
}

int paging_show(const struct paging_window *window, size_t at, const pfn_t *list, size_t pages, unsigned attributes) {
    invariant(at <= window->pages && pages <= window->pages - at);
    uintptr_t first = window->first + at;
    for (struct span rest = { first, first + pages }; rest.first < rest.end;) {
        struct span part = cut(rest, 1);
        int error = show_part(window, part, list + (part.first - first), attributes);
        if (error != 0) {
            hide_span(window, (struct span){ first, part.first }, attributes);
            return error;
        }
        rest.first = part.end;
    }
    return 0;
}

/* --- Hiding ------------------------------------------------------------------------------------------------------- */

static void hide_part(const struct paging_window *window, struct span part, unsigned attributes) {
    pfn_t table = window_table(window, part.first), list[BATCH];
    arch_entry_t *view = (arch_entry_t *)arch_frame_open(table), *at = view + index_of(part.first, 0);
    size_t pages = part.end - part.first;
    for (size_t i = 0; i < pages; i++) {
        arch_entry_t entry = arch_entry_read(&at[i]);
        require(arch_entry_present(entry), "paging_hide: %#zx, which a window showed, lost its translation",
                (size_t)page_address(part.first + i));
        list[i] = arch_entry_pfn(entry);
        arch_entry_write(&at[i], 0);
    }
    arch_frame_close(view);
    arch_flush(window->tables->root, page_address(part.first), pages);
    frame_unlease_list(list, pages, attributes, table);
}

static void hide_span(const struct paging_window *window, struct span span, unsigned attributes) {
    while (span.first < span.end) {
        struct span part = cut(span, 1);
        if (part.end - part.first > BATCH)
            part.end = part.first + BATCH;
        hide_part(window, part, attributes);
        span.first = part.end;
    }
}

void paging_hide(const struct paging_window *window, size_t pages, unsigned attributes) {
    invariant(pages <= window->pages);
    hide_span(window, (struct span){ window->first, window->first + pages }, attributes);
}
