/* Layer 2, looking at the allocator. palloc_audit() walks RAM by tags and held bits, from one run of pages to the next,
 * and compares what it has met with the lists, the caches and the counts. */
#include <base/check.h>
#include <mem/palloc_cache.h>
#include <mem/palloc_search.h>

enum { TAGS_IN_WORD = sizeof(uintptr_t) };

/* --- One page ----------------------------------------------------------------------------------------------------- */

/* Its tag says nothing: it is inside a cached run if the first page of one is near enough below. */
static bool in_cached_run(pfn_t pfn) {
    for (pfn_t at = pfn; at > 0 && pfn - at < CACHE_KEPT_MOST && tag_is_ready(at); at--)
        if (tag_get(at) != TAG_NONE || bitmap_get(palloc_tables.held, at))
            return tag_is_cached_run(tag_get(at)) && pfn - at < 1u << (tag_get(at) - TAG_CACHED_RUN);
    return false;
}

enum palloc_state palloc_state(pfn_t pfn) {
    uint8_t tag = tag_is_ready(pfn) ? tag_get(pfn) : TAG_NONE;
    switch (tag) {
    case TAG_TIED:
        return PALLOC_TIED;
    case TAG_HELD_TIED:
        return PALLOC_HELD_TIED;
    case TAG_HELD_ONE:
        return PALLOC_HELD;
    case TAG_CACHED:
        return PALLOC_CACHED;
    default:
        break;
    }
    if (tag_is_edge(tag))
        return PALLOC_FREE;
    if (tag_is_ready(pfn) && bitmap_get(palloc_tables.held, pfn))
        return PALLOC_HELD;
    if (!palloc_tables_has(pfn))
        return PALLOC_NOT_RAM;
    return in_cached_run(pfn) ? PALLOC_CACHED : PALLOC_FREE;
}

pfn_t palloc_end(void) {
    return palloc_tables.end;
}

bool palloc_ram(size_t index, struct extent *extent) {
    if (index >= palloc_tables.ram_count)
        return false;
    *extent = palloc_tables.ram[index];
    return true;
}

size_t palloc_steps(void) {
    return __atomic_load_n(&palloc_step_count, __ATOMIC_RELAXED);
}

/* --- Rows of tags ------------------------------------------------------------------------------------------------- */

/* The first page of [at, end) whose tag isn't NONE; chunks that aren't ready are passed by. */
static pfn_t next_tagged(pfn_t at, pfn_t end) {
    for (uint64_t next = at; next < end;) {
        at = (pfn_t)next;
        const uint8_t *tag = &palloc_tables.tags[at];
        if (!tag_is_ready(at))
            next = (next | (CHUNK_PAGES - 1)) + 1;
        else if (at % TAGS_IN_WORD == 0 && __atomic_load_n((const uintptr_t *)(const void *)tag, __ATOMIC_RELAXED) == 0)
            next += TAGS_IN_WORD;
        else if (tag_get(at) == TAG_NONE)
            next++;
        else
            return at;
    }
    return end;
}

/* The first page of [at, end) with a held bit; chunks that aren't ready are passed by. */
static pfn_t next_held_bit(pfn_t at, pfn_t end) {
    for (uint64_t next = at; next < end;) {
        at = (pfn_t)next;
        next = (next | (CHUNK_PAGES - 1)) + 1;
        pfn_t stop = next < end ? (pfn_t)next : end;
        pfn_t found = tag_is_ready(at) ? bitmap_find(palloc_tables.held, true, at, stop) : stop;
        if (found < stop)
            return found;
    }
    return end;
}

static pfn_t end_within(pfn_t end) {
    return end < palloc_tables.end ? end : palloc_tables.end;
}

static pfn_t next_taken_in(pfn_t from, pfn_t end) {
    end = next_held_bit(from, end);
    for (pfn_t at = from; (at = next_tagged(at, end)) < end; at++)
        if (tag_is_tied(tag_get(at)) || tag_get(at) == TAG_HELD_ONE)
            return at;
    return end;
}

/* Chunk by chunk: a walk over many tied pages would else look for the same far bit from each of them. */
pfn_t palloc_next_taken(pfn_t from, pfn_t end) {
    end = end_within(end);
    for (uint64_t next = from; next < end;) {
        pfn_t at = (pfn_t)next;
        next = (next | (CHUNK_PAGES - 1)) + 1;
        pfn_t stop = next < end ? (pfn_t)next : end, found = next_taken_in(at, stop);
        if (found < stop)
            return found;
    }
    return end;
}

pfn_t palloc_next_tied(pfn_t first, pfn_t end) {
    pfn_t stop = end_within(end);
    for (pfn_t at = first; (at = next_tagged(at, stop)) < stop; at++)
        if (tag_is_tied(tag_get(at)))
            return at;
    return end;
}

