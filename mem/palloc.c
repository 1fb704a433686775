/* Layer 2: who has which page of RAM.
 *
 *                  palloc                       frame_map, frame_own
 *      free run --------------> held -------------------------------> held and tied
 *        ^  ^                   | ^                                     |
 *        |  +------- pfree -----+ +--- last mapping or pin goes --------+ frame_hand_over, frame_own
 *        |                      | |                                     v
 *        +--- drain, spill --- cached <--- last mapping or pin goes --- tied
 *
 * What a page is stands in one byte, its tag, and one bit, so that a run of any length changes hands by words:
 *
 *     tag              held   the page is
 *     edge (1 to 239)   0     the first or last of a free run (mem/palloc_runs.c)
 *     NONE              0     inside a free run or a cached one; or never ours
 *     NONE              1     in a run that palloc's caller holds
 *     HELD_ONE          0     held too; it was taken alone, and has no bit so that it needs no locked instruction
 *     HELD_TIED, TIED   0     mapped, pinned or owned, and held or not: mem/frame.c has its word
 *     CACHED            0     in one processor's stack
 *     CACHED_RUN + k    0     the first of 2^k in one processor's stack
 *
 * Besides, each page of RAM has a word of 8 bytes. It belongs to mem/palloc_runs.c while the page is free, to
 * mem/frame.c while it is tied, and to nobody while it is held. A request of n pages writes n bits, and no word for
 * each page. Set-up writes next to nothing, however much RAM there is (mem/palloc_tables.h).
 *
 * Invariants (palloc_audit() recounts them, T1 and T2, and R1 to R5 of the runs):
 *   P1  tag and bit of a page are one of the rows above. All the pages of a cached run but the first have NONE and 0.
 *   P2  a page tagged as cached is in exactly one slot of one cache, and slots hold no others.
 *   P3  a cache's pages are of its level's zone; none is below 16 MiB; slots from `count` on are empty.
 *   P4  free + cached + held + tied is the number of pages of RAM, and the count of tied ones is that of the tags.
 *
 * Low memory is spent last. Zones are searched from the top. Each processor has stacks for the highest zone that has
 * RAM and for the one below it, but for the lowest (mem/palloc_cache.h). It looks for a single page into the lower
 * stack only once the zone above has no free run and its own stack above is empty; runs are cached for requests that
 * may have the level's zone as their highest. So caching never makes a request take a lower page than it would have
 * without, but for what lies in other processors' stacks.
 *
 * Before any request is refused all caches are emptied into runs, where neighbours merge, and it is tried again, until
 * they are found empty or it was done four times: what is free throughout a call, in caches or not, is always found.
 *
 * Locking: one lock of rank PALLOC guards runs, words, ties and counts. What the processor's own cache serves takes no
 * lock: interrupts are off, slots change by exchange, tags by bytes that nobody else writes, bits of a run by words as
 * mem/bitmap.h says.
 *
 * Mistakes. One that is made alone on its pages, however soon after what it contradicts, is reported at once. If two
 * processors do at once, without order, what only one of them may, the report comes later or names another:
 *   - Both free a page or a run. Either one is told, or it lies in two caches (in a cache and a run): then who pops it
 *     second is told, unless the first has given it back by then. If both pops run at once too, both may be served, and
 *     the report comes with the second pfree() of it.
 *   - One frees a run while another maps a page of it. Where the free writes whole words of bits, it doesn't see that a
 *     bit goes; the page is then tied inside a free or cached run. palloc_audit() says so (P1), and a debug build when
 *     what the mapping wrote is found as written after free; a release build may hand the page out while it is mapped.
 *   - One frees wrongly, another rightly, in one word of bits. The wrong one clears the run's first bits and, when it
 *     meets the bad one, sets them again; a right pfree() of pages among the cleared ones, which the wrong one named
 *     without holding them, then finds no bit and gets the report in its place. Nothing but those pages is concerned.
 * No order of two right calls is ever reported, and none of these mistakes harms pages that neither call named.
 *
 * Wrong frees are found before anything changes, by tags and bits alone. The length of a run isn't remembered, so that
 * a caller may give back any part; what it gives back must be held to the last page.
 *
 * Cost: see mem/palloc.h.
 * Not done: waiting for memory, a reserve for the kernel, movable pages, NUMA. Contents are not cleared. */
#include <base/bits.h>
#include <base/check.h>
#include <base/fail.h>
#include <mem/palloc_kept.h>
#include <mem/palloc_report.h>
#include <mem/palloc_search.h>
#include <mem/palloc_single.h>
#include <mem/palloc_trace.h>

