/* The stretch is cut into slabs of 64 pages, each for one length:
 *
 *     slab for 3 pages   |xxx.|xxx.|xxx.|xx-.|...   16 slots of 3 pages and a guard
 *     its states           in use  free   a part given back
 *
 * A slot's state says which of its pages are in use, a bit each, and what for; 0 is free. That is the record: where a
 * free slot is linked or at hand is only where to find it.
 *
 *     processor's stack  <-- batch --  free slots of the length  <-- whole slab --  the stretch
 *                         -- batch -->
 *
 * Slabs stay with their length: the stretch is small beside the space, and what it can't serve the space does.
 *
 * Invariants, checked by range_cache_audit():
 *   Q1  a slot's state has no bit past its slab's length, and bits if it has attributes.
 *   Q2  each free slot of a slab that has a length is linked or at hand exactly once, and no other slot is.
 *
 * Locking: a stack is its processor's, interrupts off; others may empty its places by exchange, as mem/palloc_cache.h
 * describes. The lock guards links and slabs. States change by compare-exchange: two may give back parts of one range.
 * Who frees a page while another frees it too, which is a mistake, is told by its bit. */
#include <mem/range_cache.h>
#include <base/check.h>
#include <base/lock.h>
#include <base/percpu.h>
#include <base/string.h>

enum {
    SLAB_PAGES = 64,
    SLABS = 256,
    SHARE = 16,
    SLOTS = SLAB_PAGES / 2, /* of the shortest length */
    AT_HAND = 16,
    BATCH = AT_HAND / 2,
    NONE = UINT16_MAX,
    BITS = 0xff, /* of a state: pages in use */
    ATTRIBUTES_SHIFT = 8,
};

struct slab {
    uint8_t pages; /* of its ranges; 0: for none yet */
    uint16_t states[SLOTS];
};

struct stack {
    uint16_t count;
    uint16_t slots[AT_HAND];
};

struct hand {
    struct stack stacks[RANGE_CACHE_PAGES + 1]; /* by length; the first is unused */
} PERCPU_ALIGNED;

static struct {
    uintptr_t first, pages; /* the stretch; written once */
    struct lock lock;
    unsigned slabs, used; /* there are, and have a length; guarded by lock, as all below */
    uint16_t free[RANGE_CACHE_PAGES + 1];
    uint16_t next[SLABS * SLOTS];
    struct slab all[SLABS];
} cache = { .lock = LOCK_INIT("short ranges", LOCK_RANK_POOL) };

static struct hand hands[CONFIG_PROCESSORS];

/* --- Slots -------------------------------------------------------------------------------------------------------- */

/* A slot's number is its slab's and its own in there. */
static uint16_t *state_of(unsigned slot) {
    return &cache.all[slot / SLOTS].states[slot % SLOTS];
}

static uintptr_t first_of(unsigned slot) {
    unsigned slab = slot / SLOTS;
    return cache.first + (uintptr_t)slab * SLAB_PAGES + (slot % SLOTS) * (cache.all[slab].pages + 1u);
}

static unsigned slots_in(const struct slab *slab) {
    return slab->pages == 0 ? 0 : SLAB_PAGES / (slab->pages + 1u);
}

/* The slot that a page of the stretch lies in, and which page of it; NONE: it is in no slot. */
static unsigned slot_at(uintptr_t page, unsigned *inside) {
    unsigned number = (unsigned)(page - cache.first) / SLAB_PAGES, offset = (unsigned)(page - cache.first) % SLAB_PAGES;
    unsigned whole = __atomic_load_n(&cache.all[number].pages, __ATOMIC_ACQUIRE) + 1u, slot = offset / whole;
    *inside = offset - slot * whole;
    return whole == 1 || slot >= SLAB_PAGES / whole ? (unsigned)NONE : number * SLOTS + slot;
}

static uint16_t load(const uint16_t *state) {
    return __atomic_load_n(state, __ATOMIC_ACQUIRE);
}

/* Who has the slot's number alone has the slot. */
static uintptr_t hand_out(unsigned slot, size_t pages, unsigned attributes) {
    unsigned bits = (1u << pages) - 1;
    invariant(load(state_of(slot)) == 0);
    __atomic_store_n(state_of(slot), (uint16_t)(bits | attributes << ATTRIBUTES_SHIFT), __ATOMIC_RELEASE);
    return first_of(slot);
}

/* --- Free slots that are nobody's; the lock is held --------------------------------------------------------------- */

static void put(size_t pages, uint16_t slot) {
    cache.next[slot] = cache.free[pages];
    cache.free[pages] = slot;
}

static void cut_slab(size_t pages) {
    struct slab *slab = &cache.all[cache.used];
    __atomic_store_n(&slab->pages, (uint8_t)pages, __ATOMIC_RELEASE);
    for (unsigned i = slots_in(slab); i-- > 0;)
        put(pages, (uint16_t)(cache.used * SLOTS + i));
    cache.used++;
}

