/* mem/palloc.c on the live system, whatever its RAM is: on pretend machines, and in the kernels. */
#include <arch/arch.h>
#include <base/config.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <mem/palloc.h>
#include <tests/test.h>

enum { PAGES_16_MIB = 1 << 12, PAGES_4_GIB = 1 << 20 };

static struct palloc_stats stats_now(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats;
}

static pfn_t take(uint32_t pages, uint32_t align, pfn_t limit) {
    const struct palloc_request request = { .pages = pages, .align = align, .limit = limit };
    return palloc_with(&request);
}

static void expect_states(pfn_t first, uint32_t pages, enum palloc_state should) {
    for (uint32_t i = 0; i < pages; i++)
        expect_equal(palloc_state(first + i), should);
}

/* --- Giving ------------------------------------------------------------------------------------------------------ */

TEST(palloc_takes_exactly_the_pages_asked_for) {
    static const uint32_t sizes[] = { 1, 2, 3, 5, 7, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 200, 255, 257 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        palloc_drain();
        size_t held = stats_now().held;
        void *run = palloc(sizes[i]);
        expect(run != NULL);
        expect_equal((uintptr_t)run % PAGE_SIZE, 0);
        expect_equal(stats_now().held, held + sizes[i]);
        expect_states(palloc_pfn(run), sizes[i], PALLOC_HELD);
        pfree(palloc_pfn(run), sizes[i]);
        expect_equal(stats_now().held, held);
    }
}

TEST(palloc_gives_nothing_for_0_pages) {
    expect(palloc(0) == NULL);
    pfree(0, 0);
    pfree(UINT32_MAX, 0);
}

TEST(palloc_refuses_absurd_sizes) {
    expect(palloc(UINT32_MAX) == NULL);
    expect(palloc(UINT32_MAX - 1) == NULL);
    expect(palloc(1u << 31) == NULL);
    expect_equal(take(UINT32_MAX, 1u << 31, 0), PFN_NONE);
}

TEST(palloc_gives_any_length_up_to_the_largest_free_run) {
    palloc_drain();
    uint32_t largest = (uint32_t)stats_now().largest;
    expect(largest > 0);
    expect_equal(take(largest + 1, 1, 0), PFN_NONE);
    pfn_t first = take(largest, 1, 0);
    expect(first != PFN_NONE);
    pfree(first, largest);
    palloc_drain();
    expect_equal(stats_now().largest, largest);
}

TEST(palloc_never_gives_page_0_or_a_page_that_is_not_ram) {
    expect(palloc_state(0) == PALLOC_NOT_RAM);
    struct extent ram;
    pfn_t hole = 0;
    for (size_t i = 0; palloc_ram(i, &ram); i++) {
        expect(ram.first > hole || i == 0);
        expect_equal(palloc_state(ram.first - 1), PALLOC_NOT_RAM);
        expect_equal(palloc_state(ram.end), PALLOC_NOT_RAM);
        hole = ram.end;
    }
    expect_equal(palloc_end(), hole);
    expect_equal(palloc_state(UINT32_MAX), PALLOC_NOT_RAM);
}

TEST(palloc_gives_disjoint_runs) {
    enum { RUNS = 40 };
    static pfn_t first[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        first[i] = take(i + 1, 1, 0);
        expect(first[i] != PFN_NONE);
        for (uint32_t j = 0; j < i; j++)
            expect(first[i] + i + 1 <= first[j] || first[j] + j + 1 <= first[i]);
    }
    palloc_audit();
    for (uint32_t i = 0; i < RUNS; i++)
        pfree(first[i], i + 1);
}

/* --- Limits, alignment, zones ------------------------------------------------------------------------------------- */

TEST(palloc_with_keeps_to_alignment_and_limit) {
    for (uint32_t align = 1; align <= 512; align *= 2)
        for (pfn_t limit = 0; limit <= PAGES_4_GIB; limit = limit == 0 ? 3000 : limit * 7 + 5) {
            pfn_t first = take(3, align, limit);
            if (first == PFN_NONE)
                continue;
            expect_equal(first % align, 0);
            expect(limit == 0 || first + 3 <= limit);
            expect_states(first, 3, PALLOC_HELD);
            pfree(first, 3);
        }
}

