/* mem/bootmap.c on maps as firmware gives them: those of QEMU as it shows them, the others written after what
 * machines of that kind report. */
#include <base/bits.h>
#include <mem/bootmap.h>
#include <tests/test.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KIB(n)       ((uint64_t)(n) << 10)
#define MIB(n)       ((uint64_t)(n) << 20)
#define GIB(n)       ((uint64_t)(n) << 30)

/* first, end: as logs show them, so that a line can be compared with its source. */
struct line {
    uint64_t first, end;
    enum bootmap_type type;
};

struct fixture {
    const struct line *lines;
    size_t count;
    size_t free_pages; /* without the image */
    pfn_t end;
};

/* --- The maps ---------------------------------------------------------------------------------------------------- */

/* QEMU 7.2, -M pc -m 128 */
static const struct line qemu_pc_128m[] = {
    { 0x0, 0x9fc00, BOOTMAP_FREE },
    { 0x9fc00, 0xa0000, BOOTMAP_RESERVED },
    { 0xf0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0x7fe0000, BOOTMAP_FREE },
    { 0x7fe0000, 0x8000000, BOOTMAP_RESERVED },
    { 0xfffc0000, 0x100000000, BOOTMAP_RESERVED },
    { 0xfd00000000, 0x10000000000, BOOTMAP_RESERVED },
};

/* QEMU 7.2, -M pc -m 5G; the four pages at 0xfeffc000 are there with KVM only */
static const struct line qemu_pc_5g[] = {
    { 0x0, 0x9fc00, BOOTMAP_FREE },
    { 0x9fc00, 0xa0000, BOOTMAP_RESERVED },
    { 0xf0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0xbffe0000, BOOTMAP_FREE },
    { 0xbffe0000, 0xc0000000, BOOTMAP_RESERVED },
    { 0xfeffc000, 0xff000000, BOOTMAP_RESERVED },
    { 0xfffc0000, 0x100000000, BOOTMAP_RESERVED },
    { 0x100000000, 0x180000000, BOOTMAP_FREE },
    { 0xfd00000000, 0x10000000000, BOOTMAP_RESERVED },
};

/* QEMU 7.2, -M q35 -m 5G: the hole begins at 2 GiB, and the PCI window is listed. */
static const struct line qemu_q35_5g[] = {
    { 0x0, 0x9fc00, BOOTMAP_FREE },
    { 0x9fc00, 0xa0000, BOOTMAP_RESERVED },
    { 0xf0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0x7ffdf000, BOOTMAP_FREE },
    { 0x7ffdf000, 0x80000000, BOOTMAP_RESERVED },
    { 0xb0000000, 0xc0000000, BOOTMAP_RESERVED },
    { 0xfed1c000, 0xfed20000, BOOTMAP_RESERVED },
    { 0xfeffc000, 0xff000000, BOOTMAP_RESERVED },
    { 0xfffc0000, 0x100000000, BOOTMAP_RESERVED },
    { 0x100000000, 0x1c0000000, BOOTMAP_FREE },
    { 0xfd00000000, 0x10000000000, BOOTMAP_RESERVED },
};

/* A virtual machine that starts by PVH without any BIOS: RAM, and little else. */
static const struct line pvh_128m[] = {
    { 0x0, 0x9fc00, BOOTMAP_FREE },
    { 0x9fc00, 0xa0000, BOOTMAP_RESERVED },
    { 0xf0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0x8000000, BOOTMAP_FREE },
};

/* A Xen guest: the RAM is one piece but for the pages that Xen and its store keep at the end of the first part. */
static const struct line xen_guest[] = {
    { 0x0, 0xa0000, BOOTMAP_FREE },
    { 0xa0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0xeffff000, BOOTMAP_FREE },
    { 0xfc000000, 0xfc009040, BOOTMAP_ACPI },
    { 0xfeff8000, 0xff000000, BOOTMAP_RESERVED },
    { 0x100000000, 0x20f800000, BOOTMAP_FREE },
};

/* An old PC with the "memory hole at 15 MiB" switched on in its setup, for ISA cards; 64 MiB. */
static const struct line old_pc[] = {
    { 0x0, 0xa0000, BOOTMAP_FREE },
    { 0xe0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0xf00000, BOOTMAP_FREE },
    { 0x1000000, 0x4000000, BOOTMAP_FREE },
    { 0xffff0000, 0x100000000, BOOTMAP_RESERVED },
};

