/* mem/kmalloc.h - layer 6: bytes of kernel memory.
 *
 * Blocks of any size, at least 16-byte aligned, in the kernel's context alone: a task's context will not map a page of
 * the heap. No block shares memory with the heap's own notes. CONFIG_KMALLOC_CHECK says how much is checked besides
 * what costs O(1): from KMALLOC_CHECK_CANARY on words around each block are checked when it is freed or resized, and
 * there is a record of where it was asked for and freed; with KMALLOC_CHECK_ASAN a block's user may touch its bytes and
 * no others of the heap's blocks (mem/asan.h). This header is the same for each level.
 *
 * Context: any but an NMI; may take the heap's lock (rank HEAP), so no context's lock may be held.
 * Failure: NULL when memory is short and for absurd sizes. A pointer that isn't the start of a block in use is a
 * broken contract, and the report says what is there instead.
 * Cost: O(1), mostly without a lock; a new slab takes up to 16 pages, a block above 32 KiB its own pages with an
 * unmapped one behind. No function needs memory to free. */
#ifndef MEM_KMALLOC_H
#define MEM_KMALLOC_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Init --------------------------------------------------------------------------------------------------------- */

/* Sets aside address space, and a few pages for kmalloc_urgent(), once, after the kernel's context is up. `random`
 * makes the canaries unpredictable. 0 or a negative error; nothing has changed then. */
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

/* The same, aligned to any power of two; another alignment is a broken contract. */
void *kmalloc_aligned(size_t bytes, size_t align);

/* count * bytes bytes; NULL also if that overflows. */
void *kmalloc_array(size_t count, size_t bytes);
void *zmalloc_array(size_t count, size_t bytes);

/* For what must go on when memory is short: kmalloc(), and if that has none, a page of the heap's own reserve of eight,
 * which no other request gets. So up to a page less 24 bytes, of which eight may be in use at a time. */
void *kmalloc_urgent(size_t bytes);

/* Gives a block back. NULL does nothing. */
void kfree(void *block);

/* The same, and checks that the block was asked for with this size: with canaries exactly, without them as far as the
 * block's own size tells. */
void kfree_sized(void *block, size_t bytes);

/* A block of `bytes` bytes that begins with the first min(old size, bytes) bytes of the old one, which is gone; it is
 * the old one itself where that fits. 16-byte aligned, whatever the old one was. NULL: memory is short and the old
 * block is untouched; a block that shrinks stays where it is then, so shrinking never fails. krealloc(NULL, bytes) is
 * kmalloc(bytes); krealloc(block, 0) doesn't free. */
void *krealloc(void *block, size_t bytes);

/* Bytes that the block's user may use: all of the block; with canaries, what was asked for. 0 for NULL. */
size_t kmalloc_usable_size(const void *block);

/* --- Shortage ----------------------------------------------------------------------------------------------------- */

/* Somebody who can do without memory that it has. Before a request fails, give_back() is called with the bytes that are
 * missing, without any lock of ours; it frees what it can and returns how many bytes that was, 0 for none. It is called
 * by whoever asked the heap, so it must be fit for that context and take no lock that its user may hold then. Its own
 * requests may fail, and don't come back to it. */
struct kmalloc_reclaim {
    size_t (*give_back)(struct kmalloc_reclaim *me, size_t bytes);
    struct kmalloc_reclaim *next; /* the heap's */
    unsigned calls;               /* the heap's */
};

/* The struct is the caller's, and stays. */
void kmalloc_reclaim_register(struct kmalloc_reclaim *who);

/* False: it is running right now, and still registered. */
bool kmalloc_reclaim_unregister(struct kmalloc_reclaim *who);

/* Gives back to palloc all pages that hold no block in use, but for the reserve and what other processors have at
 * hand: they are asked to give it back when they next come by. */
void kmalloc_trim(void);

/* This processor will not use the heap for a while, or another one asked it to: gives back the free blocks that it has
 * at hand. A kernel calls it before a processor halts. */
