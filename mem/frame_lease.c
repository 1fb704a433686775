/* Layer 2: a mapping and a pin for each page of a list.
 *
 * A page that is leased is mapped by its task already, so nothing of its word changes but three counts: one addition,
 * after a look that nothing else would change with it. Any other page takes the two steps of mem/frame.c.
 *
 * Locking: palloc's lock over the list, as mem/frame.c. Cost: some 30 instructions a page there, 20 back. */
#include <arch/arch.h>
#include <base/fail.h>
#include <mem/frame.h>
#include <mem/frame_word.h>
#include <mem/palloc_tables.h>

/* What one mapping and pin add to a word, and which words they only add to: the page is a caller's or kept by mappings,
 * has the type already, no count's upper half is reached, and the way back leaves a mapping of the type. */
struct lease_step {
    uint64_t add, kind, first_kind, full, rest;
};

static inline struct lease_step lease_step(unsigned attributes) {
    const uint64_t one = 1, owner = ((one << OWNER_BITS) - 1) << OWNER_SHIFT;
    uint64_t mapping = one << MAPPINGS_SHIFT, typed = one << TYPED_SHIFT, pin = one << PINS_SHIFT;
    uint64_t full = mapping << (MAPPINGS_BITS - 1) | pin << (PINS_BITS - 1);
    if (attributes & PAGE_WRITE)
        return (struct lease_step){ mapping + typed + pin, owner | ((one << TYPE_BITS) - 1) << TYPE_SHIFT,
                                    FRAME_CALLER | TYPE_WRITABLE << TYPE_SHIFT, full,
                                    ((one << TYPED_BITS) - 2) << TYPED_SHIFT };
    return (struct lease_step){ mapping + pin, owner, FRAME_CALLER, full,
                                ((one << MAPPINGS_BITS) - 2) << MAPPINGS_SHIFT };
}
_Static_assert(FRAME_MAPPED == FRAME_CALLER + 1, "one comparison finds both");

static inline bool may_add(uint64_t word, const struct lease_step *step) {
    return (word & step->kind) - step->first_kind <= 1 && (word & step->full) == 0;
}

static inline bool may_subtract(uint64_t word, const struct lease_step *step) {
    return (word & step->kind) - step->first_kind <= 1 && (word & step->rest) != 0 && word >> PINS_SHIFT != 0;
}

/* A mapping without its pin, for a moment, makes the page look shown once more than it is, and whoever asks copies it:
 * the harmless side. The lock is released meanwhile. */
static int lease_slowly(pfn_t pfn, unsigned attributes) {
    palloc_unlock();
    int error = frame_map(pfn, attributes);
    if (error == 0) {
        error = frame_pin(pfn);
        if (error != 0)
            frame_unmap(pfn, attributes);
    }
    palloc_lock();
    return error;
}

static void unlease_slowly(pfn_t pfn, unsigned attributes) {
    palloc_unlock();
    frame_unpin(pfn);
    frame_unmap(pfn, attributes);
    palloc_lock();
}

/* Up to the first page that needs more, or the end. The lock is held, as in all below; all are made twice, so that the
 * steps are constants. */
static inline __attribute__((always_inline)) size_t subtract_plain(const pfn_t *list, size_t from, size_t count,
                                                                   unsigned attributes) {
    const struct lease_step step = lease_step(attributes);
    union palloc_word *words = palloc_tables.words;
    for (; from < count; from++) {
        uint64_t word = words[list[from]].frame;
        if (!may_subtract(word, &step))
            break;
        words[list[from]].frame = word - step.add;
    }
    return from;
}

static inline __attribute__((always_inline)) size_t add_plain(const pfn_t *list, size_t from, size_t count,
                                                              unsigned attributes, bool *fails) {
    const struct lease_step step = lease_step(attributes);
    union palloc_word *words = palloc_tables.words;
    const uint8_t *tags = palloc_tables.tags;
    uint32_t ready = UINT32_MAX; /* a chunk */
    for (; from < count; from++) {
        pfn_t pfn = list[from];
        *fails = fail_here();
        if (pfn >> CHUNK_SHIFT != ready) {
            if (!tag_is_ready(pfn))
                break;
            ready = pfn >> CHUNK_SHIFT;
        }
        if (*fails || !tag_is_tied(__atomic_load_n(&tags[pfn], __ATOMIC_RELAXED)))
            break;
        uint64_t word = words[pfn].frame;
        if (!may_add(word, &step))
            break;
        words[pfn].frame = word + step.add;
    }
    return from;
}

static void unlease(const pfn_t *list, size_t count, unsigned attributes) {
    for (size_t i = 0;; i++) {
        i = attributes & PAGE_WRITE ? subtract_plain(list, i, count, PAGE_WRITE) : subtract_plain(list, i, count, 0);
        if (i == count)
            return;
        unlease_slowly(list[i], attributes);
    }
}

static int lease(const pfn_t *list, size_t count, unsigned attributes) {
    bool fails = false;
    for (size_t i = 0;; i++) {
        i = attributes & PAGE_WRITE ? add_plain(list, i, count, PAGE_WRITE, &fails)
                                    : add_plain(list, i, count, 0, &fails);
        if (i == count)
            return 0;
        int error = fails ? ERR_LIMIT : lease_slowly(list[i], attributes);
        if (error != 0) {
            unlease(list, i, attributes);
            return error;
        }
    }
}

/* As frame_table_entries(), for a table that can't go away. The lock is held. */
static void count_entries(pfn_t table, int64_t change) {
    union palloc_word *word = &palloc_tables.words[table];
    if ((word->frame >> OWNER_SHIFT & ((1u << OWNER_BITS) - 1)) == FRAME_TABLE)
        word->frame += (uint64_t)change << MAPPINGS_SHIFT;
}

int frame_lease_list(const pfn_t *list, size_t count, unsigned attributes, pfn_t table) {
    palloc_lock();
    int error = lease(list, count, attributes);
    if (error == 0)
        count_entries(table, (int64_t)count);
    palloc_unlock();
    return error;
}

void frame_unlease_list(const pfn_t *list, size_t count, unsigned attributes, pfn_t table) {
    palloc_lock();
    unlease(list, count, attributes);
    count_entries(table, -(int64_t)count);
    palloc_unlock();
}
