/* Layer 2, the free runs: boundary tags beside the pages instead of in them.
 *
 *     page         f    f+1   ...   l                  a run of free pages, f to l, of 239 pages or more
 *     its tag    LONG    0     0   LONG                (shorter ones: the length itself, twice; no words but the links)
 *     its word   links pages      pages                bins[bin_of(pages)] -> f -> another run's first -> ...
 *
 * So a neighbour's tag says in one byte whether it is free and how long its run is; long runs ask a word. Tags between
 * the edges are 0. Taking a run's end away costs a byte at each new edge.
 *
 * Zones: low (below 16 MiB), dma32 (below 4 GiB), high. Zones have their own lists, so a run that crosses a border is
 * kept as two runs, which look at each other when a request fits in neither alone. Borders are borders of chunks.
 *
 * Bins: one for each length below 512, then 8 for each power of two. Two levels of bits find the first that isn't
 * empty at or above another. A list below 512 has one length only, so any of its runs is as good as the first.
 *
 * Invariants (palloc_audit() recounts them):
 *   R1  each longest row of free pages that doesn't cross a border is one run; both edges have its tag, all between 0.
 *   R2  the second and the last word of a run of TAG_LONG pages or more hold its length.
 *   R3  a run is in the bin of its length, in the lists of its zone, and its links point back.
 *   R4  a bin's bit is set exactly if its list isn't empty, and a word's bit in `summary` if the word isn't 0.
 *   R5  a zone's count of pages is that of its lists.
 *
 * Policy: best fit, exactly so below 512. A run is cut at its END: what remains keeps its first page, and if its bin
 * stays also its links. Requests for a power of two from 64 pages on come aligned to their size out of runs of twice
 * that and more: blocks of 2 MiB stay whole, and their bits are whole words.
 *
 * Cost: take and give look at one bin and two neighbours, whatever memory there is: no loop but over words of bits.
 *
 * Not done: no rounding to powers of two, so no tails; no order by address in a list; no count of runs, which whoever
 * asks for it counts. */
#include <base/check.h>
#include <base/string.h>
#include <mem/palloc_runs.h>

struct zone palloc_zones[RUNS_ZONES];

/* --- Giving ------------------------------------------------------------------------------------------------------- */

/* The run's end moves; its first page, and with it its links, stay. */
static inline void resize(struct zone *zone, pfn_t first, uint32_t from, uint32_t to) {
    unsigned old_bin = bin_of(from), new_bin = bin_of(to);
    if (old_bin != new_bin) {
        list_remove(zone, old_bin, first);
        list_insert(zone, new_bin, first);
    }
    write_edges(first, to);
}

/* runs_free() reads it without the lock. */
static inline void add_free(struct zone *zone, size_t pages) {
    __atomic_store_n(&zone->pages, zone->pages + pages, __ATOMIC_RELAXED);
}

/* Enters pages of one zone, which are counted elsewhere. */
static __attribute__((noinline)) void enter(struct zone *zone, pfn_t first, uint32_t pages) {
    pfn_t end = first + pages;
    uint32_t whole = pages;
    palloc_tables.gives++;
    uint8_t after = tag_get(end), before = tag_get(first - 1);
    if (tag_is_edge(after) && end != zone->end) {
        uint32_t more = length_from_tag(end, after);
        list_remove(zone, bin_of(more), end);
        tag_set(end, TAG_NONE);
        whole += more;
    }
    if (tag_is_edge(before) && first != zone->first) {
        uint32_t have = length_to_tag(first - 1, before);
        tag_set(first - 1, TAG_NONE);
        tag_set(first, TAG_NONE);
        resize(zone, first - have, have, have + whole);
        return;
    }
    list_insert(zone, bin_of(whole), first);
    write_edges(first, whole);
}

static inline void give(struct zone *zone, pfn_t first, uint32_t pages) {
    add_free(zone, pages);
    enter(zone, first, pages);
}

/* Each zone's part for itself: at most three. */
static __attribute__((noinline)) void give_over(pfn_t first, uint32_t pages) {
    for (uint32_t part; pages > 0; first += part, pages -= part) {
        uint32_t room = zone_at(first)->end - first;
        part = pages < room ? pages : room;
        runs_give(first, part);
    }
}

void runs_give(pfn_t first, uint32_t pages) {
    struct zone *zone = zone_at(first);
    if (__builtin_expect(pages <= zone->end - first, 1))
        give(zone, first, pages);
    else
        give_over(first, pages);
}

void runs_give_list(struct zone *zone, const pfn_t *list, size_t count) {
    add_free(zone, count);
    for (size_t i = 0; i < count;) {
        pfn_t first = list[i++], end = first + 1;
        while (i < count && list[i] == end)
            end++, i++;
        while (i < count && list[i] + 1 == first)
            first--, i++;
        enter(zone, first, end - first);
    }
}

