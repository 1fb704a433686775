/* Ranges stay O(log n) on every machine: as many as its memory has nodes for, up to 100,000. */
#include <mem/kmalloc.h>
#include <tests/mem/vspace_steps.h>

static void *take(void) {
    return kmalloc_a(PAGE_SIZE);
}

static const struct pool_source source = { take, kfree };

TEST(vspace_looks_at_a_logarithm_of_nodes_up_to_a_hundred_thousand_ranges) {
    static struct pool pool;
    static struct vspace space;
    pool_init(&pool, "test ranges", VSPACE_NODE_BYTES, &source);
    vspace_init(&space, STEPS_FIRST, (uintptr_t)1 << 20, &pool);
    size_t reached = steps_hold(&space, 100000);
    expect_equal(pool.objects, 0);
    pool_trim(&pool);
    expect(reached >= 1000);
}
