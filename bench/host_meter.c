/* The meter of the host's programs, and the part of mem/port.h that isn't inline.
 *
 * Under callgrind instructions are counted: opening and closing switch its collecting on and off, which works to the
 * instruction, and the end of a sample dumps the count with a name:  NAME WHO OPERATIONS PAIRS
 *
 * Run alone the same program reads the clock instead, and prints each sample that is long enough for one:
 *
 *     time NAME WHO OPERATIONS PAIRS NANOSECONDS     tabs between them, as in bench/guest.c, which has `figure` too */
#define _POSIX_C_SOURCE 200809L
#include <bench/bench.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/port.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valgrind/callgrind.h>

/* Fewer operations than this take about as long as reading the clock. */
enum { TIMED_OPERATIONS = 32 };

static struct {
    uint64_t begun, nanoseconds;
    unsigned pairs;
} meter;

static uint64_t read_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_open(void) {
    meter.pairs++;
    if (RUNNING_ON_VALGRIND)
        CALLGRIND_TOGGLE_COLLECT;
    else
        meter.begun = read_clock();
}

void bench_close(void) {
    if (RUNNING_ON_VALGRIND)
        CALLGRIND_TOGGLE_COLLECT;
    else
        meter.nanoseconds += read_clock() - meter.begun;
}

static bool timed(const char *who, unsigned operations) {
    return operations >= TIMED_OPERATIONS || string_equal(who, "meter");
}

void bench_sample(const char *name, const char *who, unsigned operations) {
    char text[128];
    fmt(text, sizeof(text), "%s %s %u %u", name, who, operations, meter.pairs);
    if (RUNNING_ON_VALGRIND)
        CALLGRIND_DUMP_STATS_AT(text);
    else if (timed(who, operations))
        printf("time\t%s\t%s\t%u\t%u\t%llu\n", name, who, operations, meter.pairs,
               (unsigned long long)meter.nanoseconds);
    meter.pairs = 0;
    meter.nanoseconds = 0;
}

void bench_figure(const char *name, const char *who, const char *unit, size_t amount, size_t each) {
    printf("figure\t%s\t%s\t%s\t%zu\t%zu\n", name, who, unit, amount, each);
}

/* --- mem/port.h -------------------------------------------------------------------------------------------------- */

void port_log(const char *text, size_t bytes) {
    fwrite(text, 1, bytes, stderr);
}

void port_panic(const char *text) {
    fprintf(stderr, "panic: %s\n", text);
    exit(2);
}
