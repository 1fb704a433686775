/* Pages: palloc and two yardsticks, in the same run, on as many pages and with the same requests.
 *
 *     page-N               taken and given back at once: the hot pair
 *     page-fill            all of memory, a page at a time: one of these calls
 *     page-drain           and back, in random order
 *     page-mixed-P-SIZES   runs of 1 to 512 pages, P per cent of memory asked for: random ones given back, others
 *                          taken: one of these calls. SIZES is pow2 (powers of two, each equally likely) or any (all
 *                          lengths)
 *
 * The calls of a mixed case are written down first, as for an allocator that refuses nothing. A run that was refused is
 * not given back later: so whoever refuses has an easier time of it, and its share is told in ...-refused. Of palloc
 * it is told too how many of these refusals were wrong: a free run would have been long enough. */
#include <bench/allocators.h>
#include <bench/bench.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/palloc.h>

enum {
    PAIR_SAMPLES = 21,
    PAIRS = 512,
    FILL_CHUNK = 1024,
    MIXED_ORDERS = 10,
    MIXED_PAGES = 512, /* the longest run */
    MIXED_WARM = 160,  /* samples that aren't counted */
    MIXED_SAMPLES = 101,
    MIXED_CALLS = 64, /* of a sample */
    STEPS = (MIXED_WARM + MIXED_SAMPLES) * MIXED_CALLS,
};

/* A run in somebody's hands; first is 0 if it was refused. */
struct run {
    uint32_t first, pages;
};

/* A run taken into its slot, or what is in there given back. */
struct step {
    uint32_t slot, pages; /* pages is 0 for giving back */
};

struct counts {
    uint32_t asked, refused, skipped; /* requests, those refused, and runs that couldn't be given back */
};

static uint32_t longest(void) {
    struct palloc_stats stats;
    palloc_drain();
    palloc_stats(&stats);
    return (uint32_t)stats.largest;
}

static const struct page_allocator ours = {
    .name = "xelix-mm", .pages_max = UINT32_MAX, .take = palloc, .give = pfree, .longest = longest
};

/* --- What is counted --------------------------------------------------------------------------------------------- */
/* Never inlined: the loop must be the same code for each allocator. */

__attribute__((noinline)) static void run_pairs(const struct page_allocator *who, uint32_t pages, unsigned count) {
    while (count-- > 0)
        who->give(palloc_pfn(who->take(pages)), pages);
}

__attribute__((noinline)) static void take_all(const struct page_allocator *who, uint32_t *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        list[i] = palloc_pfn(who->take(1));
}

__attribute__((noinline)) static void give_all(const struct page_allocator *who, const uint32_t *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        who->give(list[i], 1);
}

__attribute__((noinline)) static void run_steps(const struct page_allocator *who, struct run *runs,
                                                const struct step *steps, uint32_t count, struct counts *counts) {
    for (const struct step *step = steps; step < steps + count; step++) {
        struct run *run = &runs[step->slot];
        if (step->pages != 0) {
            *run = (struct run){ palloc_pfn(who->take(step->pages)), step->pages };
            counts->asked++;
            counts->refused += run->first == 0;
        } else if (run->first != 0) {
            who->give(run->first, run->pages);
            run->first = 0;
        } else {
            counts->skipped++;
        }
    }
}

/* --- Hot pairs --------------------------------------------------------------------------------------------------- */

static void measure_pair(const struct page_allocator *who, uint32_t pages) {
    char name[32];
    fmt(name, sizeof(name), "page-%u", pages);
    if (pages > who->pages_max || !bench_wanted(name))
        return;
    run_pairs(who, pages, 1);
    for (unsigned i = 0; i < PAIR_SAMPLES; i++) {
        bench_open();
        run_pairs(who, pages, PAIRS);
        bench_close();
        bench_sample(name, who->name, PAIRS);
    }
}

/* --- All of memory ----------------------------------------------------------------------------------------------- */

static void shuffle(uint32_t *list, uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = bench_random_below(i);
        uint32_t kept = list[i - 1];
        list[i - 1] = list[other];
        list[other] = kept;
    }
}

static void require_all(const struct page_allocator *who, const uint32_t *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        require(list[i] != 0, "bench: %s refused a page after %u of %u", who->name, i, count);
    if (who != &page_harness)
        require(who->take(1) == NULL, "bench: %s has more than %u pages", who->name, count);
}

/* Whole chunks are measured; what is left over is taken and given without. */
static void measure_all(const struct page_allocator *who, uint32_t *list, uint32_t pages) {
    if (!bench_wanted("page-fill") && !bench_wanted("page-drain"))
        return;
    bench_random_restart();
    uint32_t whole = pages - pages % FILL_CHUNK;
    for (uint32_t i = 0; i < whole; i += FILL_CHUNK) {
        bench_open();
        take_all(who, list + i, FILL_CHUNK);
        bench_close();
        bench_sample("page-fill", who->name, FILL_CHUNK);
    }
    take_all(who, list + whole, pages - whole);
    require_all(who, list, pages);
    shuffle(list, pages);
    for (uint32_t i = 0; i < whole; i += FILL_CHUNK) {
        bench_open();
        give_all(who, list + i, FILL_CHUNK);
        bench_close();
        bench_sample("page-drain", who->name, FILL_CHUNK);
    }
    give_all(who, list + whole, pages - whole);
}

/* --- Mixed lengths ----------------------------------------------------------------------------------------------- */

/* A slot may hold one run at a time, so there are at most as many as steps. */
struct notes {
    struct step steps[STEPS];
    struct run runs[STEPS];
    uint32_t live[STEPS], free[STEPS]; /* slots, as the steps are written down */
};

