/* arch/x86/x86_64/calls.h - Linux' numbers of system calls for this width. Layer: arch. */
#ifndef CALLS_H
#define CALLS_H

#include <asm/unistd_64.h>

/* What this width doesn't have, for a table that both share: no number is as large. */
#define __NR_mmap2   0xffff
#define __NR__llseek 0xffff
#define __NR_waitpid 0xffff

#endif
