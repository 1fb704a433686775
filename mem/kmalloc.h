/* mem/kmalloc.h - layer 6: bytes of kernel memory.
 *
 * Blocks of any size, at least 16-byte aligned, in the kernel's context alone: a task's context will not map a page of
 * the heap. No block shares memory with the heap's own notes. CONFIG_KMALLOC_CANARY adds words around each block that
 * are checked when it is freed or resized, and a record of where it was asked for.
 *
 * Context: any but an NMI; takes the heap's lock (rank HEAP), so no context's lock may be held.
 * Failure: NULL when memory is short and for absurd sizes. A pointer that isn't the start of a block in use is a
 * broken contract, and the report says what is there instead.
 * Cost: O(1); a new slab takes up to 16 pages, a block above 32 KiB its own pages with an unmapped one behind. */
#ifndef MEM_KMALLOC_H
#define MEM_KMALLOC_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Init --------------------------------------------------------------------------------------------------------- */

/* Sets aside address space, once, after the kernel's context is up. `random` makes the canaries unpredictable. 0 or a
 * negative error; nothing has changed then. */
int kmalloc_init(uint64_t random);

/* --- Use ---------------------------------------------------------------------------------------------------------- */

/* A block of at least `bytes` bytes, contents unspecified. 0 gives a block like any other, so that NULL always means
 * that memory is short, and a caller with an empty list needs no case of its own. */
void *kmalloc(size_t bytes);

/* The same, all bytes zero. */
void *zmalloc(size_t bytes);

/* The same, page-aligned. Whole pages are taken; canaries take one more. */
void *kmalloc_a(size_t bytes);
void *zmalloc_a(size_t bytes);

/* Gives a block back. NULL does nothing. */
void kfree(void *block);

/* A block of `bytes` bytes that begins with the first min(old size, bytes) bytes of the old one, which is gone; it is
 * the old one itself where that fits. 16-byte aligned, whatever the old one was. NULL: memory is short and the old
 * block is untouched; a block that shrinks stays where it is then, so shrinking never fails. krealloc(NULL, bytes) is
 * kmalloc(bytes); krealloc(block, 0) doesn't free. */
void *krealloc(void *block, size_t bytes);

/* Bytes that the block's user may use: all of the block; with canaries, what was asked for. 0 for NULL. */
size_t kmalloc_usable_size(const void *block);

/* Gives back to palloc all pages that hold no block in use. */
void kmalloc_trim(void);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

struct kmalloc_stats {
    size_t region_bytes;  /* kernel address space that the heap may use; 0 before kmalloc_init() */
    size_t pages;         /* of physical memory: blocks and records in use or free, and the index of the region */
    size_t blocks, bytes; /* in use; bytes as the blocks are long */
    size_t large_blocks;  /* of these: above 32 KiB */
    size_t slabs, spares; /* runs of equal blocks, and of them wholly free */
};
void kmalloc_stats(struct kmalloc_stats *stats);

/* The same for one size, index from 0 on; false past the last. */
struct kmalloc_class_stats {
    size_t block_bytes, blocks, used, slabs; /* blocks: in all slabs, used or free */
};
bool kmalloc_class_stats(unsigned index, struct kmalloc_class_stats *stats);

struct kmalloc_object {
    uintptr_t address; /* the user's first byte */
    size_t bytes;      /* that the user may use */
    uintptr_t place;   /* the return address of the request; 0 without canaries */
    bool in_use;
    bool intact; /* canaries are as they were written; true without */
};

/* The block that an address lies in, canaries included; false if there is none. If it isn't in use it tells about the
 * last use. */
bool kmalloc_find(uintptr_t address, struct kmalloc_object *object);

/* The first block in use that begins above `address`: a walk is for (a = 0; kmalloc_next(a, &o); a = o.address). */
bool kmalloc_next(uintptr_t address, struct kmalloc_object *object);

/* Blocks in use, summed by place of allocation. With canaries only; 0 without. */
struct kmalloc_place {
    uintptr_t place;
    size_t blocks, bytes;
};

/* Fills the table with the first `room` places met and returns how many; blocks of other places are summed in *others.
 * Cost: blocks times places. */
size_t kmalloc_places(struct kmalloc_place *table, size_t room, struct kmalloc_place *others);

/* Checks everything (H1 to H7); panics with the first contradiction. Cost: linear in the heap and in RAM. */
void kmalloc_audit(void);

/* A sum over all blocks in use: place, size, place of allocation. */
uint64_t kmalloc_hash(void);

#ifdef __cplusplus
}
#endif
#endif
