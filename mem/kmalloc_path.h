/* mem/kmalloc_path.h - layer 6: what the sources of the kmalloc family share.
 *
 * Not for embedders. Context: any but an NMI; the functions say who holds slab_lock(). */
#ifndef MEM_KMALLOC_PATH_H
#define MEM_KMALLOC_PATH_H

#include <mem/dress.h>
#include <mem/magazine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sums of sizes below this can't wrap. */
#define KMALLOC_BYTES_MAX (SIZE_MAX / 4)

/* The caller of the function that it stands in, where that is recorded. */
#define KMALLOC_PLACE (CONFIG_KMALLOC_CANARY ? (uintptr_t)__builtin_return_address(0) : 0)

/* The block in use of the kmalloc family that starts at this address. Takes the lock, and leaves it held. Anything else
 * is a broken contract of `call`, reported with the lock released; so are changed canaries. */
struct block kmalloc_block(const char *call, const void *pointer);

/* The same for a block of an object cache. */
struct block kmalloc_cache_block(const char *call, const struct slab_class *of, const void *pointer);

/* With the lock held: gives a block in use back to where free ones are. */
void kmalloc_give_locked(struct block block, uintptr_t place);

/* Bytes that the block's user may use. */
static inline size_t kmalloc_usable(struct block block) {
    return CONFIG_KMALLOC_CANARY ? slab_note(slab_state(block))->bytes : block.slab->block_bytes;
}

/* A request of the ordinary kind, in the slow path. */
void *kmalloc_request(size_t bytes, size_t align, uintptr_t place);

/* Reports that a block in use isn't of so many bytes. The lock is held, and released. */
NORETURN void kmalloc_refuse_size(const char *call, struct block block, size_t bytes);

/* A size that a block in use can't have been asked for with. */
bool kmalloc_size_is_wrong(const struct slab *slab, const uint8_t *state, size_t bytes);

/* Without the lock: tries to get memory for a request that failed, by means that become harsher with each step from 0
 * on. False: there are none left. */
bool kmalloc_recover(unsigned step, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
