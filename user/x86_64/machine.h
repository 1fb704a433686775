/* user/x86_64/machine.h - what the programs must know of this width. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Addresses that are never a task's, whatever it maps. */
static const struct {
    const char *name;
    uintptr_t address;
} machine_forbidden[] = {
    { "address 0", 0 },
    { "the last page of the lower half", 0x00007ffffffff000 },
    { "the first address that isn't canonical", 0x0000800000000000 },
    { "the last address that isn't canonical", 0xffff7fffffffffff },
    { "an address that isn't canonical", 0x8000000000000000 },
    { "the kernel half's first address", 0xffff800000000000 },
    { "the kernel's image", 0xffffffff80100000 },
    { "the last byte", UINTPTR_MAX },
};

/* The kernel's window that is mapped in every task: its first page. */
#define MACHINE_WINDOW ((uintptr_t)0xffffffffffe00000)

/* A page that nobody can map. */
#define MACHINE_BEYOND ((uintptr_t)0xffffffff80000000)

/* The last page that a task can map, and code for its end: asks for the task's number, and returns to what comes
 * behind. */
#define MACHINE_LAST_PAGE ((uintptr_t)0x00007fffffffe000)
#define MACHINE_LAST_CODE "\xb8\x27\x00\x00\x00\x0f\x05"

/* More than any task can have, and less than half of what a number holds. */
#define MACHINE_TOO_MUCH ((size_t)1 << 47)

/* --- Registers (registers.S) -------------------------------------------------------------------------------------- */

enum {
    AX,
    BX,
    CX,
    DX,
    SI,
    DI,
    BP,
    SP,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    MACHINE_GENERAL,
    FLAGS = MACHINE_GENERAL,
    MACHINE_WORDS,
    MACHINE_VECTORS = 16,
};

struct machine_run {
    uintptr_t set[MACHINE_WORDS + 1], found[MACHINE_WORDS + 1];
    uint8_t fpu_set[512], fpu_found[512], fpu_own[512]; /* as FXSAVE writes them */
    uintptr_t rounds;
} __attribute__((aligned(16)));

/* The system call's result and what the SYSCALL instruction itself uses. */
static inline bool machine_call_changes(int word) {
    return word == AX || word == CX || word == R11;
}

/* Words of `set` that aren't free to choose. */
static inline void machine_set_rest(struct machine_run *run) {
    (void)run;
}

/* ARCH_SET_GS of <asm/prctl.h>, a header of the kernel's that not every C library comes with. */
enum { MACHINE_SET_GS = 0x1001 };

/* Makes a second thread pointer point at this word. */
static inline bool machine_segment_set(uintptr_t *word) {
    return syscall(SYS_arch_prctl, MACHINE_SET_GS, word) == 0;
}

static inline uintptr_t machine_segment_read(void) {
    uintptr_t value;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(value));
    return value;
}

/* Sets the trap flag. */
static inline void machine_single_step(void) {
    __asm__ volatile("sub $128, %%rsp; pushf; orl $0x100, (%%rsp); popf; add $128, %%rsp; nop" : : : "cc", "memory");
}

#endif
