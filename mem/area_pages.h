/* mem/area_pages.h - the pages of areas, for mem/area*.c alone. The context's lock is held throughout. */
#ifndef MEM_AREA_PAGES_H
#define MEM_AREA_PAGES_H

#include <mem/area.h>
#include <mem/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An area's attributes as a range, beside CONTEXT_RANGE_AREA and VSPACE_MERGE. */
enum {
    AREA_RIGHTS_SHIFT = 4,
    AREA_RIGHTS = 7 << AREA_RIGHTS_SHIFT,
    AREA_SHARED = 1 << 7,
    AREA_UNRESERVED = 1 << 8,
    AREA_STACK = 1 << 9,
    AREA_PROMISED = 1 << 10, /* its pages are in the reserve, or have been taken from it */
};

static inline unsigned area_rights(unsigned attributes) {
    return (attributes & AREA_RIGHTS) >> AREA_RIGHTS_SHIFT;
}

static inline bool is_area(const struct vspace_range *range) {
    return range != NULL && (range->attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_AREA;
}

/* How many areas show a page: its mappings but for the windows of leases, each of which has one pin. */
static inline uint32_t area_showing(pfn_t pfn) {
    struct frame frame = frame_get(pfn);
    return frame.mappings > frame.pins ? frame.mappings - frame.pins : 0;
}

/* What the entry of a page allows. A private page with another mapping isn't writable, nor executable if it might be
 * written through the other: whoever writes gets a copy first. No rights: the page stays, for ring 0 only. */
unsigned area_entry_attributes(unsigned attributes, pfn_t pfn);

/* Makes an access possible and says by which entry: area_fault() with the lock held. */
int area_touch(struct context *context, uintptr_t page, unsigned access, struct paging_entry *entry);

/* Shows a new zeroed page; ERR_NO_MEMORY. */
int area_add_page(struct context *context, uintptr_t page, unsigned attributes);

/* A page for an area, from the reserve if it is promised, with the bytes of another: PFN_NONE. And back again. */
pfn_t area_take_copy(unsigned attributes, pfn_t from);
void area_give_page(pfn_t pfn, unsigned attributes);

/* Promised pages that this one page of the area keeps in the reserve: 1 if it isn't there yet, or is shown by others
 * too. */
bool area_page_is_owed(struct context *context, uintptr_t page);

/* For a run of pages that was taken from the ranges: its promises and tables, or all pages of a shared area.
 * ERR_NO_MEMORY: nothing is promised; once the run has been given back, area_unmap_pages() removes what was made. */
int area_back(struct context *context, uintptr_t first, size_t pages, unsigned attributes);

/* Removes the translations of [first, end), which is no longer, or not yet, promised; tables that neighbours were
 * promised stay. */
void area_unmap_pages(struct context *context, uintptr_t first, uintptr_t end);

/* area_unmap() with the lock held. */
int area_unmap_locked(struct context *context, uintptr_t first, uintptr_t end);

/* Makes the run begin and end with a range. ERR_NO_MEMORY, nothing has changed; vspace_join() at both undoes it. */
int area_split_ends(struct context *context, uintptr_t first, uintptr_t end);

/* Misaligned, empty, or not within the context's bounds. */
bool area_run_is_bad(const struct context *context, uintptr_t address, size_t pages);

/* The pages of [first, end) in a promised area that are owed. */
size_t area_owed(struct context *context, uintptr_t first, uintptr_t end);

#ifdef __cplusplus
}
#endif
#endif
