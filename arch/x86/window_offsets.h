/* arch/x86/window_offsets.h - struct window_processor of arch/x86/window.h for the assembler: plain numbers only. */
#ifndef ARCH_X86_WINDOW_OFFSETS_H
#define ARCH_X86_WINDOW_OFFSETS_H

/* Bytes of an entry stack; the first is for ring 3's traps, the others are those of the vectors with one of their
 * own. */
#define WINDOW_STACK_BYTES 512
#define WINDOW_STACKS      5

#define WINDOW_ENTRY_STACK_TOP 512
#define WINDOW_KERNEL_ROOT     2560
#define WINDOW_KERNEL_STACK    2568
#define WINDOW_TASK_ROOT       2576
#define WINDOW_USER_SP         2584
#define WINDOW_FOUND_STACKS    2592

#endif
