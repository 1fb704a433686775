/* A3 is a sum over all contexts. A page that n areas show owes n - 1, a share of (n - 1) / n for each of them; with a
 * common denominator of every n up to SHARES_MAX the sum is exact. Pages shown more often than that make A3 unchecked.
 * */
#include <base/check.h>
#include <mem/area.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

enum { SHARES_MAX = 16, WHOLE = 720720 }; /* the least common multiple of 1 to 16 */

struct sum {
    uint64_t owed; /* in parts of WHOLE */
    bool exact;
};

static void add_page(struct sum *sum, struct context *context, uintptr_t page, unsigned attributes) {
    struct paging_entry entry;
    bool present = paging_find(&context->tables, page_address(page), &entry);
    bool may_hold = (attributes & (AREA_PROMISED | AREA_SHARED | AREA_UNRESERVED)) != 0;
    require(!present || may_hold, "area: A2 broken: page %#zx of context %s is there and was never promised",
            (size_t)page, context->name);
    if (!(attributes & AREA_PROMISED))
        return;
    uint32_t showing = present ? area_showing(entry.pfn) : 0;
    if (showing > SHARES_MAX)
        sum->exact = false;
    else
        sum->owed += showing > 0 ? WHOLE - WHOLE / showing : WHOLE;
}

/* A stable lease's window: its shares of what it shows (mem/lease_pages.c). */
static void add_window(struct sum *sum, struct context *kernel, const struct vspace_range *range) {
    for (uintptr_t page = range->first; page < range->end; page++)
        if (paging_count(&kernel->tables, page_address(page), 1) == 1)
            add_page(sum, kernel, page, AREA_PROMISED);
}

static void add_context(struct sum *sum, struct context *context) {
    lock_take(&context->lock);
    const struct vspace_range *range = vspace_next(&context->ranges, 0);
    for (; range != NULL; range = vspace_next(&context->ranges, range->end)) {
        if ((range->attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_LEASE && (range->attributes & AREA_PROMISED))
            add_window(sum, context, range);
        if (!is_area(range))
            continue;
        require(context->task && range->guard_before == 0 && range->guard_after == 0,
                "area: A1 broken: range %#zx of context %s", (size_t)range->first, context->name);
        for (uintptr_t page = range->first; page < range->end; page++)
            add_page(sum, context, page, range->attributes);
    }
    lock_release(&context->lock);
}

void area_audit(void) {
    struct sum sum = { 0, true };
    for (uint32_t number = 0; number != UINT32_MAX; number = context_next_number(number))
        add_context(&sum, context_by_number(number));
    require(!sum.exact || sum.owed == (uint64_t)reserve_pages() * WHOLE,
            "area: A3 broken: %zu pages are promised, areas need %llu/%u", reserve_pages(),
            (unsigned long long)sum.owed, (unsigned)WHOLE);
}
