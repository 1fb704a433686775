/* mem/slab.h - layer 6: blocks of memory, cut from runs of pages.
 *
 * A slab is a run of pages that is cut into blocks of one size, or that is one large block. Its description lies
 * elsewhere, so that no write past a block's end can reach it. A block's state is a byte of the description.
 *
 * Context: any but an NMI; the caller holds slab_lock() throughout, but where it says otherwise.
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
    SLAB_BLOCK_MAX = 32768,
    SLAB_BLOCKS_MAX = 256,
    SLAB_PAGES_MAX = 16,
};

/* Who has a block. The caches of free blocks are mem/magazine.h's. */
enum block_state {
    BLOCK_FREE,       /* its slab */
    BLOCK_RAW,        /* its slab, and the constructor of its cache never saw it */
    BLOCK_CACHED,     /* a cache of free blocks */
    BLOCK_CACHED_RAW, /* the same, never constructed */
    BLOCK_IN_USE,     /* its user */
    BLOCK_QUARANTINED /* nobody yet: it was freed, and waits */
};

/* What is known of a block. With KMALLOC_CHECK_NONE only its first byte exists. */
struct note {
    uint8_t state;
    bool used;             /* it was handed out at least once; all below is of the last time */
    bool alone;            /* it has pages of its own, which it needn't begin with (mem/guard.h) */
    uint32_t before;       /* bytes of the block before the user's */
    uintptr_t place;       /* the return address of the last request that got it */
    uintptr_t freed_place; /* of the last call that freed it; 0: none */
    size_t bytes;          /* as asked for */
    size_t born;           /* the heap's requests before this one */
};

#define NOTE_BYTES (CONFIG_KMALLOC_CANARY ? sizeof(struct note) : (size_t)1)

/* The members that each kfree() reads stand first. */
struct slab {
    uintptr_t first;     /* address of the first block */
    uint32_t reciprocal; /* 2^32 / block_bytes, rounded up; 0 if it is one block, or no slab */
    uint32_t magazine;   /* slab_magazine() of its class */
    uint8_t *notes;      /* one of NOTE_BYTES a block: `states`, or with canaries a run of its own */
    size_t block_bytes;
    struct slab_class *of;
    uint8_t *lowest; /* no block with a note before this one is free */
    uint32_t blocks, taken;
    size_t pages;
    struct slab *next, *previous;
    uint32_t room;                                 /* notes that there is room for */
    bool urgent;                                   /* the reserve's */
    bool hidden;                                   /* its pages are gone, its addresses aren't free yet */
    uint8_t states[8] __attribute__((aligned(8))); /* more where there are more blocks */
};

/* One block: its slab, and its number there. */
struct block {
    struct slab *slab; /* NULL: no block */
    unsigned index;
};

/* A free block as caches pass it on: where it is, and its note, so that nobody needs to look for it. */
struct entry {
    uintptr_t address;
    uint8_t *note;
};

struct slab_class {
    uint32_t block_bytes, reciprocal;
    uint16_t blocks, pages;  /* of a slab; pages 0: each slab is one large block */
    uint32_t magazine;       /* where its magazine lies in a set, in bytes (mem/magazine.h) */
    bool constructed;        /* its blocks start as RAW */
    const char *cache;       /* the name of the cache that it is; NULL: the kmalloc family's */
    struct slab *partial;    /* slabs with free blocks and others */
    size_t slabs, taken;     /* slabs, kept ones included; blocks that aren't free */
    size_t run_pages;        /* of all its slabs */
    struct slab_class *next; /* all classes */
};

/* By size, and the one of large blocks. */
extern struct slab_class slab_classes[SLAB_CLASSES], slab_large;

void slab_init(void);

/* Fills the reserve, as far as there is memory for it, once; and sets limits for a machine with so many pages. */
void slab_reserve(size_t ram_pages);

/* The heap's lock, of rank HEAP: it guards all that this layer and mem/heap_pages.h know. */
void slab_lock(void);
void slab_unlock(void);

/* A class for blocks of `block_bytes`, a multiple of 16 up to SLAB_BLOCK_MAX; enters it among all classes. */
void slab_class_open(struct slab_class *of, uint32_t block_bytes);

/* Forgets a class without slabs. */
void slab_class_close(struct slab_class *of);

/* Takes up to `want` free blocks, from few slabs, and makes a new slab only if there would be none. Returns how many:
 * 0 when memory is short. Their state is CACHED or CACHED_RAW. */
unsigned slab_take(struct slab_class *of, struct entry *entries, unsigned want);

/* Gives back blocks that were taken. Wholly free slabs are kept up to the limit in mem/slab.c. */
void slab_give(const struct entry *entries, unsigned count);

/* A block of whole pages, with an unmapped page behind it, aligned to `align` pages. Its state is IN_USE. No block when
 * memory is short. */
