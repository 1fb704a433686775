/* What one layer can't check alone:
 *
 *   A1  a page's count of mappings is the number of translations that show it, over all contexts.
 *
 * Counting that page by page would need a counter a page. Instead both sides are summed with a random-looking weight
 * for each page: the sums are equal if all counts are, and differ otherwise but for a chance of 2^-64.
 *
 * The frame view and the descriptors are mapped uncounted at boot and stand outside. So do the image's pages: their
 * first mapping is counted but lies outside the ranges, where no audit walks. */
#include <mem/audit.h>
#include <base/check.h>
#include <mem/area.h>
#include <mem/context.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>
#include <mem/nodes.h>
#include <mem/range_cache.h>
#include <mem/shadow.h>
#include <mem/ul_visible.h>

/* A bijection of 64 bits that spreads every input bit over all output bits (multiply, xor, shift, by odd constants). */
static uint64_t mix(uint64_t value) {
    value ^= value >> 31;
    value *= 0x9e3779b97f4a7c15;
    value ^= value >> 29;
    value *= 0xd6e8feb86659fd93;
    return value ^ value >> 32;
}

static uint64_t chain(uint64_t hash, uint64_t value) {
    return mix(hash ^ mix(value + 0x632be59bd9b4e019));
}

/* --- A1 ----------------------------------------------------------------------------------------------------------- */

static bool is_weighed(enum frame_owner owner) {
    return owner != FRAME_NOT_RAM && owner != FRAME_TABLE && owner != FRAME_KERNEL;
}

static void weigh_leaf(void *to, uintptr_t page, pfn_t pfn, unsigned attributes) {
    (void)page;
    (void)attributes;
    if (is_weighed(frame_get(pfn).owner))
        *(uint64_t *)to += mix(pfn);
}

static uint64_t weigh_frames(void) {
    uint64_t sum = 0;
    struct extent run;
    for (size_t i = 0; palloc_ram(i, &run); i++)
        for (pfn_t pfn = run.first; (pfn = palloc_next_taken(pfn, run.end)) < run.end; pfn++) {
            struct frame frame = frame_get(pfn);
            if (is_weighed(frame.owner))
                sum += frame.mappings * mix(pfn);
        }
    return sum;
}

static void audit_counts(void) {
    uint64_t shown = 0, counted = weigh_frames();
    for (uint32_t number = 0; number != UINT32_MAX; number = context_next_number(number)) {
        struct context *context = context_by_number(number);
        uintptr_t first = context->ranges.first, pages = context->ranges.end - first;
        paging_audit(&context->tables, page_address(first), pages, weigh_leaf, &shown);
        if (context->task)
            ul_visible_audit(&context->tables, weigh_leaf, &shown);
    }
    paging_audit(&context_kernel()->tables, mem_layout.nodes, NODES_PAGES, weigh_leaf, &shown);
    require(shown == counted, "audit: A1 broken: the pages' mapping counts aren't the translations that exist");
}

void audit_all(void) {
    palloc_audit();
    frame_audit();
    for (uint32_t number = 0; number != UINT32_MAX; number = context_next_number(number))
        context_audit(context_by_number(number));
    area_audit();
    audit_counts();
    lease_audit();
    kmalloc_audit();
    shadow_audit(&shadow_heap);
}

/* --- The sum of the state ----------------------------------------------------------------------------------------- */

static uint64_t hash_frames(uint64_t hash) {
    struct extent run;
    for (size_t i = 0; palloc_ram(i, &run); i++)
        for (pfn_t pfn = run.first; (pfn = palloc_next_taken(pfn, run.end)) < run.end; pfn++) {
            struct frame frame = frame_get(pfn);
            hash = chain(hash, (uint64_t)pfn << 8 | (uint64_t)frame.held << 7 | (uint64_t)frame.owner);
            hash = chain(hash, (uint64_t)frame.mappings << 32 | frame.pins);
            hash = chain(hash, (uint64_t)frame.writable << 32 | frame.executable);
        }
    return hash;
}

static void hash_leaf(void *to, uintptr_t page, pfn_t pfn, unsigned attributes) {
    uint64_t *hash = (uint64_t *)to;
    *hash = chain(chain(*hash, page), (uint64_t)pfn << 32 | attributes);
}

static uint64_t hash_context(uint64_t hash, struct context *context) {
    lock_take(&context->lock);
    struct vspace *space = &context->ranges;
    hash = chain(hash, context->number);
    for (const struct vspace_range *range = vspace_next(space, 0); range != NULL;
         range = vspace_next(space, range->end)) {
        hash = chain(chain(hash, range->first), range->end);
        hash = chain(hash, (uint64_t)range->attributes << 16 | (uint64_t)range->guard_before << 8 | range->guard_after);
    }
    struct vspace_range range = { .end = 0 };
    while (!context->task && range_cache_next(range.end, &range))
        hash = chain(chain(hash, range.first), range.end << 8 | range.attributes);
    paging_audit(&context->tables, page_address(space->first), space->end - space->first, hash_leaf, &hash);
    lock_release(&context->lock);
    return hash;
}

uint64_t audit_hash(void) {
    kmalloc_trim();
    lease_trim();
    context_trim();
    uint64_t hash = hash_frames(0);
    for (uint32_t number = 0; number != UINT32_MAX; number = context_next_number(number))
        hash = hash_context(hash, context_by_number(number));
    return chain(hash, kmalloc_hash());
}
