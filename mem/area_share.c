/* Pages of one task shown in another.
 *
 *     from   a batch of pages is read and pinned                     the first context's lock
 *     to     shown in the new range, the pins go                     the second context's lock
 *
 * The range in the second context is taken first and isn't an area yet: nobody but this call gives it a meaning, so
 * the two contexts are never locked at once. Only shared areas are shown, whose pages are all there and stay where they
 * are: a private page would be copied away from its other view by the first who writes. The pins hold the pages while
 * neither lock is held. */
#include <base/check.h>
#include <mem/area_pages.h>
#include <mem/frame.h>
#include <mem/paging_window.h>

enum { BATCH = 64 };

static int take_range(struct context *to, const struct area_request *request, uintptr_t *first) {
    struct vspace_request place = {
        .pages = request->pages,
        .at = page_number(request->address),
        .low = page_number(request->low),
        .high = page_number(request->high),
        .attributes = CONTEXT_RANGE_EMPTY,
        .fixed = request->fixed,
    };
    lock_take(&to->lock);
    int error = vspace_take(&to->ranges, &place, first);
    lock_release(&to->lock);
    return error;
}

/* The pages of a run of shared areas that allow at least these rights. The context's lock is held. */
static int read_shared(struct context *from, uintptr_t page, size_t count, unsigned rights, pfn_t *list) {
    for (size_t done = 0; done < count; done++) {
        const struct vspace_range *range = vspace_find(&from->ranges, page + done);
        if (!is_area(range) || !(range->attributes & AREA_SHARED))
            return ERR_INVALID;
        if (rights & ~(area_rights(range->attributes) | AREA_READ))
            return ERR_REFUSED;
        struct paging_entry entry;
        if (!paging_find(&from->tables, page_address(page + done), &entry))
            return ERR_FAULT;
        list[done] = entry.pfn;
    }
    return 0;
}

static void unpin(const pfn_t *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        frame_unpin(list[i]);
}

static int pin(const pfn_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int error = frame_pin(list[i]);
        if (error != 0) {
            unpin(list, i);
            return error;
        }
    }
    return 0;
}

static int share_batch(struct context *from, uintptr_t page, struct context *to, uintptr_t at, size_t count,
                       unsigned rights) {
    pfn_t list[BATCH];
    lock_take(&from->lock);
    int error = read_shared(from, page, count, rights, list);
    if (error == 0)
        error = pin(list, count);
    lock_release(&from->lock);
    if (error != 0)
        return error;
    unsigned attributes = CONTEXT_RANGE_AREA | AREA_SHARED | rights << AREA_RIGHTS_SHIFT;
    lock_take(&to->lock);
    error = paging_map_list(&to->tables, page_address(at), list, count, area_entry_attributes(attributes, list[0]));
    lock_release(&to->lock);
    unpin(list, count);
    return error;
}

/* The new range becomes an area, or is gone again. */
static void finish(struct context *to, uintptr_t first, const struct area_request *request, size_t done, int error) {
    lock_take(&to->lock);
    if (error == 0) {
        unsigned attributes = CONTEXT_RANGE_AREA | AREA_SHARED | request->rights << AREA_RIGHTS_SHIFT | VSPACE_MERGE;
        vspace_set_attributes(&to->ranges, first, (uint16_t)attributes);
        vspace_join(&to->ranges, first);
        vspace_join(&to->ranges, first + request->pages);
    } else {
        if (done > 0)
            paging_unmap(&to->tables, page_address(first), done);
        vspace_give(&to->ranges, first, request->pages); /* a whole range: needs no node, can't fail */
    }
    lock_release(&to->lock);
}

int area_share(struct context *from, uintptr_t source, struct context *to, const struct area_request *request,
               uintptr_t *address) {
    unsigned all = AREA_READ | AREA_WRITE | AREA_EXECUTE;
    if (((source | request->address) & (PAGE_SIZE - 1)) != 0 || request->pages == 0 || request->rights == 0 ||
        (request->rights & ~all) != 0 || request->replace || !to->task)
        return ERR_INVALID;
    if ((request->rights & AREA_WRITE) && (request->rights & AREA_EXECUTE))
        return ERR_REFUSED;
    if (page_number(source) + request->pages < page_number(source) || request->pages > from->ranges.end)
        return ERR_INVALID;
    uintptr_t first;
    size_t done = 0;
    int error = take_range(to, request, &first);
    if (error != 0)
        return error;
    while (error == 0 && done < request->pages) {
        size_t count = request->pages - done < BATCH ? request->pages - done : BATCH;
        error = share_batch(from, page_number(source) + done, to, first + done, count, request->rights);
        done += error == 0 ? count : 0;
    }
    finish(to, first, request, done, error);
    if (error == 0)
        *address = page_address(first);
    return error;
}
