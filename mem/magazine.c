/*     magazine_current[processor] --> set: | 16 | 32 | 48 | ... | cache | cache | ... | none |      a page
 *                                            |
 *                                            +--> | nothing | block | block | block |   ...   |
 *                                                  bottom                     top               end
 *
 * An entry is a block's address and its note's, so that a request needs to know nothing of slabs. What is taken from an
 * empty magazine is the entry at its bottom, whose note is never CACHED: one test finds an empty magazine, a block that
 * was freed twice in a race, and an entry that somebody overwrote.
 *
 * Memory: a set is a page, made when its processor first comes to the slow path; the stacks are a pool's objects, made
 * when a size is first used. A stack holds up to 62 blocks and 32 KiB, but at least two blocks. Without memory for
 * either, each block is taken from its slab: slower, and no request fails of it. An empty magazine is filled; a full
 * one is emptied by half, so that no sequence of requests goes to the slabs more often than each half magazine. (What
 * leaves is the upper half, so that nothing has to be moved.)
 *
 * Other processors. Nobody touches a magazine but its processor with interrupts off, and so blocks can't be taken out
 * of it from elsewhere without a locked instruction in each request. Who needs them asks: it puts the empty set in
 * place of the other's (one store), and so the other's next request or free comes to the slow path, finds that its own
 * set is not the current one, empties it and puts it back. A processor that doesn't come by keeps what it has; that is
 * what kmalloc_idle() is for.
 *
 * Invariant, checked by magazine_audit():
 *   H8  each entry of a magazine is a block of the magazine's class that is cached, and is in one entry only: the
 *       entries of all magazines are as many as the blocks whose states say so. Bottoms are never CACHED.
 *
 * Locking: a set's magazines are its processor's, with interrupts off. magazine_current is read by its processor
 * without a lock and written under the heap's; a relaxed load will do, since both sets stay valid: a set that is given
 * back is so by its own processor. All else is the heap's lock's.
 * Cache lines: each processor writes its own set and stacks, and its own blocks' states; those may share a line with
 * the states of neighbours that another processor has. magazine_current is written only by who asks.
 * Cost: a refill or spill takes the lock once and some five instructions a block, ten to fifteen to give one back. */
#include <mem/magazine.h>
#include <base/check.h>
#include <mem/nodes.h>

enum {
    LIMIT_BYTES = 32768,
    LIMIT_LEAST = 2,
    BIG_ENTRIES = 63, /* the one at the bottom included: four of these fill a page */
    SMALL_ENTRIES = 31,
    NOTHING_IS_HERE = BLOCK_FREE,
    WAIT_ROUNDS = 20000,
};

_Static_assert(sizeof(struct magazine_set) <= 4096, "a set is a page");
_Static_assert(sizeof(struct magazine_set) <= UINT16_MAX, "an offset has 16 bits");

static uint8_t nothing_is_here = NOTHING_IS_HERE;
struct entry magazine_nothing = { 0, &nothing_is_here };
struct magazine_set magazine_empty_set = {
    .of = { [0 ... MAGAZINES - 1] = { &magazine_nothing, &magazine_nothing, &magazine_nothing } },
};
struct magazine_set *magazine_current[CONFIG_PROCESSORS] = { [0 ... CONFIG_PROCESSORS - 1] = &magazine_empty_set };
uint16_t magazine_offsets[SLAB_BLOCK_MAX / 16 + 1];

static struct {
    struct magazine_set *own[CONFIG_PROCESSORS]; /* NULL: none yet */
    struct slab_class *classes[MAGAZINES];       /* by number of the magazine; NULL: nobody's */
    struct pool big, small;
    size_t pages;    /* of sets */
    size_t requests; /* the clock as of the last comparison */
} magazines;

static uint32_t offset_of(unsigned number) {
    return (uint32_t)(number * sizeof(struct magazine));
}

void magazine_init(void) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        slab_classes[i].magazine = offset_of(i);
        magazines.classes[i] = &slab_classes[i];
    }
    for (size_t i = 0; i <= SLAB_BLOCK_MAX / 16; i++)
        magazine_offsets[i] = (uint16_t)offset_of(slab_class_of(i * 16));
    slab_large.magazine = slab_none.magazine = offset_of(MAGAZINE_NONE);
    pool_init(&magazines.big, "magazines", BIG_ENTRIES * sizeof(struct entry), &nodes_source);
    pool_init(&magazines.small, "small magazines", SMALL_ENTRIES * sizeof(struct entry), &nodes_source);
}

bool magazine_open(struct slab_class *of) {
    of->magazine = offset_of(MAGAZINE_NONE);
    for (unsigned i = SLAB_CLASSES; i < MAGAZINE_NONE; i++)
        if (magazines.classes[i] == NULL) {
            magazines.classes[i] = of;
            of->magazine = offset_of(i);
            return true;
        }
    return false;
}

/* --- Memory of a magazine ----------------------------------------------------------------------------------------- */

