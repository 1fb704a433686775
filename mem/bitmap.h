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

/* Words that nobody else changes meanwhile, so that plain loads will do, which an instruction may have for an operand:
 * whether all are `value`, 0 or all ones; and makes them so. Their number is even, and a multiple of 8 from 8 on. */
static inline bool bitmap_words_are(const uintptr_t *at, size_t words, uintptr_t value) {
    const uintptr_t *end = at + words;
    uintptr_t any = 0, all = ~(uintptr_t)0;
    if (words >= 8) {
        for (; at < end; at += 8) {
            any |= at[0] | at[1] | at[2] | at[3] | at[4] | at[5] | at[6] | at[7];
            all &= at[0] & at[1] & at[2] & at[3] & at[4] & at[5] & at[6] & at[7];
        }
    } else {
        for (; at < end; at += 2) {
            any |= at[0] | at[1];
            all &= at[0] & at[1];
        }
    }
    return value == 0 ? any == 0 : all == value;
}

/* Others may read them. */
static inline void bitmap_word_write(uintptr_t *word, uintptr_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void bitmap_words_write(uintptr_t *at, size_t words, uintptr_t value) {
    uintptr_t *end = at + words;
    if (words >= 8) {
        for (; at < end; at += 8) {
            bitmap_word_write(&at[0], value);
            bitmap_word_write(&at[1], value);
            bitmap_word_write(&at[2], value);
            bitmap_word_write(&at[3], value);
            bitmap_word_write(&at[4], value);
            bitmap_word_write(&at[5], value);
            bitmap_word_write(&at[6], value);
            bitmap_word_write(&at[7], value);
        }
    } else {
        for (; at < end; at += 2) {
            bitmap_word_write(&at[0], value);
            bitmap_word_write(&at[1], value);
        }
    }
}

/* A run of a power of two, and more than a word, is of whole words. */
static inline bool bitmap_is_whole(pfn_t first) {
    return first % BITMAP_BITS == 0;
}

/* As the run functions below, of such a run. */
static inline bool bitmap_change_whole(uintptr_t *map, pfn_t first, uint32_t bits, uintptr_t from) {
    uintptr_t *at = &map[first / BITMAP_BITS];
    if (__builtin_expect(!bitmap_words_are(at, bits / BITMAP_BITS, from), 0))
        return false;
    bitmap_words_write(at, bits / BITMAP_BITS, ~from);
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
