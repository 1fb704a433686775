/* mem/palloc_kept.h - the long run that level 0 of this processor's cache keeps, between its holder and the cache.
 *
 * Layer: inside mem/palloc. Context: any, but where it says otherwise. Its held bits are whole words, which nobody but
 * its holder changes. */
#ifndef MEM_PALLOC_KEPT_H
#define MEM_PALLOC_KEPT_H

#include <mem/palloc_report.h>
#include <mem/palloc_single.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline bool is_kept_length(uint32_t pages) {
    return pages - CACHE_KEPT_LEAST <= CACHE_KEPT_MOST - CACHE_KEPT_LEAST && (pages & (pages - 1)) == 0;
}

static inline bool change_kept(pfn_t first, uint32_t pages, uintptr_t from) {
    return bitmap_words_change(&palloc_tables.held[first / BITMAP_BITS], pages / BITMAP_BITS, from);
}

/* Of exactly this length, or PFN_NONE. */
static inline pfn_t take_kept(uint32_t pages) {
    uintptr_t saved = port_interrupts_off();
    struct palloc_cache *cache = own_cache(0);
    pfn_t first = cache->kept_pages == pages ? cache_pop_kept(cache) : PFN_NONE;
    if (first != PFN_NONE && __builtin_expect(!change_kept(first, pages, 0), 0))
        palloc_report_overlap(first, pages);
    port_interrupts_restore(saved);
    return first;
}

/* A run of level 0 in a chunk that is ready. False, with nothing changed: one is kept already, or the run isn't held,
 * of whole words, or short enough. */
static inline bool give_kept(pfn_t first, uint32_t pages) {
    uintptr_t saved = port_interrupts_off();
    struct palloc_cache *cache = own_cache(0);
    bool given = cache->kept_pages == 0 && pages <= cache->kept_most && first % BITMAP_BITS == 0 &&
                 change_kept(first, pages, ~(uintptr_t)0);
    if (given)
        cache_keep(cache, first, pages);
    port_interrupts_restore(saved);
    return given;
}

/* The lock is held. */
static inline void give_kept_back(void) {
    struct palloc_cache *cache = own_cache(0);
    if (__builtin_expect(cache->kept_pages != 0, 0))
        cache_give_kept(cache);
}

#ifdef __cplusplus
}
#endif
#endif
