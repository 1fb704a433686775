/* mem/palloc_report.h - the evidence in palloc's reports of broken contracts.
 *
 * Layer: inside mem/palloc. Context: no lock is needed; what is read may change while it is read. */
#ifndef MEM_PALLOC_REPORT_H
#define MEM_PALLOC_REPORT_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Panics with pfree()'s arguments, the first page that may not be given back, what is known of it, and the likely
 * mistake. */
NORETURN void palloc_report_wrong_free(uint32_t page_id, uint32_t num_pages, pfn_t wrong);

/* mem/frame.c says that the page is the loader's, and nothing else keeps it. The lock is held. */
bool palloc_may_reclaim(pfn_t pfn);

#ifdef __cplusplus
}
#endif
#endif