static unsigned limit_of(const struct slab_class *of) {
    unsigned limit = LIMIT_BYTES / of->block_bytes;
    if (limit < LIMIT_LEAST)
        return LIMIT_LEAST;
    return limit < BIG_ENTRIES - 1 ? limit : BIG_ENTRIES - 1;
}

static bool has_memory(const struct magazine *magazine) {
    return magazine->bottom != &magazine_nothing;
}

static struct pool *pool_of(const struct slab_class *of) {
    return limit_of(of) < SMALL_ENTRIES ? &magazines.small : &magazines.big;
}

static void detach(struct magazine *magazine) {
    magazine_set_top(magazine, &magazine_nothing);
    magazine->end = magazine->bottom = &magazine_nothing;
}

/* Fails where it must: the empty set is everybody's, and the last magazine has no class. */
static void attach(struct magazine *magazine, const struct slab_class *of) {
    const struct magazine_set *set = *percpu_this(magazines.own);
    if (set == NULL || of->magazine == offset_of(MAGAZINE_NONE))
        return;
    struct entry *entries = (struct entry *)pool_take(pool_of(of));
    if (entries == NULL)
        return;
    entries[0] = magazine_nothing;
    magazine->bottom = entries;
    magazine->end = entries + limit_of(of);
    magazine_set_top(magazine, entries);
}

static bool empty(struct magazine *magazine) {
    unsigned count = (unsigned)(magazine->top - magazine->bottom);
    slab_give(magazine->bottom + 1, count);
    magazine_set_top(magazine, magazine->bottom);
    return count > 0;
}

static bool empty_set(struct magazine_set *set, bool all) {
    bool any = false;
    for (unsigned i = 0; i < MAGAZINE_NONE; i++) {
        struct magazine *magazine = &set->of[i];
        if (!has_memory(magazine))
            continue;
        any |= empty(magazine);
        if (!all)
            continue;
        struct entry *entries = magazine->bottom;
        const struct slab_class *of = magazines.classes[i];
        detach(magazine);
        pool_give(pool_of(of), entries);
    }
    return any;
}

/* --- Sets --------------------------------------------------------------------------------------------------------- */

static void use(struct magazine_set *set) {
    __atomic_store_n(percpu_this(magazine_current), set, __ATOMIC_RELAXED);
}

static struct magazine_set *create_set(void) {
    struct magazine_set *set = (struct magazine_set *)heap_pages_take(1, 1, HEAP_RUN_RECORDS, true);
    if (set == NULL)
        return &magazine_empty_set;
    *set = magazine_empty_set;
    set->requests = set->synced = magazines.requests;
    magazines.pages++;
    *percpu_this(magazines.own) = set;
    use(set);
    return set;
}

static void compare_clocks(struct magazine_set *set) {
    magazines.requests += set->requests - set->synced;
    set->requests = set->synced = magazines.requests;
}

/* This processor's set, emptied if somebody asked for that. */
static struct magazine_set *own_set(void) {
    struct magazine_set *set = *percpu_this(magazines.own);
    if (set == NULL)
        return create_set();
    if (CONFIG_KMALLOC_CANARY)
        compare_clocks(set);
    if (magazine_set() != set) {
        empty_set(set, false);
        use(set);
    }
    return set;
}

bool magazine_flush(bool all) {
    struct magazine_set *set = *percpu_this(magazines.own);
    if (set == NULL)
        return false;
    bool any = empty_set(set, all);
    use(set);
    if (!all)
        return any;
    if (CONFIG_KMALLOC_CANARY)
        compare_clocks(set);
    *percpu_this(magazines.own) = NULL;
    use(&magazine_empty_set);
    magazines.pages--;
    heap_pages_give((uintptr_t)set, 1);
    pool_trim(&magazines.big);
    pool_trim(&magazines.small);
    return true;
}

static bool holds_blocks(const struct magazine_set *set) {
    for (unsigned i = 0; i < MAGAZINE_NONE; i++)
        if (__atomic_load_n(&set->of[i].top, __ATOMIC_RELAXED) != __atomic_load_n(&set->of[i].bottom, __ATOMIC_RELAXED))
            return true;
    return false;
}

bool magazine_ask(void) {
    bool asked = false;
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++) {
        const struct magazine_set *set = magazines.own[i];
        if (set == NULL || i == port_processor() || magazine_current[i] != set || !holds_blocks(set))
            continue;
        __atomic_store_n(&magazine_current[i], &magazine_empty_set, __ATOMIC_RELAXED);
        asked = true;
    }
    return asked;
}

static bool all_answered(void) {
    bool all = true;
    slab_lock();
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++)
        all &= magazines.own[i] == NULL || magazine_current[i] == magazines.own[i];
    slab_unlock();
    return all;
}