/* The level that serves a request for anything that a pointer can name. */
static inline unsigned pointer_level(void) {
    return sizeof(void *) < sizeof(uint64_t) ? palloc_levels.below_4g : 0;
}

/* --- Single pages ------------------------------------------------------------------------------------------------- */

/* A single page from a zone's stack or runs, the highest zone first; never from the lowest. */
static pfn_t take_one(unsigned level) {
    uintptr_t saved = port_interrupts_off();
    pfn_t pfn = PFN_NONE;
    for (; level < CACHE_LEVELS && cache_zone(level) > RUNS_ZONE_LOW && pfn == PFN_NONE; level++) {
        pfn = cache_pop(own_cache(level));
        if (pfn == PFN_NONE)
            pfn = cache_refill(level);
    }
    port_interrupts_restore(saved);
    return pfn;
}

static bool give_one(pfn_t pfn) {
    uintptr_t saved = port_interrupts_off();
    bool held = drop_one(pfn);
    unsigned level = held ? cache_level(pfn, pfn) : (unsigned)CACHE_LEVELS;
    if (held && (level == CACHE_LEVELS || !cache_push(own_cache(level), pfn))) {
        lock_take(&palloc_tables.lock);
        cache_give(pfn);
        lock_release(&palloc_tables.lock);
    }
    port_interrupts_restore(saved);
    return held;
}

/* --- Runs --------------------------------------------------------------------------------------------------------- */

static inline void mark_held(pfn_t first, uint32_t pages) {
    if (pages == 1)
        tag_set(first, TAG_HELD_ONE);
    else if (__builtin_expect(!bitmap_set_run(palloc_tables.held, first, pages), 0))
        palloc_report_overlap(first, pages);
    palloc_step(pages / BITMAP_BITS);
}

/* Lengths that are cached: 2^order of 2 to 32. (And 1, which doesn't get here.) */
static inline bool is_cached_length(uint32_t pages) {
    return pages - 1 < 1u << CACHE_ORDER_LAST && (pages & (pages - 1)) == 0;
}

static inline unsigned order_of(uint32_t pages) {
    return (unsigned)__builtin_ctz(pages);
}

static inline pfn_t take_cached(unsigned level, uint32_t pages) {
    unsigned order = order_of(pages);
    uintptr_t saved = port_interrupts_off();
    pfn_t first = cache_pop_run(&own_cache(level)->runs[order], order);
    if (first != PFN_NONE)
        mark_held(first, pages);
    port_interrupts_restore(saved);
    return first;
}

/* Also when no run will do but the caches aren't empty; the lock is held. A search may let others in, whose frees then
 * fill the caches anew: the bound keeps them from making it go on for ever. */
static pfn_t take_hard(unsigned zone, const struct search_request *request) {
    enum { DRAINS = 4 };
    pfn_t first = search_take(zone, request);
    for (unsigned drains = 0; first == PFN_NONE && drains < DRAINS && cache_drain(); drains++)
        first = search_take(zone, request);
    return first;
}

static pfn_t take_searched(unsigned zone, const struct search_request *request) {
    lock_take(&palloc_tables.lock);
    give_kept_back();
    pfn_t first = take_hard(zone, request);
    if (first != PFN_NONE)
        mark_held(first, request->pages);
    lock_release(&palloc_tables.lock);
    return first;
}

static NOT_INLINE pfn_t take_plain_hard(unsigned level, uint32_t pages) {
    const struct search_request request = {
        .pages = pages, .align = 1, .limit = level == 0 ? PFN_NONE : (pfn_t)RUNS_DMA32_END, .at = PFN_NONE
    };
    return take_searched(cache_zone(level), &request);
}

/* A run from the level's zone, or by the long way. */
static inline pfn_t take_run(unsigned level, uint32_t pages) {
    lock_take(&palloc_tables.lock);
    give_kept_back();
    pfn_t first = runs_take(palloc_levels.zones[level], pages);
    if (__builtin_expect(first != PFN_NONE, 1))
        mark_held(first, pages);
    lock_release(&palloc_tables.lock);
    return __builtin_expect(first != PFN_NONE, 1) ? first : take_plain_hard(level, pages);
}

static NOT_INLINE pfn_t take_single(unsigned level) {
    pfn_t pfn = take_one(level);
    return pfn != PFN_NONE ? pfn : take_plain_hard(level, 1);
}

