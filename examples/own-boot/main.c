/* The library under boot code of its own: only libxelixmm.a is linked.
 *
 *     0 .. 1 GiB            this kernel's own identity map: the image runs in it, and it is the early view
 *     SPACE_FIRST .. _END   given to the library, which adds its pages to the same tables and never touches the rest
 *
 * The tables are live before mem_init() and stay; so what the boot code mapped keeps the rights that it chose (here
 * everything is writable and executable, which a kernel that means it would not leave so).
 *
 * It takes every kind of memory, gives it back, compares sums, and at last walks into a guard page: the page fault, in
 * this kernel's own interrupt table, asks the library what lies there, and ends the machine well if that is the
 * guard. */
#include <mem/audit.h>
#include <mem/explain.h>
#include <mem/init.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <arch/x86/processor.h>
#include <space.h>
#include "machine.h"

enum { PAGES = 3, RANGES_MAX = 256, PAGE_FAULT = 14 };

static struct bootmap_range ranges[RANGES_MAX];
static volatile char *volatile guard_page; /* the pointer too: the fault reads it in the middle of kernel_start() */

void kernel_start(uintptr_t loader_data);
void trap(unsigned vector);

void trap(unsigned vector) {
    uintptr_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    if (vector == PAGE_FAULT && address == (uintptr_t)guard_page) {
        explain_address(address, say);
        say("own-boot: the guard page held\nverdict: ok\n");
        power_off(16);
    }
    say("own-boot: exception %u, address %#zx\n", vector, (size_t)address);
    power_off(3);
}

static void start_memory(uintptr_t loader_data) {
    static struct bootmap map;
    bootmap_init(&map, ranges, RANGES_MAX);
    int error = machine_read_map(loader_data, &map);
    if (error == 0)
        error = bootmap_add(&map, (uintptr_t)image_first, (uintptr_t)(image_tables - image_first), BOOTMAP_KERNEL);
    /* Not as the kernel's, which the library's view of RAM leaves out: it must reach these. */
    if (error == 0)
        error = bootmap_add(&map, (uintptr_t)image_tables, (uintptr_t)(image_end - image_tables), BOOTMAP_METADATA);
    const char *why = "the loader gave no memory map";
    const struct mem_boot boot = {
        .map = &map,
        .root = (pfn_t)page_number((uintptr_t)boot_root),
        .space_first = SPACE_FIRST,
        .space_end = SPACE_END,
        .early_base = 0,
        .early_end = 1 << 18,
    };
    if (error == 0)
        error = mem_init(&boot, &why);
    if (error != 0) {
        say("own-boot: no memory: %s (%d)\n", why, error);
        power_off(1);
    }
}

static void try_memory(void) {
    void *run = palloc(PAGES);
    void *range = valloc(PAGES, context_kernel());
    char *memory = (char *)pvalloc(PAGES, context_kernel());
    if (run == NULL || range == NULL || memory == NULL) {
        say("own-boot: memory is short\n");
        power_off(1);
    }
    memory[PAGES * PAGE_SIZE - 1] = 'x';
    say("palloc(%d) = page %#x, valloc(%d) = %p, pvalloc(%d) = %p\n", PAGES, palloc_pfn(run), PAGES, range, PAGES,
        (void *)memory);
    pvfree(page_number((uintptr_t)memory), PAGES);
    vfree(page_number((uintptr_t)range), PAGES);
    pfree(palloc_pfn(run), PAGES);
}

void kernel_start(uintptr_t loader_data) {
    machine_traps_start();
    arch_processor_start();
    start_memory(loader_data);
    try_memory(); /* makes the tables that stay */
    uint64_t before = audit_hash();
    try_memory();
    bool same = audit_hash() == before;
    audit_all();
    say("own-boot: %s\n", same ? "all is back" : "something is missing");
    if (!same)
        power_off(1);
    char *memory = (char *)pvalloc(1, context_kernel());
    if (memory == NULL)
        power_off(1);
    guard_page = memory + PAGE_SIZE;
    *guard_page = 1;
    say("own-boot: a guard page could be written\n");
    power_off(1);
}
