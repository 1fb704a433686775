/* mem/bootmap.c, on maps of its own: nothing here touches the live system. */
#include <base/bits.h>
#include <mem/bootmap.h>
#include <tests/test.h>

#define PAGE(n) ((uint64_t)(n)*PAGE_SIZE)

static struct bootmap_range room[600];
static struct bootmap map;

static void start(void) {
    bootmap_init(&map, room, sizeof(room) / sizeof(room[0]));
}

static void add(uint64_t first_byte, uint64_t bytes, enum bootmap_type type) {
    expect_equal(bootmap_add(&map, first_byte, bytes, type), 0);
}

static void expect_range(size_t index, uint64_t first, uint64_t last, enum bootmap_type type) {
    expect(index < map.count);
    expect_equal(map.ranges[index].first, first);
    expect_equal(map.ranges[index].last, last);
    expect_equal(map.ranges[index].type, type);
}

TEST(bootmap_sorts_entries_that_come_in_any_order) {
    start();
    add(PAGE(30), PAGE(1), BOOTMAP_FREE);
    add(PAGE(10), PAGE(1), BOOTMAP_NVS);
    add(PAGE(20), PAGE(1), BOOTMAP_FREE);
    expect_equal(map.count, 3);
    expect_range(0, PAGE(10), PAGE(11) - 1, BOOTMAP_NVS);
    expect_range(1, PAGE(20), PAGE(21) - 1, BOOTMAP_FREE);
    expect_range(2, PAGE(30), PAGE(31) - 1, BOOTMAP_FREE);
}

TEST(bootmap_lets_the_most_restrictive_type_win_in_either_order) {
    for (int order = 0; order < 2; order++) {
        start();
        add(PAGE(1), PAGE(9), BOOTMAP_FREE);
        add(PAGE(4), PAGE(2), order == 0 ? BOOTMAP_RESERVED : BOOTMAP_LOADER);
        add(PAGE(4), PAGE(2), order == 0 ? BOOTMAP_LOADER : BOOTMAP_RESERVED);
        expect_equal(map.count, 3);
        expect_range(1, PAGE(4), PAGE(6) - 1, BOOTMAP_RESERVED);
        expect_range(2, PAGE(6), PAGE(10) - 1, BOOTMAP_FREE);
    }
}

TEST(bootmap_fills_gaps_between_ranges_that_an_entry_spans) {
    start();
    add(PAGE(2), PAGE(1), BOOTMAP_RESERVED);
    add(PAGE(4), PAGE(1), BOOTMAP_RESERVED);
    add(PAGE(1), PAGE(5), BOOTMAP_FREE);
    expect_equal(map.count, 5);
    expect_range(0, PAGE(1), PAGE(2) - 1, BOOTMAP_FREE);
    expect_range(2, PAGE(3), PAGE(4) - 1, BOOTMAP_FREE);
    expect_range(4, PAGE(5), PAGE(6) - 1, BOOTMAP_FREE);
}

TEST(bootmap_joins_touching_and_overlapping_entries_of_one_type) {
    start();
    add(PAGE(1), PAGE(2), BOOTMAP_FREE);
    add(PAGE(3), PAGE(2), BOOTMAP_FREE);
    add(PAGE(4), PAGE(4), BOOTMAP_FREE);
    expect_equal(map.count, 1);
    expect_range(0, PAGE(1), PAGE(8) - 1, BOOTMAP_FREE);
}

TEST(bootmap_ignores_empty_entries_and_counts_them) {
    start();
    add(PAGE(5), 0, BOOTMAP_RESERVED);
    add(UINT64_MAX, 0, BOOTMAP_FREE);
    expect_equal(map.count, 0);
    expect_equal(map.ignored, 2);
}

TEST(bootmap_cuts_an_entry_that_passes_2_to_the_64) {
    start();
    add(PAGE(1), PAGE(4), BOOTMAP_FREE);
    add(UINT64_MAX - PAGE(1) + 1, PAGE(2), BOOTMAP_RESERVED);
    expect_equal(map.ignored, 1);
    expect_range(1, UINT64_MAX - PAGE(1) + 1, UINT64_MAX, BOOTMAP_RESERVED);
    add(PAGE(3), UINT64_MAX, BOOTMAP_BAD);
    expect_equal(map.count, 2);
    expect_range(1, PAGE(3), UINT64_MAX, BOOTMAP_BAD);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), 2);
}

