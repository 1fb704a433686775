#include <base/config.h>
#include <base/string.h>
#include <mem/kmalloc.h>
#include <mem/magazine.h>
#include <tests/test.h>

static struct kmalloc_stats stats_now(void) {
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    return stats;
}

/* What another processor does that needs blocks: puts the empty set in place of this one's. */
static void ask_this_processor(void) {
    slab_lock();
    *percpu_this(magazine_current) = &magazine_empty_set;
    slab_unlock();
}

TEST(a_processor_that_is_asked_gives_its_free_blocks_back_at_its_next_call) {
    enum { BLOCKS = 40 };
    void *blocks[BLOCKS];
    if (CONFIG_KMALLOC_GUARD)
        test_skip("freed blocks don't go to a magazine at once");
    kmalloc_trim();
    for (int call = 0; call < 2; call++) {
        void *kept = kmalloc(5000);
        for (int i = 0; i < BLOCKS; i++)
            blocks[i] = kmalloc(200);
        for (int i = 0; i < BLOCKS; i++)
            kfree(blocks[i]);
        expect(stats_now().cached >= BLOCKS / 2);
        ask_this_processor();
        if (call == 0)
            kfree(kept);
        else
            kfree(kmalloc(16));
        expect(magazine_current[0] != &magazine_empty_set);
        expect(stats_now().cached < 64);
        kmalloc_audit();
        if (call != 0)
            kfree(kept);
    }
}

TEST(kmalloc_idle_leaves_nothing_cached) {
    kfree(kmalloc(200));
    kfree(kmalloc(3000));
    kmalloc_idle();
    expect_equal(stats_now().cached, 0);
    kmalloc_audit();
}

TEST(what_is_cached_is_bounded) {
    enum { BLOCKS = 1000 };
    static void *blocks[BLOCKS];
    static const size_t sizes[] = { 16, 1000, 30000 };
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        kmalloc_trim();
        size_t count = sizes[s] > 1000 ? 50 : BLOCKS;
        for (size_t i = 0; i < count; i++)
            expect((blocks[i] = kmalloc(sizes[s])) != NULL);
        for (size_t i = 0; i < count; i++)
            kfree(blocks[i]);
        expect(stats_now().cached <= 62 && (stats_now().cached <= 2 || stats_now().cached * sizes[s] <= 65536));
    }
}

/* Two processors that free one block in the same moment both put it into their magazines. */
TEST(a_double_free_that_raced_is_reported_when_the_block_is_taken_again) {
    if (CONFIG_KMALLOC_CHECK >= KMALLOC_CHECK_GUARD)
        test_skip("freed blocks don't go to a magazine at once");
    void *first = kmalloc(200), *second = kmalloc(200);
    kfree(first);
    kfree(second);
    slab_lock();
    struct magazine *magazine = magazine_at(magazine_set(), slab_of((uintptr_t)second)->magazine);
    struct entry saved = magazine->top[-1];
    magazine->top[-1] = magazine->top[0];
    slab_unlock();
    void *volatile again = kmalloc(200);
    expect_panic("kmalloc(200): the free block at * has state 4: it was freed twice at the same time", kmalloc(200));
    slab_lock();
    struct magazine *same = magazine_at(magazine_set(), slab_of((uintptr_t)again)->magazine);
    magazine_set_top(same, same->top + 1);
    *same->top = saved;
    slab_unlock();
    kfree(again);
}
