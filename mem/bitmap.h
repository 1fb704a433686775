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

/* The bits of [first, first + bits), one or more, as words: a part of one at each end, and `whole` between. */
struct bitmap_span {
    uintptr_t *at; /* the first word that has any of them */
    uintptr_t head,
        tail; /* masks for it, 0 if it is whole; and for the word after the whole ones, 0 if there is none */
    size_t whole;
};

static inline struct bitmap_span bitmap_span(uintptr_t *map, pfn_t first, uint32_t bits) {
    struct bitmap_span span = { .at = &map[first / BITMAP_BITS] };
    size_t shift = first % BITMAP_BITS, end = shift + bits;
    if (shift != 0) {
        span.head = ~(uintptr_t)0 << shift;
        if (end < BITMAP_BITS) {
            span.head &= ~(uintptr_t)0 >> (BITMAP_BITS - end);
            return span;
        }
        end -= BITMAP_BITS;
    }
    span.whole = end / BITMAP_BITS;
    if (end % BITMAP_BITS != 0)
        span.tail = ((uintptr_t)1 << (end % BITMAP_BITS)) - 1;
    return span;
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

/* Whole words, four at a step: whether all are `value`, 0 or all ones; and makes them so. */
static inline bool bitmap_words_are(const uintptr_t *at, size_t words, uintptr_t value) {
    uintptr_t differs = 0;
    for (; words >= 4; words -= 4, at += 4)
        differs |=
            (__atomic_load_n(&at[0], __ATOMIC_RELAXED) ^ value) | (__atomic_load_n(&at[1], __ATOMIC_RELAXED) ^ value) |
            (__atomic_load_n(&at[2], __ATOMIC_RELAXED) ^ value) | (__atomic_load_n(&at[3], __ATOMIC_RELAXED) ^ value);
    for (; words > 0; words--, at++)
        differs |= __atomic_load_n(at, __ATOMIC_RELAXED) ^ value;
    return differs == 0;
}

static inline void bitmap_words_write(uintptr_t *at, size_t words, uintptr_t value) {
    for (; words >= 4; words -= 4, at += 4) {
        __atomic_store_n(&at[0], value, __ATOMIC_RELEASE);
        __atomic_store_n(&at[1], value, __ATOMIC_RELEASE);
        __atomic_store_n(&at[2], value, __ATOMIC_RELEASE);
        __atomic_store_n(&at[3], value, __ATOMIC_RELEASE);
    }
    for (; words > 0; words--, at++)
        __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* A run's bits, all or nothing: false, with nothing changed, if one isn't clear (set) already. The parts of words at
 * the ends, which others share, change by locked instructions. Whole words are the run's owner's alone: they are looked
 * at, then stored. Two that change one run at once, which is a mistake, may therefore both be told true; whoever
 * changes it next is told false. */
static inline bool bitmap_set_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    struct bitmap_span span = bitmap_span(map, first, bits);
    uintptr_t *whole = span.at + (span.head != 0), *tail = whole + span.whole;
    if (!bitmap_words_are(whole, span.whole, 0))
        return false;
    if (span.head != 0 && !bitmap_word_set(span.at, span.head))
        return false;
    if (span.tail != 0 && !bitmap_word_set(tail, span.tail)) {
        if (span.head != 0)
            bitmap_word_clear(span.at, span.head);
        return false;
    }
    bitmap_words_write(whole, span.whole, ~(uintptr_t)0);
    return true;
}

static inline bool bitmap_clear_run(uintptr_t *map, pfn_t first, uint32_t bits) {
    struct bitmap_span span = bitmap_span(map, first, bits);
    uintptr_t *whole = span.at + (span.head != 0), *tail = whole + span.whole;
    if (!bitmap_words_are(whole, span.whole, ~(uintptr_t)0))
        return false;
    if (span.head != 0 && !bitmap_word_clear(span.at, span.head))
        return false;
    if (span.tail != 0 && !bitmap_word_clear(tail, span.tail)) {
        if (span.head != 0)
            bitmap_word_set(span.at, span.head);
        return false;
    }
    bitmap_words_write(whole, span.whole, 0);
    return true;
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
