/* Layer 2: mappings counted by the list.
 *
 * Nearly every page is in one of three states, and what a mapping changes then is an addition to the page's word:
 *
 *     held by its caller, not tied      -> tied, its word says one mapping       (and back)
 *     tied, a caller's or mappings'     -> the same, its word says one more      (and back)
 *     consecutive pages in the first    -> the same for all, tags and bits by words (and back)
 *
 * The rest (owners of other kinds, cache types, refusals, full counters, pages that become free, broken contracts) is
 * mem/frame.c's, page by page. F1 to F4 of mem/frame.c hold between any two pages.
 *
 * Locking: palloc's lock, let go after every BATCH pages. */
#include <arch/arch.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/frame_ties.h>
#include <mem/frame_word.h>
#include <mem/palloc_single.h>

enum { BATCH = 64 };

/* What one mapping adds to a word. `fresh` is the word of a page that its caller holds and nothing but one such mapping
 * ties; `type` the type's bits, 0 for a mapping that only reads. */
struct step {
    uint64_t add, fresh, type;
};

#define WORD_OWNER   ((((uint64_t)1 << OWNER_BITS) - 1) << OWNER_SHIFT)
#define WORD_TYPE    ((((uint64_t)1 << TYPE_BITS) - 1) << TYPE_SHIFT)
#define WORD_TYPED   ((((uint64_t)1 << TYPED_BITS) - 1) << TYPED_SHIFT)
#define WORD_HALF    ((uint64_t)1 << (MAPPINGS_SHIFT + MAPPINGS_BITS - 1)) /* the mappings' counter is half full */
#define WORD_ANY     (~(WORD_OWNER | WORD_TYPE))                           /* mappings or pins: none is left if 0 */
#define WORD_OF_KIND ((uint64_t)FRAME_CALLER << OWNER_SHIFT)
_Static_assert(FRAME_MAPPED == FRAME_CALLER + 1 && OWNER_SHIFT == 0, "one comparison finds both");

static inline struct step step_of_rights(unsigned attributes) {
    enum type type = attributes & PAGE_WRITE ? TYPE_WRITABLE : attributes & PAGE_EXECUTE ? TYPE_EXECUTABLE : TYPE_NONE;
    struct step step = { .add = (uint64_t)1 << MAPPINGS_SHIFT, .type = (uint64_t)type << TYPE_SHIFT };
    if (type != TYPE_NONE)
        step.add |= (uint64_t)1 << TYPED_SHIFT;
    step.fresh = WORD_OF_KIND | step.type | step.add;
    return step;
}

/* Rights that the quick ways know. */
static inline bool is_plain(unsigned attributes) {
    unsigned both = PAGE_WRITE | PAGE_EXECUTE;
    return (attributes & (PAGE_UNCACHED | PAGE_WRITE_COMBINING)) == 0 && (attributes & both) != both;
}

static inline bool is_kept_by_counts(uint64_t word) {
    return (word & WORD_OWNER) - WORD_OF_KIND <= 1;
}

/* A tied page's word with one mapping more, or less; 0, which is no tied page's word, where mem/frame.c must look. */
static inline uint64_t with_mapping(uint64_t word, const struct step *step) {
    bool fits = step->type == 0 || (word & WORD_TYPE & ~step->type) == 0;
    if (!is_kept_by_counts(word) || !fits || (word & WORD_HALF) != 0)
        return 0;
    return (word | step->type) + step->add;
}

static inline uint64_t without_mapping(uint64_t word, const struct step *step) {
    bool there = step->type != 0 ? (word & WORD_TYPE) == step->type
                                 : (word & WORD_TYPE) == 0 && (word >> MAPPINGS_SHIFT & (FRAME_MAPPINGS_MAX)) != 0;
    if (!is_kept_by_counts(word) || !there)
        return 0;
    word -= step->add;
    return word & WORD_TYPED ? word : word & ~WORD_TYPE;
}

/* A list, or consecutive pages if there is none. */
struct pages {
    const pfn_t *list;
    pfn_t first;
};

static inline pfn_t page_at(const struct pages *pages, size_t index) {
    return pages->list != NULL ? pages->list[index] : pages->first + (pfn_t)index;
}

/* --- Consecutive pages that only their caller holds --------------------------------------------------------------- */

static inline bool is_run(const struct pages *pages, size_t done, size_t count) {
    pfn_t first = page_at(pages, done);
    if (count == 1 || first > PFN_NONE - (pfn_t)count)
        return false;
    for (size_t i = 1; pages->list != NULL && i < count; i++)
        if (pages->list[done + i] != first + (pfn_t)i)
            return false;
    return true;
}

