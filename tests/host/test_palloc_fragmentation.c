/* What random traffic leaves of long runs: palloc against a textbook buddy.
 *
 * Both serve the same requests on the same RAM: below the level wanted a run is taken, above it one is freed, both at
 * random. The judge is a byte a page, which knows neither of them: the longest row of free pages, and how many of the
 * free pages lie in whole aligned blocks of 2 MiB. Averages over SEEDS sequences, so that no single one decides.
 *
 * The buddy has no caches, so palloc's are in the way of its runs, and it must not lose even so. */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <tests/host/bare.h>
#include <tests/test.h>

enum {
    FIRST = 1 << 20, /* 4 GiB: one zone */
    PAGES_LOG = 17,
    PAGES = 1 << PAGES_LOG, /* 512 MiB */
    BLOCK = 512,
    LIVE_MAX = PAGES,
    SEEDS = 8,
    STEPS = 40000,
};

/* --- The buddy ---------------------------------------------------------------------------------------------------- */

/* Blocks of 2^k pages at multiples of that; a free one has its byte set in its order's map. The lowest address comes
 * first, which keeps the upper end whole. A request of n pages gets the smallest block that holds it, and what is too
 * much of it is given back at once, as its power-of-two parts; so is a run that is freed. */
static uint8_t *buddy_free[PAGES_LOG + 1];
static uint32_t buddy_hint[PAGES_LOG + 1]; /* no free block before it */

static void buddy_enter(uint32_t index, unsigned order) {
    for (; order < PAGES_LOG && buddy_free[order][index ^ 1]; order++, index /= 2)
        buddy_free[order][index ^ 1] = 0;
    buddy_free[order][index] = 1;
    if (index < buddy_hint[order])
        buddy_hint[order] = index;
}

static void buddy_give(uint32_t first, uint32_t pages) {
    for (uint32_t end = first + pages; first < end;) {
        unsigned order = first == 0 ? PAGES_LOG : (unsigned)__builtin_ctz(first);
        while (first + (1u << order) > end)
            order--;
        buddy_enter(first >> order, order);
        first += 1u << order;
    }
}

static uint32_t buddy_pop(unsigned order) {
    uint32_t count = PAGES >> order, *hint = &buddy_hint[order];
    while (*hint < count && !buddy_free[order][*hint])
        ++*hint;
    if (*hint == count)
        return PFN_NONE;
    buddy_free[order][*hint] = 0;
    return *hint;
}

static uint32_t buddy_take(uint32_t pages) {
    unsigned order = pages == 1 ? 0 : 32 - (unsigned)__builtin_clz(pages - 1);
    uint32_t index = PFN_NONE;
    unsigned found = order;
    while (found <= PAGES_LOG && (index = buddy_pop(found)) == PFN_NONE)
        found++;
    if (index == PFN_NONE)
        return PFN_NONE;
    uint32_t first = index << found;
    buddy_give(first + pages, (1u << found) - pages);
    return first;
}

static void buddy_boot(void) {
    for (unsigned order = 0; order <= PAGES_LOG; order++) {
        free(buddy_free[order]);
        buddy_free[order] = calloc(PAGES >> order, 1);
        buddy_hint[order] = 0;
    }
    buddy_enter(0, PAGES_LOG);
}

/* --- palloc ------------------------------------------------------------------------------------------------------- */

static void palloc_boot(void) {
    static const struct bare_extent ram[] = { { FIRST, PAGES, BOOTMAP_FREE },
                                              { FIRST + PAGES + 512, 1024, BOOTMAP_FREE } };
    bare_boot(ram, 2);
    for (uint32_t i = 0; i < 1024; i++) { /* the descriptors' pages, and what they left */
        const struct palloc_request at = { .pages = 1, .exact = true, .at = FIRST + PAGES + 512 + i };
        palloc_with(&at);
    }
    struct palloc_stats stats;
    palloc_stats(&stats);
    expect_equal(stats.free, PAGES);
}

static uint32_t palloc_take(uint32_t pages) {
    const struct palloc_request request = { .pages = pages };
    pfn_t first = palloc_with(&request);
    return first == PFN_NONE ? PFN_NONE : first - FIRST;
}

