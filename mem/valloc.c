/* One range is one node of the context's tree; what is behind it stands in the page tables alone.
 *
 *     valloc    take range
 *     pvalloc   take range -> make all tables -> pages, a batch at a time: take, clear, map, hand over to the mapping
 *     undo      unmap what is mapped (which frees pages and tables) -> give the range back
 *
 * pvalloc maps while it still may fail. That is safe: nobody knows the range yet, and the undo flushes like any unmap.
 * The context's lock is held throughout, so a half-made range is never seen by another. Freeing gives up the range
 * first under that lock, because splitting a range is the one step that can fail, and nothing may be unmapped then. */
#include <mem/valloc.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/frame.h>
#include <mem/range_cache.h>

/* Pages are taken and mapped in batches of this many, noted on the stack. */
enum { BATCH = 64 };

/* --- Ranges ------------------------------------------------------------------------------------------------------- */

static int take_range(struct context *context, size_t pages, const struct valloc_options *options, unsigned kind,
                      uintptr_t *first) {
    if (((options->address | options->low | options->high) & (PAGE_SIZE - 1)) != 0)
        return ERR_INVALID;
    struct vspace_request request = {
        .pages = pages,
        .align = options->align,
        .at = page_number(options->address),
        .low = page_number(options->low),
        .high = page_number(options->high),
        .attributes = (uint16_t)kind,
        .guard_before = options->guard_before,
        .guard_after = options->no_guard ? 0 : 1,
        .fixed = options->fixed,
    };
    return vspace_take(&context->ranges, &request, first);
}

int valloc_with(struct context *context, size_t pages, const struct valloc_options *options, void **range) {
    uintptr_t first;
    lock_take(&context->lock);
    int error = take_range(context, pages, options, CONTEXT_RANGE_EMPTY, &first);
    lock_release(&context->lock);
    if (error == 0)
        *range = (void *)page_address(first);
    return error;
}

static const struct valloc_options plain;

/* The kernel's plain ranges of a few pages come from the processor's own; a page number, or 0. */
static uintptr_t take_short(struct context *context, size_t pages, unsigned kind) {
    return context->task ? 0 : range_cache_take(pages, kind);
}

static uintptr_t take_short_hard(struct context *context, size_t pages, unsigned kind) {
    return context->task ? 0 : range_cache_take_hard(pages, kind);
}

void *valloc(size_t pages, struct context *context) {
    void *range;
    uintptr_t first = take_short(context, pages, CONTEXT_RANGE_EMPTY);
    if (first == 0 && valloc_with(context, pages, &plain, &range) == 0)
        return range;
    if (first == 0)
        first = take_short_hard(context, pages, CONTEXT_RANGE_EMPTY);
    return (void *)page_address(first);
}

/* --- Pages behind them -------------------------------------------------------------------------------------------- */

static void give_pages(const pfn_t *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        pfree(list[i], 1);
}

static int take_pages(pfn_t *list, size_t count, pfn_t limit, bool zero) {
    struct palloc_request one = { .pages = 1, .limit = limit };
    for (size_t i = 0; i < count; i++) {
        list[i] = palloc_with(&one);
        if (list[i] == PFN_NONE) {
            give_pages(list, i);
            return ERR_NO_MEMORY;
        }
        if (!zero)
            continue;
        void *view = arch_frame_open(list[i]);
        memset(view, 0, PAGE_SIZE);
        arch_frame_close(view);
    }
    return 0;
}

static unsigned attributes_of(const struct context *context, const struct valloc_options *options) {
    unsigned attributes = context->task ? PAGE_USER : 0;
    if (options->executable)
        return attributes | PAGE_EXECUTE;
    return options->read_only ? attributes : attributes | PAGE_WRITE;
}

static int map_batch(struct context *context, uintptr_t address, size_t count, const struct valloc_options *options) {
    pfn_t list[BATCH];
    int error = take_pages(list, count, options->limit, context->task || options->zero);
    if (error != 0)
        return error;
    error = paging_map_list(&context->tables, address, list, count, attributes_of(context, options));
    if (error != 0) {
        give_pages(list, count);
        return error;
    }
    for (size_t i = 0; i < count; i++)
        frame_hand_over(list[i]);
    return 0;
}

static int fill_range(struct context *context, uintptr_t first, size_t pages, const struct valloc_options *options) {
    int error = paging_reserve(&context->tables, page_address(first), pages);
    for (size_t done = 0; error == 0 && done < pages;) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        error = map_batch(context, page_address(first + done), count, options);
        done += count;
    }
    return error;
}