void kmalloc_idle(void);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

struct kmalloc_stats {
    size_t region_bytes;  /* kernel address space that the heap may use; 0 before kmalloc_init() */
    size_t pages;         /* of physical memory, all but the reserve's: blocks, records, index */
    size_t reserve_pages; /* for kmalloc_urgent(); neither counts the shadow's */
    size_t blocks, bytes; /* in use; bytes as the blocks are long */
    size_t large_blocks;  /* of these: with pages of their own */
    size_t cached;        /* free blocks at hand for some processor */
    size_t quarantined;   /* freed, and kept from reuse for a while */
    size_t slabs, spares; /* runs of equal blocks, and of them wholly free */
    size_t spare_pages;   /* of these */
    size_t requests;      /* so far; counted with canaries only */
};
void kmalloc_stats(struct kmalloc_stats *stats);

/* The same for one size, index from 0 on; false past the last. */
struct kmalloc_class_stats {
    size_t block_bytes, blocks, used, slabs; /* blocks: in all slabs, used or free */
};
bool kmalloc_class_stats(unsigned index, struct kmalloc_class_stats *stats);

struct kmalloc_object {
    uintptr_t address;     /* the user's first byte */
    size_t bytes;          /* that the user may use */
    uintptr_t place;       /* the return address of the request; 0 without canaries */
    uintptr_t freed_place; /* of the call that freed it; 0 if in use, and without canaries */
    size_t age;            /* requests since it was asked for; 0 without canaries */
    const char *cache;     /* the name of its object cache; NULL: the kmalloc family's */
    bool in_use;
    bool intact; /* canaries are as they were written; true without */
};

/* The block that an address lies in, canaries included; false if there is none. If it isn't in use it tells about the
 * last use. */
bool kmalloc_find(uintptr_t address, struct kmalloc_object *object);

/* The block that an unmapped page was left beside, for an address in that page; false if there is none. */
bool kmalloc_find_beside(uintptr_t address, struct kmalloc_object *object);

/* What these two find, for a report: "8 bytes after the start of a block of 24 bytes at ADDRESS, in use, allocated at
 * PLACE"; "" for nothing. It takes no lock, so what it says of memory that another processor gives back at the same
 * time may be wrong, or a fault. 160 bytes are enough but for a cache's name. */
void kmalloc_describe(uintptr_t address, char *out, size_t bytes);

/* The first block in use that begins above `address`: a walk is for (a = 0; kmalloc_next(a, &o); a = o.address). One
 * that another processor frees in this moment may come as not in use. */
bool kmalloc_next(uintptr_t address, struct kmalloc_object *object);

/* Blocks in use, summed by place of allocation. With canaries only; 0 without. */
struct kmalloc_place {
    uintptr_t place;
    size_t blocks, bytes;
    size_t youngest, oldest; /* ages of its blocks */
};

/* Fills the table with the first `room` places met and returns how many; blocks of other places are summed in *others.
 * Cost: blocks times places. */
size_t kmalloc_places(struct kmalloc_place *table, size_t room, struct kmalloc_place *others);

/* Leaks: a mark is a moment; blocks in use that were asked for since then can be listed. With canaries only. */
size_t kmalloc_mark(void);
size_t kmalloc_places_since(size_t mark, struct kmalloc_place *table, size_t room, struct kmalloc_place *others);

/* With KMALLOC_CHECK_GUARD one request in so many gets a block on pages of its own, from now on: a power of two, or 0
 * for none. Without it this does nothing. */
void kmalloc_sample(unsigned one_in);

/* Checks everything (H1 to H10); panics with the first contradiction. Other processors must be at rest. Cost: the heap
 * times the sizes in use, and RAM. */
void kmalloc_audit(void);

/* A sum over all blocks in use: place, size, place of allocation. */
uint64_t kmalloc_hash(void);

#ifdef __cplusplus
}
#endif
#endif