static inline pfn_t take_several(unsigned level, uint32_t pages) {
    if (pages == 0)
        return PFN_NONE;
    pfn_t first = PFN_NONE;
    if (is_cached_length(pages))
        first = take_cached(level, pages);
    else if (level == 0 && is_kept_length(pages))
        first = take_kept(pages);
    return first != PFN_NONE ? first : take_run(level, pages);
}

/* Any run of the level's zone, or of a lower one. */
static inline pfn_t take(unsigned level, uint32_t pages) {
    if (pages != 1)
        return take_several(level, pages);
    pfn_t pfn = take_one_hot(level);
    return __builtin_expect(pfn != PFN_NONE, 1) ? pfn : take_single(level);
}

/* --- Use ---------------------------------------------------------------------------------------------------------- */

static inline void *pointer_to(pfn_t first) {
    return first == PFN_NONE ? NULL : (void *)((uintptr_t)first << PAGE_SHIFT);
}

static pfn_t traced(pfn_t first, uint32_t pages, uintptr_t place) {
    if (CONFIG_DEBUG && first != PFN_NONE)
        trace_take(first, pages, place);
    return first;
}

/* All but the hot paths, in a function of its own: palloc() ends with a jump to it and saves no registers. */
static NOT_INLINE void *palloc_slowly(uint32_t pages) {
    return pointer_to(pages == 1 ? take_single(pointer_level()) : take_several(pointer_level(), pages));
}

/* A run just popped whose bits lie in two words. */
static NOT_INLINE void *palloc_across(pfn_t first, uint32_t pages, uintptr_t saved) {
    mark_held(first, pages);
    port_interrupts_restore(saved);
    return pointer_to(first);
}

/* A length that has no stack. */
static NOT_INLINE void *palloc_by_lock(uint32_t pages) {
    return pages == 0 ? NULL : pointer_to(take_run(pointer_level(), pages));
}

static NOT_INLINE void *palloc_kept(uint32_t pages) {
    pfn_t first = pointer_level() == 0 ? take_kept(pages) : PFN_NONE;
    return __builtin_expect(first != PFN_NONE, 1) ? pointer_to(first) : palloc_by_lock(pages);
}

/* The hot path of runs, as short. */
static NOT_INLINE void *palloc_run(uint32_t pages) {
    if (!is_cached_length(pages))
        return is_kept_length(pages) ? palloc_kept(pages) : palloc_by_lock(pages);
    unsigned order = order_of(pages);
    uintptr_t saved = port_interrupts_off();
    struct palloc_stack *stack = &own_cache(pointer_level())->runs[order];
    pfn_t first = cache_pop_run_top(stack, order);
    if (__builtin_expect(first == PFN_NONE, 0)) {
        port_interrupts_restore(saved);
        return palloc_slowly(pages);
    }
    if (!bitmap_is_within(first, pages))
        return palloc_across(first, pages, saved);
    uintptr_t mask = stack->mask << (first % BITMAP_BITS);
    if (__builtin_expect(!bitmap_word_change(&palloc_tables.held[first / BITMAP_BITS], mask, 0), 0))
        palloc_report_overlap(first, pages);
    port_interrupts_restore(saved);
    return (void *)((uintptr_t)first << PAGE_SHIFT);
}

static inline void *palloc_any(uint32_t pages) {
    if (pages != 1)
        return palloc_run(pages);
    pfn_t pfn = take_one_hot(pointer_level());
    return __builtin_expect(pfn != PFN_NONE, 1) ? (void *)((uintptr_t)pfn << PAGE_SHIFT) : palloc_slowly(pages);
}

void *palloc(uint32_t num_pages) {
    if (!CONFIG_DEBUG)
        return palloc_any(num_pages);
    if (num_pages != 0 && fail_here())
        return NULL;
    void *address = palloc_any(num_pages);
    if (address != NULL)
        trace_take(palloc_pfn(address), num_pages, PALLOC_PLACE());
    return address;
}

