#include <base/config.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/palloc.h>
#include <tests/test.h>

enum { LARGE = 100000 };

static char *take(size_t bytes) {
    char *block = (char *)kmalloc(bytes);
    expect(block != NULL);
    return block;
}

static struct kmalloc_stats stats_now(void) {
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    return stats;
}

TEST(kmalloc_find_tells_the_block_of_any_address) {
    char *block = take(300);
    struct kmalloc_object object;
    expect(kmalloc_find((uintptr_t)block + 299, &object));
    expect_equal(object.address, (uintptr_t)block);
    expect_equal(object.bytes, kmalloc_usable_size(block));
    expect(object.in_use && object.intact && (object.place != 0) == CONFIG_KMALLOC_CANARY);
    kfree(block);
    expect(kmalloc_find((uintptr_t)block, &object) && !object.in_use);
    expect(!kmalloc_find(16, &object));
    expect(!kmalloc_find(mem_layout.metadata, &object));
}

TEST(kmalloc_next_walks_all_blocks_in_order) {
    enum { BLOCKS = 50 };
    char *blocks[BLOCKS];
    struct kmalloc_object object;
    size_t before = stats_now().blocks, seen = 0, ours = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(i * i * 20);
    for (uintptr_t address = 0; kmalloc_next(address, &object); address = object.address, seen++) {
        expect(object.address > address && object.in_use);
        for (size_t i = 0; i < BLOCKS; i++)
            ours += object.address == (uintptr_t)blocks[i];
    }
    expect_equal(seen, before + BLOCKS);
    expect_equal(ours, BLOCKS);
    expect_equal(stats_now().blocks, before + BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++)
        kfree(blocks[i]);
    expect_equal(stats_now().blocks, before);
}

TEST(kmalloc_hash_tells_what_is_in_use) {
    uint64_t before = kmalloc_hash();
    char *block = take(64);
    uint64_t with = kmalloc_hash();
    expect(with != before);
    kfree(block);
    expect(kmalloc_hash() == before);
}

TEST(kmalloc_stats_count_what_is_in_use) {
    kmalloc_sample(0);
    kmalloc_trim();
    struct kmalloc_stats before = stats_now();
    char *small = take(100), *large = take(LARGE);
    struct kmalloc_stats after = stats_now();
    expect_equal(after.blocks, before.blocks + 2);
    expect_equal(after.large_blocks, before.large_blocks + 1);
    expect(after.bytes >= before.bytes + 100 + LARGE);
    expect(after.pages > before.pages);
    struct kmalloc_class_stats class_stats;
    size_t used = 0;
    for (unsigned i = 0; kmalloc_class_stats(i, &class_stats); i++)
        used += class_stats.used;
    expect_equal(used, after.blocks - after.large_blocks);
    kfree(small);
    kfree(large);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

static __attribute__((noinline)) void *take_here(size_t bytes) {
    void *block = kmalloc(bytes);
    expect(block != NULL);
    return block;
}

TEST(blocks_are_listed_by_place_of_allocation) {
    if (!CONFIG_KMALLOC_CANARY)
        test_skip("built without canaries");
    struct kmalloc_place table[64], others;
    void *blocks[3] = { take_here(10), take_here(20), take_here(40) };
    struct kmalloc_object object;
    expect(kmalloc_find((uintptr_t)blocks[0], &object));
    size_t count = kmalloc_places(table, 64, &others), matches = 0;
    for (size_t i = 0; i < count; i++)
        if (table[i].place == object.place) {
            expect_equal(table[i].blocks, 3);
            expect_equal(table[i].bytes, 70);
            matches++;
        }
    expect_equal(matches, 1);
    expect_equal(kmalloc_places(table, 0, &others), 0);
    expect(others.blocks >= 3 && others.bytes >= 70);
    for (size_t i = 0; i < 3; i++)
        kfree(blocks[i]);
}