/* --- Counts ------------------------------------------------------------------------------------------------------- */

size_t palloc_free_pages(void) {
    return runs_free(RUNS_ZONE_LOW) + runs_free(RUNS_ZONE_DMA32) + runs_free(RUNS_ZONE_HIGH) + cache_count();
}

static size_t count_runs(const struct zone *zone, uint32_t *longest) {
    size_t runs = 0;
    for (unsigned bin = next_filled(zone, 1); bin < BINS; bin = next_filled(zone, bin + 1))
        for (pfn_t at = zone->bins[bin]; at != PFN_NONE; at = palloc_tables.words[at].link.next, runs++)
            *longest = length_from(at) > *longest ? length_from(at) : *longest;
    return runs;
}

void palloc_stats(struct palloc_stats *stats) {
    palloc_lock();
    size_t low = runs_free(RUNS_ZONE_LOW), dma32 = runs_free(RUNS_ZONE_DMA32), high = runs_free(RUNS_ZONE_HIGH);
    uint32_t longest = 0;
    size_t runs = 0;
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        uint32_t over = search_over(i).pages;
        runs += count_runs(&palloc_zones[i], &longest);
        runs -= over > 0 ? 1 : 0;
        longest = over > longest ? over : longest;
    }
    *stats = (struct palloc_stats){
        .total = palloc_tables.ram_pages,
        .free = low + dma32 + high,
        .cached = cache_count(),
        .tied = palloc_tables.tied,
        .largest = longest,
        .runs = runs,
        .free_low = low,
        .free_dma32 = low + dma32,
        .metadata_bytes = palloc_tables.carved_bytes,
        .debug_bytes = palloc_tables.debug_bytes,
    };
    palloc_unlock();
    stats->held = stats->total - stats->free - stats->cached - stats->tied;
}

/* --- Audit -------------------------------------------------------------------------------------------------------- */

struct counts {
    size_t free[RUNS_ZONES], runs[RUNS_ZONES];
    size_t cached, held, tied;
};

static void audit_quiet(pfn_t first, pfn_t end, const char *invariant_number, const char *what) {
    pfn_t tagged = next_tagged(first, end), held = next_held_bit(first, end);
    require(tagged == end && held == end, "palloc %s: page 0x%x is %s, but its tag is %u, its bit %d", invariant_number,
            tagged < held ? tagged : held, what, tag_get(tagged < held ? tagged : held), held <= tagged);
}

static void audit_ready(pfn_t first, pfn_t last) {
    require(tag_is_ready(first - 1) && tag_is_ready(first) && tag_is_ready(last) && tag_is_ready(last + 1),
            "palloc T1: a chunk at pages 0x%x to 0x%x, or beside, isn't ready", first, last);
}

static pfn_t audit_run(pfn_t first, struct counts *counts) {
    uint32_t pages = length_from(first);
    struct zone *zone = zone_at(first);
    pfn_t end = first + pages;
    require(pages > 0 && pages <= zone->end - first && palloc_tables_has(end - 1),
            "runs R2: the run at page 0x%x says that it has %u pages", first, pages);
    audit_ready(first, end - 1);
    require(tag_get(end - 1) == tag_get(first),
            "runs R1: pages 0x%x to 0x%x are a run of %u, but their tags are %u and %u", first, end - 1, pages,
            tag_get(first), tag_get(end - 1));
    require(length_to(end - 1) == pages && (pages >= TAG_LONG) == (tag_get(first) == TAG_LONG),
            "runs R2: pages 0x%x to 0x%x are a run of %u (tag %u), but the last word says %u", first, end - 1, pages,
            tag_get(first), length_to(end - 1));
    require(is_border(end) || !tag_is_edge(tag_get(end)), "runs R1: the runs at pages 0x%x and 0x%x aren't one", first,
            end);
    if (pages > 2)
        audit_quiet(first + 1, end - 1, "P1", "inside a free run");
    pfn_t previous = palloc_tables.words[first].link.previous;
    pfn_t points_here = previous == PFN_NONE ? zone->bins[bin_of(pages)] : palloc_tables.words[previous].link.next;
    require(points_here == first, "runs R3: the run at page 0x%x isn't where its links say (0x%x is)", first,
            points_here);
    counts->free[runs_zone(first)] += pages;
    counts->runs[runs_zone(first)]++;
    return end;
}

static pfn_t audit_cached_run(pfn_t first, uint8_t tag, struct counts *counts) {
    pfn_t end = first + (1u << (tag - TAG_CACHED_RUN));
    audit_ready(first, end - 1);
    audit_quiet(first + 1, end, "P1", "inside a cached run");
    counts->cached += end - first;
    return end;
}

