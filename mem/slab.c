/*     a class: partial -> slab <-> slab <-> ...                descriptions, from a pool
 *                           |
 *     run:    | block | block | block | ... | block | tail |    at most 16 pages, at least 8 blocks if they fit
 *     notes:  IN_USE   FREE    CACHED         FREE              a byte a block, in the description; with canaries more,
 *                                                               in pages of their own
 *     kept[pages] -> slab -> slab ...                           wholly free, of any class
 *
 * An address leads to its slab by one load (mem/heap_pages.h), to its block by one multiplication, and the block's note
 * says who has it: that is all it takes to answer a wrong free. A state is a byte and not a bit, so that it can be
 * changed without the lock and without a locked instruction by whoever has the block. A large block is a slab with one
 * block, reached the same way: its reciprocal is 0, so that every address in it belongs to block 0.
 *
 * Sizes: 16 to 128 in steps of 16, then eight in each doubling: a block is at most 12.5 % or 15 bytes longer than what
 * was asked for. All multiples of a power of two that are large enough for the steps there are sizes of their own, so
 * a request rounded up to a multiple of its alignment gets a block that is aligned. Above 32 KiB a request takes whole
 * pages, followed by an unmapped one.
 *
 * A slab lies on its class' list while it has both free and taken blocks; full ones are found by their addresses alone.
 * Policy for those wholly free: they are kept, with their pages, up to 1 MiB or an eighth of the heap's pages,
 * whichever is more (on a small machine a sixteenth of its memory at most, in place of the 1 MiB). A kept slab serves
 * any class whose slabs are as long. Over the limit, kept ones of other lengths go back first, so that what is kept is
 * what was in use of late; all go back when the heap itself finds memory short, and in slab_trim().
 *
 * The reserve is a few single pages that were mapped at init, for slab_take_urgent() alone.
 *
 * Invariants, checked by slab_audit() (mem/slab_audit.c):
 *   H3  the owner of each page of a run of blocks is its one slab, and the slab's numbers are its class' numbers.
 *   H4  taken = blocks whose state is neither FREE nor RAW; no block before `lowest` is one of these.
 *   H5  partial links exactly the slabs of the class with 0 < taken < blocks, once, with good links both ways; kept
 *       and the reserve link those with taken = 0; every other slab is full.
 *   H6  slabs, taken and run_pages of a class, and the sums in slab_lists, are the sums over the slabs; no run is
 *       anything else's, no description lost.
 *
 * Locking: one lock for the whole heap. States of taken blocks are written by who has the block, without it.
 * Cost: O(1) and a few instructions a block; finding a free one passes at most the notes of one slab. A slab that
 * becomes free may give back several that are kept, 16 at most. */
#include <mem/slab.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/nodes.h>

enum {
    BLOCKS_WANTED = 8,
    SMALL_ROOM = 40, /* bytes of notes; one note with canaries */
    ROOM_MAX = SLAB_BLOCKS_MAX + 8,
    KEEP_PAGES = 256,
    KEEP_SHARE = 8,
    RAM_SHARE = 16,
    RESERVE_PAGES = 8,
    WORD = sizeof(uintptr_t),
};

_Static_assert(sizeof(struct note) <= SMALL_ROOM, "a large block's note stands in its description");
_Static_assert(offsetof(struct slab, states) + ROOM_MAX <= 1024, "a pool's object");
_Static_assert(BLOCK_FREE == 0 && BLOCK_CACHED == BLOCK_FREE + 2 && BLOCK_CACHED_RAW == BLOCK_RAW + 2,
               "to be cached is to add 2");

struct slab_class slab_classes[SLAB_CLASSES], slab_large;
struct slab_lists slab_lists;
static struct lock heap_lock = LOCK_INIT("heap", LOCK_RANK_HEAP);

/* No address is the start of a block of it. */
struct slab slab_none = { .notes = slab_none.states, .of = &slab_large };

void slab_lock(void) {
    lock_take(&heap_lock);
}

void slab_unlock(void) {
    lock_release(&heap_lock);
}

