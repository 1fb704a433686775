/* Layer 2, the free runs: boundary tags without boundaries in the pages themselves.
 *
 *     page         f    f+1   ...   l                  a run of free pages, f to l
 *     its word   links pages      pages                bins[zone][bin(pages)] -> f -> another run's first -> ...
 *     free bits    1     1    1     1
 *
 * Words: the first page's links the run into the list of its bin; the second's and the last's say how long it is. So a
 * neighbour that knows only "the page before mine is free" finds the run's start, one that knows "the page after mine
 * is free" its length, in O(1). A run of two pages uses one word for both; a run of one needs no length, the bit
 * beside it is 0. Words between mean nothing, so a run of any length costs three stores, and its bits go by words.
 *
 * Zones: low (below 16 MiB), dma32 (below 4 GiB), high. Zones have their own lists, so a run that crosses a border is
 * kept as two runs, which look at each other through their tags when a request fits in neither alone.
 *
 * Bins: one for each length up to 15, then 8 for each power of two. A bitmap finds the first bin that isn't empty.
 *
 * Invariants (runs_audit() recounts them):
 *   R1  each longest row of set free bits that doesn't cross a border is one run, and is in one list.
 *   R2  a run's second and last words hold its length, if it has more than one page.
 *   R3  a run is in the bin of its length, in the lists of its zone, and its links point back.
 *   R4  a bin's bit is set exactly if its list isn't empty.
 *   R5  a zone's count of pages and runs is that of its lists.
 *
 * Policy: high zones first, so that low memory is spent last. In a zone the first bin whose runs all fit, then the
 * request's own bin, whose runs may fit. A run is cut at its END: what remains keeps its first page, so its place in
 * the list, and often its bin. No request is refused while a run for it exists, over the borders included.
 *
 * Cost: give is O(1) and one step for each 64 pages of bits. A request without alignment and with a limit on a border
 * takes O(1) likewise, but when only its own bin is left, walks that (runs of nearly one length; for lengths up to 15
 * never). With alignment it tries runs that must fit first; only if there are none, and with a limit inside a zone if
 * the first run of each bin doesn't do, it walks all the runs of the zone that are long enough.
 *
 * Not done: no rounding to powers of two, so no tails; no reserve for low zones beyond the order of search; no order by
 * address in a list. */
#include <base/bits.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/bitmap.h>
#include <mem/palloc_runs.h>

enum { EXACT_BITS = 3, BINS = 240, BIN_WORDS = (BINS + 63) / 64 };

struct zone {
    pfn_t first, end;
    size_t pages, runs;
    uint64_t filled[BIN_WORDS]; /* bit b: bins[b] isn't empty */
    pfn_t bins[BINS];           /* first run of each list */
};

/* All of it is guarded by palloc's lock. */
static struct {
    uintptr_t *free_map;
    union palloc_word *words;
    pfn_t end;
    struct zone zones[RUNS_ZONES];
} state;

struct run {
    pfn_t first;
    uint32_t pages;
};

/* --- Bins -------------------------------------------------------------------------------------------------------- */

static unsigned bin_of(uint32_t pages) {
    if (pages < 2u << EXACT_BITS)
        return pages;
    unsigned shift = log2_floor(pages) - EXACT_BITS;
    return (shift << EXACT_BITS) + (unsigned)(pages >> shift);
}

/* The first bin that has only runs of `pages` and more; BINS if none can. */
static unsigned bin_certain(uint64_t pages) {
    if (pages > UINT32_MAX)
        return BINS;
    unsigned bin = bin_of((uint32_t)pages);
    bool lowest = pages == 1 || bin_of((uint32_t)pages - 1) != bin;
    return lowest ? bin : bin + 1;
}

static unsigned next_filled(const struct zone *zone, unsigned bin) {
    if (bin >= BINS)
        return BINS;
    uint64_t word = zone->filled[bin / 64] & (~UINT64_C(0) << (bin % 64));
    for (unsigned i = bin / 64;;) {
        if (word != 0)
            return i * 64 + (unsigned)__builtin_ctzll(word);
        if (++i == BIN_WORDS)
            return BINS;
        word = zone->filled[i];
    }
}

static void list_insert(struct zone *zone, unsigned bin, pfn_t first) {
    pfn_t next = zone->bins[bin];
    state.words[first].link.next = next;
    state.words[first].link.previous = PFN_NONE;
    if (next != PFN_NONE)
        state.words[next].link.previous = first;
    zone->bins[bin] = first;
    zone->filled[bin / 64] |= UINT64_C(1) << (bin % 64);
}

