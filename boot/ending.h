/* boot/ending.h - how a machine ends that can't go on. Layer: boot. Context: any. */
#ifndef BOOT_ENDING_H
#define BOOT_ENDING_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Statuses of boot_power_off(). */
enum { ENDING_REFUSED = 1, ENDING_PANIC = 2, ENDING_FAULT = 3 };

/* Interrupts off, locks no longer waited for. True for the first to call: a second trouble is reported more briefly. */
bool ending_begin(void);

struct trap_frame;

/* The report of a trap that nobody handles (boot/report.c). */
void report_trap(struct trap_frame *frame);

/* From here on a report may ask the memory manager. */
void report_memory_is_up(void);

#ifdef __cplusplus
}
#endif
#endif
