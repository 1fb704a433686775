/* Order: the meter first, so that whoever reads the samples knows what the meter itself takes and can refuse a place
 * that counts wrongly; then the cases. */
#include <bench/bench.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/valloc.h>

enum { SAMPLES = 5, KNOWN_ROUNDS = 1000 };

static const char *filter;
static uint64_t random_state;

bool bench_wanted(const char *name) {
    for (; *name != '\0'; name++)
        if (string_starts(name, filter))
            return true;
    return *filter == '\0';
}

/* --- What the cases use ------------------------------------------------------------------------------------------ */

static size_t pages_for(size_t bytes) {
    return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

void *bench_memory(size_t bytes) {
    void *memory = pvalloc(pages_for(bytes), context_kernel());
    require(memory != NULL, "bench: no memory for %zu bytes of notes; this machine is too small", bytes);
    return memory;
}

void bench_release(void *memory, size_t bytes) {
    pvfree(page_number((uintptr_t)memory), pages_for(bytes));
}

void bench_random_restart(void) {
    random_state = 0x9e3779b97f4a7c15;
}

/* A multiplicative generator with a permuted output; the upper bits are the good ones. */
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
        bench_sample("meter-empty", BENCH_OURS, 1);
        bench_open();
        run_known();
        bench_close();
        bench_sample("meter-known-2000", BENCH_OURS, 1);
    }
}

void bench_run(const char *wanted) {
    filter = wanted;
    bench_random_restart();
    show_meter();
    bench_pages();
    bench_ranges();
    bench_heap();
}
