/* arch/x86/trap.h - exceptions and interrupts.
 *
 * Layer: arch. A handler runs with interrupts off: on the interrupted stack if that was the kernel's, on the task's
 * kernel stack after a trap from ring 3, on a stack of the vector's own for NMI, machine check, debug and double fault
 * in ring 0 (i386's double fault never returns). It may change the frame: returning goes where the frame says.
 * Vectors 32 to 47 are the two 8259s' lines; the controller is answered after the handler returned. */
#ifndef ARCH_X86_TRAP_H
#define ARCH_X86_TRAP_H

#include <base/types.h>
#include <trap_frame.h>

#ifdef __cplusplus
extern "C" {
#endif

enum trap_vector {
    TRAP_DIVIDE = 0,
    TRAP_DEBUG = 1,
    TRAP_NMI = 2,
    TRAP_BREAKPOINT = 3,
    TRAP_OVERFLOW = 4,
    TRAP_INVALID_OPCODE = 6,
    TRAP_DOUBLE_FAULT = 8,
    TRAP_PROTECTION = 13,
    TRAP_PAGE = 14,
    TRAP_FPU = 16,
    TRAP_ALIGNMENT = 17,
    TRAP_MACHINE_CHECK = 18,
    TRAP_SIMD = 19,
    TRAP_IRQ = 32,
    TRAP_IRQ_END = 48,
};

/* Bits of a page fault's error code (SDM volume 3A, 4.7). */
enum {
    TRAP_PAGE_PRESENT = 1 << 0,
    TRAP_PAGE_WRITE = 1 << 1,
    TRAP_PAGE_USER = 1 << 2,
    TRAP_PAGE_RESERVED = 1 << 3,
    TRAP_PAGE_FETCH = 1 << 4,
};

typedef void trap_function(struct trap_frame *frame);

/* Fills all gates and the interrupt controllers, every line masked. `unhandled` gets every trap that nobody has a
 * handler for, and must not return from an exception. */
void trap_start(trap_function *unhandled);

/* NULL takes a handler away. */
void trap_set_handler(unsigned vector, trap_function *handler);

/* If set, sees exceptions first: true means that it dealt with it, mostly by changing the frame. For tests that fault
 * on purpose. */
extern bool (*trap_test_hook)(struct trap_frame *frame);

/* "page fault" and the like; "interrupt" from 32 on. */
const char *trap_name(unsigned vector);

/* Lines that were raised and gone again when the processor asked which it was; they had no end-of-interrupt. */
unsigned trap_spurious(void);

/* Gets every trap and system call of ring 3, on the task's kernel stack; what it isn't the one to deal with it hands to
 * trap_dispatch(). When it returns, the frame is gone back to: its selectors must be ring 3's and its ip canonical.
 * Must be set before the first task runs. */
extern trap_function *trap_user_handler;

/* The handler of the frame's vector, as for a trap in ring 0. */
void trap_dispatch(struct trap_frame *frame);

#ifdef __cplusplus
}
#endif
#endif
