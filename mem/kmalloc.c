/* The family is thin: a request is a size, an alignment and a place; a magazine has a block, and mem/dress.h dresses
 * it.
 *
 *     kmalloc(bytes) -- table --> magazine -- top entry's note says CACHED? --> take it
 *                                                 +-- no --> under the lock: fill the magazine from slabs, or large
 *
 *     kfree(address) -- one load --> slab -- one multiplication --> block -- starts here? in use? --> into the magazine
 *                                                                      +-- no, or it is full --> under the lock
 *
 * The multiplication gives the block's number in the upper half of the product; the lower half is less than the
 * factor exactly if the address is the block's first. Pages without blocks have a slab whose factor is 0, so nothing in
 * them passes, and neither does a large block, nor NULL.
 *
 * Which mistakes are told apart, and how, is in mem/kmalloc_report.c.
 *
 * Locking: the hot paths have interrupts off, and nothing else. The others take one lock (rank HEAP) for one step. The
 * user's bytes are cleared and copied outside of it: a block in use is touched by its user alone. A block that two
 * processors free in the same moment may enter both magazines; then the second request that takes it out finds it in
 * use, and that is reported (see magazine_take()).
 *
 * Cost: the hot paths are leaves of some 15 and 25 instructions. */
#include <mem/kmalloc.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/kmalloc_path.h>
#include <mem/palloc.h>

int kmalloc_init(uint64_t random) {
    require(heap_pages.region_pages == 0, "kmalloc_init: the heap is up already");
    int error = heap_pages_init();
    struct palloc_stats stats;
    if (error != 0)
        return error;
    canary_init(random);
    slab_init();
    magazine_init();
    palloc_stats(&stats);
    slab_lock();
    slab_reserve(stats.total);
    slab_unlock();
    return 0;
}

/* --- The slow path of a request ----------------------------------------------------------------------------------- */

static size_t pages_for(size_t bytes) {
    return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* Words before the bytes need no more than a page of the alignment's. */
static struct entry take_large(size_t bytes, size_t align, size_t *before) {
    size_t whole = dress_whole(bytes, align);
    struct block block = slab_take_large(pages_for(whole + (whole == 0)), align > PAGE_SIZE ? align >> PAGE_SHIFT : 1);
    if (block.slab == NULL)
        return (struct entry){ 0, NULL };
    *before = dress_before(align);
    if (*before > PAGE_SIZE) {
        slab_cut(block.slab, (*before >> PAGE_SHIFT) - 1);
        *before = PAGE_SIZE;
    }
    return (struct entry){ block.slab->first, block.slab->notes };
}

/* A block that can't have a slab of its class may still have pages of its own: those are fewer. */
static struct entry take_locked(size_t bytes, size_t align, size_t *before) {
    struct entry entry = { 0, NULL };
    *before = dress_before(align);
    if (align <= PAGE_SIZE && bytes <= dress_small_most(align))
        entry = magazine_take(&slab_classes[slab_class_of(dress_whole(bytes, align))]);
    if (entry.address == 0)
        return take_large(bytes, align, before);
    require(slab_load(entry.note) == BLOCK_CACHED,
            "kmalloc(%zu): the free block at %#zx has state %u: it was freed twice at the same time", bytes,
            (size_t)entry.address, slab_load(entry.note));
    slab_store(entry.note, BLOCK_IN_USE);
    return entry;
}

/* On pages of its own between unmapped ones, so that what is touched beside it faults. */
static struct entry take_alone(struct dress *as, size_t align) {
    size_t pages = guard_pages(as->bytes, align);
    struct block block = slab_take_large(pages, 1);
    if (block.slab == NULL)
        return (struct entry){ 0, NULL };
    as->alone = true;
    as->before = guard_place(pages, as->bytes, align);
    return (struct entry){ block.slab->first, block.slab->notes };
}

static void *try_once(size_t bytes, size_t align, uintptr_t place) {
    struct dress as = { .bytes = bytes, .place = place };
    struct entry entry = { 0, NULL };
    void *user = NULL;
    slab_lock();
    as.born = magazine_tick();
    if (align <= PAGE_SIZE && bytes <= dress_small_most(align) && guard_wants_alone(as.born))
        entry = take_alone(&as, align);
    if (entry.address == 0)
        entry = take_locked(bytes, align, &as.before);
    if (entry.address != 0) {
        as.whole = heap_pages_owner(entry.address)->block_bytes;
        user = (void *)dress(entry.address, entry.note, &as);
    }
    slab_unlock();
    return user;
}

static bool is_absurd(size_t bytes, size_t align) {
    return bytes > KMALLOC_BYTES_MAX || align > KMALLOC_BYTES_MAX;
}

static __attribute__((noinline)) void *take_slowly(size_t bytes, size_t align, uintptr_t place) {
    if (is_absurd(bytes, align))
        return NULL;
    void *user = try_once(bytes, align, place);
    for (unsigned step = 0; user == NULL && kmalloc_recover(step, bytes); step++)
        user = try_once(bytes, align, place);
    return user;
}

void *kmalloc_request(size_t bytes, size_t align, uintptr_t place) {
    return fail_here() ? NULL : take_slowly(bytes, align, place);
}

/* Its bytes fit a page, so the reserve has a block for them, or it is used up. */
static void *take_urgent(size_t bytes, uintptr_t place) {
    struct dress as = { .bytes = bytes, .before = dress_before(DRESS_ALIGN), .place = place, .whole = PAGE_SIZE };
    void *user = NULL;
    slab_lock();
    struct block block = slab_take_urgent();
    as.born = magazine_tick();
    if (block.slab != NULL)
        user = (void *)dress(block.slab->first, block.slab->notes, &as);
    slab_unlock();
    return user;
}

void *kmalloc_urgent(size_t bytes) {
    void *block = kmalloc_request(bytes, DRESS_ALIGN, KMALLOC_PLACE);
    if (block != NULL || bytes > PAGE_SIZE || dress_whole(bytes, DRESS_ALIGN) > PAGE_SIZE)
        return block;
    return take_urgent(bytes, KMALLOC_PLACE);
}

/* --- The hot path of a request ------------------------------------------------------------------------------------ */

static inline __attribute__((always_inline)) void *take(size_t bytes, size_t align, uintptr_t place) {
    if (fail_here())
        return NULL;
    if (likely(!CONFIG_KMALLOC_GUARD && align <= PAGE_SIZE && bytes <= dress_small_most(align))) {
        struct dress as = { .bytes = bytes, .before = dress_before(align), .place = place };
        size_t units = (dress_whole(bytes, align) + 15) / 16;
        void *user;
        if (likely(kmalloc_at_hand(magazine_offsets[units], &as, &user)))
            return user;
    }
    return take_slowly(bytes, align, place);
}

void *kmalloc(size_t bytes) {
    return take(bytes, DRESS_ALIGN, KMALLOC_PLACE);
}

void *kmalloc_a(size_t bytes) {
    return take(bytes, PAGE_SIZE, KMALLOC_PLACE);
}

void *kmalloc_aligned(size_t bytes, size_t align) {
    require(is_power_of_two(align), "kmalloc_aligned(%zu, %zu): the alignment is no power of two", bytes, align);
    return take(bytes, align < DRESS_ALIGN ? DRESS_ALIGN : align, KMALLOC_PLACE);
}

static void *cleared(void *block, size_t bytes) {
    return block == NULL ? NULL : memset(block, 0, bytes);
}

void *zmalloc(size_t bytes) {
    return cleared(take(bytes, DRESS_ALIGN, KMALLOC_PLACE), bytes);
}

void *zmalloc_a(size_t bytes) {
    return cleared(take(bytes, PAGE_SIZE, KMALLOC_PLACE), bytes);
}

void *kmalloc_array(size_t count, size_t bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, bytes, &product))
        return NULL;
    return take(product, DRESS_ALIGN, KMALLOC_PLACE);
}

