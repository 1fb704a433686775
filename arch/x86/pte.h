/* arch/x86/pte.h - page-table entries of 64 bits, as PAE and 4-level paging share them.
 *
 * Source: Intel SDM volume 3A, 4.4.2 (PAE, tables 4-8 to 4-11) and 4.5.4 (4-level, tables 4-15 to 4-20). Level 0 is the
 * page table; an entry at level 1 may be a 2 MiB leaf, at level 2 (4-level only) a 1 GiB leaf.
 * Pure functions; used by the kernels and by the host, which walks the same entries. */
#ifndef ARCH_X86_PTE_H
#define ARCH_X86_PTE_H

#include <base/types.h>
#include <geometry.h>

typedef uint64_t arch_entry_t;

#define PTE_PRESENT       ((arch_entry_t)1 << 0)
#define PTE_WRITE         ((arch_entry_t)1 << 1)
#define PTE_USER          ((arch_entry_t)1 << 2)
#define PTE_WRITE_THROUGH ((arch_entry_t)1 << 3)
#define PTE_CACHE_DISABLE ((arch_entry_t)1 << 4)
#define PTE_ACCESSED      ((arch_entry_t)1 << 5)
#define PTE_DIRTY         ((arch_entry_t)1 << 6)
#define PTE_LARGE         ((arch_entry_t)1 << 7)
#define PTE_GLOBAL        ((arch_entry_t)1 << 8)
#define PTE_NO_EXECUTE    ((arch_entry_t)1 << 63)

/* Bits 12 to 51 hold the page number; ours has 32 bits, so bits 44 and up stay zero. */
#define PTE_PFN_MASK ((arch_entry_t)UINT32_MAX << PAGE_SHIFT)

/* What a mapping allows and how it is cached. Every mapping can be read. */
enum {
    PAGE_WRITE = 1 << 0,
    PAGE_EXECUTE = 1 << 1,
    PAGE_USER = 1 << 2,            /* ring 3 may use it */
    PAGE_GLOBAL = 1 << 3,          /* the same in every context: UL_VISIBLE pages only */
    PAGE_UNCACHED = 1 << 4,        /* device registers: PAT entry 3, strong UC */
    PAGE_WRITE_COMBINING = 1 << 5, /* frame buffers: PAT entry 1, which arch_processor_start() makes WC */
};

/* PTE_NO_EXECUTE where the processor has it (EFER.NXE is on), else 0: there the bit is reserved and would fault. */
extern arch_entry_t arch_no_execute;

/* A leaf. At levels above 0 it is a large page and `pfn` must be aligned to it. */
static inline arch_entry_t arch_make_entry(unsigned level, pfn_t pfn, unsigned attributes) {
    arch_entry_t entry = ((arch_entry_t)pfn << PAGE_SHIFT) | PTE_PRESENT;
    if (level > 0)
        entry |= PTE_LARGE;
    if (attributes & PAGE_WRITE)
        entry |= PTE_WRITE;
    if (!(attributes & PAGE_EXECUTE))
        entry |= arch_no_execute;
    if (attributes & PAGE_USER)
        entry |= PTE_USER;
    if (attributes & PAGE_GLOBAL)
        entry |= PTE_GLOBAL;
    if (attributes & PAGE_UNCACHED)
        entry |= PTE_CACHE_DISABLE | PTE_WRITE_THROUGH;
    if (attributes & PAGE_WRITE_COMBINING)
        entry |= PTE_WRITE_THROUGH;
    return entry;
}

/* A reference to a lower table. Rights are judged at the leaf, so the tables above allow everything; PAE's top level
 * has no rights bits, they are reserved there and fault on a real processor (SDM 4.4.1, table 4-8). */
static inline arch_entry_t arch_make_table(unsigned level, pfn_t table) {
    arch_entry_t entry = ((arch_entry_t)table << PAGE_SHIFT) | PTE_PRESENT;
    if (GEOMETRY_TOP_FIXED && level == GEOMETRY_LEVELS - 1)
        return entry;
    return entry | PTE_WRITE | PTE_USER;
}

static inline bool arch_entry_present(arch_entry_t entry) {
    return (entry & PTE_PRESENT) != 0;
}

static inline bool arch_entry_is_leaf(unsigned level, arch_entry_t entry) {
    return level == 0 || (level < GEOMETRY_LEVELS - 1 && (entry & PTE_LARGE) != 0);
}

/* Makes an entry not present, leaves the rest of it, and adds to the count whether it was. */
static inline void arch_entry_retire(arch_entry_t *at, size_t *count) {
    __asm__ volatile("btrl $0, %0; adc $0, %1" : "+m"(*(uint32_t *)(void *)at), "+r"(*count) : : "cc", "memory");
}

static inline pfn_t arch_entry_pfn(arch_entry_t entry) {
    return (pfn_t)((entry & PTE_PFN_MASK) >> PAGE_SHIFT);
}

static inline unsigned arch_entry_attributes(arch_entry_t entry) {
    unsigned attributes = 0;
    if (entry & PTE_WRITE)
        attributes |= PAGE_WRITE;
    if (!(entry & PTE_NO_EXECUTE))
        attributes |= PAGE_EXECUTE;
    if (entry & PTE_USER)
        attributes |= PAGE_USER;
    if (entry & PTE_GLOBAL)
        attributes |= PAGE_GLOBAL;
    if (entry & PTE_CACHE_DISABLE)
        attributes |= PAGE_UNCACHED;
    else if (entry & PTE_WRITE_THROUGH)
        attributes |= PAGE_WRITE_COMBINING;
    return attributes;
}

#endif
