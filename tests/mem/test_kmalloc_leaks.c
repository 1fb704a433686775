/* The runner, as a judge of leaks. */
#include <base/config.h>
#include <mem/kmalloc.h>
#include <tests/test.h>

static void *left[3];

static void leave_three(void) {
    for (int i = 0; i < 2; i++)
        left[i] = kmalloc(100);
    left[2] = kmalloc(7);
}

TEST(a_test_that_leaves_blocks_behind_fails_with_their_places) {
    static const struct test leaky = { "leaky", "leaky.c", leave_three };
    const char *why;
    enum test_result result = test_run_one(&leaky, true, &why);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        kfree(left[i]);
    expect_equal(result, TEST_FAILED);
    expect(test_matches(CONFIG_KMALLOC_CANARY ? "leaky.c:0: left blocks in use: * bytes) from 0x*, *"
                                              : "leaky.c:0: left the memory's state different",
                        why));
}