/* A desktop with 8 GiB and the hole for devices at 3 GiB, tables at odd addresses. */
static const struct line desktop_8g[] = {
    { 0x0, 0x9d800, BOOTMAP_FREE },
    { 0x9d800, 0xa0000, BOOTMAP_RESERVED },
    { 0xe0000, 0x100000, BOOTMAP_RESERVED },
    { 0x100000, 0xbd0b7000, BOOTMAP_FREE },
    { 0xbd0b7000, 0xbd1d4000, BOOTMAP_RESERVED },
    { 0xbd1d4000, 0xbd4e7000, BOOTMAP_NVS },
    { 0xbd4e7000, 0xbe7d5000, BOOTMAP_RESERVED },
    { 0xbe7d5000, 0xbe800000, BOOTMAP_FREE },
    { 0xbe800000, 0xbe943400, BOOTMAP_ACPI },
    { 0xbe943400, 0xbf000000, BOOTMAP_NVS },
    { 0xe0000000, 0xf0000000, BOOTMAP_RESERVED },
    { 0xfec00000, 0xfec01000, BOOTMAP_RESERVED },
    { 0xfee00000, 0xfee01000, BOOTMAP_RESERVED },
    { 0xff000000, 0x100000000, BOOTMAP_RESERVED },
    { 0x100000000, 0x240000000, BOOTMAP_FREE },
};

/* A firmware that can't make up its mind: overlaps, empty and wrapping entries, reserved inside free, twice the
 * same, RAM where the interrupt controllers are, and an end before its start. */
static const struct line liar[] = {
    { 0x100000000, 0x200000000, BOOTMAP_FREE },   { 0x0, 0x20000000, BOOTMAP_FREE },
    { 0xa0000, 0x100000, BOOTMAP_RESERVED },      { 0x100000, 0x20000000, BOOTMAP_FREE },
    { 0x1ff00000, 0x20100000, BOOTMAP_RESERVED }, { 0x1ff80000, 0x20000000, BOOTMAP_FREE },
    { 0x5000000, 0x5000000, BOOTMAP_RESERVED },   { 0x8000123, 0x8000124, BOOTMAP_BAD },
    { 0xfee00000, 0xfef00000, BOOTMAP_FREE },     { 0xfec00000, 0x100000000, BOOTMAP_RESERVED },
    { 0x1f0000000, 0x1f0000000, BOOTMAP_NVS },    { 0xffffffffffff0000, 0x10000, BOOTMAP_RESERVED },
};

/* Page by page: pages 1 to 0x9e (0x9f is reserved in part), and so on. */
static const struct fixture fixtures[] = {
    { qemu_pc_128m, COUNT(qemu_pc_128m), 0x9e + (0x7fe0 - 0x100), 0x7fe0 },
    { qemu_pc_5g, COUNT(qemu_pc_5g), 0x9e + (0xbffe0 - 0x100) + 0x80000, 0x180000 },
    { qemu_q35_5g, COUNT(qemu_q35_5g), 0x9e + (0x7ffdf - 0x100) + 0xc0000, 0x1c0000 },
    { pvh_128m, COUNT(pvh_128m), 0x9e + (0x8000 - 0x100), 0x8000 },
    { xen_guest, COUNT(xen_guest), 0x9f + (0xeffff - 0x100) + 0x10f800, 0x20f800 },
    { old_pc, COUNT(old_pc), 0x9f + (0xf00 - 0x100) + 0x3000, 0x4000 },
    { desktop_8g, COUNT(desktop_8g), 0x9c + (0xbd0b7 - 0x100) + 0x2b + 0x140000, 0x240000 },
    /* the entry that wraps is cut at 2^64 and takes nothing from below; the one byte of bad RAM costs a page */
    { liar, COUNT(liar), 0x9f + (0x1ff00 - 0x100) - 1 + 0x100000, 0x200000 },
};

/* --- Reading them ------------------------------------------------------------------------------------------------ */

static struct bootmap_range room[4096];
static struct bootmap map;

static void add_line(const struct line *line) {
    expect_equal(bootmap_add(&map, line->first, line->end - line->first, line->type), 0);
}

static void start(void) {
    bootmap_init(&map, room, COUNT(room));
}

static void expect_sorted(void) {
    for (size_t i = 0; i < map.count; i++) {
        expect(map.ranges[i].first % PAGE_SIZE == 0 && (map.ranges[i].last + 1) % PAGE_SIZE == 0);
        expect(i == 0 || map.ranges[i - 1].last < map.ranges[i].first);
    }
}

static void expect_fixture(const struct fixture *fixture) {
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_sorted();
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), fixture->free_pages);
    expect_equal(bootmap_end(&map), fixture->end);
}

TEST(bootmap_reads_maps_of_real_machines) {
    for (size_t i = 0; i < COUNT(fixtures); i++) {
        start();
        for (size_t j = 0; j < fixtures[i].count; j++)
            add_line(&fixtures[i].lines[j]);
        expect_fixture(&fixtures[i]);
    }
}