/* Whether `count` tags from a page on are all `tag`. They are ready. */
static inline bool tags_are(pfn_t first, size_t count, uint8_t tag) {
    const uint8_t *at = &palloc_tables.tags[first], *end = at + count;
    const uintptr_t all = ~(uintptr_t)0 / UINT8_MAX * tag;
    uintptr_t differs = 0;
    for (; (size_t)(end - at) >= sizeof(all); at += sizeof(all)) {
        uintptr_t tags;
        __builtin_memcpy(&tags, at, sizeof(tags));
        differs |= tags ^ all;
    }
    for (; at < end; at++)
        differs |= (uintptr_t)(*at ^ tag);
    return differs == 0;
}

static inline bool words_are(pfn_t first, size_t count, uint64_t value) {
    const union palloc_word *at = &palloc_tables.words[first], *end = at + count;
    uint64_t any = value, all = value;
    for (; end - at >= 4; at += 4) {
        any |= at[0].frame | at[1].frame | at[2].frame | at[3].frame;
        all &= at[0].frame & at[1].frame & at[2].frame & at[3].frame;
    }
    for (; at < end; at++) {
        any |= at->frame;
        all &= at->frame;
    }
    return any == all;
}

static inline void words_write(pfn_t first, size_t count, uint64_t value) {
    union palloc_word *at = &palloc_tables.words[first], *end = at + count;
    for (; end - at >= 4; at += 4) {
        at[0].frame = value;
        at[1].frame = value;
        at[2].frame = value;
        at[3].frame = value;
    }
    for (; at < end; at++)
        at->frame = value;
}

static bool map_run(pfn_t first, size_t count, const struct step *step) {
    pfn_t last = first + (pfn_t)count - 1;
    if (!tag_is_ready(first) || !tag_is_ready(last) || !tags_are(first, count, TAG_NONE) ||
        !bitmap_clear_run(palloc_tables.held, first, (uint32_t)count))
        return false;
    memset(&palloc_tables.tags[first], TAG_HELD_TIED, count);
    words_write(first, count, step->fresh);
    palloc_tables.tied += count;
    frame_tied_pages[FRAME_CALLER] += count;
    return true;
}

static bool unmap_run(pfn_t first, size_t count, const struct step *step) {
    pfn_t last = first + (pfn_t)count - 1;
    if (!tag_is_ready(first) || !tag_is_ready(last) || !tags_are(first, count, TAG_HELD_TIED) ||
        !words_are(first, count, step->fresh))
        return false;
    memset(&palloc_tables.tags[first], TAG_NONE, count);
    bool set = bitmap_set_run(palloc_tables.held, first, (uint32_t)count);
    invariant(set);
    palloc_tables.tied -= count;
    frame_tied_pages[FRAME_CALLER] -= count;
    return true;
}

/* --- Any pages ---------------------------------------------------------------------------------------------------- */

/* The lock is held, as in all below. */
static inline int map_one(pfn_t pfn, unsigned attributes, const struct step *step, bool quick, uintptr_t place) {
    uint8_t tag = tag_is_ready(pfn) ? tag_get(pfn) : (uint8_t)TAG_NONE;
    if (quick && tag_is_tied(tag)) {
        uint64_t word = with_mapping(palloc_tables.words[pfn].frame, step);
        if (word != 0) {
            palloc_tables.words[pfn].frame = word;
            return 0;
        }
    } else if (quick && drop_one(pfn)) {
        tag_set(pfn, TAG_HELD_TIED);
        palloc_tables.words[pfn].frame = step->fresh;
        palloc_tables.tied++;
        frame_tied_pages[FRAME_CALLER]++;
        return 0;
    }
    return palloc_state(pfn) == PALLOC_NOT_RAM ? 0 : frame_map_locked(pfn, attributes, place);
}

static inline void unmap_one(pfn_t pfn, unsigned attributes, const struct step *step, bool quick, uintptr_t place) {
    uint8_t tag = tag_is_ready(pfn) ? tag_get(pfn) : (uint8_t)TAG_NONE;
    if (quick && tag_is_tied(tag)) {
        uint64_t word = without_mapping(palloc_tables.words[pfn].frame, step);
        if ((word & WORD_ANY) != 0) {
            palloc_tables.words[pfn].frame = word;
            return;
        }
        if (word != 0) {
            frame_tied_pages[word & WORD_OWNER]--;
            palloc_untie(pfn, place);
            return;
        }
    }
    if (palloc_state(pfn) != PALLOC_NOT_RAM)
        frame_unmap_locked("frame_unmap", pfn, attributes, place);
}

