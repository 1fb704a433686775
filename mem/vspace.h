/* mem/vspace.h - layer 3: ranges of virtual pages.
 *
 * A vspace hands out page numbers between two bounds: addresses, no memory behind them. A range may have guard pages
 * before and after it, which belong to nobody and are never mapped. Ranges without guards that touch and have the same
 * attributes are merged into one if both ask for it.
 *
 * Context: the caller excludes others (mem/context.h: the context's lock). Nodes come from a pool.
 * Cost: O(log n) in the ranges; an aligned or bounded request that only just fits somewhere may look at every gap that
 * is long enough. All numbers are virtual page numbers, all lengths pages. */
#ifndef MEM_VSPACE_H
#define MEM_VSPACE_H

#include <mem/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of a range's attributes. */
enum {
    VSPACE_MERGE = 1 << 15, /* may be merged with a neighbour of equal attributes */
};

struct vspace_range {
    struct vspace_range *left, *right;
    uintptr_t first, end; /* the range; its guards lie outside */
    uintptr_t low, high;  /* of the subtree: first and end of what it occupies, guards included */
    uintptr_t gap;        /* longest gap between occupied pages inside the subtree */
    uint16_t attributes;  /* the layer above gives them meaning */
    uint8_t guard_before, guard_after;
    uint8_t height;
};

struct vspace {
    struct vspace_range *root;
    uintptr_t first, end;
    struct pool *nodes;
    size_t ranges;       /* in the tree */
    uintptr_t pages;     /* in ranges, guards not counted */
    unsigned long steps; /* nodes looked at since the init, for tests that hold the cost */
};

/* The size of a pool's objects for the nodes. */
#define VSPACE_NODE_BYTES sizeof(struct vspace_range)

/* Hands out pages first to end. */
void vspace_init(struct vspace *space, uintptr_t first, uintptr_t end, struct pool *nodes);

/* Forgets all ranges and gives their nodes back. */
void vspace_clear(struct vspace *space);

struct vspace_request {
    uintptr_t pages;
    uintptr_t align;     /* in pages, a power of two; 0 is 1 */
    uintptr_t at;        /* with `fixed`: the first page; else a hint, tried first; 0: none */
    uintptr_t low, high; /* the range, guards included, lies in [low, high); 0: the space's own bound */
    uint16_t attributes;
    uint8_t guard_before, guard_after;
    bool fixed;
};

/* Takes the lowest fitting place and gives its first page. ERR_INVALID: zero pages, an align that is no power of two, a
 * fixed place outside the bounds or misaligned; ERR_EXISTS: the fixed place isn't free; ERR_NO_SPACE: nothing fits;
 * ERR_NO_MEMORY: no node. */
int vspace_take(struct vspace *space, const struct vspace_request *request, uintptr_t *first);

/* Gives back a range or a part of one; the rest keeps its guards, as far as the hole has room for them. ERR_FAULT: not
 * within one range; ERR_NO_MEMORY: a part from the middle needs a node and there is none. Nothing has changed then. */
int vspace_give(struct vspace *space, uintptr_t first, uintptr_t pages);

/* vspace_give() would need a node for this part. */
bool vspace_give_splits(struct vspace *space, uintptr_t first, uintptr_t pages);

/* Makes `page` the first of a range if it lies inside one: a range becomes two that touch, with the same attributes.
 * ERR_NO_MEMORY: no node; nothing has changed. */
int vspace_split(struct vspace *space, uintptr_t page);

/* The reverse: joins two ranges that touch at `page`, if they may be merged. */
void vspace_join(struct vspace *space, uintptr_t page);

/* Of the range that begins at `first`. Neighbours that could be merged now aren't: see vspace_join(). */
void vspace_set_attributes(struct vspace *space, uintptr_t first, uint16_t attributes);

/* The range that a page lies in, or NULL. */
const struct vspace_range *vspace_find(struct vspace *space, uintptr_t page);

/* The range whose guard a page is, or NULL. */
const struct vspace_range *vspace_find_guard(struct vspace *space, uintptr_t page);

/* The first range that ends behind `page`, or NULL: a walk is for (r = next(s, 0); r; r = next(s, r->end)). */
const struct vspace_range *vspace_next(struct vspace *space, uintptr_t page);

/* Recounts everything (invariants V1 to V4 in mem/vspace.c); panics with the first contradiction. Cost: linear. */
void vspace_audit(struct vspace *space);

#ifdef __cplusplus
}
#endif
#endif
