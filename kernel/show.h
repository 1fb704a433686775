/* kernel/show.h - the memory manager's state as text on the console. Layer: kernel. Context: a task's. */
#ifndef KERNEL_SHOW_H
#define KERNEL_SHOW_H

#include <boot/boot.h>

/* The firmware's map as it came, and what became of it. */
void show_map(const struct boot_info *info);

/* Totals of physical memory. */
void show_memory(void);

/* Pages by owner. */
void show_frames(void);

/* Which addresses of the kernel's space are for what. */
void show_layout(void);

/* The ranges of all contexts, or of the one with a number (0: the kernel's). */
void show_ranges(void);
void show_ranges_of(uint32_t number);

/* The heap: totals, sizes in use, and with canaries who asked for what. */
void show_heap(void);

/* Open leases. */
void show_leases(void);

/* How the machine was booted, and what the processor protects. */
void show_machine(const struct boot_info *info);

#endif
