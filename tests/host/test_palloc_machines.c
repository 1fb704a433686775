/* palloc and frame alone, on machines of their own without an MMU. */
#include <tests/host/palloc_model_steps.h>
#include <tests/test.h>

#define COUNT(array)         (sizeof(array) / sizeof((array)[0]))
#define BOOT(model, entries) expect_equal(model_boot(model, entries, COUNT(entries)), 0)

static struct model model;

static uint32_t random_number(void *source, uint32_t below) {
    return test_random_below(source, below);
}

static void must_panic(const char *begin, void (*call)(void *argument), void *argument) {
    char pattern[128];
    fmt(pattern, sizeof(pattern), "%s*", begin);
    expect_panic(pattern, call(argument));
}

static void play(const struct model_entry *entries, size_t count, uint32_t seed, int steps) {
    struct test_random random = { seed };
    model = (struct model){ .number = random_number, .source = &random, .must_panic = must_panic };
    expect_equal(model_boot(&model, entries, count), 0);
    for (int i = 0; i < steps; i++)
        model_step(&model);
    model_judge_all(&model);
    model_free(&model);
}

static pfn_t take(uint32_t pages, uint32_t align, pfn_t limit) {
    const struct palloc_request request = { .pages = pages, .align = align, .limit = limit };
    return palloc_with(&request);
}

static struct palloc_stats stats_now(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats;
}

/* --- Against the model ------------------------------------------------------------------------------------------- */

/* A few pages around each border: below 16 MiB and 4 GiB, so that runs cross both. */
static const struct model_entry around_borders[] = {
    { 0xf00, 0x300, BOOTMAP_FREE },
    { 0x1100, 3, BOOTMAP_LOADER },
    { 0xfff00, 0x300, BOOTMAP_FREE },
    { 0x100100, 0x10, BOOTMAP_RESERVED },
};
static const struct model_entry small[] = {
    { 0, 0x9f, BOOTMAP_FREE },
    { 0x100, 0x200, BOOTMAP_FREE },
    { 0x110, 0x20, BOOTMAP_KERNEL },
    { 0x140, 7, BOOTMAP_LOADER },
};
/* All of the middle zone free is too much to judge page by page; so it is all there is in the others. */
static const struct model_entry above_16_mib[] = { { 0x1000, 0x500, BOOTMAP_FREE } };
static const struct model_entry above_4_gib[] = {
    { 0x800, 0x20, BOOTMAP_FREE },
    { 0xffff0, 0x10, BOOTMAP_FREE },
    { 0x100000, 0x400, BOOTMAP_FREE },
};

TEST(palloc_agrees_with_the_model_on_a_small_machine) {
    play(small, COUNT(small), 1, 150000);
}

TEST(palloc_agrees_with_the_model_around_the_zone_borders) {
    play(around_borders, COUNT(around_borders), 2, 100000);
}

TEST(palloc_agrees_with_the_model_above_16_mib) {
    play(above_16_mib, COUNT(above_16_mib), 3, 150000);
}

TEST(palloc_agrees_with_the_model_above_4_gib) {
    play(above_4_gib, COUNT(above_4_gib), 4, 100000);
}

TEST(palloc_agrees_with_the_model_on_ram_in_crumbs) {
    static struct model_entry crumbs[200];
    struct test_random random = { 5 };
    for (uint32_t i = 0, at = 1; i < COUNT(crumbs); i++) {
        crumbs[i] = (struct model_entry){ at, 1 + test_random_below(&random, 12), BOOTMAP_FREE };
        at += crumbs[i].pages + 1 + test_random_below(&random, i % 10 == 0 ? 1000 : 3);
    }
    play(crumbs, COUNT(crumbs), 5, 100000);
}

/* --- Borders ----------------------------------------------------------------------------------------------------- */