TEST(palloc_with_serves_a_large_page_at_its_alignment) {
    palloc_drain();
    if (stats_now().largest < 1023)
        test_skip("no run of 1023 pages");
    pfn_t first = take(512, 512, 0);
    expect(first != PFN_NONE);
    expect_equal(first % 512, 0);
    pfree(first, 512);
}

TEST(palloc_with_refuses_an_alignment_that_is_no_power_of_two) {
    expect_panic("palloc_with(1 pages, align 3, limit 0x0): align isn't a power of two", take(1, 3, 0));
}

TEST(palloc_spends_low_memory_last) {
    palloc_drain();
    struct palloc_stats stats = stats_now();
    pfn_t first = take(1, 1, 0);
    expect(first != PFN_NONE);
    expect(first >= PAGES_16_MIB || stats.free_low == stats.free);
    expect(first >= PAGES_4_GIB || stats.free_dma32 == stats.free);
    pfree(first, 1);
    void *run = palloc(1);
    bool reaches_high = sizeof(void *) == 8 && stats.free_dma32 < stats.free;
    expect(run != NULL && (!reaches_high || palloc_pfn(run) >= PAGES_4_GIB));
    expect(palloc_pfn(run) >= PAGES_16_MIB || stats.free_low == stats.free_dma32);
    pfree(palloc_pfn(run), 1);
}

TEST(palloc_returns_only_what_a_pointer_can_name) {
    enum { PAGES = 200 };
    static void *runs[PAGES];
    for (int i = 0; i < PAGES; i++) {
        runs[i] = palloc(1);
        expect(runs[i] != NULL);
        expect_equal(palloc_state(palloc_pfn(runs[i])), PALLOC_HELD);
    }
    for (int i = 0; i < PAGES; i++)
        pfree(palloc_pfn(runs[i]), 1);
}

/* --- Giving back -------------------------------------------------------------------------------------------------- */

TEST(pfree_takes_back_any_part_of_a_run) {
    palloc_drain();
    struct palloc_stats before = stats_now();
    pfn_t first = take(100, 1, 0);
    expect(first != PFN_NONE);
    pfree(first + 40, 20);
    expect_states(first, 40, PALLOC_HELD);
    expect_states(first + 40, 20, PALLOC_FREE);
    pfree(first + 99, 1);
    pfree(first, 1);
    pfree(first + 60, 39);
    pfree(first + 1, 39);
    palloc_drain();
    struct palloc_stats after = stats_now();
    expect_equal(after.free, before.free);
    expect_equal(after.runs, before.runs);
    expect_equal(after.largest, before.largest);
}

TEST(pfree_takes_back_two_neighbouring_runs_as_one) {
    pfn_t first = take(10, 1, 0);
    expect(first != PFN_NONE);
    pfree(first + 4, 6);
    expect(take(6, 1, 0) == first + 4);
    pfree(first, 10);
}

TEST(pfree_reports_a_double_free) {
    pfn_t first = take(4, 1, 0);
    expect(first != PFN_NONE);
    pfree(first, 4);
    expect_panic("pfree(page 0x*, 4 pages): page 0x* is free*: freed twice?*", pfree(first, 4));
    expect_panic("pfree(page 0x*, 1 pages): page 0x* is free*: freed twice?*", pfree(first, 1));
}

TEST(pfree_reports_a_double_free_of_a_cached_page) {
    pfn_t pfn = take(1, 1, 0);
    expect(pfn != PFN_NONE);
    pfree(pfn, 1);
    if (palloc_state(pfn) != PALLOC_CACHED)
        test_skip("the only free memory is below 16 MiB");
    expect_panic("pfree(page 0x*, 1 pages): page 0x* is free (in a processor's cache): freed twice?*", pfree(pfn, 1));
}

TEST(pfree_reports_the_first_wrong_page_and_frees_nothing) {
    pfn_t first = take(100, 1, 0);
    expect(first != PFN_NONE);
    pfree(first + 70, 10);
    char should[128];
    fmt(should, sizeof(should), "pfree(page 0x%x, 100 pages): page 0x%x is free: freed twice?*", first, first + 70);
    expect_panic(should, pfree(first, 100));
    expect_states(first, 70, PALLOC_HELD);
    expect_states(first + 80, 20, PALLOC_HELD);
    pfree(first, 70);
    pfree(first + 80, 20);
}

