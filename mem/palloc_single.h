/* mem/palloc_single.h - a single page between its holder and this processor's stack.
 *
 * Layer: inside mem/palloc, whose theory (mem/palloc.c) it follows. Context: any, but where it says otherwise. */
#ifndef MEM_PALLOC_SINGLE_H
#define MEM_PALLOC_SINGLE_H

#include <mem/palloc_cache.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For slow paths, so that the hot one ends with a jump to them and saves no registers. */
#define NOT_INLINE __attribute__((noinline))

/* Interrupts are off. */
static inline struct palloc_cache *own_cache(unsigned level) {
    return &percpu_this(palloc_caches)->level[level];
}

/* The page on top of the stack; PFN_NONE if there is none, or if another processor has taken that one. */
static inline pfn_t take_one_hot(unsigned level) {
    uintptr_t saved = port_interrupts_off();
    pfn_t pfn = cache_pop_top(own_cache(level));
    port_interrupts_restore(saved);
    return pfn;
}

/* False, with nothing changed, unless it was taken alone, is of level 0, and there is room. */
static inline bool give_one_hot(pfn_t pfn) {
    if (__builtin_expect(pfn < palloc_levels.first, 0))
        return false;
    uintptr_t saved = port_interrupts_off();
    bool given = tag_is_ready(pfn) && tag_get(pfn) == TAG_HELD_ONE && cache_push(own_cache(0), pfn);
    port_interrupts_restore(saved);
    return given;
}

/* Ends the holding of a page that isn't tied: false if there is none. Interrupts are off. */
static inline bool drop_one(pfn_t pfn) {
    if (!tag_is_ready(pfn))
        return false;
    if (tag_get(pfn) == TAG_HELD_ONE) {
        tag_set(pfn, TAG_NONE);
        return true;
    }
    return tag_get(pfn) == TAG_NONE && bitmap_clear_run(palloc_tables.held, pfn, 1);
}

#ifdef __cplusplus
}
#endif
#endif