struct block slab_take_large(size_t pages, size_t align);

/* A page of the heap's own reserve as a large block; no block when it is used up. */
struct block slab_take_urgent(void);

/* Gives back a large block. */
void slab_give_large(struct slab *slab);

/* The same, but its addresses are kept from reuse until slab_unhide(), and nothing is behind them. */
void slab_hide(struct slab *slab);
void slab_unhide(struct slab *slab);

/* Gives back the last pages of a large block, so that `bytes` remain. */
void slab_shrink(struct slab *slab, size_t bytes);

/* Gives back so many of its first pages. */
void slab_cut(struct slab *slab, size_t pages);

/* The class that a request falls into; bytes <= SLAB_BLOCK_MAX. */
static inline unsigned slab_class_of(size_t bytes) {
    unsigned last = ((unsigned)bytes - (bytes != 0)) / 16; /* the last unit of 16 bytes */
    unsigned shift = 28 - (unsigned)__builtin_clz(last | 8);
    return shift * 8 + (last >> shift);
}

/* The magazine that kfree() may put a block of the class into: for an object of a cache it is the one that is always
 * full, so that kfree() looks closer and refuses it. */
static inline uint32_t slab_magazine(const struct slab_class *of) {
    return of->cache == NULL ? of->magazine : slab_large.magazine;
}

static inline bool slab_is_large(const struct slab *slab) {
    return slab->reciprocal == 0;
}

/* The block that an address of the slab's run lies in; past the last one, the index may be slab->blocks. The product
 * is exact: an offset has 16 bits and a size at most 16, so the rounding of the reciprocal adds less than 2^32 to it.
 */
static inline struct block slab_block_at(struct slab *slab, uintptr_t address) {
    uint32_t offset = (uint32_t)(address - slab->first);
    return (struct block){ slab, (unsigned)((uint64_t)offset * slab->reciprocal >> 32) };
}

static inline uintptr_t slab_address(struct block block) {
    return block.slab->first + block.index * block.slab->block_bytes;
}

static inline uint8_t *slab_state(struct block block) {
    return block.slab->notes + block.index * NOTE_BYTES;
}

/* With canaries only. */
static inline struct note *slab_note(uint8_t *state) {
    return (struct note *)(void *)state;
}

/* States change under other processors' hands, with or without the lock. What a block wears is written before its state
 * becomes IN_USE, and read after. On x86 both are plain moves. */
static inline uint8_t slab_load(const uint8_t *state) {
    return __atomic_load_n(state, __ATOMIC_ACQUIRE);
}

static inline void slab_store(uint8_t *state, enum block_state value) {
    __atomic_store_n(state, (uint8_t)value, __ATOMIC_RELEASE);
}

/* The other fields of a note: the block's user writes them as it gets it, while others may look. */
#define note_get(field)        __atomic_load_n(field, __ATOMIC_ACQUIRE)
#define note_set(field, value) __atomic_store_n(field, value, __ATOMIC_RELEASE)

/* False for an index past the last block, too. */
static inline bool slab_in_use(struct block block) {
    return block.index < block.slab->blocks && slab_load(slab_state(block)) == BLOCK_IN_USE;
}

/* The user's first byte of a block that is or was in use. */
static inline uintptr_t slab_user(struct block block) {
    return slab_address(block) + (CONFIG_KMALLOC_CANARY ? note_get(&slab_note(slab_state(block))->before) : 0);
}

/* The slab whose run an address lies in, or NULL; any address. */
struct slab *slab_of(uintptr_t address);

/* The first slab whose run ends behind an address, or NULL; kept ones and the reserve included. Cost: O(log runs)
 * and the runs of notes passed by. */
struct slab *slab_next(uintptr_t address);

/* Gives back all wholly free slabs, but for the reserve; false if there was none. */
bool slab_trim(void);

/* What no class knows; read with the lock held. */
struct slab_lists {
    struct slab_class *classes;                /* all of them */
    struct slab *kept[SLAB_PAGES_MAX + 1];     /* wholly free slabs, by their pages */
    struct slab *reserve;                      /* single pages, large blocks that are free */
    size_t kept_slabs, kept_pages;             /* their sums */
    size_t reserve_pages, reserve_index_pages; /* set aside at init, in use or not; the array's pages for them */
    size_t hidden;                             /* slabs of which only addresses and descriptions are left */
    size_t keep_at_least;                      /* the limit of kept_pages in a small heap */
    struct pool small, big;                    /* descriptions, with room for 40 bytes of notes, and for 256 */
};
extern struct slab_lists slab_lists;

/* Checks all slabs and lists (H3 to H6 in mem/slab.c); caches have so many pages in runs of notes. Cost: the heap
 * times the classes in use. */
void slab_audit(size_t other_pages);

#ifdef __cplusplus
}
#endif
#endif
