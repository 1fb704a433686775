/* mem/bootmap.h - layer 1: from the firmware's map to free physical pages.
 *
 * The firmware's entries come in any order, overlap, touch, are unaligned, empty, wrap at 2^64, or lie. They are
 * painted one by one onto a sorted list of disjoint ranges; where two meet, the more restrictive type wins. Then the
 * kernel, the modules and the loader's data are painted the same way, and bootmap_finish() rounds to pages: usable
 * ranges inward, all others outward, touching usable ranges first joined.
 *
 * Context: boot, one processor, no lock. The caller gives all the memory. */
#ifndef MEM_BOOTMAP_H
#define MEM_BOOTMAP_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In the order of restriction: a higher type wins over a lower one. */
enum bootmap_type {
    BOOTMAP_NONE,     /* no entry speaks of it: not RAM */
    BOOTMAP_FREE,     /* RAM that anybody may use */
    BOOTMAP_LOADER,   /* RAM with the loader's data or modules in it: palloc_reclaim() frees it later */
    BOOTMAP_METADATA, /* RAM that bootmap_carve() took for the memory manager's own tables */
    BOOTMAP_KERNEL,   /* RAM with the kernel's image in it */
    BOOTMAP_ACPI,     /* RAM with ACPI tables in it; not used by us */
    BOOTMAP_NVS,      /* RAM that the firmware needs across sleep */
    BOOTMAP_RESERVED, /* not RAM, or RAM that isn't ours */
    BOOTMAP_BAD,      /* RAM that is known to fail */
};

const char *bootmap_type_name(enum bootmap_type type);

struct bootmap_range {
    uint64_t first,
        last; /* bytes, both ends included, so that 2^64 needs no 65th bit; multiples of a page once finished */
    enum bootmap_type type;
};

struct bootmap {
    struct bootmap_range *ranges; /* sorted, disjoint, neighbours of one type joined, no BOOTMAP_NONE */
    size_t count, capacity;
    bool finished;
    size_t ignored; /* entries that were empty, and those cut at 2^64 */
};

/* `ranges` is room for `capacity` of them; k entries need at most 2k + 1. */
void bootmap_init(struct bootmap *map, struct bootmap_range *ranges, size_t capacity);

/* Paints one entry. Zero bytes change nothing; an entry that passes 2^64 is cut there; both are counted in `ignored`.
 * ERR_NO_SPACE when the room is used up (the map is then unchanged), ERR_INVALID for BOOTMAP_NONE.
 * Cost: linear in the ranges so far. */
int bootmap_add(struct bootmap *map, uint64_t first_byte, uint64_t bytes, enum bootmap_type type);

/* Rounds to pages, keeps out page 0 and all from page `limit` on (0: PFN_NONE). Needs no more room than there is.
 * ERR_NO_MEMORY when no free page is left. */
int bootmap_finish(struct bootmap *map, pfn_t limit);

/* --- On a finished map ------------------------------------------------------------------------------------------- */

/* The first range at or after `index` of the type, as pages; false when there is none. *index is moved past it. */
bool bootmap_next(const struct bootmap *map, size_t *index, enum bootmap_type type, struct extent *extent);

/* The same for pages that palloc describes: FREE, LOADER, METADATA and KERNEL together, those that touch joined.
 * bootmap_carve() doesn't change what this gives, but makes an index meaningless. */
bool bootmap_next_ram(const struct bootmap *map, size_t *index, struct extent *extent);

/* Pages of the type. */
size_t bootmap_pages(const struct bootmap *map, enum bootmap_type type);

/* One more than the last page that palloc will describe: of FREE, LOADER, METADATA and KERNEL. */
pfn_t bootmap_end(const struct bootmap *map);

/* Takes `pages` contiguous free pages below `limit` (0: none), as high as possible, so below 16 MiB only if they
 * can't be had above, and marks them BOOTMAP_METADATA. PFN_NONE when there is no such run or no room to note it. */
pfn_t bootmap_carve(struct bootmap *map, size_t pages, pfn_t limit);

#ifdef __cplusplus
}
#endif
#endif