TEST(pfree_reports_a_page_that_was_never_ours) {
    expect_panic(
        "pfree(page 0x0, 1 pages): page 0x0 is never ours (no RAM, reserved, or past the end): palloc never gave it",
        pfree(0, 1));
    expect_panic("pfree(page 0xffffffff, 1 pages): page 0xffffffff is never ours (*): palloc never gave it",
                 pfree(UINT32_MAX, 1));
    expect_panic("pfree(page 0x*, 2 pages): page 0x* is never ours (*", pfree(palloc_end(), 2));
}

TEST(pfree_reports_a_run_that_passes_the_end_or_wraps) {
    pfn_t first = take(4, 1, 0);
    expect(first != PFN_NONE);
    expect_panic("pfree(page 0x*, 4294967295 pages): page 0x* is *", pfree(first, UINT32_MAX));
    expect_panic("pfree(page 0xfffffff0, 32 pages): page 0xfffffff0 is never ours (*", pfree(0xfffffff0, 32));
    expect_states(first, 4, PALLOC_HELD);
    pfree(first, 4);
}

TEST(pfree_recognizes_a_physical_address) {
    void *run = palloc(2);
    expect(run != NULL);
    uint32_t address = (uint32_t)(uintptr_t)run;
    if ((uintptr_t)run > UINT32_MAX || palloc_state(address) != PALLOC_NOT_RAM) {
        pfree(palloc_pfn(run), 2);
        test_skip("its address isn't mistaken for a page number");
    }
    char should[200];
    fmt(should, sizeof(should),
        "pfree(page 0x%x, 2 pages): page 0x%x is never ours (no RAM, reserved, or past the end): 0x%x looks like a "
        "physical "
        "address; pass the page number, address >> 12, which is 0x%x",
        address, address, address, address >> 12);
    expect_panic(should, pfree(address, 2));
    pfree(palloc_pfn(run), 2);
}

TEST(pfree_reports_pages_of_the_kernel_and_of_the_manager) {
    struct extent ram;
    bool seen[FRAME_OWNERS] = { false };
    for (size_t i = 0; palloc_ram(i, &ram); i++)
        for (pfn_t pfn = ram.first; (pfn = palloc_next_tied(pfn, ram.end)) < ram.end; pfn++) {
            enum frame_owner owner = frame_get(pfn).owner;
            if (seen[owner] || (owner != FRAME_KERNEL && owner != FRAME_METADATA && owner != FRAME_TABLE))
                continue;
            seen[owner] = true;
            expect_panic(
                "pfree(page 0x*, 1 pages): page 0x* is owned by *: palloc's caller doesn't hold it, or doesn't any "
                "more*",
                pfree(pfn, 1));
        }
    expect(seen[FRAME_METADATA]);
}

/* --- Shortage ----------------------------------------------------------------------------------------------------- */

TEST(palloc_empties_the_caches_before_it_refuses) {
    palloc_drain();
    uint32_t largest = (uint32_t)stats_now().largest;
    pfn_t one = take(1, 1, 0);
    expect(one != PFN_NONE);
    pfree(one, 1);
    pfn_t first = take(largest, 1, 0);
    expect(first != PFN_NONE);
    pfree(first, largest);
}

TEST(palloc_gives_all_memory_away_and_gets_it_back) {
    enum { RUNS = 3000 };
    static struct extent runs[RUNS];
    palloc_drain();
    struct palloc_stats before = stats_now();
    size_t count = 0, taken = 0;
    for (uint32_t largest; (largest = (uint32_t)stats_now().largest) > 0 && count < RUNS; count++) {
        uint32_t pages = largest > 4 ? largest - largest / 3 : largest;
        pfn_t first = take(pages, 1, 0);
        expect(first != PFN_NONE);
        runs[count] = (struct extent){ first, first + pages };
        taken += pages;
        palloc_drain(); /* what a request brought into the cache besides isn't in `largest` */
    }
    if (count < RUNS) {
        expect_equal(taken, before.free);
        expect(palloc(1) == NULL);
        expect_equal(take(1, 1, 0), PFN_NONE);
        expect_equal(stats_now().free + stats_now().cached, 0);
    }
    palloc_audit();
    for (size_t i = 0; i < count; i++) {
        size_t at = (i * 1237) % count; /* each once if 1237 doesn't divide it; else what is left is given back below */
        if (runs[at].first != runs[at].end)
            pfree(runs[at].first, runs[at].end - runs[at].first);
        runs[at].end = runs[at].first;
    }
    for (size_t i = 0; i < count; i++)
        if (runs[i].first != runs[i].end)
            pfree(runs[i].first, runs[i].end - runs[i].first);
    palloc_drain();
    struct palloc_stats after = stats_now();
    expect_equal(after.largest, before.largest);
    expect_equal(after.runs, before.runs);
}

