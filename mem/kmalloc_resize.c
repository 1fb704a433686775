/* Blocks that are looked at or change their size: all under the lock, since no request waits for them to be quick. */
#include <mem/kmalloc.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/kmalloc_path.h>

size_t kmalloc_usable_size(const void *pointer) {
    if (pointer == NULL)
        return 0;
    size_t bytes = kmalloc_usable(kmalloc_block("kmalloc_usable_size", pointer));
    slab_unlock();
    return bytes;
}

/* Without canaries a block's size is all that is known. Blocks come from requests that filled more than their half, or
 * that were rounded up to a multiple of an alignment, or that no smaller class holds. */
static bool fits_badly(const struct slab *slab, size_t bytes) {
    size_t have = slab->block_bytes, lowest_bit = have & (~have + 1);
    if (bytes > have)
        return true;
    if (slab_is_large(slab))
        return false;
    size_t least = have - lowest_bit < have / 2 ? have - lowest_bit : have / 2;
    return lowest_bit < have && bytes <= least && &slab_classes[slab_class_of(bytes)] != slab->of;
}

bool kmalloc_size_is_wrong(const struct slab *slab, const uint8_t *state, size_t bytes) {
    if (CONFIG_KMALLOC_CANARY)
        return ((const struct note *)(const void *)state)->bytes != bytes;
    return fits_badly(slab, bytes);
}

/* Bytes of its block that a resized request would need, those before the user's included. */
static size_t needed(struct block block, size_t bytes) {
    return slab_user(block) - slab_address(block) + bytes + dress_after();
}

static bool is_alone(struct block block) {
    return CONFIG_KMALLOC_GUARD && slab_note(slab_state(block))->alone;
}

/* It fits, and fills more than half of the block, or no smaller one would do. A large block gives its last pages back,
 * so only the border to the smaller sizes matters. */
static bool may_stay(struct block block, size_t bytes) {
    size_t need = needed(block, bytes), have = block.slab->block_bytes;
    if (need > have || is_alone(block))
        return false;
    if (need > have / 2 || need > SLAB_BLOCK_MAX)
        return true;
    return &slab_classes[slab_class_of(need)] == block.slab->of;
}

static void stay(struct block block, size_t bytes, uintptr_t place) {
    size_t need = needed(block, bytes);
    if (slab_is_large(block.slab) && !is_alone(block))
        slab_shrink(block.slab, need + (need == 0));
    if (!CONFIG_KMALLOC_CANARY)
        return;
    const struct note *note = slab_note(slab_state(block));
    struct dress as = { .bytes = bytes,
                        .before = note->before,
                        .place = place,
                        .born = note->born,
                        .whole = block.slab->block_bytes,
                        .alone = note->alone };
    dress(slab_address(block), slab_state(block), &as);
}

/* The block stays where it is, although it is longer than it should be: nothing shorter could be had. */
static void stay_anyhow(void *pointer, size_t bytes, uintptr_t place) {
    stay(kmalloc_block("krealloc", pointer), bytes, place);
    slab_unlock();
}

void *krealloc(void *pointer, size_t bytes) {
    if (pointer == NULL)
        return kmalloc_request(bytes, DRESS_ALIGN, KMALLOC_PLACE);
    struct block old = kmalloc_block("krealloc", pointer);
    size_t had = kmalloc_usable(old);
    bool stays = bytes <= KMALLOC_BYTES_MAX && may_stay(old, bytes);
    if (stays)
        stay(old, bytes, KMALLOC_PLACE);
    slab_unlock();
    if (stays)
        return pointer;
    void *moved = kmalloc_request(bytes, DRESS_ALIGN, KMALLOC_PLACE);
    if (moved != NULL) {
        memcpy(moved, pointer, bytes < had ? bytes : had);
        kfree(pointer);
        return moved;
    }
    if (bytes > had)
        return NULL;
    stay_anyhow(pointer, bytes, KMALLOC_PLACE);
    return pointer;
}
