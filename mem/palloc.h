/* mem/palloc.h - layer 2: runs of physical pages.
 *
 * Exactly n pages are taken for a request of n, for any n up to the largest free run; any part of a run may be given
 * back at any time, and the length isn't remembered. A page has at most one holder (palloc's caller: yes or no); pages
 * that a mapping or a pin keeps are mem/frame.h's matter.
 *
 * Context: any, interrupts included; takes the lock of rank PALLOC on all but the cached path.
 * Cost: see mem/palloc.c. */
#ifndef MEM_PALLOC_H
#define MEM_PALLOC_H

#include <base/types.h>
#include <mem/bootmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Init -------------------------------------------------------------------------------------------------------- */

/* Bytes of kernel address space that the descriptors of this machine's RAM take; a multiple of a page. */
size_t palloc_metadata_bytes(const struct bootmap *map);

/* Makes physical pages visible at a kernel address, read and write, for ever. May itself carve pages from the map for
 * tables. Returns 0 or a negative error. */
typedef int palloc_map_function(void *argument, uintptr_t address, pfn_t first, size_t pages);

/* Takes over a finished map: carves room for the descriptors from the RAM they describe, makes it visible at `address`
 * (page-aligned, palloc_metadata_bytes() long) by `map_pages`, and owns all pages that are then free.
 * ERR_NO_MEMORY when there is no room for the descriptors; nothing works then. */
int palloc_init(struct bootmap *map, uintptr_t address, palloc_map_function *map_pages, void *argument);

/* Gives to the allocator pages that were BOOTMAP_LOADER, once nobody reads them any more. Another page, one given
 * twice, or one still mapped or pinned is a broken contract. After frame_init(). */
void palloc_reclaim(pfn_t first, size_t pages);

/* --- Use --------------------------------------------------------------------------------------------------------- */

/* The physical address of num_pages contiguous pages, contents unspecified; not to be dereferenced. NULL for 0 and when
 * there is no such run; on i386 also when there is none below 4 GiB, which is all that a pointer can name. */
void *palloc(uint32_t num_pages);

/* Gives back num_pages pages from page *number* page_id on: all of what palloc() gave, or any part. A page that the
 * caller of palloc doesn't hold (free, never ours, mapped, pinned, another owner's), or a run that passes the last
 * page, is a broken contract. pfree(x, 0) does nothing. */
void pfree(uint32_t page_id, uint32_t num_pages);

/* The page number of what palloc() gave, for pfree(). */
static inline pfn_t palloc_pfn(const void *run) {
    return (pfn_t)((uintptr_t)run >> PAGE_SHIFT);
}

struct palloc_request {
    uint32_t pages;
    uint32_t align; /* in pages, a power of two; 0 is 1 */
    pfn_t limit;    /* the run ends at or before this page number; 0: no limit */
};

/* The general form, whole RAM: the first page's number, or PFN_NONE. A request with an align that is no power of two
 * is a broken contract. */
pfn_t palloc_with(const struct palloc_request *request);

/* --- Inspect ----------------------------------------------------------------------------------------------------- */

struct palloc_stats {
    size_t total;      /* pages that the allocator describes: all below are parts of it and sum to it */
    size_t free;       /* in free runs */
    size_t cached;     /* in the processors' caches: free to any request */
    size_t held;       /* by palloc's callers, and not tied */
    size_t tied;       /* mapped, pinned or of another owner: mem/frame.h tells which */
    size_t largest;    /* pages of the longest free run, caches not counted in */
    size_t runs;       /* free runs */
    size_t free_low;   /* of free: below 16 MiB */
    size_t free_dma32; /* of free: below 4 GiB, those below 16 MiB included */
    size_t metadata_bytes;
};
void palloc_stats(struct palloc_stats *stats);

/* What is known of one page, for reports and audits. */
enum palloc_state {
    PALLOC_NOT_RAM, /* never ours: no RAM, reserved by the firmware, or beyond the end */
    PALLOC_FREE,
    PALLOC_CACHED,
    PALLOC_HELD,
    PALLOC_TIED,      /* not held, kept by its owner, mappings or pins */
    PALLOC_HELD_TIED, /* held, and mapped or pinned too */
};
enum palloc_state palloc_state(pfn_t pfn);

/* One more than the highest page number described. */
pfn_t palloc_end(void);

/* The runs of pages that the allocator describes, in order: false past the last. */
bool palloc_ram(size_t index, struct extent *extent);

/* The first page in [from, end) that is neither free nor cached; `end` (or palloc_end(), if that is less) if there
 * is none. Passes by free memory 32 or 64 pages at a step. */
pfn_t palloc_next_taken(pfn_t from, pfn_t end);

/* Recounts everything from the bitmaps, lists and caches (invariants P1 to P4 in mem/palloc.c, R1 to R5 in
 * mem/palloc_runs.c); panics with the first contradiction. Nobody else may use the allocator meanwhile. Cost: linear in
 * RAM. */
void palloc_audit(void);

/* Puts all cached pages back into runs. */
void palloc_drain(void);

/* --- For mem/frame.c alone --------------------------------------------------------------------------------------- */

/* The lock of rank PALLOC guards words and tied bits. Whoever uses the five functions below, or reads or writes the
 * word of a tied page, holds it. */
void palloc_lock(void);
void palloc_unlock(void);

/* The 8 bytes that describe a page. While the page is free they are the allocator's (list links, run length); while it
 * is tied they are mem/frame.c's; while it is only held they mean nothing. Pages outside palloc_ram() have none. */
union palloc_word {
    struct {
        pfn_t next, previous;
    } link;
    uint32_t pages;
    uint64_t frame;
};
union palloc_word *palloc_word(pfn_t pfn);

/* Sets the page's tied bit: it is held and not tied, and its word gets a meaning in mem/frame.c. */
void palloc_tie(pfn_t pfn);

/* Clears the tied bit; a page that isn't held either is free from here on. Its word must not be used any more. */
void palloc_untie(pfn_t pfn);

/* Ends the holding of a tied page: from here on only the tie keeps it. */
void palloc_drop_hold(pfn_t pfn);

/* The first tied page of [first, end), or end. */
pfn_t palloc_next_tied(pfn_t first, pfn_t end);

/* What mem/frame.c knows of a tied page. Set once, by frame_init(); called with or without the lock. */
struct palloc_frame_hooks {
    /* Fills a buffer with what a report says of the page: owner kind, counts. */
    void (*describe)(pfn_t pfn, char *out, size_t bytes);
    /* The page is the loader's, and nothing else keeps it. */
    bool (*may_reclaim)(pfn_t pfn);
};
void palloc_set_hooks(const struct palloc_frame_hooks *hooks);

/* Fills a buffer with one line on a page, any number allowed: "free", "held by palloc's caller, mapped 2 times ...". */
void palloc_describe(pfn_t pfn, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
