/* mem/slab.h - layer 6: blocks of memory, cut from runs of pages.
 *
 * A slab is a run of pages that is cut into blocks of one size, or that is one large block. Its description lies
 * elsewhere, so that no write past a block's end can reach it.
 *
 * Context: any but an NMI; the caller holds slab_lock() throughout.
 * Cost: O(1) for a block; a new slab, or the end of one, costs a run of at most 16 pages; a large block its own run. */
#ifndef MEM_SLAB_H
#define MEM_SLAB_H

#include <mem/canary.h>
#include <mem/heap_pages.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SLAB_CLASSES = 72, /* sizes 16 to 128 in steps of 16, then eight in each doubling, up to SLAB_BLOCK_MAX */
    SLAB_LARGE = 72,   /* the class of a slab that is one block */
    SLAB_BLOCK_MAX = 32768,
    SLAB_BLOCKS_MAX = 256,
    SLAB_PAGES_MAX = 16,
    SLAB_WORD_BITS = sizeof(uintptr_t) * 8,
};

struct slab {
    uintptr_t first; /* address of the first block */
    size_t block_bytes;
    uint32_t reciprocal; /* 2^32 / block_bytes, rounded up; 0 if large */
    uint16_t blocks, used;
    uint16_t size_class, hint; /* hint: no word before this one has a free block */
    struct slab *next, *previous;
    size_t pages;
    struct canary_record *records; /* one a block; NULL without canaries */
    struct canary_record large;    /* what `records` of a large one points to */
    uintptr_t in_use[SLAB_BLOCKS_MAX / SLAB_WORD_BITS];
};

/* One block: its slab, and its number there. */
struct block {
    struct slab *slab; /* NULL: no block */
    unsigned index;
};

struct slab_class {
    uint32_t block_bytes, reciprocal;
    uint16_t blocks, pages; /* of a slab */
    struct slab *partial;   /* slabs with blocks in use and free ones */
    struct slab *spare;     /* at most one that is wholly free */
    size_t slabs, used;     /* slabs, the spare included; blocks in use */
    size_t run_pages;       /* of all its slabs */
};

/* By class; the last one counts large blocks: each is a slab of its own. */
extern struct slab_class slab_classes[SLAB_CLASSES + 1];

void slab_init(void);

/* The heap's lock, of rank HEAP: it guards all that this layer and mem/heap_pages.h know. */
void slab_lock(void);
void slab_unlock(void);

/* A free block of at least `bytes` bytes, contents unspecified, aligned to 16 bytes; to a page if `bytes` is a
 * multiple of the page size. 0 counts as 1. `bytes` is at most SIZE_MAX / 2. No block when memory is short, spares
 * given back first. */
struct block slab_take(size_t bytes);

/* The block must be in use. */
void slab_give(struct block block);

/* Gives back the last pages of a large block, so that `bytes` remain; bytes > SLAB_BLOCK_MAX. */
void slab_shrink(struct slab *slab, size_t bytes);

/* The class that a request falls into. */
static inline unsigned slab_class_of(size_t bytes) {
    if (bytes > SLAB_BLOCK_MAX)
        return SLAB_LARGE;
    unsigned last = ((unsigned)bytes - (bytes != 0)) / 16; /* the last unit of 16 bytes */
    unsigned shift = 28 - (unsigned)__builtin_clz(last | 8);
    return shift * 8 + (last >> shift);
}

/* The block that an address of the slab's run lies in; past the last one, the index may be slab->blocks. The product
 * is exact: an offset has 16 bits and a size 15, so the rounding of the reciprocal adds less than 2^31 to it. */
static inline struct block slab_block_at(struct slab *slab, uintptr_t address) {
    uint32_t offset = (uint32_t)(address - slab->first);
    return (struct block){ slab, (unsigned)((uint64_t)offset * slab->reciprocal >> 32) };
}

static inline uintptr_t slab_address(struct block block) {
    return block.slab->first + block.index * block.slab->block_bytes;
}

/* False for an index past the last block, too. */
static inline bool slab_in_use(struct block block) {
    return (block.slab->in_use[block.index / SLAB_WORD_BITS] >> (block.index % SLAB_WORD_BITS) & 1) != 0;
}

/* The user's first byte of a block that is or was in use. */
static inline uintptr_t slab_user(struct block block) {
    return slab_address(block) + (CONFIG_KMALLOC_CANARY ? block.slab->records[block.index].before : 0);
}

/* The first slab whose run ends behind an address, or NULL. Cost: O(log runs) and the runs of records passed by. */
struct slab *slab_next(uintptr_t address);

/* Gives back all spares. */
void slab_trim(void);

/* Checks all slabs and lists (H3 to H6 in mem/slab.c). Cost: linear in the heap. */
void slab_audit(void);

#ifdef __cplusplus
}
#endif
#endif
