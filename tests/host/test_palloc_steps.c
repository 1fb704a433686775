/* What requests and frees look at (palloc_steps()), on machines of any size and however full they are: one constant for
 * all of them. */
#include <stdlib.h>
#include <tests/host/bare.h>
#include <tests/test.h>

enum {
    /* Of a plain take or give of 1 to 512 pages: bins in three zones and, before it looks further down, those of a
     * refill; and each word of held bits, which i386 has twice as many of. */
    STEPS_PLAIN = 12,
    STEPS_BITS = 512 / (8 * sizeof(uintptr_t)) + 2,
    STEPS_MOST = STEPS_PLAIN + STEPS_BITS,
    /* Of a request with conditions that its bins can serve: BINS_TRIED bins with TRIES runs each, twice, and the bins'
     * words on the way; mem/palloc_search.c. */
    STEPS_LIKELY = 2 * 32 * (4 + 1),
    HOLES = 4096,
};

static pfn_t take(uint32_t pages) {
    const struct palloc_request request = { .pages = pages };
    return palloc_with(&request);
}

static pfn_t singles[HOLES];

/* Takes `percent` of all pages: holes of many lengths first, every other one freed again, then the rest in long runs.
 * The caches are empty then. */
static void fill(uint32_t percent) {
    struct palloc_stats stats;
    struct test_random random = { percent + 1 };
    palloc_stats(&stats);
    size_t level = stats.total / 100 * percent, used = stats.total - stats.free;
    for (uint32_t i = 0; i < HOLES && used + 1024 < level; i++) {
        uint32_t pages = 1 + test_random_below(&random, i % 4 == 0 ? 512 : 8);
        pfn_t hole = take(pages);
        singles[i] = take(1);
        if (hole == PFN_NONE || singles[i] == PFN_NONE)
            break;
        pfree(hole, pages);
        used++;
    }
    palloc_drain();
    for (palloc_stats(&stats); stats.total - stats.free < level; palloc_stats(&stats)) {
        size_t want = level - (stats.total - stats.free);
        uint32_t pages = (uint32_t)(want < stats.largest ? want : stats.largest);
        if (take(pages) == PFN_NONE)
            break;
    }
    palloc_drain();
}

static size_t most_take, most_give;

static void measure(uint32_t pages) {
    size_t before = palloc_steps();
    pfn_t first = take(pages);
    size_t taken = palloc_steps();
    if (first == PFN_NONE)
        return;
    pfree(first, pages);
    size_t given = palloc_steps();
    most_take = taken - before > most_take ? taken - before : most_take;
    most_give = given - taken > most_give ? given - taken : most_give;
}

/* With what the caches have by then, and without. */
static void measure_all(void) {
    for (uint32_t pages = 1; pages <= 512; pages++) {
        measure(pages);
        if (pages % 8 == 0)
            palloc_drain();
        measure(pages);
    }
    for (uint32_t i = 0; i < 200; i++)
        measure(1 + i % 3);
}

static void hold_to(uint64_t first, uint64_t pages) {
    static const uint32_t percents[] = { 0, 50, 90, 99 };
    const struct bare_extent ram[] = { { first, pages, BOOTMAP_FREE } };
    for (unsigned i = 0; i < 4; i++) {
        bare_boot(ram, 1);
        fill(percents[i]);
        most_take = most_give = 0;
        measure_all();
        if (most_take > STEPS_MOST || most_give > STEPS_MOST)
            test_fail(__FILE__, __LINE__, "%u %% full: %zu steps to take, %zu to give, of %u", percents[i], most_take,
                      most_give, (unsigned)STEPS_MOST);
    }
}

TEST(palloc_steps_are_bounded_on_16_mib_however_full) {
    hold_to(1, (1 << 12) - 1);
}

TEST(palloc_steps_are_bounded_on_256_mib_however_full) {
    hold_to(1, (1 << 16) - 1);
}

TEST(palloc_steps_are_bounded_on_5_gib_however_full) {
    hold_to(1, (5 << 18) - 1);
}

TEST(palloc_steps_are_bounded_on_1_tib_however_full) {
    if (sizeof(void *) == 4)
        test_skip("the descriptors don't fit into 32 bits of addresses");
    hold_to(1, (1 << 28) - 1);
}

/* Alignments up to 2 MiB and boundaries. Where the highest zone has a long free run, however many short ones that don't
 * fit there are, the bins serve them. */
TEST(palloc_steps_of_conditions_that_the_bins_serve_are_bounded) {
    static const struct bare_extent ram[] = { { 1, (1 << 20) - 1, BOOTMAP_FREE } };
    static const uint32_t percents[] = { 0, 50, 70 };
    for (unsigned i = 0; i < 3; i++) {
        bare_boot(ram, 1);
        fill(percents[i]);
        for (uint32_t pages = 1; pages <= 512; pages += pages < 16 ? 1 : 31)
            for (uint32_t align = 2; align <= 512; align *= 2) {
                struct palloc_request request = { .pages = pages, .align = align };
                request.boundary = align == 512 ? 1024 : 0;
                size_t before = palloc_steps();
                pfn_t first = palloc_with(&request);
                size_t steps = palloc_steps() - before;
                if (first == PFN_NONE || steps > STEPS_LIKELY + STEPS_BITS)
                    test_fail(__FILE__, __LINE__, "%u %% full, %u pages, align %u: page 0x%x in %zu steps", percents[i],
                              pages, align, first, steps);
                pfree(first, pages);
            }
    }
}
