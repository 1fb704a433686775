/* Layer 2, the processors' stacks: what of them needs the lock, and their audit.
 *
 * Single pages move in batches. Runs don't: one that finds its stack full goes to the free runs, and a request that
 * finds it empty takes from there. So a batch's pages, which come from the shortest free runs, break no long ones. */
#include <base/check.h>
#include <mem/palloc_cache.h>

struct palloc_caches palloc_caches[CONFIG_PROCESSORS];
struct palloc_levels palloc_levels;

/* --- Init --------------------------------------------------------------------------------------------------------- */

enum { RUN_SHARE = 64 };

/* Slots by order: half as many where all of an order would be more than a quarter of the level's share, and so on. */
static void size_stacks(struct palloc_cache *cache, size_t share) {
    static const uint8_t most[CACHE_ORDER_LAST + 1] = { 0, 4, 4, 4, 2, 1 };
    for (unsigned order = 1; order <= CACHE_ORDER_LAST; order++) {
        uint32_t room = most[order];
        while (room << order > share / 4)
            room /= 2;
        cache->runs[order].room = room;
    }
}

static size_t level_pages(unsigned level) {
    size_t pages = 0;
    for (size_t i = 0; i < palloc_tables.ram_count; i++) {
        const struct extent *ram = &palloc_tables.ram[i];
        const struct zone *zone = &palloc_zones[cache_zone(level)];
        pfn_t first = ram->first > zone->first ? ram->first : zone->first;
        pfn_t end = ram->end < zone->end ? ram->end : zone->end;
        pages += first < end ? end - first : 0;
    }
    return pages;
}

static void init_stack(struct palloc_stack *stack, unsigned order) {
    stack->mask = bitmap_mask_within(0, 1u << order);
    for (unsigned i = 0; i < CACHE_RUNS; i++)
        stack->slots[i] = PFN_NONE;
}

static void init_one(struct palloc_cache *cache, unsigned level) {
    bool used = cache_zone(level) > RUNS_ZONE_LOW;
    *cache = (struct palloc_cache){ .room = used ? CACHE_SINGLES : 0, .kept = PFN_NONE };
    for (unsigned i = 0; i < CACHE_SINGLES; i++)
        cache->slots[i] = PFN_NONE;
    for (unsigned order = 1; order <= CACHE_ORDER_LAST; order++)
        init_stack(&cache->runs[order], order);
    size_t share = used ? level_pages(level) / RUN_SHARE : 0;
    size_stacks(cache, share);
    if (level == 0)
        cache->kept_most = share < CACHE_KEPT_MOST ? (uint32_t)share : (uint32_t)CACHE_KEPT_MOST;
}

void cache_init(void) {
    unsigned zone = palloc_tables.end == 0 ? 0 : runs_zone(palloc_tables.end - 1);
    palloc_levels = (struct palloc_levels){
        .zone = zone,
        .first = zone == RUNS_ZONE_LOW ? PFN_NONE : palloc_zones[zone].first,
        .below_4g = zone == RUNS_ZONE_HIGH ? 1 : 0,
    };
    for (unsigned level = 0; level < CACHE_LEVELS; level++)
        palloc_levels.zones[level] = &palloc_zones[cache_zone(level)];
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++)
        for (unsigned level = 0; level < CACHE_LEVELS; level++)
            init_one(&palloc_caches[i].level[level], level);
}

void cache_report_changed(pfn_t pfn) {
    panic("palloc: page 0x%x lay in a processor's cache, but its tag is %u by now: two processors freed it at once, or "
          "one mapped it while another freed it",
          pfn, tag_get(pfn));
}

/* --- Batches ------------------------------------------------------------------------------------------------------ */

static bool has_runs(const struct palloc_cache *cache) {
    uint32_t any = cache->kept_pages;
    for (unsigned order = 1; order <= CACHE_ORDER_LAST; order++)
        any |= cache->runs[order].count;
    return any != 0;
}

void cache_give_kept(struct palloc_cache *cache) {
    uint32_t pages = cache->kept_pages;
    pfn_t first = pages != 0 ? cache_pop_kept(cache) : PFN_NONE;
    if (first != PFN_NONE)
        runs_give(first, pages);
}