int pvalloc_with(struct context *context, size_t pages, const struct valloc_options *options, void **range) {
    uintptr_t first;
    lock_take(&context->lock);
    int error = take_range(context, pages, options, CONTEXT_RANGE_PAGES, &first);
    if (error == 0) {
        error = fill_range(context, first, pages, options);
        if (error != 0) {
            paging_unmap(&context->tables, page_address(first), pages);
            vspace_give(&context->ranges, first, pages); /* a whole range: needs no node, can't fail */
        }
    }
    lock_release(&context->lock);
    if (error == 0)
        *range = (void *)page_address(first);
    return error;
}

/* Pages and mappings for a range that is in nobody's hands yet: mapping is one step, which makes the tables too. */
static void *fill_short(struct context *context, uintptr_t first, size_t pages) {
    if (map_batch(context, page_address(first), pages, &plain) == 0)
        return (void *)page_address(first);
    range_cache_give(first, pages);
    return NULL;
}

void *pvalloc(size_t pages, struct context *context) {
    void *range;
    uintptr_t first = take_short(context, pages, CONTEXT_RANGE_PAGES);
    if (first != 0)
        return fill_short(context, first, pages);
    int error = pvalloc_with(context, pages, &plain, &range);
    if (error == 0)
        return range;
    first = error == ERR_NO_SPACE ? take_short_hard(context, pages, CONTEXT_RANGE_PAGES) : 0;
    return first != 0 ? fill_short(context, first, pages) : NULL;
}

/* --- Freeing ------------------------------------------------------------------------------------------------------ */

static const char *likely_mistake(struct context *context, uintptr_t num, size_t pages) {
    if (pages == 0)
        return "the length is 0";
    struct vspace_range range;
    if (num >= context->ranges.end && context_find_range(context, page_number(num), &range) == CONTEXT_IN_RANGE)
        return "the number looks like an address; pass its page number";
    enum context_part part = context_find_range(context, num, &range);
    if (part == CONTEXT_IN_RANGE)
        return "the length passes the range's end";
    if (part == CONTEXT_IN_GUARD)
        return "the number is a guard page's";
    return "never handed out, or freed already";
}

/* Ranges of kinds that are given back by calls of their own. */
static void refuse_foreign(const char *who, const struct context *context, uintptr_t num, size_t pages,
                           unsigned attributes) {
    unsigned kind = attributes & CONTEXT_RANGE_KIND;
    require(kind != CONTEXT_RANGE_HEAP && kind != CONTEXT_RANGE_LEASE && kind != CONTEXT_RANGE_SHADOW,
            "%s(%#zx, %zu) in context %s: the range is from %s, and %s back", who, (size_t)num, pages, context->name,
            context_range_name(kind),
            kind == CONTEXT_RANGE_HEAP    ? "kfree() gives its parts"
            : kind == CONTEXT_RANGE_LEASE ? "lease_close() gives it"
                                          : "nobody gives it");
}

static void require_mapped(const char *who, struct context *context, uintptr_t num, size_t pages) {
    size_t mapped = paging_count(&context->tables, page_address(num), pages);
    struct vspace_range range = { .attributes = 0 };
    if (mapped != pages)
        context_find_range(context, num, &range);
    require(mapped == pages, "%s(%#zx, %zu) in context %s: only %zu of the pages are mapped; the range is from %s", who,
            (size_t)num, pages, context->name, mapped, context_range_name(range.attributes));
}

/* Of a short range it can't, but callers don't know which ranges are short. */
static void require_end(const char *who, uintptr_t num, size_t pages, bool right) {
    require(right, "%s(%#zx, %zu): a part from the middle of a range can fail, use %s_in()", who, (size_t)num, pages,
            who);
}

/* With the lock held. */
static int give_range(const char *who, struct context *context, uintptr_t num, size_t pages, bool all_mapped,
                      bool may_split) {
    const struct vspace_range *range = vspace_find(&context->ranges, num);
    require(range != NULL && pages > 0 && pages <= range->end - num &&
                (range->attributes & CONTEXT_RANGE_KIND) != CONTEXT_RANGE_SHORT,
            "%s(%#zx, %zu) in context %s: %s", who, (size_t)num, pages, context->name,
            likely_mistake(context, num, pages));
    refuse_foreign(who, context, num, pages, range->attributes);
    if (all_mapped)
        require_mapped(who, context, num, pages);
    require_end(who, num, pages, may_split || !vspace_give_splits(&context->ranges, num, pages));
    int error = vspace_give(&context->ranges, num, pages);
    if (error == 0)
        paging_unmap(&context->tables, page_address(num), pages);
    return error;
}

