/* The heap's calls: tests/sweep.h. */
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <mem/shadow.h>
#include <mem/valloc.h>
#include <tests/sweep.h>

enum { LARGE = 70 * 4096, REGION_PAGES = 64 };

static void *block;

static void undo(void) {
    kfree(block);
}

static bool call_kmalloc(void) {
    return (block = kmalloc(20)) != NULL;
}

static bool call_kmalloc_large(void) {
    return (block = kmalloc(LARGE)) != NULL;
}

static bool call_zmalloc(void) {
    return (block = zmalloc(5000)) != NULL;
}

static bool call_kmalloc_a(void) {
    return (block = kmalloc_a(100)) != NULL;
}

static bool call_zmalloc_a(void) {
    return (block = zmalloc_a(LARGE)) != NULL;
}

static bool call_kmalloc_aligned(void) {
    return (block = kmalloc_aligned(100, 256)) != NULL;
}

static bool call_kmalloc_array(void) {
    return (block = kmalloc_array(40, 24)) != NULL;
}

static bool call_zmalloc_array(void) {
    return (block = zmalloc_array(40, 24)) != NULL;
}

TEST(the_kmalloc_family_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "kmalloc, 20 bytes", call_kmalloc, undo, 2, false });
    sweep_run(&(struct sweep){ "kmalloc, 70 pages", call_kmalloc_large, undo, 3, false });
    sweep_run(&(struct sweep){ "zmalloc, 5000 bytes", call_zmalloc, undo, 2, false });
    sweep_run(&(struct sweep){ "kmalloc_a, 100 bytes", call_kmalloc_a, undo, 2, false });
    sweep_run(&(struct sweep){ "zmalloc_a, 70 pages", call_zmalloc_a, undo, 3, false });
    sweep_run(&(struct sweep){ "kmalloc_aligned, 100 bytes", call_kmalloc_aligned, undo, 2, false });
    sweep_run(&(struct sweep){ "kmalloc_array, 40 of 24 bytes", call_kmalloc_array, undo, 2, false });
    sweep_run(&(struct sweep){ "zmalloc_array, 40 of 24 bytes", call_zmalloc_array, undo, 2, false });
}

/* A block grows: where it was until the new one stands. */
static bool call_krealloc(void) {
    void *grown = krealloc(block, LARGE);
    if (grown != NULL)
        block = grown;
    return grown != NULL;
}

static void undo_krealloc(void) {
    kfree(block);
    block = kmalloc(5000);
    expect(block != NULL);
}

TEST(krealloc_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    block = kmalloc(5000);
    expect(block != NULL);
    sweep_run(&(struct sweep){ "krealloc, to 70 pages", call_krealloc, undo_krealloc, 3, true });
    kfree(block);
}

static struct kcache *cache;

static bool call_kcache_create(void) {
    return (cache = kcache_create("swept", 700, 64, NULL)) != NULL;
}

static void undo_kcache_create(void) {
    expect(kcache_destroy(cache));
}

static bool call_kcache_alloc(void) {
    return (block = kcache_alloc(cache)) != NULL;
}

static void undo_kcache_alloc(void) {
    kcache_free(cache, block);
}

TEST(kcaches_leave_all_as_they_were_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "kcache_create", call_kcache_create, undo_kcache_create, 1, false });
    expect(call_kcache_create());
    sweep_run(&(struct sweep){ "kcache_alloc", call_kcache_alloc, undo_kcache_alloc, 2, false });
    undo_kcache_create();
}

static struct shadow shadow;
static uintptr_t region;

static bool call_shadow_create(void) {
    return shadow_create(&shadow, region, REGION_PAGES) == 0;
}

static void undo_shadow_create(void) {
    shadow_destroy(&shadow);
}

static bool call_shadow_back(void) {
    return shadow_back_in(&shadow, region, REGION_PAGES) == 0;
}

static void undo_shadow_back(void) {
    shadow_unback_in(&shadow, region, REGION_PAGES);
}

TEST(a_shadow_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    void *range = valloc(REGION_PAGES, context_kernel());
    expect(range != NULL);
    region = (uintptr_t)range;
    sweep_run(&(struct sweep){ "shadow_create, for 64 pages", call_shadow_create, undo_shadow_create, 2, false });
    expect(call_shadow_create());
    sweep_run(&(struct sweep){ "shadow_back_in, 64 pages", call_shadow_back, undo_shadow_back, 1, false });
    undo_shadow_create();
    vfree(page_number(region), REGION_PAGES);
}
