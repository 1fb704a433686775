/* A clock that stands still, loaded beside another heap while its instructions are counted: some heaps give memory back
 * by the clock, and under callgrind, where all takes fifty times as long, they would do so at other moments in each
 * run. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){ .tv_sec = 1 };
    return 0;
}
