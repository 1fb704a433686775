/* Layer 2, requests with conditions: an alignment, a limit inside a zone, a boundary that may not be crossed, a place;
 * and those for more than 512 pages, whose bins hold several lengths.
 *
 * In three steps, a zone at a time from the top:
 *
 *   1  the bins. The first run of a bin whose runs are all long enough, whatever their address, will do; if there is
 *      none or a limit spoils it, a few runs of each of some bins are tried. Nearly all requests end here.
 *   2  all of the zone, by address: from run to run over the tags, held pages 32 or 64 at a step. So no run is missed,
 *      and a request is refused only when no run for it exists. Every SLICE steps the lock is let go, and with it the
 *      interrupts come on again if they were: the time under the lock stays bounded. If the run ahead has grown to
 *      begin behind, it is looked at anew.
 *   3  the border to the next zone: its last and the lower one's run may be free as one.
 *
 * A place is looked up by the run around it instead: backward over tags that say nothing, 4 or 8 at a step.
 *
 * A refusal is right at the moment it is given. Runs grow only by gives, which are counted. If there was none since the
 * search began, what is free at its end was free throughout, so the search has seen it. If there was one, it may have
 * come behind, and all begins anew: at most WALKS times, each of which somebody else's free has caused; the last of
 * them keeps the lock from its begin to its end.
 *
 * Cost: step 1 is bounded by a constant. Step 2, when step 1 fails: linear in the zone's RAM over 64 and in its single
 * pages and ties; at most SLICE steps at a time with the lock held, but for the last of WALKS, which only comes when
 * others gave pages back during each one before. Plain requests up to 512 pages never come here. */
#include <base/bits.h>
#include <mem/palloc_search.h>

enum { SLICE = 1024, TRIES = 4, BINS_TRIED = 32, WALKS = 4 };

/* One search: what for, how many pages it has passed by, and whether it lets others in on its way. */
struct walk {
    const struct search_request *request;
    unsigned steps;
    bool breathes;
};

/* --- Places ------------------------------------------------------------------------------------------------------- */

static bool allows(const struct search_request *request, pfn_t first) {
    uint64_t last = (uint64_t)first + request->pages - 1;
    bool crosses = request->boundary != 0 && ((first ^ last) & ~(uint64_t)(request->boundary - 1)) != 0;
    return first % request->align == 0 && !crosses;
}

pfn_t search_place(struct run run, const struct search_request *request) {
    uint32_t pages = request->pages;
    pfn_t end = run.first + run.pages;
    if (end > request->limit)
        end = request->limit;
    if (end < run.first || end - run.first < pages)
        return PFN_NONE;
    if (request->at != PFN_NONE) {
        bool inside = request->at >= run.first && request->at <= end - pages;
        return inside && allows(request, request->at) ? request->at : PFN_NONE;
    }
    pfn_t first = (pfn_t)round_down(end - pages, request->align);
    if (first < run.first || allows(request, first))
        return first >= run.first ? first : PFN_NONE;
    /* It crosses a multiple of the boundary: then it ends there at the latest. */
    pfn_t border = (pfn_t)round_down((uint64_t)first + pages - 1, request->boundary);
    if (border < run.first || border - run.first < pages)
        return PFN_NONE;
    first = (pfn_t)round_down(border - pages, request->align);
    return first >= run.first ? first : PFN_NONE;
}

/* --- 1: the bins -------------------------------------------------------------------------------------------------- */

static pfn_t cut_if_it_fits(struct zone *zone, struct run run, const struct search_request *request) {
    pfn_t first = search_place(run, request);
    palloc_step(1);
    if (first != PFN_NONE)
        runs_cut_in(zone, run, first, request->pages);
    return first;
}

static pfn_t take_from_bins(struct zone *zone, unsigned bin, const struct search_request *request) {
    for (unsigned i = 0; i < BINS_TRIED && bin < BINS; i++) {
        bin = next_filled(zone, bin);
        pfn_t at = bin < BINS ? zone->bins[bin] : PFN_NONE;
        for (unsigned tries = 0; tries < TRIES && at != PFN_NONE; tries++) {
            pfn_t first = cut_if_it_fits(zone, runs_from(at), request);
            if (first != PFN_NONE)
                return first;
            at = palloc_tables.words[at].link.next;
        }
        bin++;
    }
    return PFN_NONE;
}

static pfn_t take_likely(struct zone *zone, const struct search_request *request) {
    uint64_t certain = (uint64_t)request->pages + request->align - 1;
    pfn_t first = take_from_bins(zone, bin_certain(request->boundary == 0 ? certain : 2 * certain), request);
    return first != PFN_NONE ? first : take_from_bins(zone, bin_of(request->pages), request);
}

/* --- The run around a page ---------------------------------------------------------------------------------------- */

static bool all_quiet(pfn_t first) {
    uintptr_t tags = __atomic_load_n((const uintptr_t *)(const void *)&palloc_tables.tags[first], __ATOMIC_RELAXED);
    return tags == 0 && bitmap_find(palloc_tables.held, true, first, first + sizeof(tags)) == first + sizeof(tags);
}

static bool is_quiet(pfn_t pfn) {
    return tag_get(pfn) == TAG_NONE && !bitmap_get(palloc_tables.held, pfn);
}

/* The last page at or before this one that says something of itself; `lowest` if none does. */
static pfn_t last_speaking(pfn_t pfn, pfn_t lowest) {
    enum { STEP = sizeof(uintptr_t) };
    while (pfn > lowest) {
        palloc_step(1);
        pfn_t chunk = pfn & ~(pfn_t)(CHUNK_PAGES - 1);
        if (!tag_is_ready(pfn))
            pfn = chunk > lowest ? chunk - 1 : lowest;
        else if (pfn % STEP == STEP - 1 && pfn - lowest >= STEP && all_quiet(pfn - STEP + 1))
            pfn -= STEP;
        else if (is_quiet(pfn))
            pfn--;
        else
            break;
    }
    return pfn;
}

static bool is_edge(pfn_t pfn) {
    return tag_is_ready(pfn) && tag_is_edge(tag_get(pfn));
}

/* An edge may be a run's first page or its last; it is the last if the page that speaks before it is the first. */
struct run search_containing(pfn_t pfn) {
    const struct run none = { pfn, 0 };
    size_t index = palloc_tables_extent(pfn);
    if (index == palloc_tables.ram_count || palloc_tables.ram[index].first > pfn)
        return none;
    if (tag_is_ready(pfn) && !tag_is_edge(tag_get(pfn)) && !is_quiet(pfn))
        return none;
    pfn_t lowest = palloc_tables.ram[index].first, border = palloc_zones[runs_zone(pfn)].first;
    if (lowest < border)
        lowest = border;
    bool may_be_last = is_edge(pfn) && tag_get(pfn) > 1 && pfn > lowest;
    pfn_t first = is_edge(pfn) ? pfn : last_speaking(pfn, lowest);
    if (may_be_last) {
        pfn_t before = last_speaking(pfn - 1, lowest);
        if (is_edge(before) && before + length_from(before) - 1 == pfn)
            first = before;
    }
    bool reaches = is_edge(first) && first + length_from(first) - 1 >= pfn;
    return reaches ? runs_from(first) : none;
}

/* --- 2: by address ------------------------------------------------------------------------------------------------ */

/* Lets others in. The page to go on with: this one, or the first of the free run that it is in by now. */
static pfn_t breathe(pfn_t at) {
    lock_release(&palloc_tables.lock);
    lock_take(&palloc_tables.lock);
    struct run run = search_containing(at);
    return run.pages > 0 ? run.first : at;
}

static uint64_t pass_by(pfn_t at) {
    palloc_step(1);
    if (!tag_is_ready(at))
        return ((uint64_t)at | (CHUNK_PAGES - 1)) + 1;
    uintptr_t word = __atomic_load_n(&palloc_tables.held[at / BITMAP_BITS], __ATOMIC_RELAXED);
    bool whole = at % BITMAP_BITS == 0 && word == ~(uintptr_t)0;
    return (uint64_t)at + (whole ? BITMAP_BITS : 1);
}

