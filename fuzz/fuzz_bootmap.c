/* Bytes become entries of a firmware map, judged by a painter with one byte for each unit.
 *
 *     byte 0      room for ranges, so that running out is tried too
 *     byte 1      limit
 *     then 4 bytes an entry: first, length, shift and offset, type
 *
 * The world is 48 pages of 16 units at the bottom, and the same at the top of 2^64, so that wrapping is in reach. */
#include <mem/bootmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT = 256, UNITS_IN_PAGE = 16, PAGES = 48, UNITS = PAGES * UNITS_IN_PAGE };

static uint8_t bottom[UNITS], top[UNITS];
static struct bootmap_range room[256];
static struct bootmap map;

#define demand(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: demanded: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const uint64_t top_first = 0 - (uint64_t)UNITS * UNIT;

/* A unit of the world is painted when its first and last byte are, and entries begin and end at units. */
static void paint(uint64_t first, uint64_t bytes, uint8_t type) {
    if (bytes == 0)
        return;
    uint64_t last = bytes - 1 > UINT64_MAX - first ? UINT64_MAX : first + (bytes - 1);
    for (uint64_t i = 0; i < UNITS; i++) {
        uint64_t low = i * UNIT, high = top_first + i * UNIT;
        if (first <= low && low + (UNIT - 1) <= last && bottom[i] < type)
            bottom[i] = type;
        if (first <= high && high + (UNIT - 1) <= last && top[i] < type)
            top[i] = type;
    }
}

static uint8_t type_at(uint64_t byte) {
    for (size_t i = 0; i < map.count; i++)
        if (map.ranges[i].first <= byte && byte <= map.ranges[i].last)
            return (uint8_t)map.ranges[i].type;
    return BOOTMAP_NONE;
}

static void judge_form(void) {
    for (size_t i = 0; i < map.count; i++) {
        const struct bootmap_range *range = &map.ranges[i];
        demand(range->first <= range->last && range->type != BOOTMAP_NONE);
        demand(i == 0 || range[-1].last < range->first);
        demand(i == 0 || range[-1].last + 1 < range->first || range[-1].type != range->type);
    }
}

static void judge_painted(void) {
    judge_form();
    for (uint64_t i = 0; i < UNITS; i++) {
        demand(type_at(i * UNIT) == bottom[i] && type_at(i * UNIT + UNIT - 1) == bottom[i]);
        demand(type_at(top_first + i * UNIT) == top[i] && type_at(top_first + i * UNIT + UNIT - 1) == top[i]);
    }
}

/* bootmap_add() of one entry, which leaves the map as it was if there is no room. */
static void add(uint64_t first, uint64_t bytes, uint8_t type) {
    static struct bootmap_range before[256];
    size_t count = map.count;
    memcpy(before, room, sizeof(before));
    int error = bootmap_add(&map, first, bytes, (enum bootmap_type)type);
    if (error == 0)
        paint(first, bytes, type);
    else
        demand(map.count == count && memcmp(before, room, count * sizeof(room[0])) == 0);
    demand(error == 0 || (error == ERR_NO_SPACE && type != 0) || (error == ERR_INVALID && type == 0));
}

static void judge_page(const uint8_t *units, uint64_t first_byte, bool usable) {
    uint8_t highest = BOOTMAP_NONE;
    bool all_free = true;
    for (int i = 0; i < UNITS_IN_PAGE; i++) {
        highest = units[i] > highest ? units[i] : highest;
        all_free = all_free && units[i] == BOOTMAP_FREE;
    }
    bool is_ram = highest == BOOTMAP_FREE || highest == BOOTMAP_LOADER || highest == BOOTMAP_METADATA ||
                  highest == BOOTMAP_KERNEL;
    if ((is_ram && !usable) || (highest == BOOTMAP_FREE && !all_free))
        highest = BOOTMAP_NONE;
    demand(type_at(first_byte) == highest && type_at(first_byte + PAGE_SIZE - 1) == highest);
}

static void judge_finished(uint32_t limit) {
    judge_form();
    for (uint32_t page = 0; page < PAGES; page++) {
        judge_page(bottom + page * UNITS_IN_PAGE, (uint64_t)page * PAGE_SIZE, page > 0 && page < limit);
        judge_page(top + page * UNITS_IN_PAGE, top_first + (uint64_t)page * PAGE_SIZE, false);
    }
}

/* Carves until nothing is left: each run was free, as high as there is one, and is metadata after. */
static void judge_carving(uint32_t pages) {
    for (;;) {
        size_t free_before = bootmap_pages(&map, BOOTMAP_FREE);
        pfn_t first = bootmap_carve(&map, pages, PAGES);
        if (first == PFN_NONE)
            return;
        demand(first > 0 && first + pages <= PAGES);
        demand(bootmap_pages(&map, BOOTMAP_FREE) == free_before - pages);
        for (uint32_t page = first; page < first + pages; page++)
            demand(type_at((uint64_t)page * PAGE_SIZE) == BOOTMAP_METADATA);
        judge_form();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2)
        return 0;
    memset(bottom, 0, sizeof(bottom));
    memset(top, 0, sizeof(top));
    bootmap_init(&map, room, data[0] == 0 ? 256 : data[0]);
    for (size_t i = 2; i + 4 <= bytes; i += 4) {
        uint64_t first = (uint64_t)(data[i] * 3) * UNIT, length = (uint64_t)data[i + 1] * UNIT << (data[i + 2] % 8);
        if (data[i + 2] & 0x80)
            first += top_first;
        if ((data[i + 2] & 0x60) == 0x60)
            length = UINT64_MAX - (UNIT - 1);
        add(first, length, data[i + 3] % (BOOTMAP_BAD + 1));
    }
    judge_painted();
    uint32_t limit = data[1] % (PAGES + 1);
    int error = bootmap_finish(&map, limit);
    judge_finished(limit == 0 ? PAGES : limit);
    demand((bootmap_pages(&map, BOOTMAP_FREE) > 0) == (error == 0));
    judge_carving(1 + data[1] % 5);
    return 0;
}
