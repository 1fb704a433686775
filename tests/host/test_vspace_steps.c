/* The same as in tests/mem/test_vspace_steps.c up to a million ranges, whose nodes no pretend machine has room for. */
#include <stdlib.h>
#include <tests/mem/vspace_steps.h>

static void *take(void) {
    return aligned_alloc(PAGE_SIZE, PAGE_SIZE);
}

static const struct pool_source source = { take, free };

TEST(vspace_looks_at_a_logarithm_of_nodes_up_to_a_million_ranges) {
    if (sizeof(uintptr_t) == 4)
        test_skip("a million ranges have no room in 4 GiB of addresses");
    static struct pool pool;
    static struct vspace space;
    pool_init(&pool, "test ranges", VSPACE_NODE_BYTES, &source);
    vspace_init(&space, STEPS_FIRST, (uintptr_t)1 << 28, &pool);
    expect_equal(steps_hold(&space, 1000000), 1000000);
    expect_equal(pool.objects, 0);
    pool_trim(&pool);
}
