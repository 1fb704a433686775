/* mem/palloc_report.h - the evidence in palloc's reports of broken contracts.
 *
 * Layer: inside mem/palloc. Context: palloc's lock is not held; what is read may change while it is read. */
#ifndef MEM_PALLOC_REPORT_H
#define MEM_PALLOC_REPORT_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Panics with pfree()'s arguments, the first page that may not be given back, what is known of it, and the likely
 * mistake. */
NORETURN void palloc_report_wrong_free(uint32_t page_id, uint32_t num_pages, pfn_t wrong);

/* The same for entry `index` of the list of `count` pages that pfree_bulk() was given. */
NORETURN void palloc_report_wrong_bulk(size_t count, size_t index, pfn_t wrong);

/* Panics: a run that was taken to be free has a page that is held. */
NORETURN void palloc_report_overlap(pfn_t first, uint32_t pages);

/* mem/frame.c says that the page is the loader's, and nothing else keeps it. The lock is held. */
bool palloc_may_reclaim(pfn_t pfn);

/* Tells mem/frame.c that the loader's pages are free. The lock is held. */
void palloc_reclaimed(pfn_t first, size_t pages);

#ifdef __cplusplus
}
#endif
#endif
