/* Layer 2: who has which page of RAM.
 *
 *                  palloc                       frame_map, frame_own
 *      free run --------------> held -------------------------------> held and tied
 *        ^  ^                   | ^                                     |
 *        |  +------- pfree -----+ +--- last mapping or pin goes --------+ frame_hand_over, frame_own
 *        |                        palloc(1)                             v
 *        +--- drain, spill --- cached <--- last mapping or pin goes --- tied
 *
 * A page's state is three bits, in three bitmaps, so a run of any length changes state by words and not by pages:
 *
 *     free  held  tied
 *      1     0     0    in a free run (mem/palloc_runs.c)
 *      0     1     0    palloc's caller holds it
 *      0     1     1    the same, and it is mapped or pinned
 *      0     0     1    kept by mappings, pins or another owner (mem/frame.c); or never ours, and then it has no word
 *      0     0     0    in one processor's cache
 *
 * Besides, each page of RAM has a word of 8 bytes. It belongs to mem/palloc_runs.c while the page is free, to
 * mem/frame.c while it is tied, and to nobody while it is held: a request of n pages writes no words for them, and
 * set-up writes words for the free runs alone, however much RAM there is.
 *
 * Invariants (palloc_audit() recounts them, and R1 to R5 of the runs):
 *   P1  the bits of a page are one of the five rows above; outside RAM they are the fourth.
 *   P2  a page whose bits are all 0 is in exactly one slot of one cache, and slots hold no others.
 *   P3  a cache's pages are of its zone; none is below 16 MiB; slots from `count` on are empty.
 *   P4  free + cached + held + tied is the number of pages of RAM, and the count of tied ones is that of the bits.
 *
 * Low memory is spent last. Zones are searched from the top. Each processor has one stack of single pages for each
 * zone but the lowest, and looks into a lower stack only once the zones above have no free run and its own stacks
 * above are empty. A request for pages below 4 GiB sees the stack of that zone alone. So caching never makes a request
 * take a lower page than it would have without, but for pages in other processors' stacks, 64 a zone and processor.
 *
 * Before any request is refused all stacks are emptied into runs, where neighbours merge, and it is tried again.
 *
 * Locking: one lock of rank PALLOC guards runs, tied bits, words and counts. A single page that is taken from or given
 * to the processor's own stack takes no lock: interrupts are off, slots change by exchange (mem/palloc_cache.h), and
 * the held bit by one locked instruction. Of two processors that free a page at once, exactly one sees it held. A page
 * that is freed while another processor ties it: the one clears held and then reads tied, the other sets tied and then
 * reads held, so at least one of them sees the mistake.
 *
 * Wrong frees are found before anything changes, by the bits alone. The length of a run isn't remembered, so that a
 * caller may give back any part; what it gives back must be held to the last page.
 *
 * Cost: a single page from the stack is O(1), some dozens of instructions, and every 32nd moves a batch under the lock;
 * other requests as mem/palloc_runs.c says, and a step for each word of bits.
 *
 * Not done: no waiting for memory, no reserve for the kernel, no movable pages, no preference for a page by processor
 * (NUMA). Contents are not cleared. */
#include <base/bits.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/lock.h>
#include <base/percpu.h>
#include <mem/bitmap.h>
#include <mem/palloc_cache.h>
#include <mem/palloc_report.h>
#include <mem/palloc_runs.h>
#include <mem/palloc_tables.h>

static struct {
    struct lock lock;            /* L below */
    struct palloc_tables tables; /* tied, free_map, words: L; held: shared, atomic; the rest never changes */
    size_t tied_pages;           /* L; never ours not counted */
} state = { .lock = LOCK_INIT("palloc", LOCK_RANK_PALLOC) };

/* By processor; each element its owner's, but for stealing. No stack for the lowest zone. */
static struct PERCPU_ALIGNED caches { struct palloc_cache zone[RUNS_ZONES]; } caches[CONFIG_PROCESSORS];

/* --- Init -------------------------------------------------------------------------------------------------------- */