pfn_t palloc_with(const struct palloc_request *request) {
    uint32_t pages = request->pages, align = request->align > 1 ? request->align : 1, boundary = request->boundary;
    require(is_power_of_two(align), "palloc_with(%u pages, align %u, limit 0x%x): align isn't a power of two", pages,
            request->align, request->limit);
    require(boundary == 0 || is_power_of_two(boundary),
            "palloc_with(%u pages, align %u, limit 0x%x, boundary %u): boundary isn't a power of two", pages,
            request->align, request->limit, boundary);
    if (pages == 0 || fail_here())
        return PFN_NONE;
    bool below_end = request->limit != 0 && request->limit < palloc_tables.end;
    pfn_t limit = below_end ? request->limit : PFN_NONE;
    bool plain = align == 1 && boundary == 0 && !request->exact;
    if (plain && limit == PFN_NONE)
        return traced(take(0, pages), pages, PALLOC_PLACE());
    if (plain && limit == RUNS_DMA32_END)
        return traced(take(palloc_levels.below_4g, pages), pages, PALLOC_PLACE());
    if ((boundary != 0 && boundary < pages) || (request->exact && request->at == PFN_NONE))
        return PFN_NONE;
    const struct search_request search = { .pages = pages,
                                           .align = align,
                                           .limit = limit,
                                           .boundary = boundary,
                                           .at = request->exact ? request->at : PFN_NONE };
    return traced(take_searched(palloc_levels.zone, &search), pages, PALLOC_PLACE());
}

/* --- Giving back -------------------------------------------------------------------------------------------------- */

static bool is_held(pfn_t pfn) {
    return tag_is_ready(pfn) && (tag_get(pfn) == TAG_HELD_ONE || bitmap_get(palloc_tables.held, pfn));
}

/* How many pages from the first on the caller may give back. The last number there is is no page, so nothing wraps. */
static uint32_t right_pages(pfn_t first, uint32_t pages) {
    uint32_t right = 0;
    while (right < pages && is_held(first + right))
        right++;
    return right;
}

static bool all_ready(pfn_t first, pfn_t last) {
    for (uint32_t chunk = first >> CHUNK_SHIFT; chunk <= last >> CHUNK_SHIFT; chunk++)
        if (!tag_is_ready(chunk << CHUNK_SHIFT))
            return false;
    return true;
}

static inline bool are_ready(pfn_t first, pfn_t last) {
    bool one_chunk = (first ^ last) >> CHUNK_SHIFT == 0;
    return tag_is_ready(first) && (one_chunk || (first < last && tag_is_ready(last)));
}

static inline bool is_one_ready_chunk(pfn_t first, pfn_t last) {
    return (first ^ last) >> CHUNK_SHIFT == 0 && tag_is_ready(first);
}

/* A run that was taken as one goes into the processor's cache, if it is of such a length and there is room. */
static inline bool give_cached(unsigned level, pfn_t first, uint32_t pages) {
    pfn_t last = first + pages - 1;
    if (__builtin_expect(!are_ready(first, last), 0))
        return false;
    uintptr_t saved = port_interrupts_off();
    unsigned order = order_of(pages);
    struct palloc_stack *stack = &own_cache(level)->runs[order];
    bool given = cache_has_room(stack) && bitmap_clear_run(palloc_tables.held, first, pages);
    if (given)
        cache_push_run(stack, order, first);
    port_interrupts_restore(saved);
    return given;
}

/* The lock is held. Not all pages are held by their bits; by tags they may be. False if not. */
static bool give_one_by_one(pfn_t first, uint32_t pages) {
    if (right_pages(first, pages) != pages)
        return false;
    for (uint32_t i = 0; i < pages; i++)
        drop_one(first + i);
    runs_give(first, pages);
    return true;
}

/* Chunks that are ready end with the last that has pages, and bits past that are 0. */
static bool give_run(pfn_t first, uint32_t pages) {
    pfn_t last = first + pages - 1;
    if (last < first || pages > UINT32_MAX - BITMAP_BITS ||
        !(is_one_ready_chunk(first, last) || all_ready(first, last)))
        return false;
    lock_take(&palloc_tables.lock);
    give_kept_back();
    bool given = __builtin_expect(bitmap_clear_run(palloc_tables.held, first, pages), 1);
    if (given)
        runs_give(first, pages);
    else
        given = give_one_by_one(first, pages);
    lock_release(&palloc_tables.lock);
    palloc_step(pages / BITMAP_BITS);
    return given;
}

static NOT_INLINE void give_by_lock(pfn_t first, uint32_t pages) {
    if (pages == 1 ? give_one(first) : give_run(first, pages))
        return;
    uint32_t right = right_pages(first, pages);
    palloc_report_wrong_free(first, pages, right < pages ? first + right : first);
}

/* Of a cached length. */
static NOT_INLINE void give_several_slowly(pfn_t first, uint32_t pages) {
    unsigned level = cache_level(first, first + pages - 1);
    if (level == CACHE_LEVELS || !give_cached(level, first, pages))
        give_by_lock(first, pages);
}

static NOT_INLINE void give_long(pfn_t first, uint32_t pages) {
    bool fits = first >= palloc_levels.first && is_one_ready_chunk(first, first + pages - 1);
    if (__builtin_expect(!fits || !give_kept(first, pages), 0))
        give_by_lock(first, pages);
}