static void list_remove(struct zone *zone, unsigned bin, pfn_t first) {
    pfn_t next = state.words[first].link.next, previous = state.words[first].link.previous;
    if (next != PFN_NONE)
        state.words[next].link.previous = previous;
    if (previous != PFN_NONE) {
        state.words[previous].link.next = next;
        return;
    }
    invariant(zone->bins[bin] == first);
    zone->bins[bin] = next;
    if (next == PFN_NONE)
        zone->filled[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
}

/* --- Runs -------------------------------------------------------------------------------------------------------- */

static struct zone *zone_at(pfn_t pfn) {
    return &state.zones[runs_zone(pfn)];
}

static bool is_free(pfn_t pfn) {
    return pfn < state.end && bitmap_get(state.free_map, pfn);
}

static void write_length(pfn_t first, uint32_t pages) {
    if (pages < 2)
        return;
    state.words[first + 1].pages = pages;
    state.words[first + pages - 1].pages = pages;
}

/* The run that starts at a page. */
static struct run run_from(pfn_t first) {
    pfn_t second = first + 1;
    if (second == zone_at(first)->end || !is_free(second))
        return (struct run){ first, 1 };
    uint32_t pages = state.words[second].pages;
    invariant(pages >= 2 && pages <= zone_at(first)->end - first);
    return (struct run){ first, pages };
}

/* The run whose last page this is. */
static struct run run_to(pfn_t last) {
    if (last == zone_at(last)->first || !is_free(last - 1))
        return (struct run){ last, 1 };
    uint32_t pages = state.words[last].pages;
    invariant(pages >= 2 && pages <= last - zone_at(last)->first + 1);
    return (struct run){ last - pages + 1, pages };
}

static void link_run(struct zone *zone, pfn_t first, uint32_t pages) {
    write_length(first, pages);
    list_insert(zone, bin_of(pages), first);
    zone->runs++;
}

static void unlink_run(struct zone *zone, struct run run) {
    list_remove(zone, bin_of(run.pages), run.first);
    zone->runs--;
}

/* The run's end moves; its first page, and with it its links, stay. */
static void resize_run(struct zone *zone, struct run run, uint32_t pages) {
    unsigned old_bin = bin_of(run.pages), new_bin = bin_of(pages);
    write_length(run.first, pages);
    if (old_bin == new_bin)
        return;
    list_remove(zone, old_bin, run.first);
    list_insert(zone, new_bin, run.first);
}

/* runs_free() reads it without the lock. */
static void write_free(struct zone *zone, size_t pages) {
    __atomic_store_n(&zone->pages, pages, __ATOMIC_RELAXED);
}

/* Cuts pages out of a run. */
static void cut(struct run run, pfn_t first, uint32_t pages) {
    struct zone *zone = zone_at(run.first);
    uint32_t before = first - run.first, after = run.pages - before - pages;
    invariant(first >= run.first && before + pages <= run.pages);
    if (before > 0)
        resize_run(zone, run, before);
    else
        unlink_run(zone, run);
    bitmap_clear_run(state.free_map, first, first + pages);
    if (after > 0)
        link_run(zone, first + pages, after);
    write_free(zone, zone->pages - pages);
}

/* Enters pages of one zone. */
static void give(pfn_t first, uint32_t pages) {
    struct zone *zone = zone_at(first);
    pfn_t end = first + pages;
    invariant(end <= zone->end && end <= state.end);
    invariant(bitmap_find(state.free_map, NULL, true, first, end) == end);

    uint32_t whole = pages;
    if (end != zone->end && is_free(end)) {
        struct run after = run_from(end);
        unlink_run(zone, after);
        whole += after.pages;
    }
    if (first != zone->first && is_free(first - 1)) {
        struct run before = run_to(first - 1);
        resize_run(zone, before, before.pages + whole);
    } else {
        link_run(zone, first, whole);
    }
    bitmap_set_run(state.free_map, first, end);
    write_free(zone, zone->pages + pages);
}

void runs_give(pfn_t first, uint32_t pages) {
    while (pages > 0) {
        uint32_t room = zone_at(first)->end - first;
        uint32_t part = pages < room ? pages : room;
        give(first, part);
        first += part;
        pages -= part;
    }
}

/* --- Requests ---------------------------------------------------------------------------------------------------- */

struct request {
    uint32_t pages, align;
    pfn_t limit;
};

/* Where in free pages a request goes: as high as it can. */
static pfn_t place(struct run run, const struct request *request) {
    pfn_t end = run.first + run.pages;
    if (end > request->limit)
        end = request->limit;
    if (end < run.first || end - run.first < request->pages)
        return PFN_NONE;
    pfn_t first = (pfn_t)round_down(end - request->pages, request->align);
    return first >= run.first ? first : PFN_NONE;
}

static pfn_t take_from_list(pfn_t at, const struct request *request, bool first_only) {
    while (at != PFN_NONE) {
        struct run run = run_from(at);
        pfn_t first = place(run, request);
        if (first != PFN_NONE) {
            cut(run, first, request->pages);
            return first;
        }
        if (first_only)
            return PFN_NONE;
        at = state.words[at].link.next;
    }
    return PFN_NONE;
}

static pfn_t take_from_zone(const struct zone *zone, const struct request *request) {
    unsigned certain = bin_certain((uint64_t)request->pages + request->align - 1);
    for (unsigned bin = next_filled(zone, certain); bin < BINS; bin = next_filled(zone, bin + 1)) {
        pfn_t first = take_from_list(zone->bins[bin], request, true);
        if (first != PFN_NONE)
            return first;
    }
    bool all = request->limit < zone->end; /* else the bins from `certain` on are empty */
    unsigned end = all ? BINS : certain;
    for (unsigned bin = next_filled(zone, bin_of(request->pages)); bin < end; bin = next_filled(zone, bin + 1)) {
        pfn_t first = take_from_list(zone->bins[bin], request, false);
        if (first != PFN_NONE)
            return first;
    }
    return PFN_NONE;
}

/* The free pages on both sides of a border, as one run, over the next border up too; 0 pages if it isn't free on both
 * sides. */
static struct run run_over(pfn_t border) {
    if (border >= state.end || !is_free(border) || !is_free(border - 1))
        return (struct run){ border, 0 };
    pfn_t first = run_to(border - 1).first; /* what goes on below it is seen from the next border down */
    struct run last = run_from(border);
    while (is_free(last.first + last.pages))
        last = run_from(last.first + last.pages);
    return (struct run){ first, last.first + last.pages - first };
}

/* Cuts pages that cross borders: each zone's part begins or ends at a border, and so does the run it is cut from. */
static void cut_over(pfn_t first, uint32_t pages) {
    while (pages > 0) {
        const struct zone *zone = zone_at(first);
        uint32_t room = zone->end - first;
        uint32_t part = pages < room ? pages : room;
        struct run run = first == zone->first ? run_from(first) : run_to(zone->end - 1);
        cut(run, first, part);
        first += part;
        pages -= part;
    }
}

static pfn_t take_over(pfn_t border, const struct request *request) {
    pfn_t first = place(run_over(border), request);
    if (first == PFN_NONE)
        return PFN_NONE;
    bool crosses = runs_zone(first) != runs_zone(first + request->pages - 1);
    if (crosses)
        cut_over(first, request->pages);
    return crosses ? first : PFN_NONE; /* a place in one zone is found by that zone's lists */
}

pfn_t runs_take(uint32_t pages, uint32_t align, pfn_t limit) {
    const struct request request = { pages, align, limit };
    invariant(pages > 0 && align > 0);
    for (unsigned i = RUNS_ZONES; i-- > 0;) {
        const struct zone *zone = &state.zones[i];
        if (limit <= zone->first)
            continue;
        pfn_t first = take_from_zone(zone, &request);
        if (first == PFN_NONE && i > 0)
            first = take_over(zone->first, &request);
        if (first != PFN_NONE)
            return first;
    }
    return PFN_NONE;
}

pfn_t runs_take_scraps(unsigned zone, uint32_t most, uint32_t *pages) {
    unsigned bin = next_filled(&state.zones[zone], 0);
    if (bin == BINS)
        return PFN_NONE;
    struct run run = run_from(state.zones[zone].bins[bin]);
    *pages = run.pages < most ? run.pages : most;
    pfn_t first = run.first + (run.pages - *pages);
    cut(run, first, *pages);
    return first;
}

/* --- Init and inspect -------------------------------------------------------------------------------------------- */

void runs_init(uintptr_t *free_map, union palloc_word *words, pfn_t end) {
    static const pfn_t borders[RUNS_ZONES + 1] = { 0, RUNS_LOW_END, RUNS_DMA32_END, PFN_NONE };
    state.free_map = free_map;
    state.words = words;
    state.end = end;
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        struct zone *zone = &state.zones[i];
        *zone = (struct zone){ .first = borders[i], .end = borders[i + 1] };
        memset(zone->bins, 0xff, sizeof(zone->bins)); /* PFN_NONE */
    }
}

