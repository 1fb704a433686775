/* Processors count together: exactly one request is the n-th, whoever makes it. Nothing is ordered by that, so relaxed
 * atomics are enough. */
#include <base/fail.h>

static struct { unsigned armed, seen; } state;

void fail_arm(unsigned n) {
    __atomic_store_n(&state.seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&state.armed, n, __ATOMIC_RELAXED);
}

unsigned fail_seen(void) {
    return __atomic_load_n(&state.seen, __ATOMIC_RELAXED);
}

bool fail_count(void) {
    unsigned armed = __atomic_load_n(&state.armed, __ATOMIC_RELAXED);
    unsigned seen = __atomic_add_fetch(&state.seen, 1, __ATOMIC_RELAXED);
    return armed != 0 && seen == armed; /* the count may wrap to 0 in a long life */
}
