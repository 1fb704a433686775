/* arch/x86/x86_64/registers.h - the interrupted state as text. Layer: arch. Context: any. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <trap_frame.h>

#define REGISTERS_LINE "  %-3s %016zx  %-3s %016zx  %-3s %016zx\n"

static inline void registers_print(const struct trap_frame *frame, void (*print)(const char *format, ...)) {
    print(REGISTERS_LINE, "rax", frame->ax, "rbx", frame->bx, "rcx", frame->cx);
    print(REGISTERS_LINE, "rdx", frame->dx, "rsi", frame->si, "rdi", frame->di);
    print(REGISTERS_LINE, "rbp", frame->bp, "rsp", frame->sp, "rip", frame->ip);
    print(REGISTERS_LINE, "r8", frame->r8, "r9", frame->r9, "r10", frame->r10);
    print(REGISTERS_LINE, "r11", frame->r11, "r12", frame->r12, "r13", frame->r13);
    print(REGISTERS_LINE, "r14", frame->r14, "r15", frame->r15, "fl", frame->flags);
    print("  cs %04zx  ss %04zx\n", frame->cs & 0xffff, frame->ss & 0xffff);
}

#endif