/* --- Taking ------------------------------------------------------------------------------------------------------- */

/* Takes the last pages of the first run in a list. */
static inline __attribute__((always_inline)) pfn_t cut_end(struct zone *zone, unsigned bin, uint32_t length,
                                                           uint32_t pages) {
    pfn_t first = zone->bins[bin], last = first + length - 1;
    uint32_t rest = length - pages;
    pfn_t taken = first + rest;
    add_free(zone, -(size_t)pages);
    tag_set(last, TAG_NONE);
    unsigned rest_bin = bin_of(rest);
    if (rest_bin != bin) {
        pfn_t next = palloc_tables.words[first].link.next;
        zone->bins[bin] = next;
        if (next == PFN_NONE)
            list_emptied(zone, bin);
        else
            palloc_tables.words[next].link.previous = PFN_NONE;
        if (rest == 0) {
            tag_set(first, TAG_NONE);
            return first;
        }
        list_insert(zone, rest_bin, first);
    }
    write_edges(first, rest);
    return taken;
}

/* Pages anywhere in a run of the zone. */
void runs_cut_in(struct zone *zone, struct run run, pfn_t first, uint32_t pages) {
    uint32_t before = first - run.first, after = run.pages - before - pages;
    invariant(first >= run.first && before + pages <= run.pages);
    add_free(zone, -(size_t)pages);
    pfn_t last = run.first + run.pages - 1;
    palloc_tables_clear(first - 1, first + pages);
    tag_set(last, TAG_NONE);
    if (before > 0) {
        resize(zone, run.first, run.pages, before);
    } else {
        list_remove(zone, bin_of(run.pages), run.first);
        tag_set(run.first, TAG_NONE);
    }
    if (after > 0) {
        list_insert(zone, bin_of(after), first + pages);
        write_edges(first + pages, after);
    }
}

/* The run is long enough to have an aligned one in it, but its end isn't one. */
static inline bool wants_alignment(uint32_t pages, pfn_t end, uint32_t length) {
    return pages >= 64 && (pages & (pages - 1)) == 0 && (end & (pages - 1)) != 0 && length / 2 >= pages;
}

/* What runs_take() does rarely, so that it saves no registers: a run that is to be aligned, or whose end that is taken
 * is in another chunk than what is left. */
static __attribute__((noinline)) pfn_t take_specially(struct zone *zone, unsigned bin, uint32_t length,
                                                      uint32_t pages) {
    struct run run = { zone->bins[bin], length };
    if (wants_alignment(pages, run.first + length, length)) {
        pfn_t first = (run.first + length - pages) & ~(pages - 1);
        runs_cut_in(zone, run, first, pages);
        return first;
    }
    tag_make_ready(run.first + length - pages - 1, run.first + length - 1);
    return cut_end(zone, bin, length, pages);
}

/* The pages before the end, and the one that is then the run's last, are in one chunk. */
static inline bool is_end_in_chunk(pfn_t end, uint32_t pages) {
    return ((end - 1) ^ (end - pages - 1)) >> CHUNK_SHIFT == 0;
}

pfn_t runs_take(struct zone *zone, uint32_t pages) {
    unsigned bin = pages;
    if (__builtin_expect(pages > RUNS_EXACT, 0)) {
        bin = bin_certain(pages);
        if (bin >= BINS)
            return PFN_NONE;
    }
    bin = next_filled(zone, bin);
    if (__builtin_expect(bin == BINS, 0))
        return PFN_NONE;
    pfn_t first = zone->bins[bin];
    uint32_t length = length_from(first);
    pfn_t end = first + length;
    if (__builtin_expect(wants_alignment(pages, end, length) || !is_end_in_chunk(end, pages), 0))
        return take_specially(zone, bin, length, pages);
    return cut_end(zone, bin, length, pages);
}

pfn_t runs_take_scraps(struct zone *zone, uint32_t most, uint32_t *pages) {
    unsigned bin = next_filled(zone, 1);
    if (bin == BINS)
        return PFN_NONE;
    pfn_t first = zone->bins[bin];
    uint32_t length = length_from(first), taken = length < most ? length : most;
    *pages = taken;
    tag_make_ready(first + length - taken - 1, first + length - 1);
    return cut_end(zone, bin, length, taken);
}

/* --- Init --------------------------------------------------------------------------------------------------------- */

void runs_init(void) {
    static const pfn_t borders[RUNS_ZONES + 1] = { 0, RUNS_LOW_END, RUNS_DMA32_END, PFN_NONE };
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        struct zone *zone = &palloc_zones[i];
        *zone = (struct zone){ .first = borders[i], .end = borders[i + 1] };
        memset(zone->bins, 0xff, sizeof(zone->bins)); /* PFN_NONE */
    }
}

size_t runs_free(unsigned zone) {
    return __atomic_load_n(&palloc_zones[zone].pages, __ATOMIC_RELAXED);
}
