#include <base/fail.h>

static struct { unsigned armed, seen; } state;

void fail_arm(unsigned n) {
    state.armed = n;
    state.seen = 0;
}

unsigned fail_seen(void) {
    return state.seen;
}

bool fail_count(void) {
    state.seen++;
    return state.armed != 0 && state.seen == state.armed; /* the count may wrap to 0 in a long life */
}
