/* The heap and its shadow: at the level `asan` a block's user may touch its bytes, and nobody any other of a block. */
#include <base/fmt.h>
#include <base/string.h>
#include <mem/asan.h>
#include <mem/context.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <tests/test.h>

enum { LARGE = 100000 };

static void need_shadow(unsigned one_in) {
    if (!shadow_is_used())
        test_skip("built without the level asan");
    kmalloc_sample(one_in);
}

static void done(void) {
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

static char *take(size_t bytes) {
    char *block = (char *)kmalloc(bytes);
    expect(block != NULL);
    return block;
}

static bool is_bad(const char *at, enum shadow_why *why) {
    uintptr_t bad;
    return shadow_first_bad((uintptr_t)at, 1, &bad, why);
}

/* Its bytes are allowed; those beside it aren't, or no page is there. */
static void expect_shade(const char *block, size_t bytes) {
    uintptr_t bad;
    enum shadow_why why;
    struct paging_entry entry;
    expect(!shadow_first_bad((uintptr_t)block, bytes, &bad, &why));
    for (intptr_t i = 1; i <= 16; i++) {
        const char *beside[] = { block - i, block + bytes + i - 1 };
        for (unsigned k = 0; k < 2; k++)
            if (paging_find(&context_kernel()->tables, (uintptr_t)beside[k], &entry))
                expect(is_bad(beside[k], &why) && why == SHADOW_RED_ZONE);
    }
}

static void expect_freed(const char *block, size_t bytes) {
    enum shadow_why why;
    for (size_t i = 0; i < bytes; i++)
        expect(is_bad(block + i, &why) && why == SHADOW_FREED);
}

static void check_sizes(void) {
    for (size_t bytes = 0; bytes <= 130; bytes++) {
        char *block = take(bytes);
        expect_shade(block, bytes);
        if (bytes % 32 == 0)
            kmalloc_audit();
        kfree(block);
    }
}

TEST(shadow_allows_a_blocks_bytes_and_none_beside_them) {
    need_shadow(0);
    check_sizes();
    char *pages = (char *)kmalloc_a(5000), *aligned = (char *)kmalloc_aligned(100, 16384), *large = take(LARGE);
    char *urgent = (char *)kmalloc_urgent(50);
    expect(pages != NULL && aligned != NULL && urgent != NULL);
    expect_shade(pages, 5000);
    expect_shade(aligned, 100);
    expect_shade(large, LARGE);
    expect_shade(urgent, 50);
    kmalloc_audit();
    kfree(pages);
    kfree(aligned);
    kfree(large);
    kfree(urgent);
    kmalloc_audit();
    done();
}

TEST(shadow_allows_a_lone_blocks_bytes_and_none_beside_them) {
    need_shadow(1);
    check_sizes();
    done();
}

TEST(shadow_forbids_a_freed_block_until_it_is_handed_out_again) {
    need_shadow(0);
    char *block = take(100);
    kfree(block);
    expect_freed(block, 100);
    kmalloc_audit();
    char *more[300];
    bool again = false;
    for (size_t i = 0; i < 300; i++) {
        more[i] = take(100); /* others have pushed it out by then */
        kfree(more[i]);
        again |= more[i] == block;
    }
    expect(again);
    kmalloc_trim();
    kmalloc_audit();
    done();
}

TEST(shadow_follows_a_block_that_krealloc_leaves_in_place_or_moves) {
    need_shadow(0);
    static const size_t sizes[] = { 100, 90, 97, 60, 30, 3000, 2900, LARGE, LARGE - 9000, LARGE - 20000, 10 };
    char *block = NULL;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *before = block;
        size_t had = kmalloc_usable_size(block);
        block = (char *)krealloc(block, sizes[i]);
        expect(block != NULL);
        expect_shade(block, sizes[i]);
        if (before != NULL && before != block && had < 4096)
            expect_freed(before, had);
        kmalloc_audit();
    }
    kfree(block);
    done();
}

static size_t constructed;

static void construct(void *object) {
    memset(object, 3, 41);
    constructed++;
}

TEST(shadow_allows_an_objects_bytes_to_its_constructor_and_user_alone) {
    need_shadow(0);
    struct kcache *cache = kcache_create("shaded", 41, 0, construct);
    expect(cache != NULL);
    char *object = (char *)kcache_alloc(cache);
    expect(object != NULL && constructed > 0 && object[40] == 3);
    expect_shade(object, 41);
    kcache_free(cache, object);
    expect_freed(object, 41);
    kmalloc_audit();
    expect(kcache_destroy(cache));
    done();
}

TEST(kmalloc_audit_names_H10_when_the_shadow_and_the_blocks_disagree) {
    need_shadow(0);
    char *volatile block = take(40);
    shadow_forbid(block + 16, 24, SHADOW_RED_ZONE);
    expect_panic(
        "heap: H10 broken: the shadow forbids * (the red zone of a block) in the block of 40 bytes at *, which "
        "is in use",
        kmalloc_audit());
    shadow_allow(block, 48);
    expect_panic("heap: H10 broken: the shadow allows *, which isn't its user's, in the block of *", kmalloc_audit());
    shadow_allow(block, 40);
    shadow_forbid(block + 40, 8, SHADOW_RED_ZONE);
    kmalloc_audit();
    kfree(block);
    shadow_allow(block + 8, 1);
    expect_panic("heap: H10 broken: the shadow allows *, which isn't its user's, in the block of *", kmalloc_audit());
    shadow_forbid(block + 8, 8, SHADOW_FREED);
    kmalloc_audit();
    done();
}

/* At every level: what a report is told. */
TEST(kmalloc_describe_names_block_offset_and_places_without_a_lock) {
    static char text[200], should[200];
    kmalloc_sample(0);
    char *block = take(100);
    size_t usable = kmalloc_usable_size(block);
    kmalloc_describe((uintptr_t)block + 8, text, sizeof(text));
    fmt(should, sizeof(should), "8 bytes after the start of a block of %zu bytes at %#zx, in use", usable,
        (size_t)(uintptr_t)block);
    expect(string_starts(text, should));
    kfree(block);
    kmalloc_describe((uintptr_t)block + 8, text, sizeof(text));
    fmt(should, sizeof(should), "8 bytes after the start of a block of %zu bytes at %#zx, free", usable,
        (size_t)(uintptr_t)block);
    expect(string_starts(text, should));
    kmalloc_describe(16, text, sizeof(text));
    expect(string_equal(text, ""));
    kmalloc_describe((uintptr_t)text, text, sizeof(text));
    expect(string_equal(text, ""));
    kmalloc_describe((uintptr_t)block, text, 1);
    expect(string_equal(text, ""));
    done();
}

TEST(shadow_given_to_kfree_is_reported) {
    need_shadow(0);
    expect_panic("kfree(*): not the heap's: it is from shadow_init, and nobody gives it back",
                 kfree(shadow_heap.bytes));
    done();
}
