/* FS and GS are bases that only the kernel sets (FSGSBASE is off). A task may load any selector that it finds into DS,
 * ES, FS and GS, which changes nothing but FS' and GS' bases; so the bases are read back when it leaves the processor,
 * and the next task starts with null selectors. */
#include <user.h>
#include <arch/x86/cpu.h>
#include <arch/x86/window.h>
#include <asm/prctl.h>
#include <base/string.h>
#include <geometry.h>

/* What ring 3 may have in its flags: carry to overflow, trap, direction, nested task never; interrupts always on. */
#define FLAGS_RING3 ((uintptr_t)0x240dd5)

enum { ERR_NO_CALL = -38 };

void user_init(struct user_state *state) {
    fpu_init(&state->fpu);
    state->fs_base = state->gs_base = 0;
}

void user_save(struct user_state *state) {
    fpu_save(&state->fpu);
    state->fs_base = (uintptr_t)cpu_msr(MSR_FS_BASE);
    state->gs_base = (uintptr_t)cpu_msr(MSR_GS_BASE);
}

/* Loading a null selector may clear the base (SDM volume 2A, MOV): bases come last. */
void user_load(const struct user_state *state) {
    fpu_load(&state->fpu);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0) : "memory");
    cpu_set_msr(MSR_FS_BASE, state->fs_base);
    cpu_set_msr(MSR_GS_BASE, state->gs_base);
}

void user_frame_make(struct trap_frame *frame, uintptr_t ip, uintptr_t sp) {
    memset(frame, 0, sizeof(*frame));
    frame->ip = ip;
    frame->sp = sp;
    frame->cs = LAYOUT_USER_CODE_SELECTOR;
    frame->ss = LAYOUT_USER_DATA_SELECTOR;
    frame->flags = FLAGS_FIXED | FLAGS_INTERRUPT;
}

/* IRETQ faults in ring 0 on an ip that isn't canonical; SP may be anything. */
bool user_frame_is_safe(struct trap_frame *frame) {
    bool safe = frame->ip < GEOMETRY_TASK_END;
    if (!safe)
        frame->ip = 0;
    frame->cs = LAYOUT_USER_CODE_SELECTOR;
    frame->ss = LAYOUT_USER_DATA_SELECTOR;
    frame->flags = (frame->flags & FLAGS_RING3) | FLAGS_FIXED | FLAGS_INTERRUPT;
    return safe;
}

/* The MSRs take canonical addresses only and fault on others. */
static intptr_t set_base(uintptr_t *base, uint32_t msr, uintptr_t address) {
    if (address >= GEOMETRY_TASK_END)
        return -1;
    *base = address;
    cpu_set_msr(msr, address);
    return 0;
}

intptr_t user_arch_control(struct user_state *state, uintptr_t code, uintptr_t address, uintptr_t *value) {
    switch (code) {
    case ARCH_SET_FS:
        return set_base(&state->fs_base, MSR_FS_BASE, address);
    case ARCH_SET_GS:
        return set_base(&state->gs_base, MSR_GS_BASE, address);
    case ARCH_GET_FS:
        *value = (uintptr_t)cpu_msr(MSR_FS_BASE);
        return 1;
    case ARCH_GET_GS:
        *value = (uintptr_t)cpu_msr(MSR_GS_BASE);
        return 1;
    default:
        return ERR_INVALID;
    }
}

intptr_t user_set_segment(struct user_state *state, uint32_t words[4]) {
    (void)state;
    (void)words;
    return ERR_NO_CALL;
}

intptr_t user_set_thread_pointer(struct user_state *state, uintptr_t base) {
    if (base >= GEOMETRY_TASK_END)
        return ERR_INVALID;
    state->fs_base = base;
    return 0;
}

/* In the order of user_switch()'s pops. */
struct switched {
    uintptr_t r15, r14, r13, r12, bx, bp, ip;
};

uintptr_t user_switch_prepare(struct trap_frame *frame) {
    struct switched *switched = (struct switched *)frame - 1;
    *switched = (struct switched){ .ip = (uintptr_t)window_leave };
    return (uintptr_t)switched;
}
