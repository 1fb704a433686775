/* mem/frame.h - layer 2: who keeps a page of RAM, and why.
 *
 * A page has a holder (palloc's caller: yes or no), a count of mappings, a count of pins, and an owner kind. It is free
 * when holder, mappings and pins are all nil. A mapping that allows writing and one that allows execution exclude each
 * other over all aliases of the page, in every context (the frame view stands outside).
 *
 *     palloc --> held --frame_map--> held, mapped --frame_hand_over--> mapped --frame_unmap--> free
 *                  +----frame_own--> owned by a table, the heap, ... --frame_disown--> free
 *
 * Counters fail with ERR_LIMIT rather than wrap. Context: any; takes the lock of rank PALLOC. Cost: O(1) each. */
#ifndef MEM_FRAME_H
#define MEM_FRAME_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

enum frame_owner {
    FRAME_FREE,     /* in the allocator */
    FRAME_CALLER,   /* palloc's caller holds it */
    FRAME_MAPPED,   /* mappings and pins alone keep it */
    FRAME_TABLE,    /* a page table */
    FRAME_POOL,     /* nodes of mem/pool.h */
    FRAME_HEAP,     /* kmalloc's */
    FRAME_METADATA, /* descriptors and tables made at boot */
    FRAME_KERNEL,   /* the kernel's image */
    FRAME_LOADER,   /* what the loader left: modules, its own data */
    FRAME_NOT_RAM,  /* never ours */
    FRAME_OWNERS,
};
const char *frame_owner_name(enum frame_owner owner);

struct frame {
    enum frame_owner owner;
    bool held;
    uint32_t mappings;   /* all; of a FRAME_TABLE: entries in use */
    uint32_t writable;   /* mappings that allow writing ... */
    uint32_t executable; /* ... and execution: one of the two is always 0 */
    uint32_t pins;
};

/* Most mappings and pins that one page can have. */
#define FRAME_MAPPINGS_MAX ((1u << 22) - 1)
#define FRAME_PINS_MAX     ((1u << 12) - 1)

/* Once, after palloc_init(): gives the pages that were taken at boot their owners. */
void frame_init(const struct bootmap *map);

/* --- Pages with an owner other than palloc's caller --------------------------------------------------------------- */

/* The holder gives the page to an owner kind (TABLE, POOL, HEAP), which keeps it until frame_disown() frees it. The
 * page must be held and neither mapped nor pinned. Giving back what another kind owns, what is still mapped or
 * pinned, or a table with entries in use, is a broken contract. */
void frame_own(pfn_t pfn, enum frame_owner owner);
void frame_disown(pfn_t pfn, enum frame_owner owner);

/* The same for lists. A wrong page is reported when its turn comes. Cost: one lock for every 64 pages. */
void frame_own_list(const pfn_t *list, size_t count, enum frame_owner owner);
void frame_disown_list(const pfn_t *list, size_t count, enum frame_owner owner);

/* Entries in use of a page that is FRAME_TABLE: adds `change`, returns the new count. Another owner's page is left
 * alone and counts as in use for ever (tables that were made at boot). */
uint32_t frame_table_entries(pfn_t pfn, int change);

/* --- Mappings and pins -------------------------------------------------------------------------------------------- */

/* Counts one more mapping with these rights (PAGE_WRITE, PAGE_EXECUTE, PAGE_USER of arch/x86/pte.h). Nothing changes
 * on failure: ERR_LIMIT when the counter is full, ERR_REFUSED when it would make the page writable in one place and
 * executable in another, or would show ring 3 a page that isn't a caller's or kept by mappings (table, heap, pool,
 * kernel), or any context a page of tables or descriptors, or any page of RAM with another cache type than write-back,
 * which the frame view has it with; ERR_FAULT for a page that is free or never ours. */
int frame_map(pfn_t pfn, unsigned attributes);

/* Counts one mapping less; the page is freed if nothing else keeps it. Must come after every processor forgot the
 * translation. */
void frame_unmap(pfn_t pfn, unsigned attributes);

/* The rights of one mapping change; ERR_REFUSED as above. */
int frame_remap(pfn_t pfn, unsigned old_attributes, unsigned new_attributes);

/* The same for each page of a list or a run, under one lock for every 64 pages. Pages that aren't RAM are passed by:
 * device memory isn't counted. Counting is all or nothing. Cost: some 20 instructions a page; fewer for consecutive
 * pages that their caller holds and nothing else has, or nothing but this mapping. */
int frame_map_list(const pfn_t *list, size_t count, unsigned attributes);
void frame_unmap_list(const pfn_t *list, size_t count, unsigned attributes);
int frame_map_run(pfn_t first, size_t count, unsigned attributes);
void frame_unmap_run(pfn_t first, size_t count, unsigned attributes);
int frame_remap_list(const pfn_t *list, size_t count, unsigned old_attributes, unsigned new_attributes);

/* Keeps the page from being freed whatever becomes of its mappings. ERR_LIMIT, ERR_FAULT as above. */
int frame_pin(pfn_t pfn);
void frame_unpin(pfn_t pfn);

/* A mapping and a pin for each page of a list, in one step, so that nobody finds one without the other, as leases need
 * it, and as many entries in use more for the table that they stand in, which is pinned. All or nothing: the errors of
 * frame_map() and frame_pin(). `attributes`: PAGE_WRITE or none. And the reverse, after the flush, of pages that are
 * mapped so. Cost: one lock a call and a word a page; callers give batches. */
int frame_lease_list(const pfn_t *list, size_t count, unsigned attributes, pfn_t table);
void frame_unlease_list(const pfn_t *list, size_t count, unsigned attributes, pfn_t table);

/* Ends the holding: the mappings and pins, of which there is at least one, keep the page from here on. */
void frame_hand_over(pfn_t pfn);

/* --- Inspect ----------------------------------------------------------------------------------------------------- */

/* What is known of a page, any number allowed. */
struct frame frame_get(pfn_t pfn);

/* Pages by owner, held ones as FRAME_CALLER and caches as free (palloc_stats() tells how many); the sum is palloc's
 * total, always. Cost: linear in the caches. */
void frame_count(size_t pages[FRAME_OWNERS]);

/* Every described page's word fits its bits (invariants F1 to F4 in mem/frame.c). Cost: linear in RAM. */
void frame_audit(void);

#ifdef __cplusplus
}
#endif
#endif