TEST(bootmap_takes_an_entry_that_ends_exactly_at_2_to_the_64) {
    start();
    add(UINT64_MAX, 1, BOOTMAP_RESERVED);
    add(0, UINT64_MAX, BOOTMAP_FREE);
    expect_equal(map.ignored, 0);
    expect_equal(map.count, 2);
    expect_range(1, UINT64_MAX, UINT64_MAX, BOOTMAP_RESERVED);
}

TEST(bootmap_refuses_types_that_say_nothing) {
    start();
    expect_equal(bootmap_add(&map, 0, PAGE(1), BOOTMAP_NONE), ERR_INVALID);
    expect_equal(bootmap_add(&map, 0, PAGE(1), (enum bootmap_type)(BOOTMAP_BAD + 1)), ERR_INVALID);
    expect_equal(map.count, 0);
}

TEST(bootmap_rounds_free_ranges_inward_and_all_others_outward) {
    start();
    add(PAGE(10) + 1, PAGE(4), BOOTMAP_FREE);
    add(PAGE(20) + 5, 1, BOOTMAP_LOADER);
    add(PAGE(30), PAGE(1) - 1, BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(map.count, 2);
    expect_range(0, PAGE(11), PAGE(14) - 1, BOOTMAP_FREE);
    expect_range(1, PAGE(20), PAGE(21) - 1, BOOTMAP_LOADER);
}

TEST(bootmap_joins_halves_of_a_page_before_it_rounds) {
    start();
    add(PAGE(7), PAGE(1) / 2, BOOTMAP_FREE);
    add(PAGE(7) + PAGE(1) / 2, PAGE(1) / 2, BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_range(0, PAGE(7), PAGE(8) - 1, BOOTMAP_FREE);
}

TEST(bootmap_gives_a_page_to_the_most_restrictive_of_its_bytes) {
    start();
    add(PAGE(5), PAGE(4), BOOTMAP_FREE);
    add(PAGE(6) + 10, 10, BOOTMAP_LOADER);
    add(PAGE(6) + 100, 10, BOOTMAP_BAD);
    add(PAGE(6) + 200, 10, BOOTMAP_KERNEL);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(map.count, 3);
    expect_range(1, PAGE(6), PAGE(7) - 1, BOOTMAP_BAD);
    expect_range(2, PAGE(7), PAGE(9) - 1, BOOTMAP_FREE);
}

TEST(bootmap_keeps_out_page_0_and_pages_past_the_limit) {
    start();
    add(0, PAGE(100), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 50), 0);
    expect_equal(bootmap_end(&map), 50);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), 49);
    expect_range(0, PAGE(1), PAGE(50) - 1, BOOTMAP_FREE);
}

TEST(bootmap_never_describes_a_page_whose_number_means_none) {
    start();
    add(PAGE(1), UINT64_MAX - PAGE(1), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_end(&map), PFN_NONE);
    expect_range(0, PAGE(1), PAGE(PFN_NONE) - 1, BOOTMAP_FREE);
}

TEST(bootmap_refuses_a_map_without_a_free_page) {
    start();
    add(0, PAGE(1), BOOTMAP_FREE);
    add(PAGE(9) + 1, PAGE(1), BOOTMAP_FREE);
    add(PAGE(20), PAGE(20), BOOTMAP_RESERVED);
    expect_equal(bootmap_finish(&map, 0), ERR_NO_MEMORY);
}

TEST(bootmap_without_room_refuses_and_stays_as_it_was) {
    bootmap_init(&map, room, 3);
    add(PAGE(10), PAGE(10), BOOTMAP_FREE);
    add(PAGE(30), PAGE(10), BOOTMAP_FREE);
    expect_equal(bootmap_add(&map, PAGE(12), PAGE(1), BOOTMAP_RESERVED), ERR_NO_SPACE);
    expect_equal(map.count, 2);
    expect_range(0, PAGE(10), PAGE(20) - 1, BOOTMAP_FREE);
    expect_range(1, PAGE(30), PAGE(40) - 1, BOOTMAP_FREE);
    add(PAGE(20), PAGE(10), BOOTMAP_RESERVED);
    expect_equal(map.count, 3);
}