static void enter_free(pfn_t first, pfn_t end) {
    bitmap_clear_run(state.tables.tied, first, end);
    state.tied_pages -= end - first;
    runs_give(first, end - first);
}

int palloc_init(struct bootmap *map, uintptr_t address, palloc_map_function *map_pages, void *argument) {
    lock_init(&state.lock, "palloc", LOCK_RANK_PALLOC);
    int error = palloc_tables_make(&state.tables, map, address, map_pages, argument);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++)
        for (unsigned zone = 0; zone < RUNS_ZONES; zone++)
            cache_init(&caches[i].zone[zone]);
    runs_init(state.tables.free_map, state.tables.words, state.tables.end);
    state.tied_pages = state.tables.ram_pages;

    struct extent extent;
    for (size_t index = 0; bootmap_next(map, &index, BOOTMAP_FREE, &extent);)
        enter_free(extent.first, extent.end);
    return state.tied_pages < state.tables.ram_pages ? 0 : ERR_NO_MEMORY;
}

void palloc_reclaim(pfn_t first, size_t pages) {
    char what[128];
    palloc_lock();
    for (size_t i = 0; i < pages; i++) {
        pfn_t pfn = first + (pfn_t)i;
        if (i <= PFN_NONE - first && palloc_state(pfn) == PALLOC_TIED && palloc_may_reclaim(pfn))
            continue;
        palloc_describe(pfn, what, sizeof(what));
        palloc_unlock();
        panic("palloc_reclaim(page 0x%x, %zu pages): page 0x%x isn't the loader's: it is %s", first, pages, pfn, what);
    }
    if (pages > 0)
        enter_free(first, first + (pfn_t)pages);
    palloc_unlock();
}

/* --- Caches ------------------------------------------------------------------------------------------------------ */

static void mark_held(pfn_t first, uint32_t pages) {
    invariant(bitmap_find(state.tables.held, NULL, true, first, first + pages) == first + pages);
    invariant(bitmap_find(state.tables.tied, NULL, true, first, first + pages) == first + pages);
    bitmap_set_run_shared(state.tables.held, first, first + pages);
}

/* Interrupts are off. One page for the caller, and up to a batch less one for the stack. */
static pfn_t refill(struct palloc_cache *cache, unsigned zone) {
    pfn_t given = PFN_NONE;
    uint32_t pages = 0;
    lock_take(&state.lock);
    for (uint32_t want = CACHE_BATCH; want > 0; want -= pages) {
        pfn_t first = runs_take_scraps(zone, want, &pages);
        if (first == PFN_NONE)
            break;
        for (uint32_t i = 0; i < pages; i++) {
            if (given != PFN_NONE)
                cache_push(cache, given);
            given = first + i;
        }
    }
    lock_release(&state.lock);
    return given;
}

/* The lock is held. Pages that were pushed in order, up or down, go back as one run. */
static void spill(struct palloc_cache *cache) {
    pfn_t first = PFN_NONE;
    uint32_t pages = 0;
    for (unsigned i = 0; i < CACHE_BATCH; i++) {
        pfn_t pfn = cache_pop(cache);
        if (pfn == PFN_NONE)
            break;
        if (pages > 0 && pfn + 1 != first && pfn != first + pages) {
            runs_give(first, pages);
            pages = 0;
        }
        if (pages == 0 || pfn < first)
            first = pfn;
        pages++;
    }
    runs_give(first, pages);
}

/* A single page from a zone's stack or runs, the highest zone first; never from the lowest. */
static pfn_t take_one(unsigned highest_zone) {
    uintptr_t saved = port_interrupts_off();
    struct caches *mine = percpu_this(caches);
    pfn_t pfn = PFN_NONE;
    for (unsigned zone = highest_zone; zone > RUNS_ZONE_LOW && pfn == PFN_NONE; zone--) {
        pfn = cache_pop(&mine->zone[zone]);
        if (pfn == PFN_NONE && runs_free(zone) > 0)
            pfn = refill(&mine->zone[zone], zone);
    }
    if (pfn != PFN_NONE) {
        bool was_not = bitmap_set_shared(state.tables.held, pfn);
        invariant(was_not && !bitmap_get(state.tables.tied, pfn) && !bitmap_get(state.tables.free_map, pfn));
        (void)was_not;
    }
    port_interrupts_restore(saved);
    return pfn;
}