static uint16_t get(size_t pages) {
    if (cache.free[pages] == NONE && cache.used < cache.slabs)
        cut_slab(pages);
    uint16_t slot = cache.free[pages];
    if (slot != NONE)
        cache.free[pages] = cache.next[slot];
    return slot;
}

/* --- At hand; interrupts are off ---------------------------------------------------------------------------------- */

static uint16_t steal(uint16_t *place) {
    return __atomic_exchange_n(place, (uint16_t)NONE, __ATOMIC_SEQ_CST);
}

static uint16_t pop(struct stack *stack) {
    uint16_t slot = NONE;
    while (slot == NONE && stack->count > 0)
        slot = steal(&stack->slots[--stack->count]);
    return slot;
}

static void push(struct stack *stack, uint16_t slot) {
    __atomic_store_n(&stack->slots[stack->count], slot, __ATOMIC_RELEASE);
    stack->count++;
}

static uint16_t refill(struct stack *stack, size_t pages) {
    lock_take(&cache.lock);
    uint16_t slot = get(pages), more = NONE;
    while (slot != NONE && stack->count < BATCH && (more = get(pages)) != NONE)
        push(stack, more);
    lock_release(&cache.lock);
    return slot;
}

static void spill(struct stack *stack, size_t pages) {
    lock_take(&cache.lock);
    for (uint16_t slot; stack->count > BATCH;)
        if ((slot = steal(&stack->slots[--stack->count])) != NONE)
            put(pages, slot);
    lock_release(&cache.lock);
}

uintptr_t range_cache_take(size_t pages, unsigned attributes) {
    if (pages == 0 || pages > RANGE_CACHE_PAGES || cache.pages == 0)
        return 0;
    uintptr_t saved = port_interrupts_off();
    struct stack *stack = &percpu_this(hands)->stacks[pages];
    uint16_t slot = pop(stack);
    if (slot == NONE)
        slot = refill(stack, pages);
    port_interrupts_restore(saved);
    return slot != NONE ? hand_out(slot, pages, attributes) : 0;
}

uintptr_t range_cache_take_hard(size_t pages, unsigned attributes) {
    uint16_t slot = NONE;
    if (pages == 0 || pages > RANGE_CACHE_PAGES)
        return 0;
    for (unsigned i = 0; slot == NONE && i < CONFIG_PROCESSORS * AT_HAND; i++)
        slot = steal(&hands[i / AT_HAND].stacks[pages].slots[i % AT_HAND]);
    return slot != NONE ? hand_out(slot, pages, attributes) : 0;
}

/* --- Giving back -------------------------------------------------------------------------------------------------- */

bool range_cache_has(uintptr_t page) {
    return page - cache.first < cache.pages;
}

/* The bits of a part; 0 if it passes the slot's end. */
static unsigned bits_of(unsigned inside, size_t pages) {
    return pages > 0 && pages <= RANGE_CACHE_PAGES - inside ? ((1u << pages) - 1) << inside : 0;
}

bool range_cache_holds(uintptr_t first, size_t pages, bool *middle) {
    unsigned inside, slot = range_cache_has(first) ? slot_at(first, &inside) : (unsigned)NONE;
    unsigned bits = slot != NONE ? bits_of(inside, pages) : 0, state = slot != NONE ? load(state_of(slot)) : 0u;
    unsigned others = state & BITS & ~bits;
    *middle = (others & bits >> 1) != 0 && (others & bits << 1) != 0;
    return bits != 0 && (state & bits) == bits;
}