static uint32_t random_length(bool any) {
    return any ? 1 + bench_random_below(MIXED_PAGES) : 1u << bench_random_below(MIXED_ORDERS);
}

/* Random runs go until the next one has room. */
static void write_steps(struct notes *notes, uint32_t most, bool any) {
    uint32_t live = 0, unused = STEPS, used = 0, pages = random_length(any);
    for (uint32_t i = 0; i < STEPS; i++)
        notes->free[i] = STEPS - 1 - i;
    for (uint32_t i = 0; i < STEPS; i++) {
        if (used + pages > most) {
            uint32_t index = bench_random_below(live), slot = notes->live[index];
            notes->live[index] = notes->live[--live];
            notes->free[unused++] = slot;
            used -= notes->runs[slot].pages;
            notes->steps[i] = (struct step){ slot, 0 };
        } else {
            uint32_t slot = notes->free[--unused];
            notes->live[live++] = slot;
            notes->runs[slot].pages = pages;
            used += pages;
            notes->steps[i] = (struct step){ slot, pages };
            pages = random_length(any);
        }
    }
    memset(notes->runs, 0, sizeof(notes->runs));
}

static void give_rest(const struct page_allocator *who, struct run *runs) {
    for (uint32_t i = 0; i < STEPS; i++)
        if (runs[i].first != 0)
            who->give(runs[i].first, runs[i].pages);
    memset(runs, 0, STEPS * sizeof(*runs));
}

/* Returns what was counted over all samples. */
static struct counts run_mixed(const struct page_allocator *who, const char *name, struct notes *notes) {
    struct counts all = { 0 };
    const struct step *step = notes->steps;
    run_steps(who, notes->runs, step, MIXED_WARM * MIXED_CALLS, &all);
    step += MIXED_WARM * MIXED_CALLS;
    all = (struct counts){ 0 };
    for (unsigned i = 0; i < MIXED_SAMPLES; i++, step += MIXED_CALLS) {
        uint32_t skipped = all.skipped;
        bench_open();
        run_steps(who, notes->runs, step, MIXED_CALLS, &all);
        bench_close();
        bench_sample(name, who->name, MIXED_CALLS - (all.skipped - skipped));
    }
    give_rest(who, notes->runs);
    return all;
}

/* The same calls once more, one at a time. After a refusal the caches are empty, so the calls that follow aren't those
 * that were counted, but calls all the same. */
static uint32_t count_wrong(const struct page_allocator *who, struct notes *notes, struct counts *counts) {
    uint32_t wrong = 0;
    *counts = (struct counts){ 0 };
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t refused = counts->refused;
        run_steps(who, notes->runs, &notes->steps[i], 1, counts);
        if (counts->refused > refused && who->longest() >= notes->steps[i].pages)
            wrong++;
    }
    give_rest(who, notes->runs);
    return wrong;
}

static void measure_mixed(const struct page_allocator *who, uint32_t pages, uint32_t percent, bool any) {
    char name[32], refused[48], wrongly[48];
    fmt(name, sizeof(name), "page-mixed-%u-%s", percent, any ? "any" : "pow2");
    fmt(refused, sizeof(refused), "%s-refused", name);
    fmt(wrongly, sizeof(wrongly), "%s-wrongly-refused", name);
    if (who->pages_max < MIXED_PAGES || !(bench_wanted(name) || bench_wanted(wrongly)))
        return;
    bench_random_restart();
    struct notes *notes = (struct notes *)bench_memory(sizeof(*notes));
    write_steps(notes, pages / 100 * percent, any);
    struct counts counts = run_mixed(who, name, notes);
    if (who != &page_harness)
        bench_figure(refused, who->name, "ratio", counts.refused, counts.asked);
    if (who->longest != NULL) {
        uint32_t wrong = count_wrong(who, notes, &counts);
        bench_figure(wrongly, who->name, "ratio", wrong, counts.asked);
    }
    bench_release(notes, sizeof(*notes));
}

/* --- All of it --------------------------------------------------------------------------------------------------- */

static void measure(const struct page_allocator *who, uint32_t *list, uint32_t pages) {
    static const uint32_t lengths[] = { 1, 8, 512 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        measure_pair(who, lengths[i]);
    measure_all(who, list, pages);
    for (uint32_t percent = 50; percent <= 90; percent += 40) {
        measure_mixed(who, pages, percent, false);
        measure_mixed(who, pages, percent, true);
    }
}

static void show_metadata(const struct page_allocator *who, size_t bytes, size_t pages) {
    if (bench_wanted("page-metadata"))
        bench_figure("page-metadata", who->name, "bytes", bytes, pages);
}

static void measure_yardstick(const struct page_allocator *who, uint32_t *list, uint32_t pages) {
    size_t bytes = who->bytes(pages);
    void *memory = bench_memory(bytes);
    who->init(memory, pages);
    measure(who, list, pages);
    show_metadata(who, bytes, pages);
    bench_release(memory, bytes);
}

static uint32_t free_pages(struct palloc_stats *stats) {
    palloc_stats(stats);
    return (uint32_t)(stats->free + stats->cached);
}

void bench_pages(void) {
    struct palloc_stats stats;
    size_t bytes = free_pages(&stats) * sizeof(uint32_t);
    uint32_t *list = (uint32_t *)bench_memory(bytes);
    uint32_t pages = free_pages(&stats);
    measure(&page_harness, list, pages);
    measure(&ours, list, pages);
    show_metadata(&ours, stats.metadata_bytes, stats.total);
    measure_yardstick(&buddy, list, pages);
    measure_yardstick(&stack, list, pages);
    bench_release(list, bytes);
}
