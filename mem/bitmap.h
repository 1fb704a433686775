/* mem/bitmap.h - runs of bits in an array of machine words, a word at a time.
 *
 * Layer: below mem/palloc. Bit i is bit i % BITMAP_BITS of word i / BITMAP_BITS. Words are the machine's own width,
 * so that each is read, and changed together with other processors, by one instruction on both widths.
 * Context: any. Cost: one step a word. */
#ifndef MEM_BITMAP_H
#define MEM_BITMAP_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BITMAP_BITS = sizeof(uintptr_t) * 8 };

static inline uintptr_t bitmap_bit(pfn_t at) {
    return (uintptr_t)1 << (at % BITMAP_BITS);
}

static inline bool bitmap_get(const uintptr_t *map, pfn_t at) {
    return (__atomic_load_n(&map[at / BITMAP_BITS], __ATOMIC_RELAXED) & bitmap_bit(at)) != 0;
}

/* The bits of [first, end) that lie in the word of `first`; *next is where the following word's begin. */
static inline uintptr_t bitmap_mask(pfn_t first, pfn_t end, pfn_t *next) {
    pfn_t base = first - first % BITMAP_BITS;
    uintptr_t mask = ~(uintptr_t)0 << (first % BITMAP_BITS);
    *next = end;
    if (end - base > BITMAP_BITS)
        *next = base + BITMAP_BITS;
    else
        mask &= ~(uintptr_t)0 >> (BITMAP_BITS - (end - base));
    return mask;
}

/* Changes the mask's bits from all clear to all set, or back; false, with nothing changed, if any isn't so. Other
 * bits may be changed by others meanwhile. */
static inline bool bitmap_word_set(uintptr_t *word, uintptr_t mask) {
    uintptr_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    do {
        if ((old & mask) != 0)
            return false;
    } while (!__atomic_compare_exchange_n(word, &old, old | mask, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

static inline bool bitmap_word_clear(uintptr_t *word, uintptr_t mask) {
    uintptr_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    do {
        if ((old & mask) != mask)
            return false;
    } while (!__atomic_compare_exchange_n(word, &old, old & ~mask, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

/* As the next two, for any run. */
bool bitmap_set_words(uintptr_t *map, pfn_t first, uint32_t bits);
bool bitmap_clear_words(uintptr_t *map, pfn_t first, uint32_t bits);

/* The mask of bits in the word of `first`, if all are in it; else 0. */
static inline uintptr_t bitmap_mask_within(pfn_t first, uint32_t bits) {
    unsigned shift = first % BITMAP_BITS;
    return bits <= BITMAP_BITS - shift ? (~(uintptr_t)0 >> (BITMAP_BITS - bits)) << shift : 0;
}

/* A run's bits, all or nothing: false, with nothing changed, if one isn't clear (set) already. The parts of words at
 * the ends, which others share, change by locked instructions. Whole words are the run's owner's alone: they are looked
 * at, then stored. Two that change one run at once, which is a mistake, may therefore both be told true; whoever
 * changes it next is told false. */
static inline bool bitmap_set_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    uintptr_t mask = bitmap_mask_within(first, bits);
    return mask != 0 ? bitmap_word_set(&map[first / BITMAP_BITS], mask) : bitmap_set_words(map, first, bits);
}

static inline bool bitmap_clear_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    uintptr_t mask = bitmap_mask_within(first, bits);
    return mask != 0 ? bitmap_word_clear(&map[first / BITMAP_BITS], mask) : bitmap_clear_words(map, first, bits);
}

/* The first bit of [first, end) that is `value`; `end` if there is none. */
static inline pfn_t bitmap_find(const uintptr_t *map, bool value, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        uintptr_t word = __atomic_load_n(&map[first / BITMAP_BITS], __ATOMIC_RELAXED);
        uintptr_t found = (value ? word : ~word) & mask;
        if (found != 0)
            return first - first % BITMAP_BITS + (pfn_t)__builtin_ctzl((unsigned long)found);
    }
    return end;
}

#ifdef __cplusplus
}
#endif
#endif
