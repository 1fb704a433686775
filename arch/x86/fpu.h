/* arch/x86/fpu.h - the registers of the FPU, MMX and SSE, a task's own. The kernel itself uses none of them.
 *
 * Layer: arch. Context: interrupts off. OSXSAVE stays off, so there is no state beyond these 512 bytes (SDM volume 1,
 * 10.5). */
#ifndef ARCH_X86_FPU_H
#define ARCH_X86_FPU_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fpu_state {
    uint8_t bytes[512];
} __attribute__((aligned(16)));

/* Once on each processor: false if it has no FXSAVE or no SSE2, and tasks can't run. */
bool fpu_start(void);

/* What a new program finds: all exceptions masked, every register empty or zero. */
void fpu_init(struct fpu_state *state);

static inline void fpu_save(struct fpu_state *state) {
    __asm__ volatile("fxsave %0" : "=m"(*state));
}

static inline void fpu_load(const struct fpu_state *state) {
    __asm__ volatile("fxrstor %0" : : "m"(*state));
}

#ifdef __cplusplus
}
#endif
#endif