/* --- Classes ------------------------------------------------------------------------------------------------------ */

static uint32_t bytes_of_class(unsigned size_class) {
    if (size_class < 16)
        return (size_class + 1) * 16;
    return (size_class % 8 + 9) * 16 << (size_class / 8 - 1);
}

/* The fewest pages with at least BLOCKS_WANTED blocks and at most 1/16 of tail; if there are none, those with the
 * least tail. */
static unsigned pages_of_class(uint32_t block_bytes) {
    unsigned best = SLAB_PAGES_MAX;
    for (unsigned pages = 1; pages <= SLAB_PAGES_MAX; pages++) {
        uint32_t bytes = pages * (uint32_t)PAGE_SIZE, tail = bytes % block_bytes;
        if (bytes < block_bytes)
            continue;
        if (bytes / block_bytes >= BLOCKS_WANTED && tail * 16 <= bytes)
            return pages;
        if (tail * best < best * (uint32_t)PAGE_SIZE % block_bytes * pages)
            best = pages;
    }
    return best;
}

static void enter_class(struct slab_class *of) {
    of->next = slab_lists.classes;
    slab_lists.classes = of;
}

void slab_class_open(struct slab_class *of, uint32_t block_bytes) {
    unsigned pages = pages_of_class(block_bytes);
    *of = (struct slab_class){
        .block_bytes = block_bytes,
        .reciprocal = UINT32_MAX / block_bytes + 1, /* 2^32 / block_bytes, rounded up, in 32 bits */
        .pages = (uint16_t)pages,
        .blocks = (uint16_t)(pages * PAGE_SIZE / block_bytes),
    };
    enter_class(of);
}

void slab_init(void) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        slab_class_open(&slab_classes[i], bytes_of_class(i));
    slab_large = (struct slab_class){ .blocks = 1 };
    enter_class(&slab_large);
    size_t states = offsetof(struct slab, states);
    pool_init(&slab_lists.small, "slabs", states + SMALL_ROOM, &nodes_source);
    pool_init(&slab_lists.big, "slabs of small blocks", states + ROOM_MAX, &nodes_source);
}

/* --- Lists -------------------------------------------------------------------------------------------------------- */

static void list(struct slab **head, struct slab *slab) {
    slab->previous = NULL;
    slab->next = *head;
    if (slab->next != NULL)
        slab->next->previous = slab;
    *head = slab;
}

static void unlist(struct slab **head, struct slab *slab) {
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        *head = slab->next;
}

/* --- Slabs -------------------------------------------------------------------------------------------------------- */