TEST(bootmap_needs_at_most_two_ranges_and_one_for_each_entry) {
    struct test_random random = { 7 };
    for (int round = 0; round < 200; round++) {
        uint32_t entries = 1 + test_random_below(&random, 30);
        bootmap_init(&map, room, 2 * entries + 1);
        for (uint32_t i = 0; i < entries; i++)
            add(PAGE(test_random_below(&random, 60)), PAGE(test_random_below(&random, 30)),
                (enum bootmap_type)(1 + test_random_below(&random, BOOTMAP_BAD)));
    }
}

TEST(bootmap_shows_joined_ram_whatever_was_made_of_it) {
    start();
    add(PAGE(10), PAGE(10), BOOTMAP_FREE);
    add(PAGE(12), PAGE(2), BOOTMAP_KERNEL);
    add(PAGE(15), PAGE(2), BOOTMAP_ACPI);
    add(PAGE(30), PAGE(4), BOOTMAP_LOADER);
    expect_equal(bootmap_finish(&map, 0), 0);
    for (int carved = 0; carved < 2; carved++) {
        static const struct extent should[] = { { 10, 15 }, { 17, 20 }, { 30, 34 } };
        struct extent extent;
        size_t index = 0;
        for (int i = 0; i < 3; i++) {
            expect(bootmap_next_ram(&map, &index, &extent));
            expect_equal(extent.first, should[i].first);
            expect_equal(extent.end, should[i].end);
        }
        expect(!bootmap_next_ram(&map, &index, &extent));
        expect_equal(bootmap_carve(&map, 2, 0), carved == 0 ? 18 : 10);
    }
}

/* --- Carving ----------------------------------------------------------------------------------------------------- */

TEST(bootmap_carves_as_high_as_it_can) {
    start();
    add(PAGE(1), PAGE(99), BOOTMAP_FREE);
    add(PAGE(200), PAGE(10), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_carve(&map, 4, 0), 206);
    expect_equal(bootmap_carve(&map, 6, 0), 200);
    expect_equal(bootmap_carve(&map, 20, 0), 80);
    expect_equal(bootmap_pages(&map, BOOTMAP_METADATA), 30);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), 79);
}

TEST(bootmap_carves_below_a_limit_inside_a_range) {
    start();
    add(PAGE(100), PAGE(100), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_carve(&map, 5, 150), 145);
    expect_equal(map.count, 3);
    expect_equal(bootmap_carve(&map, 5, 103), PFN_NONE);
    expect_equal(bootmap_carve(&map, 3, 103), 100);
}

TEST(bootmap_carves_below_16_mib_only_when_it_must) {
    start();
    add(PAGE(1), PAGE(4000), BOOTMAP_FREE);
    add(PAGE(4096), PAGE(8), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_carve(&map, 8, 0), 4096);
    expect_equal(bootmap_carve(&map, 8, 0), 3993);
}

TEST(bootmap_refuses_a_run_that_no_range_has) {
    start();
    add(PAGE(10), PAGE(4), BOOTMAP_FREE);
    add(PAGE(20), PAGE(4), BOOTMAP_FREE);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_carve(&map, 5, 0), PFN_NONE);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), 8);
}

TEST(bootmap_is_closed_once_it_is_finished) {
    start();
    add(PAGE(10), PAGE(4), BOOTMAP_FREE);
    expect_panic("bootmap_carve: bootmap_finish() has not been called", bootmap_carve(&map, 1, 0));
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_panic("bootmap_add(0x1000, 0x2000): the map is finished", bootmap_add(&map, 0x1000, 0x2000, BOOTMAP_FREE));
    expect_panic("bootmap_finish: the map is finished already", bootmap_finish(&map, 0));
}

