/* user/i386/machine.h - what the programs must know of this width. */
#ifndef MACHINE_H
#define MACHINE_H

#include <asm/ldt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Addresses where a program of this size has nothing, the kernel's own first of all: here they are the task's to
 * map. */
static const struct {
    const char *name;
    uintptr_t address;
} machine_forbidden[] = {
    { "address 0", 0 },
    { "the kernel's image", 0x80100000 },
    { "the kernel's view of frames", 0x90000000 },
    { "the end of the kernel's ranges", 0xff000000 },
    { "the last byte", UINTPTR_MAX },
};

/* The kernel's window that is mapped in every task: its first page. */
#define MACHINE_WINDOW ((uintptr_t)0xffe00000)

/* A page that nobody can map. */
#define MACHINE_BEYOND ((uintptr_t)0xfffff000)

/* The last page that a task can map, and code for its end: asks for the task's number, and returns to what comes
 * behind. */
#define MACHINE_LAST_PAGE ((uintptr_t)0xffdff000)
#define MACHINE_LAST_CODE "\xb8\x14\x00\x00\x00\xcd\x80"

/* More than any task can have. */
#define MACHINE_TOO_MUCH ((size_t)0xffe00000)

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
    MACHINE_GENERAL,
    FLAGS = MACHINE_GENERAL,
    DS,
    ES,
    MACHINE_WORDS,
    MACHINE_VECTORS = 8,
};

struct machine_run {
    uintptr_t set[MACHINE_WORDS + 1], found[MACHINE_WORDS + 1];
    uint8_t fpu_set[512], fpu_found[512], fpu_own[512]; /* as FXSAVE writes them */
    uintptr_t rounds;
} __attribute__((aligned(16)));

/* The system call's result. */
static inline bool machine_call_changes(int word) {
    return word == AX;
}

/* Null selectors: whoever enters the kernel must not count on the segments that it finds. */
static inline void machine_set_rest(struct machine_run *run) {
    run->set[DS] = run->set[ES] = 0;
}

/* Makes a second thread pointer point at this word. */
static inline bool machine_segment_set(uintptr_t *word) {
    struct user_desc segment = { .entry_number = (unsigned)-1,
                                 .base_addr = (unsigned)(uintptr_t)word,
                                 .limit = 0xfffff,
                                 .seg_32bit = 1,
                                 .limit_in_pages = 1,
                                 .useable = 1 };
    if (syscall(SYS_set_thread_area, &segment) != 0)
        return false;
    __asm__ volatile("mov %0, %%fs" : : "r"(segment.entry_number << 3 | 3));
    return true;
}

static inline uintptr_t machine_segment_read(void) {
    uintptr_t value;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(value));
    return value;
}

/* Sets the trap flag. */
static inline void machine_single_step(void) {
    __asm__ volatile("pushf; orl $0x100, (%%esp); popf; nop" : : : "cc", "memory");
}

#endif