TEST(palloc_serves_a_run_across_the_border_at_16_mib) {
    static const struct model_entry entries[] = { { 0xff0, 0x20, BOOTMAP_FREE }, { 0x10, 0x10, BOOTMAP_FREE } };
    BOOT(&model, entries);
    uint32_t largest = (uint32_t)stats_now().largest;
    expect(largest > 16);
    expect_equal(take(largest + 1, 1, 0), PFN_NONE);
    pfn_t first = take(largest, 1, 0);
    expect_equal(first, 0xff0);
    palloc_audit();
    pfree(first + 5, largest - 5);
    pfree(first, 5);
    palloc_audit();
    expect_equal(stats_now().largest, largest);
}

TEST(palloc_serves_a_run_over_the_whole_middle_zone) {
    static const struct model_entry entries[] = { { 0x10, 0x101000, BOOTMAP_FREE } };
    BOOT(&model, entries);
    uint32_t largest = (uint32_t)stats_now().largest;
    expect(largest > 0xff000 + 0x100);
    pfn_t first = take(largest, 1, 0);
    expect_equal(first, 0x10);
    expect_equal(stats_now().free, 0);
    palloc_audit();
    pfree(first, largest);
    palloc_audit();
    expect_equal(stats_now().largest, largest);
    first = take(0xff000 + 0x100, 0x100, 0);
    expect(first != PFN_NONE && first % 0x100 == 0);
    pfree(first, 0xff100);
    expect_equal(take(0xff000 + 2, 0x1000, 0x100001), PFN_NONE);
}

TEST(palloc_refuses_a_run_across_a_hole) {
    static const struct model_entry entries[] = { { 0x100, 0x10, BOOTMAP_FREE }, { 0x111, 0x10, BOOTMAP_FREE } };
    BOOT(&model, entries);
    expect(palloc(0x11) == NULL);
    expect(palloc(0x10) != NULL);
}

TEST(palloc_finds_the_run_below_a_limit_among_longer_ones_above) {
    static const struct model_entry entries[] = { { 0x100, 0x10, BOOTMAP_FREE },
                                                  { 0x200, 0x80, BOOTMAP_FREE },
                                                  { 0x400, 0x80, BOOTMAP_FREE } };
    BOOT(&model, entries);
    expect_equal(take(0x10, 1, 0x200), 0x100);
    expect_equal(take(0x10, 0x10, 0x220), 0x210);
    expect_equal(take(0x10, 0x20, 0x240), 0x220);
    expect_equal(take(0x10, 0x20, 0x220), 0x200);
    expect_equal(take(0x10, 0x20, 0x220), PFN_NONE);
    expect_equal(take(1, 1, 1), PFN_NONE);
}

TEST(palloc_stats_find_the_longest_of_a_bin) {
    /* The third is what the descriptors take. Below 512 pages each length has a bin of its own. */
    static const struct model_entry longer_first[] = { { 0x100, 530, BOOTMAP_FREE },
                                                       { 0x340, 520, BOOTMAP_FREE },
                                                       { 0x600, 12, BOOTMAP_FREE } };
    static const struct model_entry longer_last[] = { { 0x100, 520, BOOTMAP_FREE },
                                                      { 0x340, 530, BOOTMAP_FREE },
                                                      { 0x600, 12, BOOTMAP_FREE } };
    BOOT(&model, longer_first);
    expect_equal(stats_now().largest, 530);
    BOOT(&model, longer_last);
    expect_equal(stats_now().largest, 530);
    expect_equal(take(530, 1, 0), 0x340);
}

/* --- Low memory -------------------------------------------------------------------------------------------------- */

static unsigned zone_of(pfn_t pfn) {
    return (unsigned)(pfn >= MODEL_LOW) + (unsigned)(pfn >= MODEL_DMA32);
}

TEST(palloc_spends_zones_strictly_from_the_top) {
    BOOT(&model, above_4_gib);
    unsigned zone = 2;
    size_t count = 0, all = stats_now().free;
    for (pfn_t pfn; (pfn = take(1, 1, 0)) != PFN_NONE; count++) {
        expect(zone_of(pfn) <= zone);
        zone = zone_of(pfn);
    }
    expect_equal(count, all);
    expect_equal(zone, 0);
}