void *zmalloc_array(size_t count, size_t bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, bytes, &product))
        return NULL;
    return cleared(take(product, DRESS_ALIGN, KMALLOC_PLACE), product);
}

/* --- Freeing ------------------------------------------------------------------------------------------------------ */

void kmalloc_give_locked(struct block block, uintptr_t place) {
    uint8_t *note = slab_state(block);
    dress_off(note, place);
    if (CONFIG_KMALLOC_GUARD) {
        guard_keep(block);
        return;
    }
    if (slab_is_large(block.slab)) {
        slab_give_large(block.slab);
        return;
    }
    slab_store(note, BLOCK_CACHED);
    magazine_give(block.slab->of, (struct entry){ slab_address(block), note });
}

static __attribute__((noinline)) void give_slowly(const char *call, void *pointer, bool sized, size_t bytes,
                                                  uintptr_t place) {
    if (pointer == NULL)
        return;
    struct block block = kmalloc_block(call, pointer);
    if (sized && kmalloc_size_is_wrong(block.slab, slab_state(block), bytes))
        kmalloc_refuse_size(call, block, bytes);
    kmalloc_give_locked(block, place);
    slab_unlock();
}

static inline __attribute__((always_inline)) void give(const char *call, void *pointer, bool sized, size_t bytes,
                                                       uintptr_t place) {
    uintptr_t address = (uintptr_t)pointer;
    if (CONFIG_KMALLOC_GUARD) {
        give_slowly(call, pointer, sized, bytes, place);
        return;
    }
    struct slab *slab = heap_pages_owner(address);
    const struct kmalloc_size size = { .known = sized, .bytes = bytes };
    if (!likely(kmalloc_give_at_hand(slab, slab->magazine, address, size, place)))
        give_slowly(call, pointer, sized, bytes, place);
}

void kfree(void *pointer) {
    give("kfree", pointer, false, 0, KMALLOC_PLACE);
}

void kfree_sized(void *pointer, size_t bytes) {
    give("kfree_sized", pointer, true, bytes, KMALLOC_PLACE);
}
