/* mem/frame_ties.h - what mem/frame.c does for one page under palloc's lock, for mem/frame*.c alone. */
#ifndef MEM_FRAME_TIES_H
#define MEM_FRAME_TIES_H

#include <mem/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Tied pages by owner; guarded by palloc's lock. */
extern size_t frame_tied_pages[FRAME_OWNERS];

/* frame_map(), frame_unmap(), frame_remap() with the lock held. A broken contract releases it, and names `call`. */
int frame_map_locked(pfn_t pfn, unsigned attributes, uintptr_t place);
void frame_unmap_locked(const char *call, pfn_t pfn, unsigned attributes, uintptr_t place);
int frame_remap_locked(const char *call, pfn_t pfn, unsigned old_attributes, unsigned new_attributes, uintptr_t place);

/* frame_table_entries() of any page and any change. Takes the lock. */
uint32_t frame_table_entries_checked(pfn_t pfn, int change);

#ifdef __cplusplus
}
#endif
#endif
