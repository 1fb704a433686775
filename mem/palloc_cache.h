/* mem/palloc_cache.h - free pages that a processor keeps for itself: single ones, runs of 2, 4, 8, 16, 32, and one
 * longer run.
 *
 * Layer: inside mem/palloc. The owner pushes and pops with interrupts off and without a lock. Another processor may
 * take a page out of any slot at any time: both sides exchange the slot's content for PFN_NONE, so exactly one of
 * them gets it. The owner alone writes `count`; a slot below it that is PFN_NONE was emptied from outside, slots
 * from it on are PFN_NONE.
 *
 * There are two levels, so that low memory is spent last: level 0 has pages of the highest zone that has RAM, level 1
 * those of the zone below it. The lowest zone's pages are never cached.
 *
 * A page in a slot has tag TAG_CACHED, a run's first one TAG_CACHED_RUN and its order; other tags and held bits of
 * theirs are 0. So what is freed twice is seen, and what two processors free at once is seen when it is popped twice.
 *
 * Cost: a pop is one exchange on a line of the processor's own, some 20 cycles; a push two stores. */
#ifndef MEM_PALLOC_CACHE_H
#define MEM_PALLOC_CACHE_H

#include <base/percpu.h>
#include <mem/palloc_runs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Slots for single pages, and how many move when there is none or no room: half, so that neither a row of requests
 * nor one of frees right after needs the lock again. Slots for runs of one length are at most CACHE_RUNS; those of a
 * level have at most 120 pages, those of one length at most 1/256 of the level's RAM. That few, and no longer ones,
 * since each lies where it was freed and keeps its neighbours apart: with these, random traffic leaves as long runs as
 * it would without (tests/host/test_palloc_fragmentation.c). */
enum { CACHE_SINGLES = 64, CACHE_BATCH = 32, CACHE_RUNS = 4, CACHE_ORDER_LAST = 5, CACHE_LEVELS = 2 };

/* Of the long lengths, 128, 256 and 512 pages, level 0 keeps one run, for who gives a buffer back and takes the next.
 * It goes to the free runs as soon as its processor takes or gives a run by the lock, so that it never decides where
 * another request is placed. */
enum { CACHE_KEPT_LEAST = 128, CACHE_KEPT_MOST = 512 };

/* Half a cache line. */
struct palloc_stack {
    uint32_t count, room;
    uintptr_t mask; /* a run's held bits, if they begin a word */
    pfn_t slots[CACHE_RUNS];
} __attribute__((aligned(32)));

struct palloc_cache {
    uint32_t count, room;
    pfn_t slots[CACHE_SINGLES];
    uint32_t kept_pages, kept_most; /* the length of `kept`, 0 if there is none; lengths up to this are kept */
    pfn_t kept;                     /* a slot like the others */
    struct palloc_stack runs[CACHE_ORDER_LAST + 1]; /* by order; the first is unused */
};

/* By processor; each element its owner's, but for stealing. */
struct palloc_caches {
    struct palloc_cache level[CACHE_LEVELS];
} PERCPU_ALIGNED;
extern struct palloc_caches palloc_caches[CONFIG_PROCESSORS];

/* Written once. */
extern struct palloc_levels {
    unsigned zone;     /* of level 0 */
    pfn_t first;       /* where level 0 begins; PFN_NONE if it is the lowest zone: nothing is cached then */
    unsigned below_4g; /* the level whose pages a 32-bit pointer can name */
    struct zone *zones[CACHE_LEVELS]; /* whose runs are the level's; several times the lowest if there is no other */
} palloc_levels;

/* Empty. The runs hold all of the machine's free pages. */
void cache_init(void);

/* The level's pages are of this zone. A level that is RUNS_ZONE_LOW or lower has none. */
static inline unsigned cache_zone(unsigned level) {
    return palloc_levels.zone > level ? palloc_levels.zone - level : (unsigned)RUNS_ZONE_LOW;
}

/* The level that pages of [first, last] may be cached in; CACHE_LEVELS if there is none. */
static inline unsigned cache_level(pfn_t first, pfn_t last) {
    if (__builtin_expect(first >= palloc_levels.first, 1))
        return 0;
    bool below = palloc_levels.zone == RUNS_ZONE_HIGH && first >= RUNS_LOW_END && last < RUNS_DMA32_END;
    return below ? 1 : CACHE_LEVELS;
}

/* Any processor: what a slot holds, or PFN_NONE. The caller then owns the page. */
static inline pfn_t cache_steal(pfn_t *slot) {
    if (CONFIG_PROCESSORS == 1) { /* interrupts are off: nobody comes between */
        pfn_t pfn = *slot;
        *slot = PFN_NONE;
        return pfn;
    }
    return __atomic_exchange_n(slot, PFN_NONE, __ATOMIC_SEQ_CST);
}

static inline pfn_t cache_peek(const pfn_t *slot) {
    return __atomic_load_n(slot, __ATOMIC_RELAXED);
}

/* Panics: the page was pushed, but its tag says that it is something else by now. */
NORETURN void cache_report_changed(pfn_t pfn);

