/* mem/palloc_runs.h - the free runs of palloc: the lists behind the lock.
 *
 * Layer: inside mem/palloc. Knows free and not free, and nothing of holders, ties and caches.
 * Context: the lock of rank PALLOC is held from before each call. Cost: see mem/palloc_runs.c. */
#ifndef MEM_PALLOC_RUNS_H
#define MEM_PALLOC_RUNS_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RUNS_ZONE_LOW,   /* below 16 MiB */
    RUNS_ZONE_DMA32, /* below 4 GiB */
    RUNS_ZONE_HIGH,
    RUNS_ZONES,
};
enum { RUNS_LOW_END = 1 << 12, RUNS_DMA32_END = 1 << 20 };

static inline unsigned runs_zone(pfn_t pfn) {
    return (unsigned)(pfn >= RUNS_LOW_END) + (unsigned)(pfn >= RUNS_DMA32_END);
}

/* Starts empty. Bit p of `free_map` says that page p is in a free run, word p of `words` is the page's while it is;
 * both reach to page `end`, and all bits of the map are 0 now. */
void runs_init(uintptr_t *free_map, union palloc_word *words, pfn_t end);

/* Enters pages that aren't free, merging them with their neighbours. */
void runs_give(pfn_t first, uint32_t pages);

/* Takes a run as requested from the highest zone that has one: PFN_NONE only if there is none anywhere. `pages` and
 * `align` are at least 1, `limit` is an end. */
pfn_t runs_take(uint32_t pages, uint32_t align, pfn_t limit);

/* Takes the end of the shortest run of a zone, at most `most` pages: for a cache, which doesn't need them contiguous.
 * *pages is how many; PFN_NONE when the zone has none. */
pfn_t runs_take_scraps(unsigned zone, uint32_t most, uint32_t *pages);

/* Pages in a zone's runs. May also be called without the lock: then it is a hint. */
size_t runs_free(unsigned zone);

struct runs_stats {
    size_t largest, runs; /* a run that crosses the border of a zone counts as one */
};
void runs_stats(struct runs_stats *stats);

/* Checks R1 to R5; panics with the first contradiction. Cost: linear in RAM. */
void runs_audit(void);

#ifdef __cplusplus
}
#endif
#endif
