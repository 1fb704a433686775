/* mem/pool.h - layer 2: objects of one small size, cut from whole pages.
 *
 * For the nodes of layers above, which may not come from the heap since the heap stands on them. A page whose objects
 * are all given back is returned to its source at once, but for one that is kept as a spare.
 *
 * Context: any; takes its own lock of rank POOL, and calls the source with no lock held.
 * Cost: O(1); 48 bytes a page are the pool's own. */
#ifndef MEM_POOL_H
#define MEM_POOL_H

#include <base/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a pool gets its pages: reachable memory, page-aligned. take() gives NULL when there is none. */
struct pool_source {
    void *(*take)(void);
    void (*give)(void *page);
};

struct pool_page;

struct pool {
    struct lock lock;
    const struct pool_source *source;
    struct pool_page *partial; /* pages with at least one free object, the spare included; guarded by lock */
    size_t object_bytes, per_page;
    size_t objects, pages, spare; /* in use; pages held; of them wholly free: 0 or 1; guarded by lock */
};

/* object_bytes: 8 to 1024. */
void pool_init(struct pool *pool, const char *name, size_t object_bytes, const struct pool_source *source);

/* An object with unspecified contents, aligned to 16 bytes if its size is a multiple of 16, else to 8. NULL when the
 * source has no page. */
void *pool_take(struct pool *pool);

/* What isn't an object in use of this pool is a broken contract. */
void pool_give(struct pool *pool, void *object);

/* Gives the spare page back to the source. */
void pool_trim(struct pool *pool);

/* Walks every page with a free object (invariants L1 to L3 in mem/pool.c). Cost: linear in them. */
void pool_audit(struct pool *pool);

#ifdef __cplusplus
}
#endif
#endif