void magazine_wait(void) {
    for (unsigned i = 0; i < WAIT_ROUNDS && !all_answered(); i++)
        continue;
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

struct entry magazine_take(struct slab_class *of) {
    struct magazine *magazine = magazine_at(own_set(), of->magazine);
    struct entry entry = { 0, NULL };
    if (magazine->top != magazine->bottom) {
        entry = *magazine->top;
        magazine_set_top(magazine, magazine->top - 1);
        return entry;
    }
    if (!has_memory(magazine))
        attach(magazine, of);
    if (!has_memory(magazine)) {
        slab_take(of, &entry, 1);
        return entry;
    }
    unsigned got = slab_take(of, magazine->bottom + 1, (unsigned)(magazine->end - magazine->bottom));
    if (got == 0)
        return entry;
    magazine_set_top(magazine, magazine->bottom + got - 1);
    return magazine->bottom[got];
}

void magazine_give(struct slab_class *of, struct entry entry) {
    struct magazine *magazine = magazine_at(own_set(), of->magazine);
    if (!has_memory(magazine))
        attach(magazine, of);
    if (!has_memory(magazine)) {
        slab_give(&entry, 1);
        return;
    }
    if (magazine->top == magazine->end) {
        unsigned count = (unsigned)(magazine->end - magazine->bottom + 1) / 2;
        magazine_set_top(magazine, magazine->top - count);
        slab_give(magazine->top + 1, count);
    }
    magazine->top[1] = entry;
    magazine_set_top(magazine, magazine->top + 1);
}

void magazine_close(struct slab_class *of) {
    unsigned number = of->magazine / (unsigned)sizeof(struct magazine);
    if (number == MAGAZINE_NONE)
        return;
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++)
        if (magazines.own[i] != NULL && has_memory(&magazines.own[i]->of[number])) {
            struct magazine *magazine = &magazines.own[i]->of[number];
            struct entry *entries = magazine->bottom;
            empty(magazine);
            detach(magazine);
            pool_give(pool_of(of), entries);
        }
    magazines.classes[number] = NULL;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

size_t magazine_blocks(const struct slab_class *of) {
    unsigned number = of->magazine / (unsigned)sizeof(struct magazine);
    size_t blocks = 0;
    for (unsigned i = 0; number < MAGAZINE_NONE && i < CONFIG_PROCESSORS; i++) {
        if (magazines.own[i] == NULL)
            continue;
        const struct magazine *magazine = &magazines.own[i]->of[number];
        blocks += (size_t)(__atomic_load_n(&magazine->top, __ATOMIC_RELAXED) - magazine->bottom);
    }
    return blocks;
}

size_t magazine_pages(void) {
    return magazines.pages;
}

size_t magazine_clock(void) {
    struct magazine_set *set = *percpu_this(magazines.own);
    if (set != NULL)
        compare_clocks(set);
    return magazines.requests;
}

size_t magazine_tick(void) {
    struct magazine_set *set = *percpu_this(magazines.own);
    return set != NULL ? set->requests++ : magazines.requests++;
}

static size_t audit_magazine(const struct magazine *magazine, const struct slab_class *of) {
    require(*magazine->bottom->note == NOTHING_IS_HERE, "heap: H8 broken: a magazine's bottom has state %u",
            *magazine->bottom->note);
    for (const struct entry *entry = magazine->bottom + 1; entry <= magazine->top; entry++) {
        struct slab *slab = slab_of(entry->address);
        struct block block = { NULL, 0 };
        if (slab != NULL)
            block = slab_block_at(slab, entry->address);
        require(slab != NULL && slab->of == of && slab_address(block) == entry->address &&
                    slab_state(block) == entry->note,
                "heap: H8 broken: %#zx is cached for %u bytes, and is no such block", (size_t)entry->address,
                of->block_bytes);
        require(*entry->note == BLOCK_CACHED || *entry->note == BLOCK_CACHED_RAW,
                "heap: H8 broken: the block at %#zx is cached, its state is %u", (size_t)entry->address, *entry->note);
    }
    return (size_t)(magazine->top - magazine->bottom);
}

static size_t count_cached(void) {
    size_t cached = 0;
    for (const struct slab *slab = slab_next(0); slab != NULL;
         slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT)))
        for (unsigned i = 0; i < slab->blocks; i++) {
            uint8_t state = slab->notes[i * NOTE_BYTES];
            cached += state == BLOCK_CACHED || state == BLOCK_CACHED_RAW;
        }
    return cached;
}

void magazine_audit(void) {
    size_t entries = 0, sets = 0;
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++) {
        sets += magazines.own[i] != NULL;
        for (unsigned m = 0; magazines.own[i] != NULL && m < MAGAZINES; m++)
            entries += audit_magazine(&magazines.own[i]->of[m], magazines.classes[m]);
    }
    size_t cached = count_cached();
    require(entries == cached, "heap: H8 broken: magazines have %zu entries, %zu blocks are cached", entries, cached);
    require(sets == magazines.pages, "heap: H8 broken: %zu sets, noted %zu", sets, magazines.pages);
    pool_audit(&magazines.big);
    pool_audit(&magazines.small);
}
