/* arch/x86/window.h - the way between a task's tables and the kernel's.
 *
 * Layer: arch. In a task's context the window is all that there is of the kernel. Context: interrupts off. */
#ifndef ARCH_X86_WINDOW_H
#define ARCH_X86_WINDOW_H

#include <arch/x86/window_offsets.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WINDOW_FOUND_VECTORS = 20 };

/* One for each processor, mapped in every context for ring 0. No secret stands here: a task that could read it would
 * learn where page tables are, and what it had in its own registers. */
struct window_processor {
    uint8_t stacks[WINDOW_STACKS][WINDOW_STACK_BYTES];
    uint64_t kernel_root;  /* CR3 of the kernel's context */
    uint64_t kernel_stack; /* top of the running task's kernel stack */
    uint64_t task_root;    /* CR3 of the running task's context */
    uint64_t user_sp;      /* SYSCALL has no stack of its own: ring 3's pointer until it is pushed */
    uint64_t
        found_stacks[WINDOW_FOUND_VECTORS]; /* top of the kernel's own stack for vectors that come anywhere; 0: none */
};

extern struct window_processor window_processor;

/* Where the processor begins to push on entry from ring 3. */
static inline uintptr_t window_entry_stack(unsigned stack) {
    return (uintptr_t)window_processor.stacks[stack] + WINDOW_STACK_BYTES;
}

/* The tables of the kernel's context, from now on. */
void window_kernel(pfn_t root);

/* The next return to ring 3 is to these tables; the next entry uses this kernel stack. Wipes what other tasks' entries
 * left in the window. */
void window_task(pfn_t root, uintptr_t kernel_stack_top);

/* Assembler: with the stack pointer at a struct trap_frame of ring 3, goes there. Never returns to its caller. */
void window_leave(void);

#ifdef __cplusplus
}
#endif
#endif