/* The lock is held. */
static void unload(struct palloc_cache *cache) {
    cache_give_kept(cache);
    for (unsigned order = 1; order <= CACHE_ORDER_LAST; order++)
        for (pfn_t first; (first = cache_pop_run(&cache->runs[order], order)) != PFN_NONE;)
            runs_give(first, 1u << order);
}

/* The lock is held, and the stack has room. */
static void push_run(struct palloc_cache *cache, pfn_t first, uint32_t pages) {
    uint8_t *tags = &palloc_tables.tags[first];
    pfn_t *slots = &cache->slots[cache->count];
    for (uint32_t i = 0; i < pages; i++) {
        __atomic_store_n(&tags[i], TAG_CACHED, __ATOMIC_RELAXED);
        __atomic_store_n(&slots[i], first + i, __ATOMIC_RELEASE);
    }
    cache->count += pages;
}

pfn_t cache_refill(unsigned level) {
    struct palloc_cache *cache = &percpu_this(palloc_caches)->level[level];
    uint32_t pages = 0;
    invariant(cache->count == 0);
    if (runs_free(cache_zone(level)) == 0 && !has_runs(cache))
        return PFN_NONE;
    lock_take(&palloc_tables.lock);
    if (runs_free(cache_zone(level)) == 0)
        unload(cache);
    for (uint32_t want = CACHE_BATCH; want > 0; want -= pages) {
        pfn_t first = runs_take_scraps(palloc_levels.zones[level], want, &pages);
        if (first == PFN_NONE)
            break;
        push_run(cache, first, pages);
    }
    pfn_t given = cache_pop(cache); /* nobody could steal it: that takes the lock */
    lock_release(&palloc_tables.lock);
    return given;
}

/* The lock is held: a batch from the top of a stack that is full. */
static void spill(struct palloc_cache *cache, struct zone *zone) {
    pfn_t list[CACHE_BATCH];
    size_t have = 0;
    uint32_t count = cache->count;
    for (unsigned i = 0; i < CACHE_BATCH; i++) {
        pfn_t pfn = cache_steal(&cache->slots[--count]);
        if (__builtin_expect(pfn == PFN_NONE, 0))
            continue;
        if (__builtin_expect(tag_get(pfn) != TAG_CACHED, 0))
            cache_report_changed(pfn);
        tag_set(pfn, TAG_NONE);
        list[have++] = pfn;
    }
    cache->count = count;
    runs_give_list(zone, list, have);
}

void cache_give(pfn_t pfn) {
    unsigned level = cache_level(pfn, pfn);
    if (level == CACHE_LEVELS) {
        runs_give(pfn, 1);
        return;
    }
    struct palloc_cache *cache = &percpu_this(palloc_caches)->level[level];
    if (cache_push(cache, pfn))
        return;
    spill(cache, palloc_levels.zones[level]);
    cache_push(cache, pfn);
}

/* --- All caches --------------------------------------------------------------------------------------------------- */

/* The order of the run that a slot's page begins: by the slot. Of the kept run by the tag, since its owner may change
 * what it notes of the length at any time. 0 is a single page. */
enum { ORDER_BY_TAG = CACHE_ORDER_LAST + 1 };

static unsigned tag_of(unsigned order, pfn_t first) {
    if (order == ORDER_BY_TAG)
        return tag_is_cached_run(tag_get(first)) ? tag_get(first) : (unsigned)TAG_CACHED_RUN_LAST;
    return order == 0 ? (unsigned)TAG_CACHED : TAG_CACHED_RUN + order;
}

static uint32_t pages_of(unsigned tag) {
    return tag == TAG_CACHED ? 1 : 1u << (tag - TAG_CACHED_RUN);
}

enum { SLOTS = CACHE_SINGLES + CACHE_ORDER_LAST * CACHE_RUNS + 1 };

static pfn_t *slot_at(struct palloc_cache *cache, unsigned k, unsigned *order) {
    *order = k < CACHE_SINGLES ? 0 : (k - CACHE_SINGLES) / CACHE_RUNS + 1;
    if (k == SLOTS - 1)
        return &cache->kept;
    return *order == 0 ? &cache->slots[k] : &cache->runs[*order].slots[k % CACHE_RUNS];
}

