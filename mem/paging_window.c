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

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static arch_entry_t bits_of(unsigned rights) {
    return PTE_PRESENT | (rights & PAGE_USER ? PTE_USER : 0) | (rights & PAGE_WRITE ? PTE_WRITE : 0);
}

/* Of a part that one entry of a higher level, or one table of level 0, translates. */
static size_t read_part(struct place place, struct span part, arch_entry_t need, pfn_t *list) {
    size_t pages = part.end - part.first, done = 0;
    if (place.level > 0) { /* a large page, or nothing */
        pfn_t inside = (pfn_t)(part.first & (step_of(place.level) - 1));
        for (; (place.entry & need) == need && done < pages; done++)
            list[done] = arch_entry_pfn(place.entry) + inside + (pfn_t)done;
        return done;
    }
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(place.table);
    for (const arch_entry_t *at = &entries[place.index]; done < pages; done++) {
        arch_entry_t entry = arch_entry_read(&at[done]);
        if ((entry & need) != need)
            break;
        list[done] = arch_entry_pfn(entry);
    }
    arch_frame_close(entries);
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
        size_t count = read_part(descend(tables, part.first), part, need, list + done);
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
        if (descend(tables, span.first).level != 0)
            return false;
    return true;
}

static void write_part(struct place place, size_t pages, const pfn_t *list, arch_entry_t leaf) {
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(place.table);
    for (size_t i = 0; i < pages; i++) {
        invariant(arch_entry_read(&entries[place.index + i]) == 0);
        arch_entry_write(&entries[place.index + i], leaf | (arch_entry_t)list[i] << PAGE_SHIFT);
    }
    arch_frame_close(entries);
    frame_table_entries(place.table, (int)pages);
}

/* False: a table isn't there. */
static bool show_locked(struct paging *tables, struct span span, const pfn_t *list, unsigned attributes, int *error) {
    arch_entry_t leaf = make_leaf(0, 0, attributes);
    struct place place = descend(tables, span.first);
    if (place.level != 0 || !has_tables(tables, (struct span){ cut(span, 1).end, span.end }))
        return false;
    *error = frame_lease_list(list, span.end - span.first, attributes);
    while (*error == 0 && span.first < span.end) {
        struct span part = cut(span, 1);
        write_part(place, part.end - part.first, list, leaf);
        list += part.end - part.first;
        span.first = part.end;
        if (span.first < span.end)
            place = descend(tables, span.first);
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

static void clear_part(struct place place, size_t pages, uintptr_t address, pfn_t *list) {
    require(place.level == 0, "paging_hide: nothing translates %#zx, which a window showed", (size_t)address);
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(place.table);
    for (size_t i = 0; i < pages; i++) {
        arch_entry_t entry = arch_entry_read(&entries[place.index + i]);
        require(arch_entry_present(entry), "paging_hide: page %zu from %#zx on lost its translation", i,
                (size_t)address);
        list[i] = arch_entry_pfn(entry);
        arch_entry_write(&entries[place.index + i], 0);
    }
    arch_frame_close(entries);
    frame_table_entries(place.table, -(int)pages);
}

static void hide_locked(struct paging *tables, struct span span, unsigned attributes) {
    pfn_t list[BATCH];
    size_t done = 0, pages = span.end - span.first;
    uintptr_t first = span.first;
    while (span.first < span.end) {
        struct span part = cut(span, 1);
        clear_part(descend(tables, part.first), part.end - part.first, page_address(part.first), list + done);
        done += part.end - part.first;
        span.first = part.end;
    }
    arch_flush(tables->root, page_address(first), pages);
    frame_unlease_list(list, pages, attributes);
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
