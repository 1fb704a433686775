/* Runs of bits that don't lie in one word: a part of a word at each end, and whole words between. */
#include <mem/bitmap.h>

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

bool bitmap_set_words(uintptr_t *map, pfn_t first, uint32_t bits) {
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

bool bitmap_clear_words(uintptr_t *map, pfn_t first, uint32_t bits) {
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
