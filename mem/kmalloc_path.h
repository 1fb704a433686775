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

#define likely(condition) __builtin_expect(!!(condition), 1)

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

/* --- The hot paths, of blocks and of objects ---------------------------------------------------------------------- */

/* The free block at hand in the magazine at this offset of the set, dressed. False: come to the slow path. */
static inline __attribute__((always_inline)) bool kmalloc_at_hand(size_t offset, struct dress *as, void **user) {
    uintptr_t saved = port_interrupts_off();
    struct magazine_set *set = magazine_set();
    struct magazine *magazine = magazine_at(set, offset);
    struct entry *top = magazine->top;
    uint8_t *note = top->note;
    if (likely(slab_load(note) == BLOCK_CACHED)) {
        uintptr_t block = top->address;
        magazine_set_top(magazine, top - 1);
        as->born = CONFIG_KMALLOC_CANARY ? set->requests++ : 0;
        *user = (void *)dress(block, note, as);
        slab_store(note, BLOCK_IN_USE);
        port_interrupts_restore(saved);
        return true;
    }
    port_interrupts_restore(saved);
    return false;
}

/* The address is a block's first user's byte, and the block's user has it. The caller has interrupts off. */
static inline __attribute__((always_inline)) bool kmalloc_is_in_use(const struct slab *slab, uintptr_t address,
                                                                    uint64_t product, const uint8_t *note) {
    if (!CONFIG_KMALLOC_CANARY)
        return likely((uint32_t)product < slab->reciprocal) && likely(slab_load(note) == BLOCK_IN_USE);
    const struct note *full = (const struct note *)(const void *)note;
    uintptr_t block = slab->first + (size_t)(product >> 32) * slab->block_bytes;
    return likely(slab_load(note) == BLOCK_IN_USE) && likely(address - block == note_get(&full->before)) &&
           likely(canary_intact(address, note_get(&full->bytes)));
}

/* The size that a caller says its block has. */
struct kmalloc_size {
    bool known;
    size_t bytes;
};

/* Puts the block into the magazine at this offset. False: it isn't one of this slab, not in use, or there is no room,
 * and nothing has changed. */
static inline __attribute__((always_inline)) bool
kmalloc_give_at_hand(struct slab *slab, size_t offset, uintptr_t address, struct kmalloc_size size, uintptr_t place) {
    uint64_t product = (uint64_t)(uint32_t)(address - slab->first) * slab->reciprocal;
    uint8_t *notes = CONFIG_KMALLOC_CANARY ? slab->notes : slab->states;
    uint8_t *note = notes + (size_t)(product >> 32) * NOTE_BYTES;
    uintptr_t saved = port_interrupts_off();
    struct magazine *magazine = magazine_at(magazine_set(), offset);
    struct entry *top = magazine->top;
    if (likely(kmalloc_is_in_use(slab, address, product, note)) && likely(top != magazine->end) &&
        (!size.known || likely(!kmalloc_size_is_wrong(slab, note, size.bytes)))) {
        dress_off(note, place);
        size_t before = CONFIG_KMALLOC_CANARY ? note_get(&slab_note(note)->before) : 0;
        top[1] = (struct entry){ address - before, note };
        magazine_set_top(magazine, top + 1);
        slab_store(note, BLOCK_CACHED);
        port_interrupts_restore(saved);
        return true;
    }
    port_interrupts_restore(saved);
    return false;
}

#ifdef __cplusplus
}
#endif
#endif