/* Calls for each slot that holds something. */
static size_t each_slot(void (*act)(pfn_t *slot, unsigned order, unsigned level)) {
    size_t pages = 0;
    for (unsigned i = 0; i < CONFIG_PROCESSORS * CACHE_LEVELS; i++) {
        unsigned level = i % CACHE_LEVELS;
        for (unsigned k = 0; k < SLOTS; k++) {
            unsigned order;
            pfn_t *slot = slot_at(&palloc_caches[i / CACHE_LEVELS].level[level], k, &order), first = cache_peek(slot);
            if (first == PFN_NONE)
                continue;
            pages += pages_of(tag_of(order, first));
            act(slot, order, level);
        }
    }
    return pages;
}

static void drain_slot(pfn_t *slot, unsigned order, unsigned level) {
    (void)level;
    pfn_t first = cache_steal(slot);
    if (first == PFN_NONE)
        return;
    unsigned tag = tag_of(order, first);
    if (tag_get(first) != tag)
        cache_report_changed(first);
    tag_set(first, TAG_NONE);
    runs_give(first, pages_of(tag));
}

bool cache_drain(void) {
    return each_slot(drain_slot) > 0;
}

static void count_slot(pfn_t *slot, unsigned order, unsigned level) {
    (void)slot;
    (void)order;
    (void)level;
}

size_t cache_count(void) {
    return each_slot(count_slot);
}

/* --- Audit -------------------------------------------------------------------------------------------------------- */

/* The tag is another one while the slots are counted, so that a second slot with the page is seen. */
enum { TAG_SEEN = 255 };

/* As the owner's note says, who rests now. */
static unsigned tag_in_audit(const pfn_t *slot, unsigned order) {
    uintptr_t cache = (uintptr_t)slot - offsetof(struct palloc_cache, kept);
    if (order == ORDER_BY_TAG)
        order = (unsigned)__builtin_ctz(((const struct palloc_cache *)cache)->kept_pages);
    return order == 0 ? (unsigned)TAG_CACHED : TAG_CACHED_RUN + order;
}

static void audit_slot(pfn_t *slot, unsigned order, unsigned level) {
    pfn_t first = *slot;
    unsigned tag = tag_in_audit(slot, order);
    pfn_t last = first + pages_of(tag) - 1;
    require(cache_zone(level) > RUNS_ZONE_LOW && runs_zone(first) == cache_zone(level) &&
                runs_zone(last) == cache_zone(level),
            "palloc P3: a slot of level %u has pages 0x%x to 0x%x", level, first, last);
    require(tag_get(first) == tag, "palloc P2: page 0x%x is in a cache, but its tag is %u", first, tag_get(first));
    tag_set(first, TAG_SEEN);
}

static void restore_slot(pfn_t *slot, unsigned order, unsigned level) {
    (void)level;
    tag_set(*slot, tag_in_audit(slot, order));
}

static void audit_stack(uint32_t count, const pfn_t *slots, uint32_t room, uint32_t size) {
    require(count <= room && room <= size, "palloc P3: a stack of %u slots has %u in use", room, count);
    for (uint32_t i = count; i < size; i++)
        require(slots[i] == PFN_NONE, "palloc P3: slot %u, past the %u in use, has page 0x%x", i, count, slots[i]);
}

size_t cache_audit(void) {
    for (unsigned i = 0; i < CONFIG_PROCESSORS * CACHE_LEVELS; i++) {
        const struct palloc_cache *cache = &palloc_caches[i / CACHE_LEVELS].level[i % CACHE_LEVELS];
        audit_stack(cache->count, cache->slots, cache->room, CACHE_SINGLES);
        for (unsigned order = 1; order <= CACHE_ORDER_LAST; order++)
            audit_stack(cache->runs[order].count, cache->runs[order].slots, cache->runs[order].room, CACHE_RUNS);
    }
    size_t pages = each_slot(audit_slot);
    each_slot(restore_slot);
    return pages;
}
