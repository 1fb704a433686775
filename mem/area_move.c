/* An area, or a part of one, gets another size or another place, as mremap wants it.
 *
 *     shrink             the tail is unmapped
 *     grow in place      the pages behind are free: they are taken, promised, and joined to the area
 *     move               old  |a|b| |d|                 a page keeps its bytes and its number: it is shown at both
 *                        new            |a|b| |d| | |   places, then the old place is unmapped with one flush
 *
 * Promises. What is owed depends on which pages there are and on how many areas show each (A3 of mem/area.c), not on
 * where: so a move changes no promise, and growing adds one for each new page. While a page is shown at both places the
 * context's lock is held.
 *
 * Check, reserve, commit: the ends of the old run are split off, the new range, its tables and the new pages' promises
 * taken, and the pages shown anew; each is undone in the reverse order if a later one fails. From the first removal on
 * nothing can fail, since whole ranges go.
 *
 * Locking: the context's lock over each call. Cost: O(log ranges), and three walks of the tables for each page there.
 * Not done: moving whole tables. */
#include <mem/area.h>
#include <base/check.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

struct move {
    struct context *context;
    uintptr_t old, old_end; /* the run to be moved, in one area */
    uintptr_t first, end;   /* where to, once it is known */
    unsigned attributes;
};

/* ERR_EXISTS: something is behind the run; ERR_INVALID: the context's end is. */
static int grow_in_place(struct move *move, size_t more) {
    struct context *context = move->context;
    struct vspace_request place = {
        .pages = more,
        .at = move->old_end,
        .attributes = (uint16_t)(move->attributes & ~(unsigned)VSPACE_MERGE),
        .fixed = true,
    };
    uintptr_t first;
    int error = vspace_take(&context->ranges, &place, &first);
    if (error != 0)
        return error;
    error = area_back(context, first, more, move->attributes);
    if (error != 0) {
        vspace_give(&context->ranges, first, more);
        area_unmap_pages(context, first, first + more);
        return error;
    }
    vspace_set_attributes(&context->ranges, first, (uint16_t)move->attributes);
    vspace_join(&context->ranges, first);
    vspace_join(&context->ranges, first + more);
    return 0;
}

/* Shows the old run's pages in the new place. ERR_LIMIT: a page is shown too often already. */
static int show_pages(const struct move *move) {
    struct paging *tables = &move->context->tables;
    struct paging_entry entry;
    for (uintptr_t page = move->old; page < move->old_end; page++) {
        uintptr_t to = move->first + (page - move->old);
        if (!paging_find(tables, page_address(page), &entry))
            continue;
        int error = paging_map(tables, page_address(to), entry.pfn, 1, entry.attributes);
        if (error != 0)
            return error;
    }
    return 0;
}

/* Tables, promises and pages of the new place. On failure nothing is promised. */
static int back_place(const struct move *move) {
    struct context *context = move->context;
    size_t pages = move->old_end - move->old, more = move->end - move->first - pages;
    bool promised = (move->attributes & AREA_PROMISED) != 0;
    int error = more > 0 ? area_back(context, move->first + pages, more, move->attributes) : 0;
    if (error != 0)
        return error;
    error = promised ? paging_reserve(&context->tables, page_address(move->first), pages) : 0;
    if (error == 0)
        error = show_pages(move);
    if (error == 0)
        return 0;
    if (promised)
        reserve_drop(more);
    return error;
}

static int take_place(struct move *move, const struct area_move *wish) {
    struct vspace_request place = {
        .pages = wish->pages,
        .at = wish->fixed ? page_number(wish->address) : 0,
        .low = wish->fixed ? 0 : page_number(wish->low),
        .high = wish->fixed ? 0 : page_number(wish->high),
        .attributes = (uint16_t)(move->attributes & ~(unsigned)VSPACE_MERGE),
        .fixed = wish->fixed,
    };
    struct context *context = move->context;
    int error = vspace_take(&context->ranges, &place, &move->first);
    if (error != 0)
        return error;
    move->end = move->first + wish->pages;
    error = back_place(move);
    if (error != 0) {
        vspace_give(&context->ranges, move->first, wish->pages);
        area_unmap_pages(context, move->first, move->end);
    }
    return error;
}

