/* arch/x86/i386/calls.h - Linux' numbers of system calls for this width. Layer: arch. */
#ifndef CALLS_H
#define CALLS_H

#include <asm/unistd_32.h>

/* Its mmap is one with all arguments in memory, which nobody uses any more. */
#undef __NR_mmap
#define __NR_mmap 0xffff

#endif