TEST(palloc_fails_on_request_once_and_unchanged) {
    if (!CONFIG_DEBUG)
        test_skip("failures on request exist in debug builds only");
    struct palloc_stats before = stats_now();
    fail_arm(1);
    void *refused = palloc(1);
    void *given = palloc(1);
    unsigned seen = fail_seen();
    fail_arm(0);
    expect(refused == NULL);
    expect(given != NULL);
    expect_equal(seen, 2);
    pfree(palloc_pfn(given), 1);
    fail_arm(1);
    pfn_t with = take(7, 2, 0);
    fail_arm(0);
    expect_equal(with, PFN_NONE);
    expect_equal(stats_now().held, before.held);
}

/* --- Counts ------------------------------------------------------------------------------------------------------- */

TEST(palloc_stats_sum_to_the_total) {
    struct palloc_stats stats = stats_now();
    expect_equal(stats.free + stats.cached + stats.held + stats.tied, stats.total);
    expect(stats.free_low <= stats.free_dma32 && stats.free_dma32 <= stats.free);
    size_t ram_pages = 0;
    struct extent ram;
    for (size_t i = 0; palloc_ram(i, &ram); i++)
        ram_pages += ram.end - ram.first;
    expect_equal(stats.total, ram_pages);
}

TEST(palloc_survives_many_random_requests) {
    enum { RUNS = 64, STEPS = 4000 };
    static struct extent runs[RUNS];
    struct test_random random = { 42 };
    for (size_t i = 0; i < RUNS; i++)
        runs[i] = (struct extent){ 0, 0 };
    for (int step = 0; step < STEPS; step++) {
        struct extent *run = &runs[test_random_below(&random, RUNS)];
        if (run->first == run->end) {
            uint32_t pages = 1 + test_random_below(&random, test_random_below(&random, 4) == 0 ? 20 : 2);
            pfn_t first = take(pages, 1u << test_random_below(&random, 4), 0);
            *run = first == PFN_NONE ? (struct extent){ 0, 0 } : (struct extent){ first, first + pages };
        } else {
            uint32_t pages = 1 + test_random_below(&random, run->end - run->first);
            pfree(run->first, pages);
            run->first += pages;
        }
    }
    palloc_audit();
    for (size_t i = 0; i < RUNS; i++)
        pfree(runs[i].first, runs[i].end - runs[i].first);
}

/* --- Conditions, lists, traces ------------------------------------------------------------------------------------ */

TEST(palloc_with_takes_an_exact_place_and_keeps_to_a_boundary) {
    palloc_drain();
    pfn_t first = take(40, 1, 0);
    expect(first != PFN_NONE);
    struct palloc_request place = { .pages = 7, .exact = true, .at = first + 11 };
    expect_equal(palloc_with(&place), PFN_NONE);
    pfree(first, 40);
    expect_equal(palloc_with(&place), first + 11);
    expect_equal(palloc_with(&place), PFN_NONE);
    pfree(first + 11, 7);
    struct palloc_request within = { .pages = 16, .boundary = 16 };
    pfn_t run = palloc_with(&within);
    expect(run != PFN_NONE && run % 16 == 0);
    pfree(run, 16);
    within.pages = 17;
    expect_equal(palloc_with(&within), PFN_NONE);
    within.boundary = 24;
    expect_panic("palloc_with(17 pages, align 0, limit 0x0, boundary 24): boundary isn't a power of two",
                 palloc_with(&within));
}