size_t runs_free(unsigned zone) {
    return __atomic_load_n(&state.zones[zone].pages, __ATOMIC_RELAXED);
}

static uint32_t longest_in_zone(const struct zone *zone) {
    unsigned last = BINS;
    for (unsigned bin = next_filled(zone, 0); bin < BINS; bin = next_filled(zone, bin + 1))
        last = bin;
    uint32_t longest = 0;
    for (pfn_t at = last < BINS ? zone->bins[last] : PFN_NONE; at != PFN_NONE; at = state.words[at].link.next)
        longest = run_from(at).pages > longest ? run_from(at).pages : longest;
    return longest;
}

void runs_stats(struct runs_stats *stats) {
    *stats = (struct runs_stats){ 0, 0 };
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        const struct zone *zone = &state.zones[i];
        uint32_t own = longest_in_zone(zone), over = i > 0 ? run_over(zone->first).pages : 0;
        uint32_t longest = own > over ? own : over;
        stats->largest = longest > stats->largest ? longest : stats->largest;
        stats->runs += zone->runs - (over > 0 ? 1 : 0);
    }
}

static void audit_run(pfn_t first, uint32_t pages) {
    struct run from = run_from(first), to = run_to(first + pages - 1);
    require(from.pages == pages && to.first == first && to.pages == pages,
            "runs R2: pages 0x%x to 0x%x are a run of %u, but its words say %u and %u", first, first + pages - 1, pages,
            from.pages, to.pages);
    pfn_t previous = state.words[first].link.previous;
    pfn_t points_here = previous == PFN_NONE ? zone_at(first)->bins[bin_of(pages)] : state.words[previous].link.next;
    require(points_here == first, "runs R3: the run at page 0x%x isn't where its links say (0x%x is)", first,
            points_here);
}

