/* arch/x86/x86_64/geometry.h - the shape of 4-level paging (SDM volume 3A, 4.5). */
#ifndef GEOMETRY_H
#define GEOMETRY_H

#include <base/types.h>

#define GEOMETRY_LEVELS     4
#define GEOMETRY_INDEX_BITS 9
#define GEOMETRY_TOP_BITS   9

/* 1: every top-level entry is present from creation on and never changes. */
#define GEOMETRY_TOP_FIXED 0

/* Top-level tables must lie below this page number; 0: anywhere. */
#define GEOMETRY_ROOT_LIMIT ((pfn_t)0)

/* 1: a frame that was opened stays reachable at the same address for ever, and closing costs nothing. */
#define GEOMETRY_VIEW_PERMANENT 1

/* Physical addresses beyond this page aren't used: a pfn_t's last value means "none". */
#define GEOMETRY_PFN_LIMIT PFN_NONE

/* A task owns the addresses from the first to below the end. The lower half's last page is left out: SYSRET to the
 * address after a SYSCALL that ended there would be non-canonical and fault in ring 0 (SDM volume 2B, SYSRET). */
#define GEOMETRY_TASK_FIRST ((uintptr_t)0x10000)
#define GEOMETRY_TASK_END   ((uintptr_t)0x00007ffffffff000)

/* Addresses from here on are the kernel's: in a task's tables there is nothing but the UL_VISIBLE window. */
#define GEOMETRY_UPPER_FIRST ((uintptr_t)0xffff800000000000)

static inline bool geometry_canonical(uintptr_t address) {
    return (uintptr_t)((intptr_t)(address << 16) >> 16) == address;
}

/* Both ends of a run are canonical and on the same side of the hole between the halves. */
static inline bool geometry_canonical_run(uintptr_t first, uintptr_t last) {
    return geometry_canonical(first) && geometry_canonical(last) && ((intptr_t)first < 0) == ((intptr_t)last < 0);
}

/* One store, never seen half-done by a walk of the processor's. */
static inline void arch_entry_write(uint64_t *at, uint64_t value) {
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* The same where the entry isn't present. */
static inline void arch_entry_fill(uint64_t *at, uint64_t value) {
    arch_entry_write(at, value);
}

static inline uint64_t arch_entry_read(const uint64_t *at) {
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

#endif