/* The owner, interrupts off: a page tagged as held, or PFN_NONE if the stack is empty. */
static inline pfn_t cache_pop(struct palloc_cache *cache) {
    uint32_t count = cache->count;
    while (count > 0) {
        pfn_t pfn = cache_steal(&cache->slots[--count]);
        cache->count = count;
        if (__builtin_expect(pfn == PFN_NONE, 0))
            continue;
        if (__builtin_expect(tag_get(pfn) != TAG_CACHED, 0))
            cache_report_changed(pfn);
        tag_set(pfn, TAG_HELD_ONE);
        return pfn;
    }
    return PFN_NONE;
}

/* The same, but it looks at the top slot only: PFN_NONE may mean that another processor has emptied it. */
static inline pfn_t cache_pop_top(struct palloc_cache *cache) {
    uint32_t count = cache->count;
    if (__builtin_expect(count == 0, 0))
        return PFN_NONE;
    pfn_t pfn = cache_steal(&cache->slots[count - 1]);
    cache->count = count - 1;
    if (__builtin_expect(pfn == PFN_NONE, 0))
        return PFN_NONE;
    if (__builtin_expect(tag_get(pfn) != TAG_CACHED, 0))
        cache_report_changed(pfn);
    tag_set(pfn, TAG_HELD_ONE);
    return pfn;
}

/* The owner, interrupts off: a page that nobody holds any more. False if there is no room. */
static inline bool cache_push(struct palloc_cache *cache, pfn_t pfn) {
    uint32_t count = cache->count;
    if (__builtin_expect(count >= cache->room, 0))
        return false;
    tag_set(pfn, TAG_CACHED);
    __atomic_store_n(&cache->slots[count], pfn, __ATOMIC_RELEASE);
    cache->count = count + 1;
    return true;
}

/* The same for runs of 2^order pages, order 1 to CACHE_ORDER_LAST. Their held bits are the caller's matter. */
static inline pfn_t cache_pop_run(struct palloc_stack *stack, unsigned order) {
    uint32_t count = stack->count;
    while (count > 0) {
        pfn_t first = cache_steal(&stack->slots[--count]);
        stack->count = count;
        if (__builtin_expect(first == PFN_NONE, 0))
            continue;
        if (__builtin_expect(tag_get(first) != TAG_CACHED_RUN + order, 0))
            cache_report_changed(first);
        tag_set(first, TAG_NONE);
        return first;
    }
    return PFN_NONE;
}

/* The same, but it looks at the top slot only. */
static inline pfn_t cache_pop_run_top(struct palloc_stack *stack, unsigned order) {
    uint32_t count = stack->count;
    if (__builtin_expect(count == 0, 0))
        return PFN_NONE;
    pfn_t first = cache_steal(&stack->slots[count - 1]);
    stack->count = count - 1;
    if (__builtin_expect(first == PFN_NONE, 0))
        return PFN_NONE;
    if (__builtin_expect(tag_get(first) != TAG_CACHED_RUN + order, 0))
        cache_report_changed(first);
    tag_set(first, TAG_NONE);
    return first;
}

static inline bool cache_has_room(const struct palloc_stack *stack) {
    return stack->count < stack->room;
}

static inline void cache_push_run(struct palloc_stack *stack, unsigned order, pfn_t first) {
    uint32_t count = stack->count;
    tag_set(first, TAG_CACHED_RUN + order);
    __atomic_store_n(&stack->slots[count], first, __ATOMIC_RELEASE);
    stack->count = count + 1;
}

/* The owner, interrupts off; there is a kept run. PFN_NONE if another processor has taken it. Held bits as above. */
static inline pfn_t cache_pop_kept(struct palloc_cache *cache) {
    unsigned tag = TAG_CACHED_RUN + (unsigned)__builtin_ctz(cache->kept_pages);
    pfn_t first = cache_steal(&cache->kept);
    cache->kept_pages = 0;
    if (__builtin_expect(first == PFN_NONE, 0))
        return PFN_NONE;
    if (__builtin_expect(tag_get(first) != tag, 0))
        cache_report_changed(first);
    tag_set(first, TAG_NONE);
    return first;
}

/* The owner, interrupts off; there is none. */
static inline void cache_keep(struct palloc_cache *cache, pfn_t first, uint32_t pages) {
    tag_set(first, TAG_CACHED_RUN + (unsigned)__builtin_ctz(pages));
    __atomic_store_n(&cache->kept, first, __ATOMIC_RELEASE);
    cache->kept_pages = pages;
}

/* The owner, the lock is held: the kept run, if there is one, goes to the free runs. */
void cache_give_kept(struct palloc_cache *cache);

/* The owner, interrupts off, the stack of single pages is empty: takes a batch from the level's zone under the lock,
 * keeps all but one. That one, tagged as held. If the zone has none, the processor's own cached runs of it go back
 * first; PFN_NONE if there are none either. */
pfn_t cache_refill(unsigned level);

/* The lock is held. A page that nobody holds any more goes into this processor's stack, for which room is made if
 * need be, or to the runs. */
void cache_give(pfn_t pfn);

/* The lock is held. All processors' pages go back to the runs. False if there were none. */
bool cache_drain(void);

/* Pages in all caches. The caches may change meanwhile. */
size_t cache_count(void);

/* Each cached page is in one slot of its level, and each slot's page is tagged so: P2, P3 of mem/palloc.c. Returns the
 * pages. The lock is held, and nobody uses the caches. */
size_t cache_audit(void);

#ifdef __cplusplus
}
#endif
#endif
