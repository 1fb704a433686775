#include <tests/host/bare.h>
#include <tests/host/huge.h>
#include <tests/test.h>

static struct huge space;

static int map_nothing(void *argument, uintptr_t address, pfn_t first, size_t pages) {
    (void)argument;
    (void)address;
    (void)first;
    (void)pages;
    return 0;
}

void bare_boot(const struct bare_extent *extents, size_t count) {
    static struct bootmap_range ranges[32];
    struct bootmap map;
    if (space.address != 0)
        huge_give_back(&space);
    bootmap_init(&map, ranges, sizeof(ranges) / sizeof(ranges[0]));
    for (size_t i = 0; i < count; i++)
        bootmap_add(&map, pfn_to_phys((pfn_t)extents[i].first), extents[i].pages << PAGE_SHIFT, extents[i].type);
    expect_equal(bootmap_finish(&map, 0), 0);
    if (!huge_reserve(&space, palloc_metadata_bytes(&map)))
        test_skip("the host has no such address space");
    expect_equal(palloc_init(&map, space.address, map_nothing, NULL), 0);
    frame_init(&map);
}

size_t bare_touched(void) {
    return huge_touched(&space);
}
