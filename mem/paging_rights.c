/* Other rights, or another page, where something is mapped: the tables stay as they are.
 *
 * Only counts may refuse, so they change first, for the whole run, a list of entries of one kind at a time; the entries
 * still tell the old rights if the counts must change back. Then entries are written, and one flush ends it.
 *
 * T1 to T4 of mem/paging.c hold here too. Cost: two views a table, two loads and a store an entry. */
#include <mem/paging.h>
#include <base/check.h>
#include <mem/frame.h>
#include <mem/paging_walk.h>

/* Entries from `at` on that are present and of one kind; their pages are noted. */
static size_t note_kind(const arch_entry_t *at, size_t count, pfn_t list[NOTED]) {
    arch_entry_t kind = kind_of(arch_entry_read(at));
    size_t noted = 0;
    for (; noted < count && noted < NOTED; noted++) {
        arch_entry_t entry = arch_entry_read(&at[noted]);
        if (!arch_entry_present(entry) || kind_of(entry) != kind)
            break;
        list[noted] = arch_entry_pfn(entry);
    }
    return noted;
}

enum direction { TO_NEW, TO_OLD };

/* Counts the mappings of one table's entries with other rights, or with their own again: how many it came to. */
static size_t recount(const arch_entry_t *at, size_t count, unsigned attributes, enum direction direction, int *error) {
    pfn_t list[NOTED];
    for (size_t done = 0, noted; done < count; done += noted) {
        unsigned own = attributes_of(arch_entry_read(&at[done]));
        noted = note_kind(&at[done], count - done, list);
        *error = noted == 0            ? ERR_FAULT
                 : direction == TO_NEW ? frame_remap_list(list, noted, own, attributes)
                                       : frame_remap_list(list, noted, attributes, own);
        if (*error != 0)
            return done;
    }
    return count;
}

/* The same for a run: the page that it came to. */
static uintptr_t recount_span(struct paging *tables, struct span span, unsigned attributes, enum direction direction,
                              int *error) {
    while (*error == 0 && span.first < span.end) {
        struct span part = cut(span, 1);
        pfn_t table = leaf_table(tables, part.first);
        if (table == PFN_NONE) {
            *error = ERR_FAULT;
            break;
        }
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
        span.first += recount(&entries[index_of(part.first, 0)], part.end - part.first, attributes, direction, error);
        arch_frame_close(entries);
    }
    return span.first;
}

static void rewrite(arch_entry_t *at, size_t count, unsigned attributes) {
    arch_entry_t leaf = make_leaf(0, 0, attributes);
    for (size_t i = 0; i < count; i++)
        arch_entry_write(&at[i], leaf | (arch_entry_read(&at[i]) & PTE_PFN_MASK));
}

static int protect_locked(struct paging *tables, struct span span, unsigned attributes) {
    int error = 0, back = 0;
    uintptr_t done = recount_span(tables, span, attributes, TO_NEW, &error);
    if (error != 0) {
        uintptr_t undone = recount_span(tables, (struct span){ span.first, done }, attributes, TO_OLD, &back);
        require(back == 0, "paging: address %#zx refuses the rights that it had", (size_t)page_address(undone));
        return error;
    }
    for (struct span rest = span; rest.first < rest.end;) {
        struct span part = cut(rest, 1);
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(leaf_table(tables, part.first));
        rewrite(&entries[index_of(part.first, 0)], part.end - part.first, attributes);
        arch_frame_close(entries);
        rest.first = part.end;
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

static int replace_in(struct paging *tables, arch_entry_t *at, uintptr_t page, pfn_t pfn, unsigned attributes) {
    arch_entry_t old = arch_entry_read(at);
    if (!arch_entry_present(old))
        return ERR_FAULT;
    int error = frame_map(pfn, attributes);
    if (error != 0)
        return error;
    pfn_t old_pfn = arch_entry_pfn(old);
    arch_entry_write(at, make_leaf(0, pfn, attributes));
    arch_flush(tables->root, page_address(page), 1);
    frame_unmap_list(&old_pfn, 1, attributes_of(old));
    return 0;
}

int paging_replace(struct paging *tables, uintptr_t address, pfn_t pfn, unsigned attributes) {
    struct span span;
    int error = ERR_FAULT;
    if (!make_span(address, 1, &span))
        return ERR_INVALID;
    lock_take(&tables->lock);
    pfn_t table = leaf_table(tables, span.first);
    if (table != PFN_NONE) {
        arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
        error = replace_in(tables, &entries[index_of(span.first, 0)], span.first, pfn, attributes);
        arch_frame_close(entries);
    }
    lock_release(&tables->lock);
    return error;
}