static inline int remap_one(pfn_t pfn, unsigned old_attributes, unsigned new_attributes, uintptr_t place) {
    if (tag_is_ready(pfn) && tag_is_tied(tag_get(pfn)) && is_plain(old_attributes) && is_plain(new_attributes)) {
        struct step old_step = step_of_rights(old_attributes), new_step = step_of_rights(new_attributes);
        uint64_t word = without_mapping(palloc_tables.words[pfn].frame, &old_step);
        word = word != 0 ? with_mapping(word, &new_step) : 0;
        if (word != 0) {
            palloc_tables.words[pfn].frame = word;
            return 0;
        }
    }
    if (palloc_state(pfn) == PALLOC_NOT_RAM)
        return 0;
    return frame_remap_locked("frame_remap", pfn, old_attributes, new_attributes, place);
}

static inline size_t batch_of(size_t done, size_t count) {
    return count - done < BATCH ? count - done : BATCH;
}

static void unmap_pages(const struct pages *pages, size_t count, unsigned attributes, uintptr_t place) {
    const struct step step = step_of_rights(attributes);
    bool quick = is_plain(attributes);
    for (size_t done = 0, part; done < count; done += part) {
        part = batch_of(done, count);
        lock_take(&palloc_tables.lock);
        if (!quick || !is_run(pages, done, part) || !unmap_run(page_at(pages, done), part, &step))
            for (size_t i = done; i < done + part; i++)
                unmap_one(page_at(pages, i), attributes, &step, quick, place);
        lock_release(&palloc_tables.lock);
    }
}

static int map_pages(const struct pages *pages, size_t count, unsigned attributes, uintptr_t place) {
    const struct step step = step_of_rights(attributes);
    bool quick = is_plain(attributes);
    size_t done = 0;
    int error = 0;
    while (error == 0 && done < count) {
        size_t end = done + batch_of(done, count);
        lock_take(&palloc_tables.lock);
        if (quick && is_run(pages, done, end - done) && map_run(page_at(pages, done), end - done, &step))
            done = end;
        for (; done < end; done++) {
            error = map_one(page_at(pages, done), attributes, &step, quick, place);
            if (error != 0)
                break;
        }
        lock_release(&palloc_tables.lock);
    }
    if (error != 0)
        unmap_pages(pages, done, attributes, place);
    return error;
}

int frame_map_list(const pfn_t *list, size_t count, unsigned attributes) {
    const struct pages pages = { .list = list };
    return map_pages(&pages, count, attributes, PALLOC_PLACE());
}

void frame_unmap_list(const pfn_t *list, size_t count, unsigned attributes) {
    const struct pages pages = { .list = list };
    unmap_pages(&pages, count, attributes, PALLOC_PLACE());
}

int frame_map_run(pfn_t first, size_t count, unsigned attributes) {
    const struct pages pages = { .first = first };
    return map_pages(&pages, count, attributes, PALLOC_PLACE());
}

void frame_unmap_run(pfn_t first, size_t count, unsigned attributes) {
    const struct pages pages = { .first = first };
    unmap_pages(&pages, count, attributes, PALLOC_PLACE());
}

/* How many pages of the list it came to. */
static size_t remap_list(const pfn_t *list, size_t count, unsigned old_attributes, unsigned new_attributes,
                         uintptr_t place, int *error) {
    size_t done = 0;
    while (*error == 0 && done < count) {
        size_t end = done + batch_of(done, count);
        lock_take(&palloc_tables.lock);
        for (; done < end; done++) {
            *error = remap_one(list[done], old_attributes, new_attributes, place);
            if (*error != 0)
                break;
        }
        lock_release(&palloc_tables.lock);
    }
    return done;
}

int frame_remap_list(const pfn_t *list, size_t count, unsigned old_attributes, unsigned new_attributes) {
    int error = 0, back = 0;
    size_t done = remap_list(list, count, old_attributes, new_attributes, PALLOC_PLACE(), &error);
    if (error != 0)
        done = remap_list(list, done, new_attributes, old_attributes, PALLOC_PLACE(), &back);
    require(back == 0, "frame_remap: page %#x refuses the rights that it had", list[done]);
    return error;
}

/* --- Entries of tables -------------------------------------------------------------------------------------------- */

uint32_t frame_table_entries(pfn_t pfn, int change) {
    bool known = false;
    uint32_t entries = 0;
    lock_take(&palloc_tables.lock);
    if (tag_is_ready(pfn) && tag_get(pfn) == TAG_TIED) {
        uint64_t *word = &palloc_tables.words[pfn].frame;
        entries = (uint32_t)(*word >> MAPPINGS_SHIFT & FRAME_MAPPINGS_MAX) + (uint32_t)change;
        known = (*word & WORD_OWNER) == (uint64_t)FRAME_TABLE << OWNER_SHIFT && entries <= FRAME_MAPPINGS_MAX;
        if (known)
            *word += (uint64_t)(int64_t)change << MAPPINGS_SHIFT;
    }
    lock_release(&palloc_tables.lock);
    return known ? entries : frame_table_entries_checked(pfn, change);
}
