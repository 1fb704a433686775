/* mem/heap_pages.h - layer 6: the heap's part of kernel address space, and runs of pages in it.
 *
 * A run is a range of the region with pages behind it, owned by FRAME_HEAP: no task's context will map them. A flat
 * array names the owner of each page of the region, so that one load leads from an address to whatever it belongs to.
 *
 * Context: the caller holds the heap's lock (slab_lock() of mem/slab.h). Takes the locks of rank PALLOC to POOL; init
 * and trim also that of the kernel's context.
 * Cost: O(pages) with a translation each; O(log runs) for the place. */
#ifndef MEM_HEAP_PAGES_H
#define MEM_HEAP_PAGES_H

#include <mem/vspace.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who owns a run is the layer above's matter. The owner of a page that has none is this one, whose numbers fit no
 * block, so that kfree() need not look for it. */
struct slab;
extern struct slab slab_none;

/* What a run is for: the attributes of its range. */
enum heap_run {
    HEAP_RUN_BLOCKS = 1,  /* handed out: every page has an owner in the array */
    HEAP_RUN_RECORDS = 2, /* the heap's own notes: no page has one */
    HEAP_RUN_HIDDEN = 3,  /* was of blocks: every page has an owner, and nothing is behind them */
};

struct heap_pages {
    uintptr_t first;      /* address of the region */
    uintptr_t indexed;    /* pages of the region, from its first on, that the array reaches now */
    struct slab **owners; /* the array, with one element a page of the region */
    size_t region_pages;  /* that it could reach */
    struct vspace runs;   /* in page numbers of the region's addresses */
    struct pool nodes;    /* for `runs` */
    size_t pages;         /* in runs, hidden ones aside */
    size_t hidden_pages;  /* in hidden ones */
    size_t index_pages;   /* behind the array */
};
extern struct heap_pages heap_pages;

/* Sets aside half of the kernel's ranges, at most HEAP_REGION_MAX_PAGES, once. ERR_NO_SPACE, ERR_NO_MEMORY. */
int heap_pages_init(void);
#define HEAP_REGION_MAX_PAGES ((size_t)1 << 24)

/* A run of `pages` pages, contents unspecified, whose address is a multiple of `align` pages, with an unmapped page
 * after it if `guard`. 0 when address space or memory is short; nothing has changed then. */
uintptr_t heap_pages_take(size_t pages, size_t align, enum heap_run kind, bool guard);

/* Enters the owner of all pages of a run; &slab_none before it is given back. */
void heap_pages_set_owner(uintptr_t address, size_t pages, struct slab *owner);

/* Gives back a run, or its first or last pages; the guard moves along. */
void heap_pages_give(uintptr_t address, size_t pages);

/* Gives back the pages of a run of blocks, and keeps its addresses; then gives back these. */
void heap_pages_hide(uintptr_t address, size_t pages);
void heap_pages_give_hidden(uintptr_t address, size_t pages);

/* Gives back the pages of the array that no run needs, and of the node pool's spare. */
void heap_pages_trim(void);

/* The owner of the page that an address lies in, any address allowed; &slab_none if none. Without the lock this is for
 * who has a block there: the array may grow and shrink meanwhile, but not where a block lies. */
static inline struct slab *heap_pages_owner(uintptr_t address) {
    uintptr_t page = (address - heap_pages.first) >> PAGE_SHIFT;
    if (__builtin_expect(page >= __atomic_load_n(&heap_pages.indexed, __ATOMIC_RELAXED), 0))
        return &slab_none;
    return __atomic_load_n(&heap_pages.owners[page], __ATOMIC_RELAXED);
}

/* The address lies in the region, or in the array behind it. */
bool heap_pages_contain(uintptr_t address);

/* Checks the runs, the pages behind them and the array (H1, H2 in mem/heap_pages.c). Cost: linear in RAM and the
 * array. */
void heap_pages_audit(void);

#ifdef __cplusplus
}
#endif
#endif
