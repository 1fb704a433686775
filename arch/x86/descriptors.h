/* arch/x86/descriptors.h - segments, the task segment, and the table of gates.
 *
 * Layer: arch; implemented for each width. Context: boot, one processor, interrupts off. */
#ifndef ARCH_X86_DESCRIPTORS_H
#define ARCH_X86_DESCRIPTORS_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DESCRIPTORS_GATES = 256, DESCRIPTORS_TASK_SEGMENTS = 3 };

/* Loads a GDT of our own, all segment registers, the task register and an IDT that is still empty. */
void descriptors_start(void);

/* Vector's gate leads to `entry` with interrupts off, on the stack in use or on the vector's own. */
void descriptors_gate(unsigned vector, uintptr_t entry);

/* The tables under which traps from ring 3, and a fault's own task where there is one (i386's double fault), go on.
 * Called when the kernel's tables change; they must map the image for ever. */
void descriptors_root(pfn_t root);

/* i386: the last entries of the GDT, the running task's own. Index 7 is the first. */
void descriptors_task_segments(const uint64_t segments[DESCRIPTORS_TASK_SEGMENTS]);
bool descriptors_task_segment_is_present(unsigned index);

#ifdef __cplusplus
}
#endif
#endif
