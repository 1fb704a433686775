/* mem/palloc_runs.h - the free runs of palloc: giving and taking.
 *
 * Layer: inside mem/palloc. Knows edges and lengths, and nothing of holders, ties and caches.
 * Context: the lock of rank PALLOC is held from before each call. Cost: see mem/palloc_runs.c. */
#ifndef MEM_PALLOC_RUNS_H
#define MEM_PALLOC_RUNS_H

#include <mem/palloc_bins.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Free pages in a row. 0 pages: none. */
struct run {
    pfn_t first;
    uint32_t pages;
};

/* No runs. The tables are made. */
void runs_init(void);

/* Enters pages that aren't free, merging them with their neighbours. Their tags are 0, or it is one page. */
void runs_give(pfn_t first, uint32_t pages);

/* Enters pages of one zone that aren't free and have tag 0, in any order; those that follow each other, up or down, as
 * one run. */
void runs_give_list(struct zone *zone, const pfn_t *list, size_t count);

/* Any run of `pages` from the zone. PFN_NONE if there is none; also, for more than RUNS_EXACT pages, if the longest is
 * in the bin of that length: then it may or may not do. */
pfn_t runs_take(struct zone *zone, uint32_t pages);

/* Takes the end of the shortest run of a zone, at most `most` pages: for a cache, which doesn't need them contiguous.
 * *pages is how many; PFN_NONE when the zone has none. */
pfn_t runs_take_scraps(struct zone *zone, uint32_t most, uint32_t *pages);

/* Takes pages out of a run of the zone's lists. */
void runs_cut_in(struct zone *zone, struct run run, pfn_t first, uint32_t pages);

/* The run that begins at this page, in its zone. */
static inline struct run runs_from(pfn_t first) {
    return (struct run){ first, length_from(first) };
}

/* Pages in a zone's runs. May also be called without the lock: then it is a hint. */
size_t runs_free(unsigned zone);

#ifdef __cplusplus
}
#endif
#endif
