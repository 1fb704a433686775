/* The guest: a kernel on both archives that only measures. Words on its command line: bench=NAME, the cases whose name
 * contains NAME.
 *
 * The time stamp counter counts instructions, and nothing else, when QEMU runs with -icount shift=0: one instruction is
 * one nanosecond of virtual time there, and the emulated counter one tick a nanosecond. meter-known-2000 shows whether
 * that holds. Interrupts are off throughout.
 *
 *     sample NAME WHO OPERATIONS PAIRS COUNT     tabs between them; PAIRS of open and close, each costing meter-empty
 *     figure NAME WHO UNIT AMOUNT EACH */
#include <bench/bench.h>
#include <boot/boot.h>
#include <mem/audit.h>

const uint32_t bench_ranges_most = 100000;

static struct {
    uint64_t begun, counted;
    unsigned pairs;
} meter;

/* Ordinary reads: without out-of-order execution nothing passes them. */
static uint64_t read_counter(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

void bench_open(void) {
    meter.pairs++;
    meter.begun = read_counter();
}

void bench_close(void) {
    meter.counted += read_counter() - meter.begun;
}

void bench_sample(const char *name, const char *who, unsigned operations) {
    console_print("sample\t%s\t%s\t%u\t%u\t%llu\n", name, who, operations, meter.pairs,
                  (unsigned long long)meter.counted);
    meter.counted = 0;
    meter.pairs = 0;
}

void bench_figure(const char *name, const char *who, const char *unit, size_t amount, size_t each) {
    console_print("figure\t%s\t%s\t%s\t%zu\t%zu\n", name, who, unit, amount, each);
}

int kernel_main(const struct boot_info *info) {
    char filter[32];
    boot_option(info, "bench", filter, sizeof(filter));
    uint64_t before = audit_hash();
    bench_library(filter);
    audit_all();
    bool same = audit_hash() == before;
    console_print("verdict: %s\n", same ? "ok" : "FAILED: memory isn't what it was before");
    return same ? 0 : 1;
}