/* Interrupts are off; the page's bits are all 0. False if it has to go to the runs, or needs room made there. */
static bool give_to_cache(pfn_t pfn) {
    unsigned zone = runs_zone(pfn);
    struct palloc_cache *cache = &percpu_this(caches)->zone[zone];
    if (zone == RUNS_ZONE_LOW || cache_is_full(cache))
        return false;
    cache_push(cache, pfn);
    return true;
}

/* The lock is held, and give_to_cache() has refused. */
static void give_to_runs(pfn_t pfn) {
    unsigned zone = runs_zone(pfn);
    struct palloc_cache *cache = &percpu_this(caches)->zone[zone];
    if (zone == RUNS_ZONE_LOW) {
        runs_give(pfn, 1);
        return;
    }
    spill(cache);
    cache_push(cache, pfn);
}

static void give_one(pfn_t pfn) {
    if (give_to_cache(pfn))
        return;
    lock_take(&state.lock);
    give_to_runs(pfn);
    lock_release(&state.lock);
}

/* The lock is held. False if there was nothing to drain. */
static bool drain(void) {
    bool any = false;
    for (unsigned i = 0; i < CONFIG_PROCESSORS * RUNS_ZONES; i++)
        for (unsigned slot = 0; slot < CACHE_SLOTS; slot++) {
            pfn_t pfn = cache_steal(&caches[i / RUNS_ZONES].zone[i % RUNS_ZONES], slot);
            if (pfn == PFN_NONE)
                continue;
            runs_give(pfn, 1);
            any = true;
        }
    return any;
}

void palloc_drain(void) {
    palloc_lock();
    drain();
    palloc_unlock();
}

/* --- Use --------------------------------------------------------------------------------------------------------- */

static pfn_t take_run(uint32_t pages, uint32_t align, pfn_t limit) {
    palloc_lock();
    pfn_t first = runs_take(pages, align, limit);
    if (first == PFN_NONE && drain())
        first = runs_take(pages, align, limit);
    if (first != PFN_NONE)
        mark_held(first, pages);
    palloc_unlock();
    return first;
}

static pfn_t take(uint32_t pages, uint32_t align, pfn_t limit) {
    if (pages == 0 || fail_here())
        return PFN_NONE;
    if (limit == 0 || limit >= state.tables.end)
        limit = PFN_NONE;
    pfn_t first = PFN_NONE;
    if (pages == 1 && align <= 1 && limit == PFN_NONE)
        first = take_one(RUNS_ZONE_HIGH);
    else if (pages == 1 && align <= 1 && limit == RUNS_DMA32_END)
        first = take_one(RUNS_ZONE_DMA32);
    return first != PFN_NONE ? first : take_run(pages, align > 1 ? align : 1, limit);
}

void *palloc(uint32_t num_pages) {
    pfn_t limit = sizeof(void *) < sizeof(uint64_t) ? RUNS_DMA32_END : 0;
    pfn_t first = take(num_pages, 1, limit);
    return first == PFN_NONE ? NULL : (void *)((uintptr_t)first << PAGE_SHIFT);
}

pfn_t palloc_with(const struct palloc_request *request) {
    require(request->align == 0 || is_power_of_two(request->align),
            "palloc_with(%u pages, align %u, limit 0x%x): align isn't a power of two", request->pages, request->align,
            request->limit);
    return take(request->pages, request->align, request->limit);
}

