#include <base/config.h>
#include <base/fail.h>
#include <base/lock.h>
#include <tests/test.h>

TEST(lock_panics_when_taken_upward) {
    static struct lock low = LOCK_INIT("low", LOCK_RANK_PALLOC), high = LOCK_INIT("high", LOCK_RANK_CONTEXT);
    if (!CONFIG_DEBUG)
        test_skip("ranks are checked in debug builds");
    lock_take(&high);
    lock_take(&low);
    expect(lock_is_held(&low) && lock_is_held(&high));
    lock_release(&low);
    lock_release(&high);
    expect(!lock_is_held(&high));
    lock_take(&low);
    expect_panic("lock high (rank *) taken while low (rank *) is held: locks are taken downward only",
                 lock_take(&high));
}

TEST(lock_panics_when_taken_twice_or_released_unheld) {
    static struct lock lock = LOCK_INIT("lock", LOCK_RANK_PALLOC);
    if (!CONFIG_DEBUG)
        test_skip("what is held is known in debug builds");
    lock_take(&lock);
    expect_panic("lock lock (rank *) taken while lock (rank *) is held*", lock_take(&lock));
    expect_panic("lock lock released, but this processor holds none", lock_release(&lock));
}

TEST(fail_arm_fails_exactly_the_nth_request) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    fail_arm(3);
    expect(!fail_here() && !fail_here() && fail_here() && !fail_here());
    expect_equal(fail_seen(), 4);
    fail_arm(0);
    expect(!fail_here());
}
