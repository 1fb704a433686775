/* The library as a program of the host. Its one argument: only cases whose name contains it run. */
#include <bench/bench.h>
#include <bench/host_machine.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/audit.h>
#include <mem/bootmap.h>
#include <mem/init.h>

/* --- The machine ------------------------------------------------------------------------------------------------- */

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

/* As much RAM as tools/bench gives the guest. */
enum { RAM_MIB = 1152, RANGES_MIB = 1600, SPACE_MIB = RANGES_MIB + (GEOMETRY_VIEW_PERMANENT ? RAM_MIB : 0) };

/* A million have room in the addresses of 64 bits alone. */
const uint32_t bench_ranges_most = sizeof(uintptr_t) == 8 ? 1000000 : 100000;

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
    bench_library(count > 1 ? arguments[1] : "");
    audit_all();
    require(audit_hash() == before, "bench: memory isn't what it was before");
    return 0;
}
