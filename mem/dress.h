/* mem/dress.h - layer 6: what a block wears while its user has it, at each level of checking.
 *
 * All that CONFIG_KMALLOC_CHECK adds to a block when it is handed out, and looks at when it comes back, is here, so
 * that the ways to get and to free a block agree. With KMALLOC_CHECK_NONE all of it is nothing. With a shadow
 * (mem/shadow.h) the user's bytes are allowed from dress() until guard_keep(), and no others of a run of blocks ever
 * are; those who look at the others are ASAN_UNCHECKED.
 *
 * Context: any. The block's user has it, or nobody has. */
#ifndef MEM_DRESS_H
#define MEM_DRESS_H

#include <base/bits.h>
#include <mem/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The least alignment of a block. */
enum { DRESS_ALIGN = 16 };

/* Bytes of a block before the user's, for a request with this alignment. */
static inline size_t dress_before(size_t align) {
    if (!CONFIG_KMALLOC_CANARY)
        return 0;
    return align > CANARY_BEFORE ? align : (size_t)CANARY_BEFORE;
}

static inline size_t dress_after(void) {
    return CONFIG_KMALLOC_GUARD ? 2 * CANARY_AFTER : CONFIG_KMALLOC_CANARY ? CANARY_AFTER : 0;
}

/* Bytes of the block that a request needs. The sizes of blocks are such that a multiple of an alignment gets a block
 * that is aligned. */
static inline size_t dress_whole(size_t bytes, size_t align) {
    size_t whole = dress_before(align) + bytes + dress_after();
    return align > DRESS_ALIGN ? (size_t)round_up(whole + (whole == 0), align) : whole;
}

/* The largest request of this alignment that a class serves. */
static inline size_t dress_small_most(size_t align) {
    return SLAB_BLOCK_MAX - dress_before(align) - dress_after();
}

/* What a block's user is told and what is noted of it. */
struct dress {
    size_t bytes, before;
    uintptr_t place;
    size_t born;
    size_t whole; /* bytes of the block; with red zones only */
    bool alone;
};

/* Its user may touch its bytes, and nobody the rest of the block. */
static inline void dress_shade(uintptr_t block, const struct dress *as) {
    uintptr_t user = block + as->before, end = user + as->bytes;
    shadow_forbid((void *)block, as->before, SHADOW_RED_ZONE);
    shadow_allow((void *)user, as->bytes);
    shadow_forbid((void *)end, block + as->whole - end, SHADOW_RED_ZONE);
}

/* The block's note, and its words; returns the user's first byte. */
static inline uintptr_t dress(uintptr_t block, uint8_t *state, const struct dress *as) {
    uintptr_t user = block + as->before;
    if (!CONFIG_KMALLOC_CANARY)
        return user;
    struct note *note = slab_note(state);
    note->used = true;
    note->alone = as->alone;
    note->before = (uint32_t)as->before;
    note->place = as->place;
    note->freed_place = 0;
    note->bytes = as->bytes;
    note->born = as->born;
    shadow_allow((void *)block, as->whole); /* what is written around the user's bytes comes first */
    if (!as->alone)
        canary_write(user, as->bytes);
    if (CONFIG_KMALLOC_GUARD)
        guard_surround(block, as->whole, user, note);
    dress_shade(block, as);
    return user;
}

/* What a block wears is as it was put on. */
static inline bool dress_intact(struct block block) {
    if (!CONFIG_KMALLOC_CANARY)
        return true;
    const struct note *note = slab_note(slab_state(block));
    return (note->alone || canary_intact(slab_user(block), note->bytes)) &&
           (!CONFIG_KMALLOC_GUARD ||
            guard_surrounded(slab_address(block), block.slab->block_bytes, slab_user(block), note));
}

/* It was freed here. */
static inline void dress_off(uint8_t *state, uintptr_t place) {
    if (CONFIG_KMALLOC_CANARY)
        slab_note(state)->freed_place = place;
}

#ifdef __cplusplus
}
#endif
#endif
