/* mem/magazine.h - layer 6: free blocks at hand, for each processor and size.
 *
 * A magazine is a stack of free blocks that only its processor touches, so that most requests and frees take no lock
 * and no locked instruction. It is filled and emptied in batches, under the heap's lock.
 *
 * Context: any but an NMI. The functions say who holds slab_lock(); the inline ones are called with interrupts off. */
#ifndef MEM_MAGAZINE_H
#define MEM_MAGAZINE_H

#include <base/percpu.h>
#include <mem/slab.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MAGAZINE_CACHES = 64, /* object caches with magazines; more take their blocks from slabs each time */
    MAGAZINE_NONE = SLAB_CLASSES + MAGAZINE_CACHES, /* the magazine that is always empty and always full */
    MAGAZINES,
};

/* `bottom` is an entry that stands for no block; its note never says CACHED, so that what is popped from an empty
 * magazine shows itself by the check that every block gets. */
struct magazine {
    struct entry *top;    /* the last block; bottom if empty */
    struct entry *end;    /* top if full */
    struct entry *bottom; /* &magazine_nothing if it has no memory yet */
};

struct magazine_set {
    struct magazine of[MAGAZINES];
    size_t requests; /* the heap's clock as this processor knows it; with canaries only */
    size_t synced;   /* what it was when it was last compared with the others' */
};

/* The set that each processor uses: its own, or magazine_empty_set. The latter means: come to the slow path. */
extern struct magazine_set *magazine_current[CONFIG_PROCESSORS];
extern struct magazine_set magazine_empty_set;
extern struct entry magazine_nothing;

/* A request of (n - 1) * 16 + 1 to n * 16 bytes is served by the magazine at offset magazine_offsets[n] of a set. */
extern uint16_t magazine_offsets[SLAB_BLOCK_MAX / 16 + 1];

static inline struct magazine_set *magazine_set(void) {
    return __atomic_load_n(percpu_this(magazine_current), __ATOMIC_RELAXED);
}

static inline struct magazine *magazine_at(struct magazine_set *set, size_t offset) {
    return (struct magazine *)(void *)((char *)set + offset);
}

/* The magazine shows another processor no more than how full it is. */
static inline void magazine_set_top(struct magazine *magazine, struct entry *top) {
    __atomic_store_n(&magazine->top, top, __ATOMIC_RELAXED);
}

/* Once. */
void magazine_init(void);

/* Gives a class a magazine in each set; false if all are in use, it has the one that is none then. */
bool magazine_open(struct slab_class *of);
void magazine_close(struct slab_class *of);

/* With the lock held. A free block of the class, its state CACHED or CACHED_RAW; address 0 when memory is short. Fills
 * the magazine on the way. */
struct entry magazine_take(struct slab_class *of);

/* With the lock held. Puts a block, its state CACHED or CACHED_RAW, into the magazine, which is half emptied if it was
 * full. */
void magazine_give(struct slab_class *of, struct entry entry);

/* With the lock held. Empties this processor's magazines, and gives back their memory if `all`. False if there was
 * nothing. */
bool magazine_flush(bool all);

/* With the lock held. Asks each other processor to do the same when it comes by. True if there is somebody to wait for
 * that wasn't asked before. */
bool magazine_ask(void);

/* Without the lock. Waits for those who were asked, but not for long: a processor that doesn't use the heap never
 * answers. */
void magazine_wait(void);

/* With the lock held: blocks of a class in all magazines; pages of all sets. */
size_t magazine_blocks(const struct slab_class *of);
size_t magazine_pages(void);

/* With the lock held: the heap's clock, in requests. Each processor counts its own, and learns of the others' in the
 * slow path: they are apart by no more than what passed since. */
size_t magazine_clock(void);

/* With the lock held: a request; returns the clock before it. */
size_t magazine_tick(void);

/* H8 in mem/magazine.c. Other processors must be at rest. Cost: linear in the heap. */
void magazine_audit(void);

#ifdef __cplusplus
}
#endif
#endif