/* The hot path of runs: of level 0 and within one chunk. */
static NOT_INLINE void give_several(pfn_t first, uint32_t pages) {
    if (!is_cached_length(pages)) {
        if (is_kept_length(pages))
            give_long(first, pages);
        else if (pages != 0)
            give_by_lock(first, pages);
        return;
    }
    if (__builtin_expect(first < palloc_levels.first || !is_one_ready_chunk(first, first + pages - 1), 0)) {
        give_several_slowly(first, pages);
        return;
    }
    unsigned order = order_of(pages);
    uintptr_t saved = port_interrupts_off();
    struct palloc_stack *stack = &own_cache(0)->runs[order];
    if (__builtin_expect(!cache_has_room(stack), 0)) {
        port_interrupts_restore(saved);
        give_by_lock(first, pages);
        return;
    }
    if (__builtin_expect(!bitmap_is_within(first, pages), 0)) {
        port_interrupts_restore(saved);
        give_several_slowly(first, pages);
        return;
    }
    uintptr_t mask = stack->mask << (first % BITMAP_BITS);
    bool held = bitmap_word_change(&palloc_tables.held[first / BITMAP_BITS], mask, ~(uintptr_t)0);
    if (__builtin_expect(held, 1))
        cache_push_run(stack, order, first);
    port_interrupts_restore(saved);
    if (__builtin_expect(!held, 0))
        give_by_lock(first, pages);
}

/* Debug builds: so that nothing is filled that isn't the caller's. */
static void trace_if_right(pfn_t first, uint32_t pages, uintptr_t place) {
    if (right_pages(first, pages) == pages)
        trace_give(first, pages, place);
}

void pfree(uint32_t page_id, uint32_t num_pages) {
    if (CONFIG_DEBUG)
        trace_if_right(page_id, num_pages, PALLOC_PLACE());
    if (num_pages != 1)
        give_several(page_id, num_pages);
    else if (__builtin_expect(!give_one_hot(page_id), 0))
        give_by_lock(page_id, 1);
}

/* --- Lists of single pages ---------------------------------------------------------------------------------------- */

static size_t bulk_from_cache(pfn_t *list, size_t count) {
    uintptr_t saved = port_interrupts_off();
    struct palloc_cache *cache = own_cache(0);
    size_t have = 0;
    for (pfn_t pfn; have < count && (pfn = cache_pop(cache)) != PFN_NONE;)
        list[have++] = pfn;
    port_interrupts_restore(saved);
    return have;
}

/* At most a batch, so that the lock is held for a bounded time. */
static size_t bulk_from_runs(struct zone *zone, pfn_t *list, size_t count) {
    uint32_t want = count < CACHE_BATCH ? (uint32_t)count : (uint32_t)CACHE_BATCH, pages;
    lock_take(&palloc_tables.lock);
    pfn_t first = runs_take_scraps(zone, want, &pages);
    lock_release(&palloc_tables.lock);
    if (first == PFN_NONE)
        return 0;
    for (uint32_t i = 0; i < pages; i++) {
        tag_set(first + i, TAG_HELD_ONE);
        list[i] = first + i;
    }
    return pages;
}

bool palloc_bulk(pfn_t *list, size_t count) {
    if (count > 0 && fail_here())
        return false;
    size_t have = bulk_from_cache(list, count), more = 1;
    while (have < count && more > 0)
        have += more = bulk_from_runs(palloc_levels.zones[0], list + have, count - have);
    while (have < count && (list[have] = take_single(0)) != PFN_NONE)
        have++;
    if (have < count) {
        for (size_t i = 0; i < have; i++)
            give_one(list[i]);
        return false;
    }
    for (size_t i = 0; CONFIG_DEBUG && i < count; i++)
        trace_take(list[i], 1, PALLOC_PLACE());
    return true;
}

void pfree_bulk(const pfn_t *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!is_held(list[i]))
            palloc_report_wrong_bulk(count, i, list[i]);
    for (size_t i = 0; i < count; i++) {
        bool held = is_held(list[i]); /* not if the list has it twice */
        if (CONFIG_DEBUG && held)
            trace_give(list[i], 1, PALLOC_PLACE());
        if (!give_one_hot(list[i]) && !give_one(list[i]))
            palloc_report_wrong_bulk(count, i, list[i]);
    }
}

void palloc_drain(void) {
    palloc_lock();
    cache_drain();
    palloc_unlock();
}
