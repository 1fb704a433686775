/* mem/palloc_search.h - free runs for requests that not every run of their length can serve.
 *
 * Layer: inside mem/palloc. Context: the lock of rank PALLOC is held from before each call until after it;
 * search_take() lets it go and takes it again on the way. Cost: see mem/palloc_search.c. */
#ifndef MEM_PALLOC_SEARCH_H
#define MEM_PALLOC_SEARCH_H

#include <mem/palloc_runs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is wanted. `pages` and `align` are at least 1, `boundary` is 0 or at least `pages`; `limit` is an end. */
struct search_request {
    uint32_t pages, align;
    pfn_t limit;
    uint32_t boundary;
    pfn_t at; /* exactly there; PFN_NONE: anywhere */
};

/* Takes pages as requested, from the highest zone that has them, `zone` at most. PFN_NONE only if they were nowhere. */
pfn_t search_take(unsigned zone, const struct search_request *request);

/* As high in the run as the request allows; PFN_NONE if it doesn't fit. */
pfn_t search_place(struct run run, const struct search_request *request);

/* The run with this page in it, any page; 0 pages if it isn't free. */
struct run search_containing(pfn_t pfn);

/* The free pages on both sides of a zone's lower border, as one run, over the next border up too; 0 pages if it isn't
 * free on both sides. */
struct run search_over(unsigned zone);

#ifdef __cplusplus
}
#endif
#endif