static void palloc_give(uint32_t first, uint32_t pages) {
    pfree(FIRST + first, pages);
}

static void nothing(void) {
}

struct allocator {
    void (*boot)(void);
    uint32_t (*take)(uint32_t pages);
    void (*give)(uint32_t first, uint32_t pages);
    void (*drain)(void);
};
static const struct allocator with_palloc = { palloc_boot, palloc_take, palloc_give, palloc_drain };
static const struct allocator with_buddy = { buddy_boot, buddy_take, buddy_give, nothing };

/* --- Traffic ------------------------------------------------------------------------------------------------------ */

struct result {
    uint64_t longest, in_blocks, free_pages, refused;
};

static uint8_t taken[PAGES];

static struct { uint32_t first, pages; } live[LIVE_MAX];

static uint32_t any_length(struct test_random *random) {
    return 1 + test_random_below(random, 512);
}

static uint32_t power_of_two(struct test_random *random) {
    return 1u << test_random_below(random, 10);
}

static void judge(struct result *sum) {
    uint32_t row = 0, longest = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        row = taken[page] ? 0 : row + 1;
        longest = row > longest ? row : longest;
        sum->free_pages += !taken[page];
    }
    sum->longest += longest;
    for (uint32_t block = 0; block < PAGES; block += BLOCK)
        sum->in_blocks += memchr(&taken[block], 1, BLOCK) == NULL ? BLOCK : 0;
}

static void play(const struct allocator *by, uint32_t (*length)(struct test_random *random), uint32_t percent,
                 uint32_t seed, struct result *sum) {
    struct test_random random = { seed };
    uint32_t count = 0, used = 0, level = PAGES / 100 * percent;
    by->boot();
    memset(taken, 0, sizeof(taken));
    for (unsigned step = 0; step < STEPS; step++) {
        uint32_t pages = length(&random), victim = test_random(&random);
        uint32_t first = used + pages <= level ? by->take(pages) : PFN_NONE;
        sum->refused += used + pages <= level && first == PFN_NONE;
        if (first != PFN_NONE) {
            expect(first < PAGES && pages <= PAGES - first && memchr(&taken[first], 1, pages) == NULL);
            memset(&taken[first], 1, pages);
            live[count].first = first;
            live[count++].pages = pages;
            used += pages;
        } else if (count > 0) {
            victim %= count;
            by->give(live[victim].first, live[victim].pages);
            memset(&taken[live[victim].first], 0, live[victim].pages);
            used -= live[victim].pages;
            live[victim] = live[--count];
        }
    }
    by->drain();
    judge(sum);
}

/* The same or more of each; the figures are shown, for the docs. */
static void compare(uint32_t (*length)(struct test_random *random), uint32_t percent) {
    struct result ours = { 0, 0, 0, 0 }, theirs = { 0, 0, 0, 0 };
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        play(&with_palloc, length, percent, seed, &ours);
        play(&with_buddy, length, percent, seed, &theirs);
    }
    printf("%u %% full: longest free run %u pages (buddy %u), free pages in whole blocks %u (%u) in 1000, refused %u "
           "(%u)\n",
           percent, (unsigned)(ours.longest / SEEDS), (unsigned)(theirs.longest / SEEDS),
           (unsigned)(1000 * ours.in_blocks / ours.free_pages), (unsigned)(1000 * theirs.in_blocks / theirs.free_pages),
           (unsigned)ours.refused, (unsigned)theirs.refused);
    fflush(stdout);
    expect(ours.longest >= theirs.longest);
    expect(ours.in_blocks * theirs.free_pages >= theirs.in_blocks * ours.free_pages);
    expect(ours.refused <= theirs.refused);
}

TEST(palloc_keeps_long_runs_as_a_buddy_does_any_length_half_full) {
    compare(any_length, 50);
}

TEST(palloc_keeps_long_runs_as_a_buddy_does_any_length_nearly_full) {
    compare(any_length, 90);
}

TEST(palloc_keeps_long_runs_as_a_buddy_does_powers_of_two_half_full) {
    compare(power_of_two, 50);
}

TEST(palloc_keeps_long_runs_as_a_buddy_does_powers_of_two_nearly_full) {
    compare(power_of_two, 90);
}
