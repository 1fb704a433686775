/* Bringing the manager up where there is hardly room for it, and where the request is wrong. */
#include <arch/host/mmu.h>
#include <arch/host/ram.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/valloc.h>
#include <tests/host/machine.h>
#include <tests/test.h>

enum { FIRST_PAGE = 0x200 };

static int boot_with(uint64_t pages, const char **why) {
    struct machine_entry entries[] = { { pfn_to_phys(FIRST_PAGE), pages << PAGE_SHIFT, BOOTMAP_FREE } };
    return machine_try(entries, 1, why);
}

/* Every size from one page on: each shortage on the way up is met once, and each says what was short. */
TEST(mem_init_with_too_little_ram_says_what_was_short) {
    uint64_t pages = 1;
    const char *why = NULL;
    unsigned texts = 0;
    for (const char *last = NULL; boot_with(pages, &why) != 0; pages++) {
        expect(why != NULL && pages < 100);
        texts += last == NULL || !string_equal(last, why);
        last = why;
    }
    expect(texts >= 2);
    audit_all();
    kfree(kmalloc(1)); /* there may be no page left for it, but the heap answers */
    audit_all();
}

TEST(mem_init_without_usable_ram_says_so) {
    struct machine_entry entries[] = { { 0, PAGE_SIZE, BOOTMAP_FREE },
                                       { pfn_to_phys(8), 8 * PAGE_SIZE, BOOTMAP_RESERVED } };
    const char *why = NULL;
    expect_equal(machine_try(entries, 2, &why), ERR_NO_MEMORY);
    expect(string_equal(why, "the memory map has no usable page"));
}

/* --- Live tables of an embedder's --------------------------------------------------------------------------------- */

static struct bootmap map;
static struct bootmap_range ranges[64];

/* The embedder's root lies in RAM that it keeps for itself. */
static int init_on_live_root(pfn_t root, uintptr_t space_end, const char **why) {
    bootmap_init(&map, ranges, 64);
    expect_equal(bootmap_add(&map, pfn_to_phys(FIRST_PAGE), (uint64_t)2048 << PAGE_SHIFT, BOOTMAP_FREE), 0);
    expect_equal(bootmap_add(&map, pfn_to_phys(root), PAGE_SIZE, BOOTMAP_KERNEL), 0);
    arch_root_load(root);
    struct mem_boot boot = {
        .map = &map,
        .root = root,
        .space_first = ram_space_first(),
        .space_end = space_end,
        .early_end = FIRST_PAGE + 2048,
    };
    return mem_init(&boot, why);
}

static void fresh_machine(void) {
    ram_create(FIRST_PAGE + 2048, (size_t)512 << 20);
    mmu_reset();
}

TEST(mem_init_extends_live_tables_and_works_on_them) {
    const char *why;
    fresh_machine();
    expect_equal(init_on_live_root(FIRST_PAGE + 7, ram_space_end(), &why), 0);
    expect_equal(arch_root(), FIRST_PAGE + 7);
    expect_equal(frame_get(FIRST_PAGE + 7).owner, FRAME_KERNEL);
    char *memory = pvalloc(3, context_kernel());
    expect(memory != NULL);
    memory[5000] = 7;
    pvfree(page_number((uintptr_t)memory), 3);
    audit_all();
}

/* PAE's top entries are read with the root: one that is made later would not be seen. */
TEST(mem_init_completes_the_top_level_of_live_tables_where_it_is_fixed) {
    const char *why;
    if (!GEOMETRY_TOP_FIXED)
        test_skip("this machine reads its top level at each miss");
    fresh_machine();
    expect_equal(init_on_live_root(FIRST_PAGE + 7, ram_space_end(), &why), 0);
    unsigned long loads = mmu_counts.root_loads;
    for (unsigned i = 0; i < 1u << GEOMETRY_TOP_BITS; i++) {
        uint64_t entry;
        ram_read(pfn_to_phys(FIRST_PAGE + 7) + i * sizeof(entry), &entry, sizeof(entry));
        expect(entry & PTE_PRESENT);
    }
    expect(loads > 1); /* the embedder's own, and one after the entries were made */
    audit_all();
}

TEST(mem_init_counts_the_mappings_of_the_image) {
    fresh_machine();
    bootmap_init(&map, ranges, 64);
    expect_equal(bootmap_add(&map, pfn_to_phys(FIRST_PAGE), (uint64_t)2048 << PAGE_SHIFT, BOOTMAP_FREE), 0);
    expect_equal(bootmap_add(&map, pfn_to_phys(FIRST_PAGE + 8), 2 * PAGE_SIZE, BOOTMAP_KERNEL), 0);
    uintptr_t image = ram_space_end() - ((uintptr_t)2 << PAGE_SHIFT);
    const struct mem_segment segments[] = { { image, FIRST_PAGE + 8, 1, PAGE_EXECUTE },
                                            { image + PAGE_SIZE, FIRST_PAGE + 9, 1, PAGE_WRITE } };
    struct mem_boot boot = {
        .map = &map,
        .root = PFN_NONE,
        .segments = segments,
        .segment_count = 2,
        .space_first = ram_space_first(),
        .space_end = image,
        .early_end = FIRST_PAGE + 2048,
    };
    const char *why;
    expect_equal(mem_init(&boot, &why), 0);
    struct paging *tables = &context_kernel()->tables;
    char *range = valloc(1, context_kernel());
    expect_equal(paging_map(tables, (uintptr_t)range, FIRST_PAGE + 8, 1, PAGE_WRITE), ERR_REFUSED);
    expect_equal(paging_map(tables, (uintptr_t)range, FIRST_PAGE + 9, 1, PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(paging_map(tables, (uintptr_t)range, FIRST_PAGE + 9, 1, PAGE_WRITE), 0);
    audit_all();
    vfree(page_number((uintptr_t)range), 1);
    expect_equal(frame_get(FIRST_PAGE + 8).executable, 1);
    expect_equal(frame_get(FIRST_PAGE + 9).writable, 1);
}

TEST(mem_init_refuses_live_tables_that_map_the_space_given) {
    const char *why;
    fresh_machine();
    /* A large page over all that the space's first upper entry spans: the table of level 1 is the root's next page. */
    pfn_t root = FIRST_PAGE + 7, table = root;
    uintptr_t page = page_number(ram_space_first());
    for (unsigned level = GEOMETRY_LEVELS - 1; level > 0; level--, table++) {
        unsigned bits = level == GEOMETRY_LEVELS - 1 ? GEOMETRY_TOP_BITS : 9;
        uint64_t entry = level > 1 ? arch_make_table(level, table + 1) : arch_make_entry(1, 0x400, 0);
        unsigned index = (unsigned)(page >> (9 * level)) & ((1u << bits) - 1);
        ram_write(pfn_to_phys(table) + index * sizeof(entry), &entry, sizeof(entry));
    }
    expect_equal(init_on_live_root(root, ram_space_end(), &why), ERR_EXISTS);
    expect(string_equal(why, "the live tables map something in the kernel address space given"));
}

TEST(mem_init_refuses_a_space_that_is_too_small) {
    const char *why;
    fresh_machine();
    expect_equal(init_on_live_root(FIRST_PAGE + 7, ram_space_first() + PAGE_SIZE, &why), ERR_NO_SPACE);
    expect(string_equal(why, "the kernel address space given is too small for this machine's RAM"));
}
