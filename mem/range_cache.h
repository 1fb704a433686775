/* mem/range_cache.h - layer 3: short ranges of the kernel's context, without its lock.
 *
 * Ranges of 1 to 7 pages, each followed by a guard page, out of one stretch of the kernel's addresses. Each processor
 * has a few of every length at hand.
 *
 * Context: any but an NMI; takes a lock of its own (rank POOL) when the processor's ranges run out or become too many.
 * Cost: O(1); from the processor's own ranges some thirty instructions, an exchange to take and a compare-exchange to
 * give. Numbers are virtual page numbers. */
#ifndef MEM_RANGE_CACHE_H
#define MEM_RANGE_CACHE_H

#include <mem/vspace.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RANGE_CACHE_PAGES = 7 };

/* Once. Takes its stretch, a sixteenth of the space's pages or 64 MiB, with these attributes. A space that is too small
 * has no short ranges. */
void range_cache_init(struct vspace *space, uint16_t attributes);

/* A range's first page; 0: there is none, ask the space. The attributes, below 256, are told of it when it is found. */
uintptr_t range_cache_take(size_t pages, unsigned attributes);

/* The same when the space has none either: looks at what other processors have at hand. Cost: linear in them. */
uintptr_t range_cache_take_hard(size_t pages, unsigned attributes);

/* The page is in the stretch. */
bool range_cache_has(uintptr_t page);

/* All these pages are of one range in use. *middle: it has others on both sides of them. */
bool range_cache_holds(uintptr_t first, size_t pages, bool *middle);

/* Gives back a range in use, or any part of one; nothing is mapped there any more. False, with nothing changed, if
 * there is no such part. */
bool range_cache_give(uintptr_t first, size_t pages);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

/* The pages in use that this one of the stretch lies among, as a range. If it isn't in use: false, with the range
 * before it if it is that one's guard, or with range->end 0. */
bool range_cache_find(uintptr_t page, struct vspace_range *range);

/* The first pages in use from `page` on, as a range; false if there are none. */
bool range_cache_next(uintptr_t page, struct vspace_range *range);

/* The state of the slot that a page lies in, for tests that break it; NULL if there is none. */
uint16_t *range_cache_state(uintptr_t page);

/* Checks Q1 and Q2 of mem/range_cache.c; panics with the first contradiction. Nobody uses the cache meanwhile. Cost:
 * linear in the stretch. */
void range_cache_audit(void);

#ifdef __cplusplus
}
#endif
#endif
