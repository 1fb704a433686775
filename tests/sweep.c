#include <tests/sweep.h>
#include <base/config.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <mem/audit.h>

enum { POINTS_MAX = 1000 };

void sweep_need_debug(void) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
}

static void finish(const struct sweep *sweep, unsigned points) {
    log_line("failures | %s | %u |", sweep->call, points);
    if (points < sweep->least)
        test_fail(__FILE__, __LINE__, "%s: only %u failure points were reached, at least %u expected", sweep->call,
                  points, sweep->least);
}

void sweep_run(const struct sweep *sweep) {
    unsigned points = 0;
    for (unsigned n = 1; n < POINTS_MAX; n++) {
        uint64_t before = audit_hash();
        fail_arm(n);
        bool succeeded = sweep->run(), reached = fail_seen() >= n;
        fail_arm(0);
        if (succeeded)
            sweep->undo();
        else if (!reached)
            test_fail(__FILE__, __LINE__, "%s: failed, and none of its %u requests did", sweep->call, fail_seen());
        audit_all();
        if (!(succeeded && sweep->moves) && audit_hash() != before)
            test_fail(__FILE__, __LINE__, "%s: failure point %u left something changed", sweep->call, n);
        if (!reached) {
            finish(sweep, points);
            return;
        }
        points = n;
    }
    test_fail(__FILE__, __LINE__, "%s: still failing after %d points", sweep->call, POINTS_MAX);
}
