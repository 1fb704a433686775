/* mem/bitmap.h - runs of bits in an array of machine words, a word at a time.
 *
 * Layer: below mem/palloc. Bit i is bit i % BITMAP_BITS of word i / BITMAP_BITS. The word is the machine's own
 * width, so that the shared forms are one instruction on both widths: they leave other processors' changes to their
 * bits of the same word alone; the plain forms are for bitmaps that one processor at a time writes, under a lock. Any
 * processor may read any of them at any time, so that the plain forms, too, write whole words by one store. Context:
 * any. Cost: one step a word. */
#ifndef MEM_BITMAP_H
#define MEM_BITMAP_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BITMAP_BITS = sizeof(uintptr_t) * 8 };

static inline size_t bitmap_words(uint64_t bits) {
    return (size_t)((bits + BITMAP_BITS - 1) / BITMAP_BITS);
}

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

static inline void bitmap_write(uintptr_t *word, uintptr_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void bitmap_set_run(uintptr_t *map, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        bitmap_write(&map[first / BITMAP_BITS], map[first / BITMAP_BITS] | mask);
    }
}

static inline void bitmap_clear_run(uintptr_t *map, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        bitmap_write(&map[first / BITMAP_BITS], map[first / BITMAP_BITS] & ~mask);
    }
}

static inline void bitmap_set_run_shared(uintptr_t *map, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        __atomic_fetch_or(&map[first / BITMAP_BITS], mask, __ATOMIC_SEQ_CST);
    }
}

static inline void bitmap_clear_run_shared(uintptr_t *map, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        __atomic_fetch_and(&map[first / BITMAP_BITS], ~mask, __ATOMIC_SEQ_CST);
    }
}

/* One bit; true if this call is the one that changed it. */
static inline bool bitmap_set_shared(uintptr_t *map, pfn_t at) {
    return !(__atomic_fetch_or(&map[at / BITMAP_BITS], bitmap_bit(at), __ATOMIC_SEQ_CST) & bitmap_bit(at));
}

static inline bool bitmap_clear_shared(uintptr_t *map, pfn_t at) {
    return (__atomic_fetch_and(&map[at / BITMAP_BITS], ~bitmap_bit(at), __ATOMIC_SEQ_CST) & bitmap_bit(at)) != 0;
}

/* The first bit of [first, end) whose bit in (a & ~b) is `value`; `end` if there is none. `b` may be NULL: then a
 * alone. */
static inline pfn_t bitmap_find(const uintptr_t *a, const uintptr_t *b, bool value, pfn_t first, pfn_t end) {
    for (pfn_t next; first < end; first = next) {
        uintptr_t mask = bitmap_mask(first, end, &next);
        uintptr_t word = __atomic_load_n(&a[first / BITMAP_BITS], __ATOMIC_RELAXED);
        if (b != NULL)
            word &= ~__atomic_load_n(&b[first / BITMAP_BITS], __ATOMIC_RELAXED);
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