/* --- A painter too simple to be wrong ----------------------------------------------------------------------------- */

/* The world is 64 pages of 16 units of 256 bytes; a byte for each unit. */
enum { UNIT = 256, UNITS_IN_PAGE = 16, PAINTED_PAGES = 64, UNITS = PAINTED_PAGES * UNITS_IN_PAGE };
static uint8_t canvas[UNITS];

static void paint_both(uint32_t first, uint32_t end, enum bootmap_type type) {
    for (uint32_t unit = first; unit < end; unit++)
        if (type > canvas[unit])
            canvas[unit] = (uint8_t)type;
    add((uint64_t)first * UNIT, (uint64_t)(end - first) * UNIT, type);
}

static enum bootmap_type type_at(uint64_t byte) {
    for (size_t i = 0; i < map.count; i++)
        if (map.ranges[i].first <= byte && byte <= map.ranges[i].last)
            return map.ranges[i].type;
    return BOOTMAP_NONE;
}

static void expect_canonical(void) {
    for (size_t i = 0; i < map.count; i++) {
        expect(map.ranges[i].first <= map.ranges[i].last && map.ranges[i].type != BOOTMAP_NONE);
        if (i == 0)
            continue;
        expect(map.ranges[i - 1].last < map.ranges[i].first);
        expect(map.ranges[i - 1].last + 1 < map.ranges[i].first || map.ranges[i - 1].type != map.ranges[i].type);
    }
}

/* What page `page` must be: the highest type in it; FREE only if all of it is; never anything usable at page 0. */
static enum bootmap_type judged_page(uint32_t page, uint32_t limit) {
    enum bootmap_type highest = BOOTMAP_NONE;
    bool all_free = true;
    for (uint32_t unit = page * UNITS_IN_PAGE; unit < (page + 1) * UNITS_IN_PAGE; unit++) {
        highest = canvas[unit] > highest ? (enum bootmap_type)canvas[unit] : highest;
        all_free = all_free && canvas[unit] == BOOTMAP_FREE;
    }
    if (highest == BOOTMAP_FREE && !all_free)
        return BOOTMAP_NONE;
    return highest <= BOOTMAP_KERNEL && (page == 0 || page >= limit) ? BOOTMAP_NONE : highest;
}

TEST(bootmap_agrees_with_a_painter_of_single_bytes) {
    struct test_random random = { 1 };
    for (int round = 0; round < 300; round++) {
        start();
        for (uint32_t i = 0; i < UNITS; i++)
            canvas[i] = BOOTMAP_NONE;
        uint32_t longest = round % 3 == 0 ? UNITS / 2 : 4 * UNITS_IN_PAGE;
        for (uint32_t entries = test_random_below(&random, 40); entries > 0; entries--) {
            uint32_t first = test_random_below(&random, UNITS), end = first + test_random_below(&random, longest);
            paint_both(first, end < UNITS ? end : UNITS,
                       (enum bootmap_type)(1 + test_random_below(&random, round % 2 == 0 ? BOOTMAP_BAD : 3)));
        }
        expect_canonical();
        for (uint32_t unit = 0; unit < UNITS; unit++) {
            expect_equal(type_at((uint64_t)unit * UNIT), canvas[unit]);
            expect_equal(type_at((uint64_t)unit * UNIT + UNIT - 1), canvas[unit]);
        }

        uint32_t limit = round % 5 == 0 ? test_random_below(&random, PAINTED_PAGES) + 1 : PAINTED_PAGES;
        size_t free_pages = 0;
        int result = bootmap_finish(&map, limit);
        expect_canonical();
        for (uint32_t page = 0; page < PAINTED_PAGES; page++) {
            enum bootmap_type should = judged_page(page, limit);
            expect_equal(type_at(PAGE(page)), should);
            expect_equal(type_at(PAGE(page) + PAGE_SIZE - 1), should);
            free_pages += should == BOOTMAP_FREE;
        }
        expect_equal(bootmap_pages(&map, BOOTMAP_FREE), free_pages);
        expect_equal(result, free_pages > 0 ? 0 : ERR_NO_MEMORY);
    }
}
