/* mem/bitmap.h - runs of bits in an array of machine words, a word at a time.
 *
 * Layer: below mem/palloc. Bit i is bit i % BITMAP_BITS of word i / BITMAP_BITS. Words are the machine's own width,
 * so that each is read, and changed together with other processors, by one instruction on both widths.
 * Context: any. Cost: one step a word. */
#ifndef MEM_BITMAP_H
#define MEM_BITMAP_H

#include <base/config.h>
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

/* Changes the mask's bits from all clear (`from` 0) to all set, or from all set (`from` ~0) to all clear; false, with
 * nothing changed, if any isn't so. Other bits may be changed by others meanwhile; with one processor nobody does, as
 * interrupts are off. */
static inline bool bitmap_word_change(uintptr_t *word, uintptr_t mask, uintptr_t from) {
    uintptr_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    do {
        if (__builtin_expect(((old ^ from) & mask) != 0, 0))
            return false;
        if (CONFIG_PROCESSORS == 1) {
            __atomic_store_n(word, old ^ mask, __ATOMIC_RELEASE);
            return true;
        }
    } while (!__atomic_compare_exchange_n(word, &old, old ^ mask, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

/* The run's bits, fewer than 2^32 - 64, are all in the word of `first`. */
static inline bool bitmap_is_within(pfn_t first, uint32_t bits) {
    return first % BITMAP_BITS + bits <= BITMAP_BITS;
}

static inline uintptr_t bitmap_mask_within(pfn_t first, uint32_t bits) {
    return (~(uintptr_t)0 >> (BITMAP_BITS - bits)) << (first % BITMAP_BITS);
}

/* As the run functions below, of a run that isn't within one word. */
bool bitmap_set_words(uintptr_t *map, pfn_t first, uint32_t bits);
bool bitmap_clear_words(uintptr_t *map, pfn_t first, uint32_t bits);

/* The same of whole words, an even number of them, that nobody else changes meanwhile: plain loads, unrolled. */
static inline bool bitmap_words_change(uintptr_t *at, size_t words, uintptr_t from) {
    uintptr_t differ = 0;
    for (size_t i = 0; i < words; i += 2)
        differ |= (at[i] ^ from) | (at[i + 1] ^ from);
    if (__builtin_expect(differ != 0, 0))
        return false;
    for (size_t i = 0; i < words; i += 2) {
        __atomic_store_n(&at[i], ~from, __ATOMIC_RELEASE);
        __atomic_store_n(&at[i + 1], ~from, __ATOMIC_RELEASE);
    }
    return true;
}

/* A run's bits, all or nothing: false, with nothing changed, if one isn't clear (set) already. The parts of words at
 * the ends, which others share, change by locked instructions. Whole words are the run's owner's alone: they are looked
 * at, then stored. Two that change one run at once, which is a mistake, may therefore both be told true; whoever
 * changes it next is told false. */
static inline bool bitmap_set_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    if (bitmap_is_within(first, bits))
        return bitmap_word_change(&map[first / BITMAP_BITS], bitmap_mask_within(first, bits), 0);
    return bitmap_set_words(map, first, bits);
}

static inline bool bitmap_clear_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    if (bitmap_is_within(first, bits))
        return bitmap_word_change(&map[first / BITMAP_BITS], bitmap_mask_within(first, bits), ~(uintptr_t)0);
    return bitmap_clear_words(map, first, bits);
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
