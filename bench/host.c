/* The host: a program that runs under callgrind. Its one argument: the cases whose name contains it.
 *
 * Opening and closing switch callgrind's collecting on and off, which works to the instruction, and the end of a sample
 * dumps the count with a name:  NAME WHO OPERATIONS PAIRS. Figures go to standard output, as bench/guest.c has them.
 */
#include <bench/bench.h>
#include <bench/host_machine.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/audit.h>
#include <mem/bootmap.h>
#include <mem/init.h>
#include <mem/port.h>
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

static unsigned pairs;

void bench_open(void) {
    pairs++;
    CALLGRIND_TOGGLE_COLLECT;
}

void bench_close(void) {
    CALLGRIND_TOGGLE_COLLECT;
}

void bench_discard(void) {
    CALLGRIND_ZERO_STATS;
    pairs = 0;
}

void bench_sample(const char *name, const char *who, unsigned operations) {
    char text[128];
    fmt(text, sizeof(text), "%s %s %u %u", name, who, operations, pairs);
    CALLGRIND_DUMP_STATS_AT(text);
    pairs = 0;
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

/* --- The machine ------------------------------------------------------------------------------------------------- */

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

/* As much RAM as tools/bench gives the guest, laid out as there. */
enum { RAM_MIB = 512, RANGES_MIB = 1600, SPACE_MIB = RANGES_MIB + (GEOMETRY_VIEW_PERMANENT ? RAM_MIB : 0) };

static void boot(void) {
    static struct bootmap_range ranges[16];
    static struct bootmap map;
    pfn_t end = (pfn_t)(MIB(RAM_MIB) >> PAGE_SHIFT);
    bootmap_init(&map, ranges, sizeof(ranges) / sizeof(ranges[0]));
    bootmap_add(&map, 0, KIB(639), BOOTMAP_FREE);
    bootmap_add(&map, MIB(1), MIB(RAM_MIB - 1), BOOTMAP_FREE);
    bootmap_add(&map, MIB(1), MIB(1), BOOTMAP_KERNEL);
    host_machine_create(end, (size_t)MIB(SPACE_MIB));
    const struct mem_boot request = {
        .map = &map,
        .root = PFN_NONE,
        .space_first = host_machine_space(),
        .space_end = host_machine_space() + (size_t)MIB(SPACE_MIB),
        .early_base = host_machine_ram(),
        .early_end = end,
    };
    const char *why = "";
    int error = mem_init(&request, &why);
    require(error == 0, "bench: the pretend machine doesn't boot: %d, %s", error, why);
}

int main(int count, char **arguments) {
    boot();
    uint64_t before = audit_hash();
    bench_run(count > 1 ? arguments[1] : "");
    audit_all();
    require(audit_hash() == before, "bench: memory isn't what it was before");
    return 0;
}