static int move_run(struct move *move, const struct area_move *wish) {
    struct vspace *ranges = &move->context->ranges;
    int error = area_split_ends(move->context, move->old, move->old_end);
    if (error != 0)
        return error;
    error = take_place(move, wish);
    if (error != 0) {
        vspace_join(ranges, move->old);
        vspace_join(ranges, move->old_end);
        return error;
    }
    error = vspace_give(ranges, move->old, move->old_end - move->old);
    require(error == 0, "area: the whole range at page %#zx can't be given back", (size_t)move->old);
    vspace_set_attributes(ranges, move->first, (uint16_t)move->attributes);
    vspace_join(ranges, move->first);
    vspace_join(ranges, move->end);
    area_unmap_pages(move->context, move->old, move->old_end);
    return 0;
}

/* The old run as it is after the shrinking, if any; ERR_FAULT if it isn't within one area. */
static int find_run(struct move *move, uintptr_t first, size_t pages) {
    const struct vspace_range *range = vspace_find(&move->context->ranges, first);
    if (!is_area(range))
        return ERR_FAULT;
    if (pages > range->end - first)
        return ERR_FAULT;
    move->old = first;
    move->old_end = first + pages;
    move->attributes = range->attributes;
    return 0;
}

static bool overlap(uintptr_t a, size_t a_pages, uintptr_t b, size_t b_pages) {
    return a < b + b_pages && b < a + a_pages;
}

/* A fixed place is emptied first, then the tail cut off: both are what the caller asked for whatever comes after. */
static int move_fixed(struct move *move, const struct area_move *wish) {
    uintptr_t first = page_number(wish->old), to = page_number(wish->address);
    if (overlap(first, wish->old_pages, to, wish->pages))
        return ERR_INVALID;
    size_t keep = wish->old_pages < wish->pages ? wish->old_pages : wish->pages;
    int error = find_run(move, first, keep);
    if (error == 0)
        error = area_unmap_locked(move->context, to, to + wish->pages);
    if (error == 0 && keep < wish->old_pages)
        error = area_unmap_locked(move->context, first + keep, first + wish->old_pages);
    return error == 0 ? move_run(move, wish) : error;
}

static int move_locked(struct move *move, const struct area_move *wish, uintptr_t *address) {
    uintptr_t first = page_number(wish->old);
    if (wish->fixed) {
        int error = move_fixed(move, wish);
        *address = page_address(move->first);
        return error;
    }
    *address = wish->old;
    if (!is_area(vspace_find(&move->context->ranges, first)))
        return ERR_FAULT;
    if (wish->pages <= wish->old_pages)
        return wish->pages < wish->old_pages
                   ? area_unmap_locked(move->context, first + wish->pages, first + wish->old_pages)
                   : 0;
    int error = find_run(move, first, wish->old_pages);
    if (error != 0)
        return error;
    error = grow_in_place(move, wish->pages - wish->old_pages);
    if (error != ERR_EXISTS && error != ERR_INVALID)
        return error;
    if (!wish->may_move)
        return ERR_NO_SPACE;
    error = move_run(move, wish);
    *address = page_address(move->first);
    return error;
}

int area_move(struct context *context, const struct area_move *wish, uintptr_t *address) {
    struct move move = { .context = context };
    if (area_run_is_bad(context, wish->old, wish->old_pages) || wish->pages == 0)
        return ERR_INVALID;
    if (wish->fixed && area_run_is_bad(context, wish->address, wish->pages))
        return ERR_INVALID;
    uintptr_t at = 0;
    lock_take(&context->lock);
    int error = move_locked(&move, wish, &at);
    lock_release(&context->lock);
    if (error == 0)
        *address = at;
    return error;
}
