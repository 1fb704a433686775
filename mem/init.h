/* mem/init.h - bringing the memory manager up, in one call.
 *
 * The boot code describes the machine; mem_init() builds the layers on it in order. Two ways:
 *   - root == PFN_NONE: the kernel still runs on throw-away tables. mem_init() makes new ones that hold `segments`, and
 *     nothing else of what the old ones showed, and loads them.
 *   - root is a live table: what it maps stays as it is, and the manager adds its own between space_first and
 *     space_end.
 * Context: boot, one processor, interrupts off. */
#ifndef MEM_INIT_H
#define MEM_INIT_H

#include <mem/bootmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A part of the kernel's image, or device memory, that the new tables map. */
struct mem_segment {
    uintptr_t address;
    pfn_t first;
    size_t pages;
    unsigned attributes; /* PAGE_WRITE and so on, arch/x86/pte.h */
};

struct mem_boot {
    struct bootmap *map; /* all entries added, not yet finished */

    pfn_t root;
    const struct mem_segment *segments; /* used if root is PFN_NONE: else W^X doesn't know the image's own mappings */
    size_t segment_count;

    /* Kernel address space for the manager: frame view, descriptors, nodes, and the ranges of the kernel's context, in
     * this order. Nothing may be mapped there. x86_64: inside the upper half; the view alone takes as much as the RAM's
     * end. */
    uintptr_t space_first, space_end;

    /* How physical pages are reached until the manager has its own view: page p is readable and writable at
     * early_base + p * PAGE_SIZE for p < early_end. The live tables, and a few MiB of free RAM, must lie below that
     * end. */
    uintptr_t early_base;
    pfn_t early_end;

    /* Whatever can't be guessed from outside: for the heap's canaries. */
    uint64_t random;
};

/* 0, or a negative error with *why naming what was wrong; after an error nothing works. */
int mem_init(const struct mem_boot *boot, const char **why);

/* Where things ended up, for maps and reports. */
struct mem_layout {
    uintptr_t view, view_end, metadata, metadata_end, nodes, nodes_end, ranges, ranges_end;
};
extern struct mem_layout mem_layout;

#ifdef __cplusplus
}
#endif
#endif