TEST(palloc_prefers_high_pages_again_as_soon_as_they_are_free) {
    BOOT(&model, above_4_gib);
    size_t high = stats_now().free - stats_now().free_dma32;
    for (size_t i = 0; i < high; i++)
        expect(take(1, 1, 0) >= MODEL_DMA32);
    expect_equal(zone_of(take(1, 1, 0)), 1);
    pfree(0x100200, 1);
    expect_equal(take(1, 1, 0), 0x100200);
}

TEST(palloc_of_single_pages_below_4_gib_leaves_higher_ones) {
    BOOT(&model, above_4_gib);
    for (int i = 0; i < 16; i++)
        expect_equal(zone_of(take(1, 1, MODEL_DMA32)), 1);
    expect_equal(zone_of(take(1, 1, MODEL_DMA32)), 0);
    pfn_t none = take(1, 1, 0x800);
    expect_equal(none, PFN_NONE);
}

/* --- All memory -------------------------------------------------------------------------------------------------- */

TEST(palloc_gives_each_page_once_and_joins_them_again_in_any_order) {
    static const struct model_entry entries[] = { { 0, 0x9f, BOOTMAP_FREE }, { 0x100, 0x3000, BOOTMAP_FREE } };
    BOOT(&model, entries);
    struct palloc_stats before = stats_now();
    pfn_t *pages = malloc(before.free * sizeof(*pages));
    uint8_t *seen = calloc(palloc_end(), 1);
    for (size_t i = 0; i < before.free; i++) {
        pages[i] = take(1, 1, 0);
        expect(pages[i] != PFN_NONE && pages[i] != 0 && !seen[pages[i]]);
        seen[pages[i]] = 1;
    }
    expect(palloc(1) == NULL);
    expect_equal(stats_now().held, before.free);
    palloc_audit();

    struct test_random random = { 11 };
    for (size_t left = before.free; left > 0; left--) {
        size_t at = test_random_below(&random, (uint32_t)left);
        pfree(pages[at], 1);
        pages[at] = pages[left - 1];
    }
    palloc_audit();
    palloc_drain();
    palloc_audit();
    struct palloc_stats after = stats_now();
    expect_equal(after.largest, before.largest);
    expect_equal(after.runs, before.runs);
    expect_equal(after.free, before.free);
    free(pages);
    free(seen);
}

TEST(palloc_finds_a_run_that_only_cached_pages_complete) {
    static const struct model_entry entries[] = { { 0x1000, 0x20, BOOTMAP_FREE } };
    BOOT(&model, entries);
    uint32_t all = (uint32_t)stats_now().free;
    pfn_t pfn = take(1, 1, 0);
    pfree(pfn, 1);
    expect_equal(palloc_state(pfn), PALLOC_CACHED);
    expect_equal(stats_now().cached + stats_now().free, all);
    expect_equal(take(all, 1, 0), 0x1000);
}

/* --- Set-up ------------------------------------------------------------------------------------------------------ */

TEST(palloc_set_up_and_long_runs_write_few_words) {
    static const struct model_entry entries[] = { { 0x100, 0x80000, BOOTMAP_FREE } };
    BOOT(&model, entries);
    pfn_t first = take(0x4000, 1, 0);
    expect(first != PFN_NONE);
    pfree(first, 0x4000);
    size_t written = 0;
    palloc_lock();
    for (pfn_t pfn = 0x100; pfn < 0x80100; pfn++)
        written += palloc_state(pfn) != PALLOC_TIED && palloc_word(pfn)->frame != 0xa5a5a5a5a5a5a5a5;
    palloc_unlock();
    expect(written <= 20);
}

TEST(palloc_set_up_finds_room_on_a_map_in_crumbs) {
    static struct model_entry crumbs[150];
    for (uint32_t i = 0; i < COUNT(crumbs); i++)
        crumbs[i] = (struct model_entry){ 0x1000 + 0x400 * i, 4, BOOTMAP_FREE };
    BOOT(&model, crumbs);
    struct palloc_stats stats = stats_now();
    expect(stats.metadata_bytes >= 150 * PAGE_SIZE);
    expect_equal(stats.total, 600);
    expect_equal(stats.free + stats.tied, 600);
    expect_equal(stats.tied, (stats.metadata_bytes + stats.debug_bytes) / PAGE_SIZE);
    palloc_audit();
    frame_audit();
}