TEST(bootmap_reads_maps_of_real_machines_in_any_order_and_twice) {
    struct test_random random = { 3 };
    for (size_t i = 0; i < COUNT(fixtures); i++)
        for (int round = 0; round < 50; round++) {
            struct line lines[COUNT(desktop_8g)];
            size_t count = fixtures[i].count;
            for (size_t j = 0; j < count; j++) {
                size_t at = test_random_below(&random, (uint32_t)j + 1);
                lines[j] = lines[at];
                lines[at] = fixtures[i].lines[j];
            }
            start();
            for (size_t j = 0; j < count + count / 2; j++)
                add_line(&lines[j % count]);
            expect_fixture(&fixtures[i]);
        }
}

TEST(bootmap_keeps_image_and_modules_out_of_a_real_map) {
    start();
    for (size_t i = 0; i < COUNT(qemu_pc_128m); i++)
        add_line(&qemu_pc_128m[i]);
    expect_equal(bootmap_add(&map, MIB(1), 0x54321, BOOTMAP_KERNEL), 0);
    expect_equal(bootmap_add(&map, 0x7fb1000, 0x2e5f7, BOOTMAP_LOADER), 0);
    expect_equal(bootmap_add(&map, 0x9500, 0x80, BOOTMAP_LOADER), 0);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(bootmap_pages(&map, BOOTMAP_KERNEL), 0x55);
    expect_equal(bootmap_pages(&map, BOOTMAP_LOADER), 0x2f + 1);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), fixtures[0].free_pages - 0x55 - 0x2f - 1);
    expect(bootmap_carve(&map, 16, 0) < 0x7fb1);
}

TEST(bootmap_leaves_out_what_lies_past_a_limit) {
    start();
    for (size_t i = 0; i < COUNT(qemu_pc_5g); i++)
        add_line(&qemu_pc_5g[i]);
    expect_equal(bootmap_finish(&map, 0x100000), 0);
    expect_equal(bootmap_end(&map), 0xbffe0);
}

/* UEFI firmware lists each piece that it ever allocated, sorted by nothing: boot services code and data, which are
 * free by now, between conventional memory and what runtime services keep. */
TEST(bootmap_reads_a_hundred_scrambled_entries_of_a_laptop) {
    enum { PIECES = 96, FIRST_PAGE = 0x100, PIECE_PAGES = 0x700 };
    static struct line pieces[PIECES];
    struct test_random random = { 9 };
    size_t reserved = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        uint64_t first = pfn_to_phys(FIRST_PAGE + i * PIECE_PAGES);
        bool kept = i % 8 == 5;
        pieces[i] = (struct line){ first, first + pfn_to_phys(PIECE_PAGES), kept ? BOOTMAP_RESERVED : BOOTMAP_FREE };
        reserved += kept;
    }
    for (uint32_t i = PIECES; i > 1; i--) {
        uint32_t at = test_random_below(&random, i);
        struct line moved = pieces[at];
        pieces[at] = pieces[i - 1];
        pieces[i - 1] = moved;
    }
    start();
    for (size_t i = 0; i < PIECES; i++)
        add_line(&pieces[i]);
    expect_equal(bootmap_finish(&map, 0), 0);
    expect_equal(map.count, 2 * reserved + 1);
    expect_equal(bootmap_pages(&map, BOOTMAP_FREE), (PIECES - reserved) * PIECE_PAGES);
}

TEST(bootmap_takes_thousands_of_entries) {
    enum { ENTRIES = 2000 };
    start();
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t scrambled = (i * 1237) % ENTRIES;
        expect_equal(bootmap_add(&map, pfn_to_phys(1 + 2 * scrambled), PAGE_SIZE, BOOTMAP_FREE), 0);
    }
    expect_equal(map.count, ENTRIES);
    expect_equal(bootmap_add(&map, 0, pfn_to_phys(2 * ENTRIES + 1), BOOTMAP_NVS), 0);
    expect_equal(map.count, 1);
    expect_equal(bootmap_finish(&map, 0), ERR_NO_MEMORY);
}

TEST(bootmap_of_reserved_memory_alone_is_refused) {
    start();
    expect_equal(bootmap_add(&map, 0, UINT64_MAX, BOOTMAP_RESERVED), 0);
    expect_equal(bootmap_finish(&map, 0), ERR_NO_MEMORY);
    start();
    expect_equal(bootmap_finish(&map, 0), ERR_NO_MEMORY);
    expect_equal(bootmap_end(&map), 0);
}