/* A part of a short range. It is nobody else's, so the context's lock isn't needed. The bits go last: from then on
 * another processor may be handed the addresses, and would find what is still mapped there. */
static void give_short(const char *who, struct context *context, uintptr_t num, size_t pages, bool all_mapped) {
    if (all_mapped)
        require_mapped(who, context, num, pages);
    paging_unmap(&context->tables, page_address(num), pages);
    require(range_cache_give(num, pages), "%s(%#zx, %zu) in context %s: two processors gave it back at once", who,
            (size_t)num, pages, context->name);
}

static int give(const char *who, struct context *context, uintptr_t num, size_t pages, bool all_mapped,
                bool may_split) {
    bool middle;
    if (!context->task && range_cache_holds(num, pages, &middle)) {
        require_end(who, num, pages, may_split || !middle);
        give_short(who, context, num, pages, all_mapped);
        return 0;
    }
    lock_take(&context->lock);
    int error = give_range(who, context, num, pages, all_mapped, may_split);
    lock_release(&context->lock);
    return error;
}

void vfree(uintptr_t num, size_t pages) {
    give("vfree", context_kernel(), num, pages, false, false);
}

int vfree_in(struct context *context, uintptr_t num, size_t pages) {
    return give("vfree", context, num, pages, false, true);
}

void pvfree(uintptr_t num, size_t pages) {
    give("pvfree", context_kernel(), num, pages, true, false);
}

int pvfree_in(struct context *context, uintptr_t num, size_t pages) {
    return give("pvfree", context, num, pages, true, true);
}

/* --- Device memory ------------------------------------------------------------------------------------------------ */

/* Attributes to map the run with, or a negative error. */
static int io_attributes(pfn_t first, size_t pages, unsigned cache) {
    size_t loader = 0;
    for (size_t i = 0; i < pages; i++) {
        enum frame_owner owner = frame_get(first + (pfn_t)i).owner;
        if (owner != FRAME_NOT_RAM && owner != FRAME_LOADER)
            return ERR_REFUSED;
        loader += owner == FRAME_LOADER;
    }
    if (loader > 0 && cache != 0)
        return ERR_REFUSED;
    return (int)(loader > 0 ? 0 : PAGE_WRITE | cache);
}

void *io_map(uint64_t physical, size_t bytes, unsigned cache) {
    uint64_t last = physical + bytes - 1;
    if (bytes == 0 || last < physical || last >> PAGE_SHIFT >= GEOMETRY_PFN_LIMIT)
        return NULL;
    if (cache != 0 && cache != PAGE_UNCACHED && cache != PAGE_WRITE_COMBINING)
        return NULL;
    pfn_t first = (pfn_t)(physical >> PAGE_SHIFT);
    size_t pages = (size_t)((last >> PAGE_SHIFT) - first) + 1;
    int attributes = io_attributes(first, pages, cache);
    if (attributes < 0)
        return NULL;

    struct context *kernel = context_kernel();
    uintptr_t range;
    lock_take(&kernel->lock);
    int error = take_range(kernel, pages, &plain, CONTEXT_RANGE_IO, &range);
    if (error == 0) {
        error = paging_map(&kernel->tables, page_address(range), first, pages, (unsigned)attributes);
        if (error != 0)
            vspace_give(&kernel->ranges, range, pages);
    }
    lock_release(&kernel->lock);
    return error == 0 ? (void *)(page_address(range) + (uintptr_t)(physical & (PAGE_SIZE - 1))) : NULL;
}

/* RAM in a range of another kind would be let go by a driver that mixes up its pointers. */
static void require_io(void *address, uintptr_t page) {
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    struct vspace_range range = { .attributes = CONTEXT_RANGE_IO }; /* no range at all: give() reports it */
    context_find_range(kernel, page, &range);
    lock_release(&kernel->lock);
    require((range.attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_IO, "io_unmap(%p): the range is from %s", address,
            context_range_name(range.attributes));
}

void io_unmap(void *address, size_t bytes) {
    uintptr_t first = (uintptr_t)address, last = first + bytes - 1;
    require(bytes > 0 && last >= first, "io_unmap(%p, %zu): no such run of bytes", address, bytes);
    require_io(address, page_number(first));
    give("io_unmap", context_kernel(), page_number(first), page_number(last) - page_number(first) + 1, true, false);
}
