/* Runs of bits that don't lie in one word: a part of a word at each end, and whole words between. */
#include <mem/bitmap.h>

/* The words after `head` and before `end` have been changed, and the mask's bits of that one. */
static __attribute__((noinline)) bool undo(uintptr_t *head, uintptr_t mask, uintptr_t *end, uintptr_t from) {
    while (--end > head)
        __atomic_store_n(end, from, __ATOMIC_RELEASE);
    bitmap_word_change(head, mask, ~from);
    return false;
}

static inline __attribute__((always_inline)) bool change(uintptr_t *map, pfn_t first, uint32_t bits, uintptr_t from) {
    size_t shift = first % BITMAP_BITS, end = shift + bits;
    uintptr_t *head = &map[first / BITMAP_BITS], *tail = head + (end - 1) / BITMAP_BITS, *at = head + 1;
    uintptr_t head_mask = ~(uintptr_t)0 << shift, tail_mask = ~(uintptr_t)0 >> (-end % BITMAP_BITS);
    if (!bitmap_word_change(head, head_mask, from))
        return false;
    for (; at < tail; at++) {
        if (__builtin_expect(__atomic_load_n(at, __ATOMIC_RELAXED) != from, 0))
            return undo(head, head_mask, at, from);
        __atomic_store_n(at, ~from, __ATOMIC_RELEASE);
    }
    if (!bitmap_word_change(tail, tail_mask, from))
        return undo(head, head_mask, tail, from);
    return true;
}

bool bitmap_set_words(uintptr_t *map, pfn_t first, uint32_t bits) {
    return change(map, first, bits, 0);
}

bool bitmap_clear_words(uintptr_t *map, pfn_t first, uint32_t bits) {
    return change(map, first, bits, ~(uintptr_t)0);
}
