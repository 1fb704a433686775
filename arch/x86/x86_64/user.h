/* arch/x86/x86_64/user.h - what a program of ring 3 has of this processor.
 *
 * Layer: arch. Context: interrupts off, on the kernel's tables. The same names stand in arch/x86/i386/user.h. */
#ifndef USER_H
#define USER_H

#include <arch/x86/fpu.h>
#include <layout.h>
#include <trap_frame.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    USER_BITS = 64,
    USER_CALL_ARGUMENTS = 6,
    USER_CLONE_CHILD_NUMBER = 3, /* which argument of clone is what: it differs */
    USER_CLONE_THREAD_POINTER = 4,
};

struct user_state {
    struct fpu_state fpu;
    uintptr_t fs_base, gs_base;
};

/* A new program's. */
void user_init(struct user_state *state);

/* From the processor, and to it. */
void user_save(struct user_state *state);
void user_load(const struct user_state *state);

/* All registers zero but these. */
void user_frame_make(struct trap_frame *frame, uintptr_t ip, uintptr_t sp);

/* Makes the return to ring 3 by this frame one that can't fault in ring 0. False: it had to change it, and the task
 * has lost its way. */
bool user_frame_is_safe(struct trap_frame *frame);

static inline uintptr_t user_frame_sp(const struct trap_frame *frame) {
    return frame->sp;
}

static inline void user_frame_set_sp(struct trap_frame *frame, uintptr_t sp) {
    frame->sp = sp;
}

/* --- System calls ------------------------------------------------------------------------------------------------- */

static inline bool user_is_call(const struct trap_frame *frame) {
    return frame->vector == LAYOUT_SYSCALL_VECTOR;
}

static inline uintptr_t user_call_number(const struct trap_frame *frame) {
    return frame->ax;
}

static inline void user_call_arguments(const struct trap_frame *frame, uintptr_t arguments[USER_CALL_ARGUMENTS]) {
    arguments[0] = frame->di;
    arguments[1] = frame->si;
    arguments[2] = frame->dx;
    arguments[3] = frame->r10;
    arguments[4] = frame->r8;
    arguments[5] = frame->r9;
}

static inline void user_call_return(struct trap_frame *frame, intptr_t value) {
    frame->ax = (uintptr_t)value;
}

/* arch_prctl: 0 or more with *value for the codes that ask, or a negative error. */
intptr_t user_arch_control(struct user_state *state, uintptr_t code, uintptr_t address, uintptr_t *value);

/* set_thread_area, with the four words of its struct user_desc. There are no such segments in 64-bit mode. */
intptr_t user_set_segment(struct user_state *state, uint32_t words[4]);

/* The thread pointer as clone gives it: a base here. */
intptr_t user_set_thread_pointer(struct user_state *state, uintptr_t base);

/* --- Kernel stacks ------------------------------------------------------------------------------------------------ */

/* Assembler: leaves the registers that C keeps on this stack, notes where in *save, and goes on where `load` left
 * off. */
void user_switch(uintptr_t *save, uintptr_t load);

/* What user_switch() finds on a stack whose top is a frame: it goes on to ring 3. Gives the pointer to load. */
uintptr_t user_switch_prepare(struct trap_frame *frame);

#ifdef __cplusplus
}
#endif
#endif
