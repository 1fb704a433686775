/* A pretend MMU would show pages as they are first touched, by a signal and a walk of the tables. Under callgrind
 * that goes wrong: it lowers the count of a string instruction before the access that faults, and a handler's return
 * doesn't bring all registers back. Without translation there is no fault.
 *
 * A flush is nothing here, and at least one instruction of the processor's for each page elsewhere. */
#define _DEFAULT_SOURCE
#include <bench/host_machine.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct {
    pfn_t root, ram_pages;
    char *ram, *space;
} machine;

arch_entry_t arch_no_execute = PTE_NO_EXECUTE;

/* The host gives each page when it is first touched. */
static char *take_memory(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *at = mmap(NULL, bytes + ARCH_VIEW_ALIGN, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at == MAP_FAILED) {
        perror("bench: no address space for the pretend machine");
        abort();
    }
    return (char *)(((uintptr_t)at + ARCH_VIEW_ALIGN - 1) & ~(ARCH_VIEW_ALIGN - 1));
}

void host_machine_create(pfn_t ram_pages, size_t space_bytes) {
    machine.root = PFN_NONE;
    machine.ram_pages = ram_pages;
    machine.ram = take_memory((size_t)pfn_to_phys(ram_pages));
    machine.space = take_memory(space_bytes);
}

uintptr_t host_machine_ram(void) {
    return (uintptr_t)machine.ram;
}

uintptr_t host_machine_space(void) {
    return (uintptr_t)machine.space;
}

/* --- arch/arch.h ------------------------------------------------------------------------------------------------- */

void arch_root_load(pfn_t root) {
    machine.root = root;
}

pfn_t arch_root(void) {
    return machine.root;
}

void arch_flush(pfn_t root, uintptr_t address, size_t pages) {
    (void)root;
    (void)address;
    (void)pages;
}

void *arch_frame_open(pfn_t pfn) {
    return machine.ram + ((size_t)pfn << PAGE_SHIFT);
}

void arch_frame_close(void *view) {
    (void)view;
}

void arch_view_early(uintptr_t base, pfn_t end) {
    (void)base;
    (void)end;
}

size_t arch_view_bytes(pfn_t end) {
    (void)end;
    return GEOMETRY_VIEW_PERMANENT ? (size_t)pfn_to_phys(machine.ram_pages) : ARCH_VIEW_ALIGN;
}

size_t arch_view_slots(void) {
    return GEOMETRY_VIEW_PERMANENT ? 0 : ARCH_VIEW_DEPTH;
}

void arch_view_start(uintptr_t base, pfn_t slot_table) {
    (void)base;
    (void)slot_table;
}
