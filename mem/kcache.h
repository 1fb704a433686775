/* mem/kcache.h - layer 6: objects of one size, for a kernel's own structures.
 *
 * A cache has slabs of its own, in which objects lie as close as their alignment allows, and the same checks as
 * kmalloc: a block of kmalloc or of another cache that is given to it is reported, and the other way round.
 *
 * Context: any but an NMI; may take the heap's lock (rank HEAP). Cost: O(1), like kmalloc(), mostly without a lock. */
#ifndef MEM_KCACHE_H
#define MEM_KCACHE_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kcache;

/* A cache for objects of `bytes` bytes, 1 to 16 KiB, aligned to a power of two up to a page (0: to 16). The name is
 * kept by reference. `constructor`, if not NULL, is called without any lock before an object is handed out for the
 * first time; objects are given back constructed, so that the next user finds them so. (Some levels of checking
 * overwrite freed objects, and call it each time.) NULL when memory is short. */
struct kcache *kcache_create(const char *name, size_t bytes, size_t align, void (*constructor)(void *object));

/* An object, or NULL when memory is short. */
void *kcache_alloc(struct kcache *cache);

/* Gives back an object of this cache; NULL does nothing. */
void kcache_free(struct kcache *cache, void *object);

/* Ends a cache that nobody uses any more. False, and nothing has changed, if objects are still in use. */
bool kcache_destroy(struct kcache *cache);

/* Objects in use, from kcache_alloc() to kcache_free(). */
size_t kcache_used(const struct kcache *cache);

#ifdef __cplusplus
}
#endif
#endif
