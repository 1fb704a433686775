/* arch/x86/processor.h - what the processor can protect, switched on (libxelixmm.a).
 *
 * Layer: arch. For boot code and for embedders with boot code of their own, who may call this instead of setting the
 * bits themselves. Context: ring 0, PAE or 4-level paging on, interrupts off, once on each processor. */
#ifndef ARCH_X86_PROCESSOR_H
#define ARCH_X86_PROCESSOR_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct arch_features {
    bool no_execute;   /* EFER.NXE is set and arch_no_execute is the bit; without it every page can be executed */
    bool global_pages; /* CR4.PGE */
    bool smep;         /* ring 0 doesn't execute what ring 3 can reach */
    bool smap;         /* ring 0 doesn't touch what ring 3 can reach */
    bool umip;         /* ring 3 can't read where the descriptor tables are */
    bool pat;          /* PAT entry 1 is write-combining and entry 3 uncached, as arch/x86/pte.h counts on */
    uint8_t physical_bits;
    char brand[49]; /* the processor's own name, or "" */
};

/* Of the processor that started last. */
extern struct arch_features arch_features;

/* Sets CR0.WP and NE, clears CD and NW, sets EFER.NXE, CR4.PGE, SMEP, SMAP, UMIP, MCE and the PAT where CPUID has them,
 * clears CR4.FSGSBASE, and notes what was found in arch_features. Nothing that a kernel could reach only through user
 * pages may be in use. */
void arch_processor_start(void);

/* 64 bits that can't be guessed from outside: from RDRAND where there is one, else only from the time stamp counter. */
uint64_t arch_processor_random(void);

#ifdef __cplusplus
}
#endif
#endif
