/* A context's areas for another one, as fork wants them.
 *
 *     1 promise as many pages as the promised areas have: each page that will be shown twice owes one, each absent one
 *       too
 *     2 ranges for the new context
 *     3 page by page: shown in the new context without writing, then write-protected in the old one
 *
 * The undo is area_clear() of the new context, which gives back all promises (a page that is absent or shown twice
 * owes one, so at any point of 3 they sum to what 1 took), and then lets the old context write again what is its own
 * again.
 *
 * A page that is leased isn't shown twice: the kernel may be writing it, so the copy is made now, and the old context
 * and the lease go on with the page that they have.
 *
 * Not done: sharing page tables. */
#include <mem/area.h>
#include <base/check.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

/* The first area behind `page`, copied out under the lock. */
static bool next_area(struct context *context, uintptr_t page, struct vspace_range *area) {
    lock_take(&context->lock);
    const struct vspace_range *range = vspace_next(&context->ranges, page);
    while (range != NULL && !is_area(range))
        range = vspace_next(&context->ranges, range->end);
    if (range != NULL)
        *area = *range;
    lock_release(&context->lock);
    return range != NULL;
}

static int promise(struct context *from) {
    struct vspace_range area = { .end = 0 };
    size_t pages = 0;
    while (next_area(from, area.end, &area))
        if (area.attributes & AREA_PROMISED)
            pages += area.end - area.first;
    return reserve_add(pages);
}

static int take_range(struct context *to, const struct vspace_range *area) {
    struct vspace_request place = {
        .pages = area->end - area->first, .at = area->first, .attributes = area->attributes, .fixed = true
    };
    uintptr_t first;
    lock_take(&to->lock);
    int error = vspace_take(&to->ranges, &place, &first);
    if (error == 0 && (area->attributes & AREA_PROMISED)) {
        error = paging_reserve(&to->tables, page_address(area->first), place.pages);
        if (error != 0)
            vspace_give(&to->ranges, area->first, place.pages);
    }
    lock_release(&to->lock);
    return error;
}

/* How many pages of promises have a range in the new context by now; the others are to be dropped after a failure. */
static int take_ranges(struct context *from, struct context *to) {
    struct vspace_range area = { .end = 0 };
    int error = 0;
    while (error == 0 && next_area(from, area.end, &area))
        error = take_range(to, &area);
    if (error == 0)
        return 0;
    size_t rest = area.attributes & AREA_PROMISED ? area.end - area.first : 0;
    while (next_area(from, area.end, &area))
        if (area.attributes & AREA_PROMISED)
            rest += area.end - area.first;
    reserve_drop(rest);
    return error;
}

static int copy_page(struct context *to, uintptr_t page, unsigned attributes, const struct paging_entry *entry) {
    pfn_t pfn = area_take_copy(attributes, entry->pfn);
    if (pfn == PFN_NONE)
        return ERR_NO_MEMORY;
    int error = paging_map(&to->tables, page_address(page), pfn, 1, entry->attributes);
    if (error != 0)
        area_give_page(pfn, attributes);
    else
        frame_hand_over(pfn);
    return error;
}

static int share_page(struct context *from, struct context *to, uintptr_t page, unsigned attributes) {
    struct paging_entry entry;
    if (!paging_find(&from->tables, page_address(page), &entry))
        return 0;
    if (!(attributes & AREA_SHARED) && frame_get(entry.pfn).pins > 0)
        return copy_page(to, page, attributes, &entry);
    unsigned rights = attributes & AREA_SHARED ? entry.attributes : entry.attributes & ~(unsigned)PAGE_WRITE;
    int error = paging_map(&to->tables, page_address(page), entry.pfn, 1, rights);
    if (error == 0 && rights != entry.attributes)
        error = paging_protect(&from->tables, page_address(page), 1, rights);
    return error;
}

static int share_pages(struct context *from, struct context *to) {
    int error = 0;
    lock_take(&from->lock);
    const struct vspace_range *range = vspace_next(&from->ranges, 0);
    for (; error == 0 && range != NULL; range = vspace_next(&from->ranges, range->end))
        for (uintptr_t page = range->first; is_area(range) && error == 0 && page < range->end; page++)
            error = share_page(from, to, page, range->attributes);
    lock_release(&from->lock);
    return error;
}

/* What was write-protected for a copy that isn't there any more. */
static void unshare_pages(struct context *from) {
    lock_take(&from->lock);
    const struct vspace_range *range = vspace_next(&from->ranges, 0);
    for (; range != NULL; range = vspace_next(&from->ranges, range->end))
        for (uintptr_t page = range->first; is_area(range) && page < range->end; page++) {
            struct paging_entry entry;
            if (!paging_find(&from->tables, page_address(page), &entry))
                continue;
            unsigned rights = area_entry_attributes(range->attributes, entry.pfn);
            int error = paging_protect(&from->tables, page_address(page), 1, rights);
            require(error == 0, "area: page %#zx refuses the rights that it had", (size_t)page);
        }
    lock_release(&from->lock);
}

int area_copy(struct context *from, struct context *to) {
    int error = promise(from);
    if (error != 0)
        return error;
    error = take_ranges(from, to);
    if (error == 0)
        error = share_pages(from, to);
    if (error != 0) {
        area_clear(to);
        unshare_pages(from);
    }
    return error;
}
