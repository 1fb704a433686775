/* mem/palloc_cache.h - a small stack of free single pages for each processor.
 *
 * Layer: inside mem/palloc. The owner pushes and pops with interrupts off and without a lock. Another processor may
 * take a page out of any slot at any time: both sides exchange the slot's content for PFN_NONE, so exactly one of
 * them gets it. The owner alone writes `count`; a slot below it that is PFN_NONE was emptied from outside, slots
 * from it on are PFN_NONE. */
#ifndef MEM_PALLOC_CACHE_H
#define MEM_PALLOC_CACHE_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Slots of a stack, and how many pages it moves when it is empty or full: half, so that neither a row of requests nor
 * one of frees right after needs the lock again. */
enum { CACHE_SLOTS = 64, CACHE_BATCH = 32 };

struct palloc_cache {
    uint32_t count;
    pfn_t slots[CACHE_SLOTS];
};

static inline void cache_init(struct palloc_cache *cache) {
    cache->count = 0;
    for (unsigned i = 0; i < CACHE_SLOTS; i++)
        cache->slots[i] = PFN_NONE;
}

/* Any processor: what a slot holds, or PFN_NONE. The caller then owns the page. */
static inline pfn_t cache_steal(struct palloc_cache *cache, unsigned slot) {
    return __atomic_exchange_n(&cache->slots[slot], PFN_NONE, __ATOMIC_SEQ_CST);
}

/* The owner: PFN_NONE if it is empty. */
static inline pfn_t cache_pop(struct palloc_cache *cache) {
    while (cache->count > 0) {
        pfn_t pfn = cache_steal(cache, --cache->count);
        if (pfn != PFN_NONE)
            return pfn;
    }
    return PFN_NONE;
}

/* The owner: there must be room. */
static inline void cache_push(struct palloc_cache *cache, pfn_t pfn) {
    __atomic_store_n(&cache->slots[cache->count++], pfn, __ATOMIC_RELEASE);
}

static inline bool cache_is_full(const struct palloc_cache *cache) {
    return cache->count == CACHE_SLOTS;
}

static inline pfn_t cache_peek(const struct palloc_cache *cache, unsigned slot) {
    return __atomic_load_n(&cache->slots[slot], __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif
