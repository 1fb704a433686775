/* arch/x86/i386/geometry.h - the shape of PAE paging (SDM volume 3A, 4.4). */
#ifndef GEOMETRY_H
#define GEOMETRY_H

#include <base/types.h>

#define GEOMETRY_LEVELS     3
#define GEOMETRY_INDEX_BITS 9
#define GEOMETRY_TOP_BITS   2

/* The processor loads the four top entries with CR3 and not on a miss (SDM 4.4.1), so they are made once. */
#define GEOMETRY_TOP_FIXED 1

/* CR3 holds 32 bits of the address. */
#define GEOMETRY_ROOT_LIMIT ((pfn_t)1 << 20)

/* Frames are seen through a few slots of each processor. */
#define GEOMETRY_VIEW_PERMANENT 0

/* 36 bits of physical address: what every processor with PAE has. */
#define GEOMETRY_PFN_LIMIT ((pfn_t)1 << 24)

/* The last 2 MiB are the UL_VISIBLE window's. */
#define GEOMETRY_TASK_FIRST  ((uintptr_t)0x10000)
#define GEOMETRY_TASK_END    ((uintptr_t)0xffe00000)
#define GEOMETRY_UPPER_FIRST ((uintptr_t)0xffe00000)

static inline bool geometry_canonical(uintptr_t address) {
    (void)address;
    return true;
}

static inline bool geometry_canonical_run(uintptr_t first, uintptr_t last) {
    return first <= last;
}

/* 64 bits in one access: two 32-bit stores would let a walk combine halves of two entries. CMPXCHG8B is in every
 * processor with PAE; the compiler's own choice would be the FPU, which a kernel's code may not touch. */
static inline void arch_entry_write(uint64_t *at, uint64_t value) {
    uint64_t old = *at;
    __asm__ volatile("1: lock cmpxchg8b %0; jne 1b"
                     : "+m"(*at), "+A"(old)
                     : "b"((uint32_t)value), "c"((uint32_t)(value >> 32))
                     : "cc", "memory");
}

/* The same where the entry isn't present: no walk uses any of it before the low half, which comes last, says so. */
static inline void arch_entry_fill(uint64_t *at, uint64_t value) {
    volatile uint32_t *half = (volatile uint32_t *)(void *)at;
    half[1] = (uint32_t)(value >> 32);
    half[0] = (uint32_t)value;
}

/* Accessed and dirty bits, all in the low half, are the only bits that a processor changes by itself, and writers are
 * excluded by a lock: two loads can't mix two entries. */
static inline uint64_t arch_entry_read(const uint64_t *at) {
    return *(const volatile uint64_t *)at;
}

#endif