/* The first page of a run that the caller may not give back; PFN_NONE if it may give back all. */
static pfn_t first_wrong(uint32_t page_id, uint32_t num_pages) {
    uint64_t end = (uint64_t)page_id + num_pages;
    if (page_id >= state.tables.end)
        return page_id;
    pfn_t known_end = end < state.tables.end ? (pfn_t)end : state.tables.end;
    pfn_t wrong = bitmap_find(state.tables.held, state.tables.tied, false, page_id, known_end);
    return wrong == end ? PFN_NONE : wrong;
}

static void free_one(pfn_t pfn) {
    uintptr_t saved = port_interrupts_off();
    bool held = pfn < state.tables.end && bitmap_clear_shared(state.tables.held, pfn);
    bool tied = held && bitmap_get(state.tables.tied, pfn);
    if (tied)
        bitmap_set_shared(state.tables.held, pfn);
    else if (held)
        give_one(pfn);
    port_interrupts_restore(saved);
    if (!held || tied)
        palloc_report_wrong_free(pfn, 1, pfn);
}

void pfree(uint32_t page_id, uint32_t num_pages) {
    if (num_pages == 1) {
        free_one(page_id);
        return;
    }
    if (num_pages == 0)
        return;
    palloc_lock();
    pfn_t wrong = first_wrong(page_id, num_pages);
    if (wrong == PFN_NONE) {
        bitmap_clear_run_shared(state.tables.held, page_id, page_id + num_pages);
        runs_give(page_id, num_pages);
    }
    palloc_unlock();
    if (wrong != PFN_NONE)
        palloc_report_wrong_free(page_id, num_pages, wrong);
}

/* --- Inspect ----------------------------------------------------------------------------------------------------- */

enum palloc_state palloc_state(pfn_t pfn) {
    const struct palloc_tables *tables = &state.tables;
    if (pfn >= tables->end)
        return PALLOC_NOT_RAM;
    if (bitmap_get(tables->free_map, pfn))
        return PALLOC_FREE;
    bool held = bitmap_get(tables->held, pfn), tied = bitmap_get(tables->tied, pfn);
    if (tied && !held)
        return palloc_tables_has(tables, pfn) ? PALLOC_TIED : PALLOC_NOT_RAM;
    if (tied)
        return PALLOC_HELD_TIED;
    return held ? PALLOC_HELD : PALLOC_CACHED;
}

pfn_t palloc_end(void) {
    return state.tables.end;
}

bool palloc_ram(size_t index, struct extent *extent) {
    if (index >= state.tables.ram_count)
        return false;
    *extent = state.tables.ram[index];
    return true;
}

pfn_t palloc_next_taken(pfn_t from, pfn_t end) {
    if (end > state.tables.end)
        end = state.tables.end;
    pfn_t held = bitmap_find(state.tables.held, NULL, true, from, end);
    return bitmap_find(state.tables.tied, NULL, true, from, held);
}

static size_t count_cached(void) {
    size_t pages = 0;
    for (unsigned i = 0; i < CONFIG_PROCESSORS * RUNS_ZONES; i++)
        for (unsigned slot = 0; slot < CACHE_SLOTS; slot++)
            pages += cache_peek(&caches[i / RUNS_ZONES].zone[i % RUNS_ZONES], slot) != PFN_NONE;
    return pages;
}

void palloc_stats(struct palloc_stats *stats) {
    struct runs_stats runs;
    palloc_lock();
    runs_stats(&runs);
    size_t low = runs_free(RUNS_ZONE_LOW), dma32 = runs_free(RUNS_ZONE_DMA32), high = runs_free(RUNS_ZONE_HIGH);
    *stats = (struct palloc_stats){
        .total = state.tables.ram_pages,
        .free = low + dma32 + high,
        .cached = count_cached(),
        .tied = state.tied_pages,
        .largest = runs.largest,
        .runs = runs.runs,
        .free_low = low,
        .free_dma32 = low + dma32,
        .metadata_bytes = state.tables.carved_bytes,
    };
    palloc_unlock();
    stats->held = stats->total - stats->free - stats->cached - stats->tied;
}

/* --- Audit ------------------------------------------------------------------------------------------------------- */