TEST(palloc_set_up_maps_a_shared_descriptor_page_once) {
    static const struct model_entry entries[] = { { 0x100, 4, BOOTMAP_FREE },
                                                  { 0x110, 4, BOOTMAP_FREE },
                                                  { 0x120, 4, BOOTMAP_FREE } };
    BOOT(&model, entries);
    expect_equal(stats_now().metadata_bytes, 4 * PAGE_SIZE); /* words, tags, held bits, ready bytes */
    palloc_audit();
}

TEST(palloc_set_up_without_room_is_an_error) {
    static const struct model_entry one[] = { { 0x100, 1, BOOTMAP_FREE } };
    static const struct model_entry two[] = { { 0x100, 2, BOOTMAP_FREE } };
    static const struct model_entry far[] = { { 0x400000, 2, BOOTMAP_FREE } };
    expect_equal(model_boot(&model, one, 1), ERR_NO_MEMORY);
    expect_equal(model_boot(&model, two, 1), ERR_NO_MEMORY);
    expect_equal(model_boot(&model, far, 1), ERR_NO_MEMORY);
}

static int refuse_to_map(void *argument, uintptr_t address, pfn_t first, size_t pages) {
    (void)argument;
    (void)address;
    (void)first;
    (void)pages;
    return ERR_EXISTS;
}

TEST(palloc_set_up_passes_on_an_error_of_the_map_function) {
    struct bootmap_range ranges[8];
    struct bootmap map;
    bootmap_init(&map, ranges, COUNT(ranges));
    bootmap_add(&map, pfn_to_phys(0x100), pfn_to_phys(0x100), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(palloc_init(&map, 0x10000, refuse_to_map, NULL), ERR_EXISTS);
}

TEST(palloc_describes_16_gib) {
    static const struct model_entry entries[] = { { 0x100, 0xbff00, BOOTMAP_FREE },
                                                  { 0x100000, 0x340000, BOOTMAP_FREE } };
    BOOT(&model, entries);
    expect_equal(stats_now().total, 0xbff00 + 0x340000);
    expect(stats_now().metadata_bytes < stats_now().total * 10);
    expect(take(0x300000, 1, 0) >= MODEL_DMA32);
    palloc_audit();
}

/* --- The loader's pages ------------------------------------------------------------------------------------------ */

TEST(palloc_reclaim_joins_the_loaders_pages_with_their_neighbours) {
    static const struct model_entry entries[] = { { 0x100, 0x100, BOOTMAP_FREE }, { 0x140, 8, BOOTMAP_LOADER } };
    BOOT(&model, entries);
    expect_equal(stats_now().runs, 2);
    expect_equal(frame_get(0x140).owner, FRAME_LOADER);
    expect_equal(frame_map(0x143, 0), 0);
    expect_panic(
        "palloc_reclaim(page 0x140, 8 pages): page 0x143 isn't the loader's: it is owned by loader data, mapped 1 *",
        palloc_reclaim(0x140, 8));
    frame_unmap(0x143, 0);
    palloc_reclaim(0x140, 4);
    palloc_reclaim(0x144, 4);
    expect_equal(stats_now().runs, 1);
    expect_panic("palloc_reclaim(page 0x140, 8 pages): page 0x140 isn't the loader's: it is free",
                 palloc_reclaim(0x140, 8));
    palloc_audit();
}

/* --- Counters ---------------------------------------------------------------------------------------------------- */

TEST(frame_counts_four_million_mappings_and_refuses_the_next) {
    BOOT(&model, small);
    pfn_t pfn = take(1, 1, 0);
    uint32_t count = 0;
    while (frame_map(pfn, PAGE_WRITE) == 0)
        count++;
    expect_equal(count, FRAME_MAPPINGS_MAX);
    expect_equal(frame_get(pfn).writable, FRAME_MAPPINGS_MAX);
    frame_audit();
    for (; count > 0; count--)
        frame_unmap(pfn, PAGE_WRITE);
    expect_equal(palloc_state(pfn), PALLOC_HELD);
}
