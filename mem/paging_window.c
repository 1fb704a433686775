/* A run is cut into the parts that one table translates; each part is one walk, one view, and a loop over entries.
 *
 * paging_show() needs tables. They are there but for the first time, so it looks first, and only a window that lacks
 * one takes the long way: paging_reserve(), and again from the start. Others may take an empty table back between the
 * two, and so it's a loop; each turn means that somebody else got something done.
 *
 * T1 to T3 of mem/paging.c hold here too. What paging_hide() cleared is noted in a list, not in the entries, since a
 * window is hidden in batches that fit the stack. */
#include <mem/paging_window.h>
#include <base/check.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

enum { BATCH = 64 };

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
    struct span span;
    size_t done = 0;
    if (!make_span(address, pages, &span))
        return 0;
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

/* --- Showing ------------------------------------------------------------------------------------------------------ */

static bool has_tables(const struct paging *tables, struct span span) {
    for (; span.first < span.end; span.first = cut(span, 1).end)
        if (table_of(tables, span.first) == PFN_NONE)
            return false;
    return true;
}

static void write_part(pfn_t table, struct span part, const pfn_t *list, arch_entry_t leaf) {
    arch_entry_t *view = (arch_entry_t *)arch_frame_open(table), *at = view + index_of(part.first, 0);
    size_t pages = part.end - part.first;
    for (size_t i = 0; i < pages; i++) {
        invariant(arch_entry_read(&at[i]) == 0);
        arch_entry_write(&at[i], leaf | (arch_entry_t)list[i] << PAGE_SHIFT);
    }
    arch_frame_close(view);
    frame_table_entries(table, (int)pages);
}

/* False: a table isn't there. */
static bool show_locked(struct paging *tables, struct span span, const pfn_t *list, unsigned attributes, int *error) {
    arch_entry_t leaf = make_leaf(0, 0, attributes);
    struct span part = cut(span, 1);
    pfn_t table = table_of(tables, span.first);
    if (table == PFN_NONE || !has_tables(tables, (struct span){ part.end, span.end }))
        return false;
    *error = frame_lease_list(list, span.end - span.first, attributes);
    while (*error == 0) {
        write_part(table, part, list, leaf);
        list += part.end - part.first;
        if (part.end == span.end)
            break;
        part = cut((struct span){ part.end, span.end }, 1);
        table = table_of(tables, part.first);
    }
    return true;
}

int paging_show(struct paging *tables, uintptr_t address, const pfn_t *list, size_t pages, unsigned attributes) {
    struct span span;
    if (!make_span(address, pages, &span))
        return ERR_INVALID;
    for (int error = 0;;) {
        lock_take(&tables->lock);
        bool tried = show_locked(tables, span, list, attributes, &error);
        lock_release(&tables->lock);
        if (tried)
            return error;
        error = paging_reserve(tables, address, pages);
        if (error != 0)
            return error;
    }
}

/* --- Hiding ------------------------------------------------------------------------------------------------------- */

static void clear_part(struct paging *tables, struct span part, pfn_t *list) {
    pfn_t table = table_of(tables, part.first);
    require(table != PFN_NONE, "paging_hide: no table translates %#zx, which a window showed",
            (size_t)page_address(part.first));
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
    frame_table_entries(table, -(int)pages);
}

static void hide_locked(struct paging *tables, struct span span, unsigned attributes) {
    pfn_t list[BATCH];
    size_t done = 0;
    for (struct span rest = span; rest.first < rest.end;) {
        struct span part = cut(rest, 1);
        clear_part(tables, part, list + done);
        done += part.end - part.first;
        rest.first = part.end;
    }
    arch_flush(tables->root, page_address(span.first), done);
    frame_unlease_list(list, done, attributes);
}

void paging_hide(struct paging *tables, uintptr_t address, size_t pages, unsigned attributes) {
    struct span span;
    bool valid = make_span(address, pages, &span);
    require(valid, "paging_hide(%#zx, %zu pages): no such run", (size_t)address, pages);
    lock_take(&tables->lock);
    while (span.first < span.end) {
        uintptr_t end = span.end - span.first > BATCH ? span.first + BATCH : span.end;
        hide_locked(tables, (struct span){ span.first, end }, attributes);
        span.first = end;
    }
    lock_release(&tables->lock);
}
