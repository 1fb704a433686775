/* arch/x86/i386/trap_frame.h - the interrupted state, as trap.S and the processor leave it on the stack. */
#ifndef TRAP_FRAME_H
#define TRAP_FRAME_H

#include <base/types.h>

struct trap_frame {
    uintptr_t gs, fs, es, ds;
    uintptr_t di, si, bp;
    uintptr_t sp; /* the interrupted one, written by trap.S; returning takes no notice of it */
    uintptr_t bx, dx, cx, ax;
    uintptr_t vector, error;
    uintptr_t ip, cs, flags;
    uintptr_t user_sp, user_ss; /* there only when ring 3 was interrupted */
};

#endif
