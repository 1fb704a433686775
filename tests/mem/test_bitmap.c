/* Runs of bits: all or nothing, whichever bit of a run isn't as it should be. */
#include <base/string.h>
#include <mem/bitmap.h>
#include <tests/test.h>

enum { WORDS = 8, BITS = WORDS * BITMAP_BITS };

static uintptr_t map[WORDS], before[WORDS];

static void fill(uintptr_t value) {
    for (unsigned i = 0; i < WORDS; i++)
        map[i] = value;
}

static bool is_as_before(void) {
    return memcmp(map, before, sizeof(map)) == 0;
}

/* Each bit on its own, in a loop that knows nothing of words. */
static bool are_exactly(pfn_t first, uint32_t bits, bool inside) {
    for (pfn_t at = 0; at < BITS; at++)
        if (bitmap_get(map, at) != (at >= first && at < first + bits ? inside : !inside))
            return false;
    return true;
}

static void flip(pfn_t at) {
    map[at / BITMAP_BITS] ^= bitmap_bit(at);
}

/* Runs that begin and end at any bit of a word, of one to five words. */
static void each_run(void (*check)(pfn_t first, uint32_t bits)) {
    for (pfn_t first = 1; first < 2 * BITMAP_BITS; first += 7)
        for (uint32_t bits = 1; bits <= 4 * BITMAP_BITS; bits += 5)
            check(first, bits);
}

static void set_and_clear(pfn_t first, uint32_t bits) {
    fill(0);
    expect(bitmap_set_run(map, first, bits) && are_exactly(first, bits, true));
    expect(bitmap_clear_run(map, first, bits) && are_exactly(0, BITS, false));
    fill(~(uintptr_t)0);
    expect(bitmap_clear_run(map, first, bits) && are_exactly(first, bits, false));
}

TEST(bitmap_changes_the_bits_of_a_run_and_no_others) {
    each_run(set_and_clear);
}

static void one_is_wrong(pfn_t first, uint32_t bits) {
    for (pfn_t wrong = first; wrong < first + bits; wrong++) {
        fill(0);
        flip(wrong);
        memcpy(before, map, sizeof(map));
        expect(!bitmap_set_run(map, first, bits) && is_as_before());
        fill(~(uintptr_t)0);
        flip(wrong);
        memcpy(before, map, sizeof(map));
        expect(!bitmap_clear_run(map, first, bits) && is_as_before());
    }
}

TEST(bitmap_changes_nothing_if_one_bit_of_a_run_is_wrong) {
    each_run(one_is_wrong);
}

TEST(bitmap_changes_whole_words_or_none) {
    for (pfn_t wrong = 2 * BITMAP_BITS; wrong < 6 * BITMAP_BITS; wrong++) {
        fill(0);
        flip(wrong);
        memcpy(before, map, sizeof(map));
        expect(!bitmap_words_change(&map[2], 4, 0) && is_as_before());
        flip(wrong);
        expect(bitmap_words_change(&map[2], 4, 0) && are_exactly(2 * BITMAP_BITS, 4 * BITMAP_BITS, true));
        flip(wrong);
        memcpy(before, map, sizeof(map));
        expect(!bitmap_words_change(&map[2], 4, ~(uintptr_t)0) && is_as_before());
    }
}

TEST(bitmap_find_stops_at_the_runs_end) {
    fill(0);
    flip(5 * BITMAP_BITS + 3);
    expect_equal(bitmap_find(map, true, 1, BITS), 5 * BITMAP_BITS + 3);
    expect_equal(bitmap_find(map, true, 1, 5 * BITMAP_BITS + 3), 5 * BITMAP_BITS + 3);
    expect_equal(bitmap_find(map, true, 0, 7), 7);
    expect_equal(bitmap_find(map, false, 5 * BITMAP_BITS + 3, BITS), 5 * BITMAP_BITS + 4);
}
