#include <tests/host/machine.h>
#include <arch/host/mmu.h>
#include <arch/host/ram.h>
#include <base/bits.h>
#include <mem/init.h>
#include <mem/palloc.h>
#include <mem/shadow.h>
#include <sanitizer/asan_interface.h>
#include <tests/test.h>

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* The kernel's image is pretended to lie where both kernels lie. */
#define IMAGE                                                                                                          \
    { MIB(1), KIB(512), BOOTMAP_KERNEL }

static const struct machine_entry small[] = {
    { 0, KIB(639), BOOTMAP_FREE },
    { KIB(639), KIB(1), BOOTMAP_RESERVED },
    { MIB(1), MIB(15), BOOTMAP_FREE },
    IMAGE,
};

static const struct machine_entry holes[] = {
    { MIB(1), MIB(14), BOOTMAP_FREE },
    { MIB(16), MIB(31), BOOTMAP_FREE },
    { MIB(20) + 0x123, 0x2000, BOOTMAP_NVS },
    { MIB(64), MIB(32), BOOTMAP_FREE },
    { MIB(70), KIB(8), BOOTMAP_LOADER },
    { 0xfd00000000, GIB(12), BOOTMAP_RESERVED },
    IMAGE,
};

static const struct machine_entry large[] = {
    { 0, KIB(640), BOOTMAP_FREE },
    { MIB(1), GIB(3) - MIB(1), BOOTMAP_FREE },
    { GIB(3), MIB(64), BOOTMAP_ACPI },
    { GIB(4), GIB(2), BOOTMAP_FREE },
    IMAGE,
};

const struct machine machine_list[] = {
    { "16 MiB", small, sizeof(small) / sizeof(small[0]) },
    { "holes", holes, sizeof(holes) / sizeof(holes[0]) },
    { "5 GiB", large, sizeof(large) / sizeof(large[0]) },
};
const size_t machine_count = sizeof(machine_list) / sizeof(machine_list[0]);

/* Space for the view, the descriptors, the nodes, and ranges; a 32-bit host has less. */
static size_t space_bytes(pfn_t end) {
    return GEOMETRY_VIEW_PERMANENT ? (size_t)(round_up(pfn_to_phys(end), MIB(2)) + GIB(2)) : (size_t)MIB(640);
}

/* One more than the last page of RAM of any kind. */
static pfn_t ram_pages(const struct machine_entry *entries, size_t count) {
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++)
        if (entries[i].type < BOOTMAP_ACPI && entries[i].first_byte + entries[i].bytes > end)
            end = entries[i].first_byte + entries[i].bytes;
    return (pfn_t)(end >> PAGE_SHIFT);
}

static bool poisoned;

/* The compiler's own checker is told what the heap forbids: its shadow is of addresses, and stays when the pretend MMU
 * shows another page at one. Accesses by another address, such as the frame view's, are unchecked here as there. */
static void tell_address_checker(uintptr_t address, size_t bytes, bool allowed) {
    if (allowed)
        __asan_unpoison_memory_region((const volatile void *)address, bytes);
    else
        __asan_poison_memory_region((const volatile void *)address, bytes);
    poisoned |= !allowed;
}

int machine_try(const struct machine_entry *entries, size_t count, const char **why) {
    static struct bootmap_range ranges[1024];
    static struct bootmap map;
    bootmap_init(&map, ranges, sizeof(ranges) / sizeof(ranges[0]));
    for (size_t i = 0; i < count; i++) {
        int error = bootmap_add(&map, entries[i].first_byte, entries[i].bytes, entries[i].type);
        if (error != 0)
            return error;
    }
    pfn_t end = ram_pages(entries, count);
    ram_create(end, space_bytes(end));
    mmu_reset();
    if (poisoned) /* by the machine before, in this process; not each time, since it costs a byte for eight */
        __asan_unpoison_memory_region((const volatile void *)ram_space_first(), space_bytes(end));
    poisoned = false;
    shadow_mirror = tell_address_checker;
    struct mem_boot boot = {
        .map = &map,
        .root = PFN_NONE,
        .space_first = ram_space_first(),
        .space_end = ram_space_end(),
        .early_end = end,
    };
    return mem_init(&boot, why);
}

void machine_boot(const struct machine_entry *entries, size_t count) {
    const char *why = "";
    int error = machine_try(entries, count, &why);
    if (error != 0)
        test_fail(__FILE__, __LINE__, "the machine doesn't boot: %d, %s", error, why);
}
