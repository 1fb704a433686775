/* arch/host/mmu.h - the pretend processor's translations, for tests. */
#ifndef ARCH_HOST_MMU_H
#define ARCH_HOST_MMU_H

#include <arch/arch.h>

/* A new processor: no translations, no root, no open view. After ram_create(). */
void mmu_reset(void);

/* What the tables say, walked as the manual does (SDM volume 3A, 4.4 and 4.5) and sharing no code with mem/paging.c. */
struct mmu_walk {
    bool present, writable, user, executable, global;
    pfn_t pfn;
    unsigned levels; /* tables read */
};
struct mmu_walk mmu_walk(pfn_t root, uintptr_t address);

/* Every cached translation must still be what the tables say, or more than they allow is reachable: a flush was missed.
 * Panics with the first one. */
void mmu_audit(void);

/* Views that are open now. */
unsigned mmu_open_views(void);

/* Bytes of the loaded context as a program there would see them: false where the walk says no. */
bool mmu_read(pfn_t root, uintptr_t address, void *to, size_t bytes, bool user);
bool mmu_write(pfn_t root, uintptr_t address, const void *from, size_t bytes, bool user);

/* Counts since the reset. */
struct mmu_counts {
    unsigned long flushed_pages, full_flushes, root_loads, misses, views;
};
extern struct mmu_counts mmu_counts;

#endif
