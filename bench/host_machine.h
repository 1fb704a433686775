/* bench/host_machine.h - arch/arch.h for measuring: a machine without translation.
 *
 * RAM is seen at one offset, so that the frame view is an addition as on x86_64. Kernel space is memory of its own:
 * what is mapped there isn't the page that the tables say, but is memory all the same. That is enough as long as
 * nobody looks at one page through both, which nothing under measurement does; tests use arch/host/mmu.h. */
#ifndef BENCH_HOST_MACHINE_H
#define BENCH_HOST_MACHINE_H

#include <arch/arch.h>

/* New, zeroed RAM, and kernel space of so many bytes. Ends the process when the host has no room. */
void host_machine_create(pfn_t ram_pages, size_t space_bytes);

uintptr_t host_machine_ram(void); /* where page 0 is seen */
uintptr_t host_machine_space(void);

#endif
