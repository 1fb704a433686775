#include <arch/x86/cpu.h>
#include <arch/x86/fpu.h>
#include <base/string.h>

/* CPUID leaf 1, EDX. */
#define ID1_FXSAVE (1u << 24)
#define ID1_SSE    (1u << 25)
#define ID1_SSE2   (1u << 26)

/* Places and values in the FXSAVE area (SDM volume 1, table 10-2; volume 1, 8.1.5 and 10.2.3). */
enum { AT_CONTROL_WORD = 0, AT_MXCSR = 24, CONTROL_WORD = 0x37f, MXCSR = 0x1f80 };

bool fpu_start(void) {
    uint32_t needed = ID1_FXSAVE | ID1_SSE | ID1_SSE2;
    if ((cpu_id(1).edx & needed) != needed)
        return false;
    cpu_set_cr0(cpu_cr0() & ~(CR0_EMULATION | CR0_TASK_SWITCHED));
    cpu_set_cr4(cpu_cr4() | CR4_FXSAVE | CR4_SIMD_EXCEPTIONS);
    return true;
}

void fpu_init(struct fpu_state *state) {
    uint16_t control = CONTROL_WORD;
    uint32_t mxcsr = MXCSR;
    memset(state, 0, sizeof(*state));
    memcpy(state->bytes + AT_CONTROL_WORD, &control, sizeof(control));
    memcpy(state->bytes + AT_MXCSR, &mxcsr, sizeof(mxcsr));
}
