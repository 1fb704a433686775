/* What all cases use: the filter, the sequence of random numbers, and the meter's look at itself, which lets whoever
 * reads the samples subtract what the meter takes and refuse a place that counts wrongly. */
#include <bench/bench.h>
#include <base/string.h>

enum { SAMPLES = 5, KNOWN_ROUNDS = 1000 };

static const char *filter;
static uint64_t random_state;

bool bench_wanted(const char *name) {
    for (; *name != '\0'; name++)
        if (string_starts(name, filter))
            return true;
    return *filter == '\0';
}

void bench_random_restart(void) {
    random_state = 0x9e3779b97f4a7c15;
}

/* A multiplicative generator, of which the upper bits are the good ones. */
uint32_t bench_random_below(uint32_t end) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t high = random_state >> 32;
    return (uint32_t)((high * end) >> 32);
}

/* --- The meter --------------------------------------------------------------------------------------------------- */

/* Two instructions a round, whatever the compiler. */
static void run_known(void) {
    unsigned rounds = KNOWN_ROUNDS;
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
}

static void show_meter(void) {
    for (unsigned i = 0; i < SAMPLES; i++) {
        bench_open();
        bench_close();
        bench_sample("meter-empty", "meter", 1);
        bench_open();
        run_known();
        bench_close();
        bench_sample("meter-known-2000", "meter", 1);
    }
}

void bench_begin(const char *wanted) {
    filter = wanted;
    bench_random_restart();
    show_meter();
}
