/* arch/x86/x86_64/trap_frame.h - the interrupted state, as trap.S and the processor leave it on the stack. */
#ifndef TRAP_FRAME_H
#define TRAP_FRAME_H

#include <base/types.h>

struct trap_frame {
    uintptr_t r15, r14, r13, r12, r11, r10, r9, r8;
    uintptr_t di, si, bp, bx, dx, cx, ax;
    uintptr_t vector, error;
    uintptr_t ip, cs, flags, sp, ss;
};

#endif
