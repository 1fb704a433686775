/* mem/guard.h - layer 6: red zones, poison and quarantine.
 *
 * With KMALLOC_CHECK_GUARD what lies around a block's bytes is filled and checked to the block's end, a freed block is
 * filled too and kept from reuse for a while, and one block in CONFIG_KMALLOC_SAMPLE lies on pages of its own between
 * unmapped ones, at their beginning or end. Below that level nothing here is called.
 *
 * Context: any but an NMI; the functions say who holds slab_lock(). */
#ifndef MEM_GUARD_H
#define MEM_GUARD_H

#include <mem/slab.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { GUARD_RED = 0xa5, GUARD_FREED = 0x6b };

/* Fills a block around the user's bytes, but for the canaries if it has any, and finds out whether that changed. */
void guard_surround(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note);
bool guard_surrounded(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note);

/* Which bytes of these changed, counted from the user's first: "2 bytes changed: +24 was ...". Returns the first. */
intptr_t guard_describe_zones(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note, char *out,
                              size_t out_bytes);

/* This request's block shall be alone; called with interrupts off or the lock held. */
bool guard_wants_alone(size_t requests);

/* One block in so many is alone, from now on: a power of two; 0: none. */
void guard_sample(unsigned one_in);

/* With the lock held: the pages that a request needs to be alone, and where in them its bytes begin. */
size_t guard_pages(size_t bytes, size_t align);
size_t guard_place(size_t pages, size_t bytes, size_t align);

/* With the lock held: a block whose user gave it back, its state IN_USE. It is filled, and is FREED until others have
 * pushed it out. */
void guard_keep(struct block block);

/* With the lock held: lets all blocks go, or those that are too many; false if there was none. */
bool guard_drain(void);

/* With the lock held: blocks in quarantine; of one class. */
size_t guard_kept(void);
size_t guard_kept_of(const struct slab_class *of);

/* A block that left the quarantine changed since it was freed: reports that. With the lock held, which it releases. */
NORETURN void guard_refuse(struct block block);

/* H9: what waits in quarantine is as it was filled, and counted. With the lock held. */
void guard_audit(void);

#ifdef __cplusplus
}
#endif
#endif
