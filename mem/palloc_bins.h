/* mem/palloc_bins.h - the lists of free runs by length, and the tags at their edges.
 *
 * Layer: inside mem/palloc; mem/palloc_runs.c has the theory. Context: the lock of rank PALLOC is held. */
#ifndef MEM_PALLOC_BINS_H
#define MEM_PALLOC_BINS_H

#include <base/check.h>
#include <mem/palloc_tables.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RUNS_ZONE_LOW,   /* below 16 MiB */
    RUNS_ZONE_DMA32, /* below 4 GiB */
    RUNS_ZONE_HIGH,
    RUNS_ZONES,
};
enum { RUNS_LOW_END = 1 << 12, RUNS_DMA32_END = 1 << 20 };

/* Lengths below this one have a bin each. */
enum { RUNS_EXACT = 512 };

static inline unsigned runs_zone(pfn_t pfn) {
    return (unsigned)(pfn >= RUNS_LOW_END) + (unsigned)(pfn >= RUNS_DMA32_END);
}

enum { SUB_BITS = 3, BINS = RUNS_EXACT + 23 * (1 << SUB_BITS), BIN_WORDS = (BINS + BITMAP_BITS - 1) / BITMAP_BITS };

struct zone {
    pfn_t first, end;
    size_t pages;
    uintptr_t summary;           /* bit w: filled[w] isn't 0 */
    uintptr_t filled[BIN_WORDS]; /* bit b: bins[b] isn't empty */
    pfn_t bins[BINS];            /* first run of each list */
};

extern struct zone palloc_zones[RUNS_ZONES]; /* guarded by palloc's lock */

/* --- Bins --------------------------------------------------------------------------------------------------------- */

static inline unsigned bin_of(uint32_t pages) {
    if (pages < RUNS_EXACT)
        return pages;
    unsigned log = 31u - (unsigned)__builtin_clz(pages); /* 32 bits: a step less than log2_floor() on i386 */
    return RUNS_EXACT + ((log - 9) << SUB_BITS) + (unsigned)(pages >> (log - SUB_BITS) & 7);
}

/* The first bin that has only runs of `pages` and more; BINS if none can. */
static inline unsigned bin_certain(uint64_t pages) {
    if (pages > UINT32_MAX)
        return BINS;
    unsigned bin = bin_of((uint32_t)pages);
    bool lowest = pages <= RUNS_EXACT || bin_of((uint32_t)pages - 1) != bin;
    return lowest ? bin : bin + 1;
}

static inline unsigned first_bit(uintptr_t word) {
    return (unsigned)__builtin_ctzl((unsigned long)word);
}

/* The first filled bin at or above; BINS if there is none. */
static inline unsigned next_filled(const struct zone *zone, unsigned bin) {
    unsigned at = bin / BITMAP_BITS;
    uintptr_t word = zone->filled[at] >> (bin % BITMAP_BITS);
    palloc_step(1);
    if (word != 0)
        return bin + first_bit(word);
    uintptr_t above = zone->summary & (~(uintptr_t)1 << at);
    if (above == 0)
        return BINS;
    at = first_bit(above);
    return at * BITMAP_BITS + first_bit(zone->filled[at]);
}

static inline void list_insert(struct zone *zone, unsigned bin, pfn_t first) {
    union palloc_word *words = palloc_tables.words;
    pfn_t next = zone->bins[bin];
    words[first].link.next = next;
    words[first].link.previous = PFN_NONE;
    zone->bins[bin] = first;
    if (next != PFN_NONE) {
        words[next].link.previous = first;
        return;
    }
    unsigned at = bin / BITMAP_BITS;
    uintptr_t had = zone->filled[at];
    zone->filled[at] = had | bitmap_bit(bin);
    if (had == 0)
        zone->summary |= bitmap_bit(at);
}

static inline void list_emptied(struct zone *zone, unsigned bin) {
    unsigned at = bin / BITMAP_BITS;
    uintptr_t left = zone->filled[at] & ~bitmap_bit(bin);
    zone->filled[at] = left;
    if (left == 0)
        zone->summary &= ~bitmap_bit(at);
}

static inline void list_remove(struct zone *zone, unsigned bin, pfn_t first) {
    union palloc_word *words = palloc_tables.words;
    pfn_t next = words[first].link.next, previous = words[first].link.previous;
    if (next != PFN_NONE)
        words[next].link.previous = previous;
    if (previous != PFN_NONE) {
        words[previous].link.next = next;
        return;
    }
    invariant(zone->bins[bin] == first);
    zone->bins[bin] = next;
    if (next == PFN_NONE)
        list_emptied(zone, bin);
}

/* --- Edges -------------------------------------------------------------------------------------------------------- */

static inline struct zone *zone_at(pfn_t pfn) {
    return pfn >= RUNS_DMA32_END ? &palloc_zones[RUNS_ZONE_HIGH]
           : pfn >= RUNS_LOW_END ? &palloc_zones[RUNS_ZONE_DMA32]
                                 : &palloc_zones[RUNS_ZONE_LOW];
}

static inline bool is_border(pfn_t pfn) {
    return pfn == RUNS_LOW_END || pfn == RUNS_DMA32_END;
}

static inline void write_edges(pfn_t first, uint32_t pages) {
    uint8_t *tags = palloc_tables.tags, tag = (uint8_t)(pages < TAG_LONG ? pages : (uint32_t)TAG_LONG);
    pfn_t last = first + pages - 1;
    __atomic_store_n(&tags[first], tag, __ATOMIC_RELAXED);
    __atomic_store_n(&tags[last], tag, __ATOMIC_RELAXED);
    if (pages >= TAG_LONG) {
        union palloc_word *words = palloc_tables.words;
        words[first + 1].pages = pages;
        words[last].pages = pages;
    }
}

/* Of the run that begins with this page, whose tag is given. */
static inline uint32_t length_from_tag(pfn_t first, uint8_t tag) {
    return tag < TAG_LONG ? tag : palloc_tables.words[first + 1].pages;
}

static inline uint32_t length_from(pfn_t first) {
    return length_from_tag(first, tag_get(first));
}

/* Of the run that ends with this page, whose tag is given. */
static inline uint32_t length_to_tag(pfn_t last, uint8_t tag) {
    return tag < TAG_LONG ? tag : palloc_tables.words[last].pages;
}

static inline uint32_t length_to(pfn_t last) {
    return length_to_tag(last, tag_get(last));
}

#ifdef __cplusplus
}
#endif
#endif
