/* arch/x86/i386/registers.h - the interrupted state as text. Layer: arch. Context: any. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <trap_frame.h>

static inline void registers_print(const struct trap_frame *frame, void (*print)(const char *format, ...)) {
    print("  eax %08zx  ebx %08zx  ecx %08zx  edx %08zx\n", frame->ax, frame->bx, frame->cx, frame->dx);
    print("  esi %08zx  edi %08zx  ebp %08zx  esp %08zx\n", frame->si, frame->di, frame->bp, frame->sp);
    print("  eip %08zx  flags %08zx\n", frame->ip, frame->flags);
    print("  cs %04zx  ds %04zx  es %04zx  fs %04zx  gs %04zx\n", frame->cs & 0xffff, frame->ds & 0xffff,
          frame->es & 0xffff, frame->fs & 0xffff, frame->gs & 0xffff);
}

#endif