/* Pages with their bits set, as many as there are in a row. */
static pfn_t audit_held(pfn_t first, pfn_t end, struct counts *counts) {
    pfn_t chunk_end = (first | (CHUNK_PAGES - 1)) == PFN_NONE ? PFN_NONE : (first | (CHUNK_PAGES - 1)) + 1;
    pfn_t stop = bitmap_find(palloc_tables.held, false, first, chunk_end < end ? chunk_end : end);
    require(stop > first, "palloc P1: page 0x%x has neither a tag nor a bit, and is in no run", first);
    pfn_t tagged = next_tagged(first, stop);
    require(tagged == stop, "palloc P1: page 0x%x is held in a run, and its tag is %u", tagged, tag_get(tagged));
    audit_ready(first, stop - 1);
    counts->held += stop - first;
    return stop;
}

static pfn_t audit_single(pfn_t pfn, uint8_t tag, struct counts *counts) {
    audit_ready(pfn, pfn);
    require(!bitmap_get(palloc_tables.held, pfn), "palloc P1: page 0x%x has tag %u and its held bit", pfn, tag);
    counts->held += tag == TAG_HELD_ONE;
    counts->tied += tag_is_tied(tag);
    counts->cached += tag == TAG_CACHED;
    return pfn + 1;
}

static pfn_t audit_at(pfn_t pfn, pfn_t end, struct counts *counts) {
    require(tag_is_ready(pfn), "palloc T1: page 0x%x is in no free run, and not ready", pfn);
    uint8_t tag = tag_get(pfn);
    if (tag_is_edge(tag))
        return audit_run(pfn, counts);
    if (tag == TAG_NONE)
        return audit_held(pfn, end, counts);
    if (tag_is_cached_run(tag))
        return audit_cached_run(pfn, tag, counts);
    require(tag <= TAG_CACHED, "palloc P1: page 0x%x has tag %u", pfn, tag);
    return audit_single(pfn, tag, counts);
}

/* With as many runs in the lists as the walk has met, each list entry one of them, and each linked from its place (R3
 * above), lists and runs are the same. */
static void audit_lists(const struct zone *zone, size_t runs) {
    size_t listed = 0;
    for (unsigned bin = 0; bin < BINS; bin++) {
        bool filled = (zone->filled[bin / BITMAP_BITS] & bitmap_bit(bin)) != 0;
        require(filled == (zone->bins[bin] != PFN_NONE), "runs R4: bin %u of the zone at 0x%x: bit %d, first run 0x%x",
                bin, zone->first, (int)filled, zone->bins[bin]);
        for (pfn_t at = zone->bins[bin]; at != PFN_NONE; at = palloc_tables.words[at].link.next) {
            require(tag_is_ready(at) && tag_is_edge(tag_get(at)) && zone_at(at) == zone &&
                        bin_of(length_from(at)) == bin,
                    "runs R3: page 0x%x doesn't belong in bin %u of the zone at 0x%x", at, bin, zone->first);
            require(++listed <= runs, "runs R1: more runs in the lists of the zone at 0x%x than the %zu there are",
                    zone->first, runs);
        }
    }
    require(listed == runs, "runs R1: %zu runs in the lists of the zone at 0x%x, but %zu in its pages", listed,
            zone->first, runs);
    for (unsigned i = 0; i < BIN_WORDS; i++)
        require((zone->filled[i] != 0) == ((zone->summary & bitmap_bit(i)) != 0), "runs R4: summary, word %u", i);
}

static void audit_ram(struct counts *counts) {
    pfn_t hole = 0;
    for (size_t i = 0; i < palloc_tables.ram_count; i++) {
        const struct extent *ram = &palloc_tables.ram[i];
        audit_quiet(hole, ram->first, "T2", "never ours");
        for (pfn_t at = ram->first; at < ram->end;)
            at = audit_at(at, ram->end, counts);
        hole = ram->end;
    }
}

void palloc_audit(void) {
    struct counts counts = { { 0 }, { 0 }, 0, 0, 0 };
    palloc_lock();
    audit_ram(&counts);
    size_t in_runs = 0;
    for (unsigned i = 0; i < RUNS_ZONES; i++) {
        const struct zone *zone = &palloc_zones[i];
        audit_lists(zone, counts.runs[i]);
        require(zone->pages == counts.free[i], "runs R5: the zone at 0x%x counts %zu pages, and has %zu", zone->first,
                zone->pages, counts.free[i]);
        in_runs += counts.free[i];
    }
    size_t cached = cache_audit();
    require(cached == counts.cached, "palloc P2: %zu pages are in caches, %zu are tagged so", cached, counts.cached);
    require(counts.tied == palloc_tables.tied &&
                in_runs + cached + counts.held + counts.tied == palloc_tables.ram_pages,
            "palloc P4: %zu free, %zu cached, %zu held, %zu tied (counted: %zu), of %zu pages", in_runs, cached,
            counts.held, counts.tied, palloc_tables.tied, palloc_tables.ram_pages);
    palloc_unlock();
}