TEST(palloc_bulk_gives_all_or_nothing) {
    enum { PAGES = 150 };
    static pfn_t list[PAGES];
    struct palloc_stats before = stats_now();
    expect(palloc_bulk(list, PAGES));
    expect_equal(stats_now().held, before.held + PAGES);
    pfree_bulk(list, PAGES);
    expect_equal(stats_now().held, before.held);
    expect(palloc_bulk(list, 0));
    pfree_bulk(list, 0);
    if (!CONFIG_DEBUG)
        return;
    fail_arm(1);
    bool given = palloc_bulk(list, PAGES);
    fail_arm(0);
    expect(!given);
    expect_equal(stats_now().held, before.held);
}

TEST(pfree_bulk_reports_the_entry_and_frees_nothing) {
    pfn_t list[3] = { take(1, 1, 0), take(1, 1, 0), 0 };
    expect_panic("pfree_bulk(3 pages), entry 2: page 0x0 is never ours *: palloc never gave it*", pfree_bulk(list, 3));
    expect_states(list[0], 1, PALLOC_HELD);
    pfree_bulk(list, 2);
    list[2] = list[0];
    expect_panic("pfree_bulk(3 pages), entry 0: page 0x* is free*: freed twice?*", pfree_bulk(list, 3));
}

TEST(pfree_reports_a_partial_double_free_of_a_cached_run) {
    pfn_t first = take(8, 1, 0);
    expect(first != PFN_NONE);
    pfree(first, 8);
    expect_panic("pfree(page 0x*, 2 pages): page 0x* is free*: freed twice?*", pfree(first + 3, 2));
    expect_panic("pfree(page 0x*, 1 pages): page 0x* is free*: freed twice?*", pfree(first + 7, 1));
}

TEST(palloc_takes_back_single_pages_as_a_run_and_a_run_as_single_pages) {
    pfn_t first = take(4, 1, 0);
    expect(first != PFN_NONE);
    for (pfn_t i = 0; i < 4; i++)
        pfree(first + i, 1);
    palloc_drain();
    const struct palloc_request at[2] = { { .pages = 1, .exact = true, .at = first },
                                          { .pages = 1, .exact = true, .at = first + 1 } };
    expect_equal(palloc_with(&at[0]), first);
    expect_equal(palloc_with(&at[1]), first + 1);
    pfree(first, 2);
}

TEST(palloc_finds_a_write_after_free_and_names_who_freed_the_page) {
    pfn_t pfn = take(1, 1, 0);
    expect(pfn != PFN_NONE);
    pfree(pfn, 1);
    if (!CONFIG_DEBUG)
        test_skip("release builds don't look");
    uint8_t *view = (uint8_t *)arch_frame_open(pfn);
    uint8_t was = view[20];
    view[20] = (uint8_t)~was;
    arch_frame_close(view);
    const struct palloc_request same = { .pages = 1, .exact = true, .at = pfn };
    expect_panic("palloc: page 0x* was written to after it was freed: 1 words changed, the first at offset 0x14 from "
                 "0x* to 0x* (last taken by 0x*, last freed by 0x*)",
                 palloc_with(&same));
    pfree(pfn, 1);
}

TEST(palloc_places_sum_to_the_pages_held) {
    struct palloc_place table[8];
    size_t others, sum;
    pfn_t run = take(5, 1, 0);
    expect(run != PFN_NONE);
    size_t count = palloc_places(table, 8, &others);
    sum = others;
    for (size_t i = 0; i < count; i++)
        sum += table[i].pages;
    pfree(run, 5);
    if (CONFIG_DEBUG)
        expect_equal(sum, stats_now().held + 5);
    else
        expect_equal(sum, 0);
}

/* A pair may look at so many runs and words whatever the lists hold: here, one free page in two. */
TEST(palloc_takes_bounded_steps_whatever_is_free) {
    enum { PAGES = 400 };
    static pfn_t list[PAGES];
    expect(palloc_bulk(list, PAGES));
    for (int i = 0; i < PAGES; i += 2)
        pfree(list[i], 1);
    palloc_drain();
    for (uint32_t pages = 2; pages <= 512; pages = pages * 2 + 1) {
        size_t before = palloc_steps();
        pfn_t run = take(pages, 1, 0);
        if (run != PFN_NONE)
            pfree(run, pages);
        if (run != PFN_NONE && pages < 256)
            expect(palloc_steps() - before <= 8 + 2 * pages / 32);
    }
    for (int i = 1; i < PAGES; i += 2)
        pfree(list[i], 1);
}