static void audit_rows(const struct zone *zone, size_t *pages, size_t *runs) {
    pfn_t end = zone->end < state.end ? zone->end : state.end;
    for (pfn_t at = zone->first; at < end;) {
        pfn_t first = bitmap_find(state.free_map, NULL, true, at, end);
        at = bitmap_find(state.free_map, NULL, false, first, end);
        if (first == at)
            break;
        audit_run(first, at - first);
        *pages += at - first;
        (*runs)++;
    }
}

/* With as many runs in the lists as rows of bits, each list entry a row's start, and each row linked from its place (R3
 * above), lists and rows are the same (R1). */
static void audit_lists(const struct zone *zone, size_t runs) {
    size_t listed = 0;
    for (unsigned bin = 0; bin < BINS; bin++) {
        bool filled = (zone->filled[bin / 64] >> (bin % 64) & 1) != 0;
        require(filled == (zone->bins[bin] != PFN_NONE), "runs R4: bin %u of the zone at 0x%x: bit %d, first run 0x%x",
                bin, zone->first, (int)filled, zone->bins[bin]);
        for (pfn_t at = zone->bins[bin]; at != PFN_NONE; at = state.words[at].link.next) {
            require(is_free(at) && zone_at(at) == zone && bin_of(run_from(at).pages) == bin,
                    "runs R3: page 0x%x doesn't belong in bin %u of the zone at 0x%x", at, bin, zone->first);
            require(++listed <= runs, "runs R1: more runs in the lists of the zone at 0x%x than the %zu there are",
                    zone->first, runs);
        }
    }
    require(listed == runs, "runs R1: %zu runs in the lists of the zone at 0x%x, %zu rows of free pages", listed,
            zone->first, runs);
}

void runs_audit(void) {
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        const struct zone *zone = &state.zones[i];
        size_t pages = 0, runs = 0;
        audit_rows(zone, &pages, &runs);
        audit_lists(zone, runs);
        require(zone->pages == pages && zone->runs == runs,
                "runs R5: the zone at 0x%x counts %zu pages in %zu runs, and has %zu in %zu", zone->first, zone->pages,
                zone->runs, pages, runs);
    }
}