static size_t note_pages(size_t blocks) {
    return (blocks * NOTE_BYTES + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static bool notes_are_apart(const struct slab *slab) {
    return CONFIG_KMALLOC_CANARY && slab->room > 1;
}

static struct pool *pool_of(const struct slab *slab) {
    return slab->room > SMALL_ROOM && !CONFIG_KMALLOC_CANARY ? &slab_lists.big : &slab_lists.small;
}

/* Those of several blocks lie between unmapped pages, so that no overrun reaches them. */
static bool take_notes(struct slab *slab) {
    slab->notes = slab->states;
    if (notes_are_apart(slab))
        slab->notes = (uint8_t *)heap_pages_take(note_pages(slab->room), 1, HEAP_RUN_RECORDS, true);
    return slab->notes != NULL;
}

static void give_notes(struct slab *slab) {
    if (notes_are_apart(slab))
        heap_pages_give((uintptr_t)slab->notes, note_pages(slab->room));
}

static struct slab *take_description(struct slab_class *of) {
    struct slab like = { .room = of->blocks };
    if (CONFIG_KMALLOC_CANARY && of->blocks > 1)
        like.room = (uint32_t)((note_pages(of->blocks + 1u) << PAGE_SHIFT) / NOTE_BYTES);
    else if (!CONFIG_KMALLOC_CANARY)
        like.room = of->blocks < SMALL_ROOM ? (uint32_t)SMALL_ROOM : (uint32_t)ROOM_MAX;
    struct slab *slab = (struct slab *)pool_take(pool_of(&like));
    if (slab != NULL)
        *slab = like;
    return slab;
}

/* The slab's pages become the class', all blocks free. The tail, which an address may lie in, has a note like theirs:
 * with one block there is no tail. */
static void assign(struct slab *slab, struct slab_class *of) {
    slab->of = of;
    slab->block_bytes = of->pages == 0 ? slab->pages << PAGE_SHIFT : of->block_bytes;
    slab->reciprocal = of->reciprocal;
    slab->magazine = slab_magazine(of);
    slab->blocks = of->blocks;
    slab->taken = 0;
    slab->lowest = slab->notes;
    memset(slab->notes, 0, (size_t)(of->blocks + (of->blocks > 1)) * NOTE_BYTES);
    for (uint32_t i = 0; of->constructed && i < of->blocks; i++)
        slab->notes[i * NOTE_BYTES] = BLOCK_RAW;
    of->slabs++;
    of->run_pages += slab->pages;
}

static void resign(struct slab *slab) {
    slab->of->slabs--;
    slab->of->run_pages -= slab->pages;
}

static void destroy(struct slab *slab) {
    resign(slab);
    give_notes(slab);
    heap_pages_give(slab->first, slab->pages);
    pool_give(pool_of(slab), slab);
}

/* A slab with no block taken and on no list, or NULL. */
static struct slab *create(struct slab_class *of, size_t pages, size_t align) {
    struct slab *slab = take_description(of);
    if (slab == NULL)
        return NULL;
    slab->pages = pages;
    slab->first = heap_pages_take(pages, align, HEAP_RUN_BLOCKS, of->pages == 0 || CONFIG_KMALLOC_CANARY);
    if (slab->first == 0 || !take_notes(slab)) {
        if (slab->first != 0)
            heap_pages_give(slab->first, pages);
        pool_give(pool_of(slab), slab);
        return NULL;
    }
    assign(slab, of);
    heap_pages_set_owner(slab->first, pages, slab);
    return slab;
}

/* --- Those that are kept ------------------------------------------------------------------------------------------ */

static void keep(struct slab *slab) {
    list(&slab_lists.kept[slab->pages], slab);
    slab_lists.kept_slabs++;
    slab_lists.kept_pages += slab->pages;
}

static void unkeep(struct slab *slab) {
    unlist(&slab_lists.kept[slab->pages], slab);
    slab_lists.kept_slabs--;
    slab_lists.kept_pages -= slab->pages;
}

static void destroy_kept(struct slab *slab) {
    unkeep(slab);
    destroy(slab);
}

static struct slab *kept_of_other_length(size_t pages) {
    unsigned i = 0;
    while (i <= SLAB_PAGES_MAX && (i == pages || slab_lists.kept[i] == NULL))
        i++;
    return i <= SLAB_PAGES_MAX ? slab_lists.kept[i] : NULL;
}

static void retire(struct slab *slab) {
    size_t most = heap_pages.pages / KEEP_SHARE;
    if (most < slab_lists.keep_at_least)
        most = slab_lists.keep_at_least;
    struct slab *other = slab;
    while (slab_lists.kept_pages + slab->pages > most && (other = kept_of_other_length(slab->pages)) != NULL)
        destroy_kept(other);
    if (other == NULL)
        destroy(slab);
    else
        keep(slab);
}

static struct slab *reuse(struct slab_class *of) {
    struct slab *slab = slab_lists.kept[of->pages];
    if (slab == NULL)
        return NULL;
    unkeep(slab);
    if (slab->of == of)
        return slab;
    if (slab->room <= of->blocks) {
        destroy(slab);
        return NULL;
    }
    resign(slab);
    assign(slab, of);
    return slab;
}

bool slab_trim(void) {
    bool any = slab_lists.kept_slabs > 0;
    for (unsigned i = 0; i <= SLAB_PAGES_MAX; i++)
        while (slab_lists.kept[i] != NULL)
            destroy_kept(slab_lists.kept[i]);
    pool_trim(&slab_lists.small);
    pool_trim(&slab_lists.big);
    return any;
}

void slab_class_close(struct slab_class *of) {
    for (unsigned i = 0; i <= SLAB_PAGES_MAX; i++)
        for (struct slab *slab = slab_lists.kept[i], *next; slab != NULL; slab = next) {
            next = slab->next;
            if (slab->of == of)
                destroy_kept(slab);
        }
    invariant(of->slabs == 0 && of->taken == 0);
    struct slab_class **link = &slab_lists.classes;
    while (*link != of)
        link = &(*link)->next;
    *link = of->next;
}

/* The kept slabs' pages may be all that is missing. */
static struct slab *create_or_trim(struct slab_class *of, size_t pages, size_t align) {
    require(heap_pages.region_pages > 0, "kmalloc: used before kmalloc_init()");
    struct slab *slab = create(of, pages, align);
    return slab != NULL || !slab_trim() ? slab : create(of, pages, align);
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

/* As many notes as a word has bytes, all FREE. Four at a time, since no compiler unrolls it at -O2. */
static struct entry *take_word(const struct slab *slab, uint8_t *notes, uintptr_t address, struct entry *at) {
    *(uintptr_t __attribute__((may_alias)) *)(void *)notes = UINTPTR_MAX / UINT8_MAX * BLOCK_CACHED;
    const size_t bytes = slab->block_bytes;
    for (const uint8_t *end = notes + WORD; notes < end; notes += 4, at += 4, address += 4 * bytes) {
        at[0] = (struct entry){ address, notes };
        at[1] = (struct entry){ address + bytes, notes + 1 };
        at[2] = (struct entry){ address + 2 * bytes, notes + 2 };
        at[3] = (struct entry){ address + 3 * bytes, notes + 3 };
    }
    return at;
}

static bool word_is_free(const uint8_t *notes, const uint8_t *end) {
    if (CONFIG_KMALLOC_CANARY || (uintptr_t)notes % WORD != 0 || end - notes < WORD)
        return false;
    const uintptr_t __attribute__((may_alias)) *word = (const void *)notes;
    return __atomic_load_n(word, __ATOMIC_RELAXED) == 0;
}

static unsigned take_from(struct slab *slab, struct entry *entries, unsigned want) {
    uint8_t *note = slab->lowest, *end = slab->notes + slab->blocks * NOTE_BYTES;
    uintptr_t address = slab->first + (size_t)(note - slab->notes) / NOTE_BYTES * slab->block_bytes;
    struct entry *at = entries, *last = entries + want;
    while (at < last && note < end) {
        if (last - at >= WORD && word_is_free(note, end)) {
            at = take_word(slab, note, address, at);
            note += WORD;
            address += WORD * slab->block_bytes;
            continue;
        }
        uint8_t state = slab_load(note);
        if (state <= BLOCK_RAW) {
            slab_store(note, state + (BLOCK_CACHED - BLOCK_FREE));
            *at++ = (struct entry){ address, note };
        }
        note += NOTE_BYTES;
        address += slab->block_bytes;
    }
    slab->lowest = note;
    slab->taken += (uint32_t)(at - entries);
    return (unsigned)(at - entries);
}

unsigned slab_take(struct slab_class *of, struct entry *entries, unsigned want) {
    unsigned got = 0;
    while (got < want) {
        struct slab *slab = of->partial;
        if (slab == NULL) {
            slab = reuse(of);
            if (slab == NULL && got == 0)
                slab = create_or_trim(of, of->pages, 1);
            if (slab == NULL)
                break;
            list(&of->partial, slab);
        }
        got += take_from(slab, entries + got, want - got);
        if (slab->taken == slab->blocks)
            unlist(&of->partial, slab);
    }
    of->taken += got;
    return got;
}

/* It was full, or has no block taken any more, or both. */
static __attribute__((noinline)) void change_list(struct slab *slab) {
    struct slab_class *of = slab->of;
    if (slab->taken + 1 == slab->blocks)
        list(&of->partial, slab);
    if (slab->taken == 0) {
        unlist(&of->partial, slab);
        retire(slab);
    }
}

/* The entries are blocks of ours, so their pages have owners. */
void slab_give(const struct entry *entries, unsigned count) {
    if (count == 0)
        return;
    heap_pages_owner(entries[0].address)->of->taken -= count;
    for (const struct entry *at = entries; at < entries + count; at++) {
        struct slab *slab = heap_pages.owners[(at->address - heap_pages.first) >> PAGE_SHIFT];
        uint8_t *note = at->note;
        *note = (uint8_t)(*note - (BLOCK_CACHED - BLOCK_FREE));
        if (note < slab->lowest)
            slab->lowest = note;
        uint32_t taken = slab->taken--;
        if (__builtin_expect(taken == slab->blocks || taken == 1, 0))
            change_list(slab);
    }
}

/* --- Large blocks ------------------------------------------------------------------------------------------------- */

static struct block hand_out_large(struct slab *slab) {
    if (slab == NULL)
        return (struct block){ NULL, 0 };
    slab_large.taken++;
    slab->taken = 1;
    slab_store(slab->notes, BLOCK_IN_USE);
    return (struct block){ slab, 0 };
}

struct block slab_take_large(size_t pages, size_t align) {
    return hand_out_large(create_or_trim(&slab_large, pages, align));
}

struct block slab_take_urgent(void) {
    struct slab *slab = slab_lists.reserve;
    if (slab != NULL)
        unlist(&slab_lists.reserve, slab);
    return hand_out_large(slab);
}

void slab_give_large(struct slab *slab) {
    slab_large.taken--;
    slab->taken = 0;
    slab_store(slab->notes, BLOCK_FREE);
    if (slab->urgent)
        list(&slab_lists.reserve, slab);
    else
        destroy(slab);
}

void slab_hide(struct slab *slab) {
    invariant(slab_is_large(slab) && !slab->urgent);
    slab_large.taken--;
    resign(slab);
    slab->hidden = true;
    slab_lists.hidden++;
    heap_pages_hide(slab->first, slab->pages);
}

void slab_unhide(struct slab *slab) {
    slab_lists.hidden--;
    heap_pages_give_hidden(slab->first, slab->pages);
    pool_give(pool_of(slab), slab);
}

void slab_shrink(struct slab *slab, size_t bytes) {
    size_t pages = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    invariant(slab_is_large(slab) && bytes > 0);
    if (pages >= slab->pages)
        return;
    heap_pages_give(slab->first + (pages << PAGE_SHIFT), slab->pages - pages);
    slab_large.run_pages -= slab->pages - pages;
    slab->pages = pages;
    slab->block_bytes = pages << PAGE_SHIFT;
}

void slab_cut(struct slab *slab, size_t pages) {
    invariant(slab_is_large(slab) && pages < slab->pages);
    if (pages == 0)
        return;
    heap_pages_give(slab->first, pages);
    slab_large.run_pages -= pages;
    slab->first += pages << PAGE_SHIFT;
    slab->pages -= pages;
    slab->block_bytes = slab->pages << PAGE_SHIFT;
}

void slab_reserve(size_t ram_pages) {
    slab_lists.keep_at_least = ram_pages / RAM_SHARE < KEEP_PAGES ? ram_pages / RAM_SHARE : KEEP_PAGES;
    struct slab *slab;
    while (slab_lists.reserve_pages < RESERVE_PAGES && (slab = create(&slab_large, 1, 1)) != NULL) {
        slab->urgent = true;
        slab_lists.reserve_pages++;
        list(&slab_lists.reserve, slab);
    }
    slab_lists.reserve_index_pages = heap_pages.index_pages;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

struct slab *slab_of(uintptr_t address) {
    struct slab *slab = heap_pages_owner(address);
    return slab == &slab_none ? NULL : slab;
}

struct slab *slab_next(uintptr_t address) {
    const struct vspace_range *run = vspace_next(&heap_pages.runs, page_number(address));
    while (run != NULL && run->attributes != HEAP_RUN_BLOCKS)
        run = vspace_next(&heap_pages.runs, run->end);
    return run != NULL ? slab_of(page_address(run->first)) : NULL;
}
