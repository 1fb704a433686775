/* What a task says of pages that it has: they aren't needed as they are (madvise), are they there (mincore), have them
 * there now (mlock, MAP_POPULATE).
 *
 * Discarding a page that is promised. The page isn't lost to the task: it may be touched again, and must then be had.
 *
 *     shown here alone      zeroed where it is; a promise would have to take its place at once, and there may be none
 *     shown by others too   unmapped: n areas owed n - 1 for it, now n - 1 owe n - 2 and the absent one owes 1
 *     leased, or executable unmapped, and a page promised before: the lease goes on with the old bytes, and code is
 *                           never written
 *
 * An unreserved page is unmapped and goes to whoever needs it. A shared one stays: its bytes are the others' too.
 *
 * Locking: the context's lock, for each page where pages are made. Cost: O(log ranges) and two walks for each page. */
#include <mem/area.h>
#include <base/string.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

/* The next part of one area in [*first, end); *holes tells that there were pages of no area before it. */
static const struct vspace_range *next_part(struct context *context, uintptr_t *first, uintptr_t end, bool *holes) {
    if (*first >= end)
        return NULL;
    const struct vspace_range *range = vspace_next(&context->ranges, *first);
    while (range != NULL && range->first < end && !is_area(range)) {
        *holes = true;
        range = vspace_next(&context->ranges, range->end);
    }
    if (range == NULL || range->first >= end) {
        *holes = true;
        return NULL;
    }
    if (range->first > *first) {
        *holes = true;
        *first = range->first;
    }
    return range;
}

/* --- Discarding --------------------------------------------------------------------------------------------------- */

static bool is_zeroed_in_place(const struct paging_entry *entry) {
    return frame_get(entry->pfn).pins == 0 && !(entry->attributes & PAGE_EXECUTE);
}

/* Promises that [first, end) of a promised area needs before it can be discarded. */
static size_t promises_to_discard(struct context *context, uintptr_t first, uintptr_t end) {
    size_t needed = 0;
    struct paging_entry entry;
    for (uintptr_t page = first; page < end; page++)
        if (paging_find(&context->tables, page_address(page), &entry) && area_showing(entry.pfn) <= 1)
            needed += !is_zeroed_in_place(&entry);
    return needed;
}

static void zero(pfn_t pfn) {
    void *view = arch_frame_open(pfn);
    memset(view, 0, PAGE_SIZE);
    arch_frame_close(view);
}

static void discard_promised(struct context *context, uintptr_t first, uintptr_t end) {
    struct paging_entry entry;
    for (uintptr_t page = first; page < end; page++) {
        if (!paging_find(&context->tables, page_address(page), &entry))
            continue;
        if (area_showing(entry.pfn) <= 1 && is_zeroed_in_place(&entry))
            zero(entry.pfn);
        else
            area_unmap_pages(context, page, page + 1);
    }
}

static int discard_locked(struct context *context, uintptr_t first, uintptr_t end) {
    bool holes = false;
    const struct vspace_range *range;
    size_t needed = 0;
    for (uintptr_t page = first; (range = next_part(context, &page, end, &holes)) != NULL;) {
        uintptr_t to = range->end < end ? range->end : end;
        if (range->attributes & AREA_PROMISED)
            needed += promises_to_discard(context, page, to);
        page = to;
    }
    int error = reserve_add(needed);
    if (error != 0)
        return error;
    for (uintptr_t page = first; (range = next_part(context, &page, end, &holes)) != NULL;) {
        uintptr_t to = range->end < end ? range->end : end;
        if (range->attributes & AREA_PROMISED)
            discard_promised(context, page, to);
        else if (!(range->attributes & AREA_SHARED))
            area_unmap_pages(context, page, to);
        page = to;
    }
    return holes ? ERR_NO_SPACE : 0;
}

int area_discard(struct context *context, uintptr_t address, size_t pages) {
    if (area_run_is_bad(context, address, pages))
        return ERR_INVALID;
    lock_take(&context->lock);
    int error = discard_locked(context, page_number(address), page_number(address) + pages);
    lock_release(&context->lock);
    return error;
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

int area_resident(struct context *context, uintptr_t address, size_t pages, uint8_t *resident) {
    struct paging_entry entry;
    if (area_run_is_bad(context, address, pages))
        return ERR_INVALID;
    int error = 0;
    lock_take(&context->lock);
    for (size_t i = 0; error == 0 && i < pages; i++) {
        uintptr_t page = page_number(address) + i;
        if (is_area(vspace_find(&context->ranges, page)))
            resident[i] = paging_find(&context->tables, page_address(page), &entry);
        else
            error = ERR_NO_SPACE;
    }
    lock_release(&context->lock);
    return error;
}

/* --- Having them now ---------------------------------------------------------------------------------------------- */

/* What makes no later fault necessary. 0: nothing may be done there; ERR_NO_SPACE: no area. */
static int access_of(struct context *context, uintptr_t address) {
    lock_take(&context->lock);
    const struct vspace_range *range = vspace_find(&context->ranges, page_number(address));
    int access = is_area(range) ? (int)area_rights(range->attributes) : ERR_NO_SPACE;
    lock_release(&context->lock);
    return access;
}

int area_populate(struct context *context, uintptr_t address, size_t pages) {
    if (area_run_is_bad(context, address, pages))
        return ERR_INVALID;
    for (size_t i = 0; i < pages; i++) {
        int access = access_of(context, address + i * PAGE_SIZE);
        int error = access < 0    ? access
                    : access == 0 ? ERR_FAULT
                                  : area_fault(context, address + i * PAGE_SIZE, (unsigned)access);
        if (error != 0)
            return error;
    }
    return 0;
}

/* The lock isn't held between pages, so areas are looked up anew: the first one that ends behind `page`. */
static bool next_run(struct context *context, uintptr_t page, struct vspace_range *run) {
    lock_take(&context->lock);
    const struct vspace_range *range = vspace_next(&context->ranges, page);
    if (range != NULL)
        *run = *range;
    lock_release(&context->lock);
    return range != NULL;
}

void area_populate_all(struct context *context) {
    struct vspace_range run = { .end = 0 };
    while (next_run(context, run.end, &run))
        (void)area_populate(context, page_address(run.first), run.end - run.first);
}