/* Each cached page is marked as held while it is counted, so that a second slot with it is seen. */
static size_t audit_cache(unsigned processor, unsigned zone) {
    const struct palloc_cache *cache = &caches[processor].zone[zone];
    size_t pages = 0;
    for (unsigned slot = 0; slot < CACHE_SLOTS; slot++) {
        pfn_t pfn = cache_peek(cache, slot);
        if (pfn == PFN_NONE)
            continue;
        require(slot < cache->count && zone != RUNS_ZONE_LOW && runs_zone(pfn) == zone,
                "palloc P3: slot %u of %u of processor %u's cache for zone %u has page 0x%x", slot, cache->count,
                processor, zone, pfn);
        require(palloc_state(pfn) == PALLOC_CACHED && bitmap_set_shared(state.tables.held, pfn),
                "palloc P2: page 0x%x is in processor %u's cache and elsewhere", pfn, processor);
        pages++;
    }
    return pages;
}

static size_t audit_caches(void) {
    size_t pages = 0;
    for (unsigned i = 0; i < CONFIG_PROCESSORS * RUNS_ZONES; i++)
        pages += audit_cache(i / RUNS_ZONES, i % RUNS_ZONES);
    for (unsigned i = 0; i < CONFIG_PROCESSORS * RUNS_ZONES; i++)
        for (unsigned slot = 0; slot < CACHE_SLOTS; slot++) {
            pfn_t pfn = cache_peek(&caches[i / RUNS_ZONES].zone[i % RUNS_ZONES], slot);
            if (pfn != PFN_NONE)
                bitmap_clear_shared(state.tables.held, pfn);
        }
    return pages;
}

void palloc_audit(void) {
    palloc_lock();
    runs_audit();
    struct palloc_counts counts;
    palloc_tables_audit(&state.tables, &counts);
    size_t cached = audit_caches();
    require(cached == counts.none, "palloc P2: %zu pages are in caches, %zu have no state bit", cached, counts.none);
    size_t in_runs = runs_free(RUNS_ZONE_LOW) + runs_free(RUNS_ZONE_DMA32) + runs_free(RUNS_ZONE_HIGH);
    require(counts.tied == state.tied_pages && in_runs + cached + counts.held + counts.tied == state.tables.ram_pages,
            "palloc P4: %zu free, %zu cached, %zu held, %zu tied (counted: %zu), of %zu pages", in_runs, cached,
            counts.held, counts.tied, state.tied_pages, state.tables.ram_pages);
    palloc_unlock();
}

/* --- For mem/frame.c --------------------------------------------------------------------------------------------- */

void palloc_lock(void) {
    lock_take(&state.lock);
}

void palloc_unlock(void) {
    lock_release(&state.lock);
}

union palloc_word *palloc_word(pfn_t pfn) {
    invariant(palloc_tables_has(&state.tables, pfn));
    return &state.tables.words[pfn];
}

void palloc_tie(pfn_t pfn) {
    invariant(lock_is_held(&state.lock) && !bitmap_get(state.tables.tied, pfn));
    bitmap_set_shared(state.tables.tied, pfn);
    require(bitmap_get(state.tables.held, pfn), "page 0x%x was freed while another processor mapped or pinned it", pfn);
    state.tied_pages++;
}

void palloc_untie(pfn_t pfn) {
    invariant(lock_is_held(&state.lock) && bitmap_get(state.tables.tied, pfn));
    bitmap_clear_shared(state.tables.tied, pfn);
    state.tied_pages--;
    if (!bitmap_get(state.tables.held, pfn) && !give_to_cache(pfn))
        give_to_runs(pfn);
}

void palloc_drop_hold(pfn_t pfn) {
    invariant(lock_is_held(&state.lock) && palloc_state(pfn) == PALLOC_HELD_TIED);
    bitmap_clear_shared(state.tables.held, pfn);
}

pfn_t palloc_next_tied(pfn_t first, pfn_t end) {
    return bitmap_find(state.tables.tied, NULL, true, first, end);
}