static pfn_t take_from_pages(struct zone *zone, uint64_t at, uint64_t end, struct walk *walk) {
    while (at < end) {
        if (++walk->steps % SLICE == 0 && walk->breathes)
            at = breathe((pfn_t)at);
        if (!is_edge((pfn_t)at)) {
            at = pass_by((pfn_t)at);
            continue;
        }
        struct run run = runs_from((pfn_t)at);
        pfn_t first = cut_if_it_fits(zone, run, walk->request);
        if (first != PFN_NONE)
            return first;
        at += run.pages;
    }
    return PFN_NONE;
}

static pfn_t take_by_address(struct zone *zone, struct walk *walk) {
    const struct search_request *request = walk->request;
    if (next_filled(zone, bin_of(request->pages)) == BINS)
        return PFN_NONE;
    pfn_t zone_end = zone->end < request->limit ? zone->end : request->limit, taken = PFN_NONE;
    for (size_t i = palloc_tables_extent(zone->first); i < palloc_tables.ram_count && taken == PFN_NONE; i++) {
        const struct extent *ram = &palloc_tables.ram[i];
        pfn_t first = ram->first > zone->first ? ram->first : zone->first;
        taken = take_from_pages(zone, first, ram->end < zone_end ? ram->end : zone_end, walk);
    }
    return taken;
}

/* --- 3: over borders ---------------------------------------------------------------------------------------------- */

struct run search_over(unsigned zone) {
    pfn_t border = palloc_zones[zone].first;
    if (border == 0 || border >= palloc_tables.end || !is_edge(border) || !is_edge(border - 1))
        return (struct run){ border, 0 };
    pfn_t first = border - length_to(border - 1); /* what goes on below it is seen from the next border down */
    pfn_t end = border + length_from(border);
    if (is_border(end) && is_edge(end))
        end += length_from(end);
    return (struct run){ first, end - first };
}

/* The part of a run in each zone begins or ends at a border, and so does the run of the lists that it is. */
static void cut_over(struct run run, pfn_t first, uint32_t pages) {
    while (pages > 0) {
        struct zone *zone = zone_at(first);
        uint32_t room = zone->end - first, part = pages < room ? pages : room;
        runs_cut_in(zone, runs_from(run.first > zone->first ? run.first : zone->first), first, part);
        first += part;
        pages -= part;
    }
}

static pfn_t take_over(unsigned zone, const struct search_request *request) {
    struct run run = search_over(zone);
    pfn_t first = search_place(run, request);
    if (first == PFN_NONE || runs_zone(first) == runs_zone(first + request->pages - 1))
        return PFN_NONE; /* a place in one zone was found by steps 1 and 2 */
    cut_over(run, first, request->pages);
    return first;
}

/* --- All of it ---------------------------------------------------------------------------------------------------- */

static pfn_t take_at(const struct search_request *request) {
    struct run run = search_containing(request->at);
    for (pfn_t end; run.pages > 0 && is_border(end = run.first + run.pages) && is_edge(end);)
        run.pages += length_from(end);
    pfn_t first = search_place(run, request);
    if (first != PFN_NONE)
        cut_over(run, first, request->pages);
    return first;
}

static pfn_t take_once(unsigned highest, struct walk *walk) {
    const struct search_request *request = walk->request;
    bool plain = request->align == 1 && request->boundary == 0;
    for (unsigned i = highest + 1; i-- > 0;) {
        struct zone *zone = &palloc_zones[i];
        if (request->limit <= zone->first)
            continue;
        bool whole = request->limit >= zone->end || request->limit >= palloc_tables.end;
        pfn_t first = plain && whole ? runs_take(&palloc_zones[i], request->pages) : take_likely(zone, request);
        if (first == PFN_NONE && !(plain && whole && request->pages <= RUNS_EXACT))
            first = take_by_address(zone, walk);
        if (first == PFN_NONE && i > 0)
            first = take_over(i, request);
        if (first != PFN_NONE)
            return first;
    }
    return PFN_NONE;
}

pfn_t search_take(unsigned highest, const struct search_request *request) {
    if (request->at != PFN_NONE)
        return take_at(request);
    for (unsigned walks = 1;; walks++) {
        struct walk walk = { .request = request, .breathes = walks < WALKS };
        size_t gives = palloc_tables.gives;
        pfn_t first = take_once(highest, &walk);
        if (first != PFN_NONE || gives == palloc_tables.gives)
            return first;
    }
}