bool range_cache_give(uintptr_t first, size_t pages) {
    unsigned inside, slot = range_cache_has(first) ? slot_at(first, &inside) : (unsigned)NONE;
    unsigned bits = slot != NONE ? bits_of(inside, pages) : 0, left;
    if (bits == 0)
        return false;
    uint16_t *state = state_of(slot), old = load(state);
    do {
        if ((old & bits) != bits)
            return false;
        left = old & ~bits;
        left = (left & BITS) == 0 ? 0 : left;
    } while (!__atomic_compare_exchange_n(state, &old, (uint16_t)left, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    if (left != 0)
        return true;
    size_t length = cache.all[slot / SLOTS].pages;
    uintptr_t saved = port_interrupts_off();
    struct stack *stack = &percpu_this(hands)->stacks[length];
    if (stack->count == AT_HAND)
        spill(stack, length);
    push(stack, (uint16_t)slot);
    port_interrupts_restore(saved);
    return true;
}

/* --- Init --------------------------------------------------------------------------------------------------------- */

void range_cache_init(struct vspace *space, uint16_t attributes) {
    uintptr_t most = (space->end - space->first) / SHARE / SLAB_PAGES;
    unsigned slabs = most < SLABS ? (unsigned)most : (unsigned)SLABS;
    struct vspace_request stretch = {
        .pages = (uintptr_t)slabs * SLAB_PAGES,
        .at = space->end - (uintptr_t)slabs * SLAB_PAGES,
        .attributes = attributes,
        .fixed = true,
    };
    memset(cache.free, 0xff, sizeof(cache.free)); /* NONE */
    memset(hands, 0xff, sizeof(hands));
    for (unsigned i = 0; i < CONFIG_PROCESSORS; i++)
        for (unsigned pages = 0; pages <= RANGE_CACHE_PAGES; pages++)
            hands[i].stacks[pages].count = 0;
    if (slabs == 0 || vspace_take(space, &stretch, &cache.first) != 0)
        return;
    cache.slabs = slabs;
    cache.pages = stretch.pages;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

static void describe(unsigned slot, unsigned first, unsigned end, struct vspace_range *range) {
    unsigned state = load(state_of(slot)), length = cache.all[slot / SLOTS].pages;
    *range = (struct vspace_range){
        .first = first_of(slot) + first,
        .end = first_of(slot) + end,
        .attributes = (uint16_t)(state >> ATTRIBUTES_SHIFT),
        .guard_after = (uint8_t)(length + 1 - end),
    };
}

/* The bits around or next to one. */
static unsigned end_of_bits(unsigned state, unsigned at) {
    while ((state >> at & 1) != 0)
        at++;
    return at;
}

bool range_cache_find(uintptr_t page, struct vspace_range *range) {
    unsigned inside, slot = slot_at(page, &inside), state = slot != NONE ? load(state_of(slot)) & BITS : 0u;
    *range = (struct vspace_range){ .end = 0 };
    if (state == 0)
        return false;
    bool in_use = (state >> inside & 1) != 0;
    unsigned end = in_use ? end_of_bits(state, inside) : inside, first;
    while (end > 0 && (state >> (end - 1) & 1) == 0)
        end--;
    for (first = end; first > 0 && (state >> (first - 1) & 1) != 0;)
        first--;
    if (end > 0)
        describe(slot, first, end, range);
    return in_use;
}

bool range_cache_next(uintptr_t page, struct vspace_range *range) {
    if (page < cache.first)
        page = cache.first;
    while (range_cache_has(page) && !range_cache_find(page, range))
        page++;
    return range_cache_has(page);
}

uint16_t *range_cache_state(uintptr_t page) {
    unsigned inside, slot = range_cache_has(page) ? slot_at(page, &inside) : (unsigned)NONE;
    return slot != NONE ? state_of(slot) : NULL;
}

/* Where a free slot was met gets a state that no slot has, so that it isn't met twice. */
enum { SEEN = BITS << ATTRIBUTES_SHIFT };

static void meet(uint16_t slot, size_t pages) {
    require(cache.all[slot / SLOTS].pages == pages && *state_of(slot) == 0,
            "short ranges: Q2 broken: slot %u of state %#x is kept as a free one of %zu pages", slot, *state_of(slot),
            pages);
    *state_of(slot) = SEEN;
}

static void meet_all(void) {
    for (size_t pages = 1; pages <= RANGE_CACHE_PAGES; pages++) {
        for (uint16_t slot = cache.free[pages]; slot != NONE; slot = cache.next[slot])
            meet(slot, pages);
        for (unsigned i = 0; i < CONFIG_PROCESSORS * AT_HAND; i++) {
            uint16_t slot = hands[i / AT_HAND].stacks[pages].slots[i % AT_HAND];
            if (slot != NONE)
                meet(slot, pages);
        }
    }
}

/* Marks are left where a panic ended an audit, as in tests. */
static void unmark(struct slab *slab, unsigned i) {
    if (slab->states[i] == SEEN)
        slab->states[i] = 0;
}

static void audit_slot(struct slab *slab, unsigned i) {
    unsigned state = slab->states[i];
    require(state != 0, "short ranges: Q2 broken: a free slot of %u pages is lost", slab->pages);
    require(state == SEEN || ((state & BITS) != 0 && (state & BITS) >> slab->pages == 0),
            "short ranges: Q1 broken: a slot of %u pages has state %#x", slab->pages, state);
    unmark(slab, i);
}

static void each_slot(void (*act)(struct slab *slab, unsigned i)) {
    for (unsigned i = 0; i < cache.used; i++)
        for (unsigned k = 0; k < slots_in(&cache.all[i]); k++)
            act(&cache.all[i], k);
}

void range_cache_audit(void) {
    lock_take(&cache.lock);
    each_slot(unmark);
    meet_all();
    each_slot(audit_slot);
    lock_release(&cache.lock);
}
