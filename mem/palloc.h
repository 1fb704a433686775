/* mem/palloc.h - layer 2: runs of physical pages.
 *
 * Exactly n pages are taken for a request of n, for any n up to the largest free run; any part of a run may be given
 * back at any time, and the length isn't remembered. A page has at most one holder (palloc's caller: yes or no); pages
 * that a mapping or a pin keeps are mem/frame.h's matter.
 *
 * Context: any, interrupts included. Takes the lock of rank PALLOC, but for single pages, and for runs of 2, 4, ... 512
 * pages, that the processor's own cache serves.
 *
 * Cost, x86_64 instructions without what turns interrupts off: a page from the cache 20, back into it 27, with one
 * locked instruction for both (an exchange on a cache line of the processor's own), and 3 cache lines: the stack, its
 * slot, the page's tag. A run of 8 from the cache and back 121, with 3 locked ones; one of 512 218, with 1. A run of
 * any length up to 512, by the lock, 219 a call. None depends on how much memory there is or how full it is; runs add a
 * step for each 32 or 64 pages. Requests with conditions, and those for more than 512 pages, may have to look through
 * all memory, a bounded time at once: mem/palloc_search.c. */
#ifndef MEM_PALLOC_H
#define MEM_PALLOC_H

#include <base/config.h>
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
    uint32_t align;    /* in pages, a power of two; 0 is 1 */
    pfn_t limit;       /* the run ends at or before this page number; 0: no limit */
    uint32_t boundary; /* the run crosses no multiple of this many pages, a power of two; 0: it may */
    pfn_t at;          /* the run begins exactly here, if `exact` */
    bool exact;
};

/* The general form, whole RAM: the first page's number, or PFN_NONE when there is no such run, or can't be (more pages
 * than the boundary, a place that isn't aligned). An align or boundary that is no power of two is a broken contract. */
pfn_t palloc_with(const struct palloc_request *request);

/* Single pages anywhere, `count` of them: all, or false and none. Cost: less than half of taking them one by one. */
bool palloc_bulk(pfn_t *list, size_t count);

/* Gives back single pages, in any order, of whatever they came from. All are looked at before the first one goes. */
void pfree_bulk(const pfn_t *list, size_t count);

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
    size_t debug_bytes; /* besides: what debug builds note of each page */
};

/* A snapshot. Cost: linear in the caches, in the free runs, and in the pages of the longest of them. */
void palloc_stats(struct palloc_stats *stats);

/* Pages that are free, caches included. Needs no lock; what others do meanwhile may count or not. Cost: linear in the
 * caches. */
size_t palloc_free_pages(void);

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

/* Recounts everything from tags, held bits, lists and caches (invariants P1 to P4 in mem/palloc.c, T1 and T2 in
 * mem/palloc_tables.h, R1 to R5 in mem/palloc_runs.c); panics with the first contradiction. Nobody else may use the
 * allocator meanwhile. Cost: linear in RAM. */
void palloc_audit(void);

/* Puts all cached pages back into runs. */
void palloc_drain(void);

/* Debug builds: who holds pages, by the return address of the call that took them (its lower 32 bits). */
struct palloc_place {
    uint32_t place;
    size_t pages;
};

/* Fills the table with the first `room` places met and returns how many; pages of other places are counted in *others.
 * Both together are the `held` of palloc_stats(). Nothing, 0 and 0, in release builds. Cost: RAM, and pages times
 * places. */
size_t palloc_places(struct palloc_place *table, size_t room, size_t *others);

/* Debug builds: from here on the frame view works. A page that is freed is filled with a pattern, of a run of more than
 * 64 the 32 at each end, and one that was filled is checked when it is taken: a change is a write after free, and a
 * panic that says where, who had the page and who freed it. Nothing in release builds. */
void palloc_watch(void);

/* Debug builds: what was looked at since the start (runs, words of bits), for tests of what requests cost. */
size_t palloc_steps(void);

/* --- For mem/frame.c alone --------------------------------------------------------------------------------------- */

/* The lock of rank PALLOC guards words and ties. Whoever uses the five functions below, or reads or writes the
 * word of a tied page, holds it. */
void palloc_lock(void);
void palloc_unlock(void);

/* The return address of whoever called the function that this stands in: who caused it, for reports. */
#define PALLOC_PLACE() (CONFIG_DEBUG ? (uintptr_t)__builtin_return_address(0) : (uintptr_t)0)

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

/* Ties a page that is held and not tied: its word gets a meaning in mem/frame.c. It stays held. */
void palloc_tie(pfn_t pfn);

/* Ends the tie; a page that isn't held either is free from here on. Its word must not be used any more. `place` is who
 * caused it, for debug builds. */
void palloc_untie(pfn_t pfn, uintptr_t place);

/* Ends the holding of a tied page: from here on only the tie keeps it. */
void palloc_drop_hold(pfn_t pfn);

/* The first tied page of [first, end), or end. */
pfn_t palloc_next_tied(pfn_t first, pfn_t end);

/* What mem/frame.c knows of a tied page. Set once, by frame_init(); called with the lock held. */
struct palloc_frame_hooks {
    /* Fills a buffer with what a report says of the page: owner kind, counts. */
    void (*describe)(pfn_t pfn, char *out, size_t bytes);
    /* The page is the loader's, and nothing else keeps it. */
    bool (*may_reclaim)(pfn_t pfn);
    /* Pages of the loader's became free. */
    void (*reclaimed)(pfn_t first, size_t pages);
};
void palloc_set_hooks(const struct palloc_frame_hooks *hooks);

/* Fills a buffer with one line on a page, any number allowed: "free", "held by palloc's caller, mapped 2 times ...".
 * Takes the lock, or is called with it held. */
void palloc_describe(pfn_t pfn, char *out, size_t bytes);
void palloc_describe_locked(pfn_t pfn, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
