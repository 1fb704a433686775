/* Layer 2: who keeps a page, and why.
 *
 * While a page is tied (mem/palloc.c), its 8-byte word says what ties it:
 *
 *      63 62 61      50 49             28 27              6 5  4 3      0
 *     |  0  |   pins   |     typed       |    mappings     | type | owner |
 *
 * `type` is what the typed mappings allow: nothing special, writing, or execution. One counter serves for both, since a
 * page is never both: that is W^X, and the format can't express its breach. Mappings that only read are counted in
 * `mappings` alone. In a page table's word `mappings` is the number of entries in use instead.
 *
 * Invariants (frame_audit() checks them for each tied page of RAM):
 *   F1  the owner is one that ties pages; it is CALLER exactly if palloc says that the page is held too.
 *   F2  typed <= mappings, and type is 0 exactly if typed is 0; a table has no typed mappings.
 *   F3  a page whose owner is CALLER or MAPPED has at least one mapping or pin. Without, it wouldn't be tied.
 *   F4  an owner's count of tied pages is that of the words.
 *
 * A page is tied by the first mapping or pin, or by frame_own(), and untied when nothing is left; palloc then frees it
 * if nobody holds it either. The word is used last before that: from then on it may be a list link.
 *
 * Locking: all of it under palloc's own lock, since state bits and word change together.
 * Cost: O(1); the list forms take the lock once for FRAME_BATCH pages.
 *
 * Not done: which mappings they are isn't known here (mem/context knows its own). Device memory has no word: who
 * maps it doesn't count it. */
#include <arch/arch.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <mem/frame_word.h>

/* Pages of a list that are seen to with the lock held, so with interrupts off. */
enum { FRAME_BATCH = 64 };

static size_t tied_pages[FRAME_OWNERS]; /* by owner; guarded by palloc's lock */

const char *frame_owner_name(enum frame_owner owner) {
    static const char *const names[FRAME_OWNERS] = {
        [FRAME_FREE] = "free",         [FRAME_CALLER] = "palloc's caller", [FRAME_MAPPED] = "mappings",
        [FRAME_TABLE] = "page table",  [FRAME_POOL] = "node pool",         [FRAME_HEAP] = "heap",
        [FRAME_METADATA] = "metadata", [FRAME_KERNEL] = "kernel image",    [FRAME_LOADER] = "loader data",
        [FRAME_NOT_RAM] = "not RAM",
    };
    return (unsigned)owner < FRAME_OWNERS ? names[owner] : "unknown";
}

/* --- The word ---------------------------------------------------------------------------------------------------- */

static uint32_t field(uint64_t word, unsigned shift, unsigned bits) {
    return (uint32_t)(word >> shift) & ((1u << bits) - 1);
}

static struct frame unpack(uint64_t word) {
    uint32_t type = field(word, TYPE_SHIFT, TYPE_BITS), typed = field(word, TYPED_SHIFT, TYPED_BITS);
    enum frame_owner owner = (enum frame_owner)field(word, OWNER_SHIFT, OWNER_BITS);
    return (struct frame){
        .owner = owner,
        .held = owner == FRAME_CALLER,
        .mappings = field(word, MAPPINGS_SHIFT, MAPPINGS_BITS),
        .writable = type == TYPE_WRITABLE ? typed : 0,
        .executable = type == TYPE_EXECUTABLE ? typed : 0,
        .pins = field(word, PINS_SHIFT, PINS_BITS),
    };
}

static uint64_t pack(const struct frame *frame) {
    uint32_t typed = frame->writable + frame->executable;
    enum type type = frame->writable > 0 ? TYPE_WRITABLE : frame->executable > 0 ? TYPE_EXECUTABLE : TYPE_NONE;
    invariant(frame->writable == 0 || frame->executable == 0);
    invariant(typed <= frame->mappings && frame->mappings <= FRAME_MAPPINGS_MAX && frame->pins <= FRAME_PINS_MAX);
    return (uint64_t)frame->owner << OWNER_SHIFT | (uint64_t)type << TYPE_SHIFT |
           (uint64_t)frame->mappings << MAPPINGS_SHIFT | (uint64_t)typed << TYPED_SHIFT |
           (uint64_t)frame->pins << PINS_SHIFT;
}

/* The lock is held from here to store(). */
static struct frame look(pfn_t pfn) {
    switch (palloc_state(pfn)) {
    case PALLOC_FREE:
    case PALLOC_CACHED:
        return (struct frame){ .owner = FRAME_FREE };
    case PALLOC_HELD:
        return (struct frame){ .owner = FRAME_CALLER, .held = true };
    case PALLOC_TIED:
    case PALLOC_HELD_TIED:
        return unpack(palloc_word(pfn)->frame);
    case PALLOC_NOT_RAM:
        break;
    }
    return (struct frame){ .owner = FRAME_NOT_RAM };
}

static bool kept_by_counts(const struct frame *frame) {
    return frame->owner == FRAME_CALLER || frame->owner == FRAME_MAPPED;
}

/* Ties a page that wasn't, frees one that nothing keeps any more. */
static void store(pfn_t pfn, const struct frame *frame, uintptr_t place) {
    bool tied = palloc_state(pfn) != PALLOC_HELD;
    bool ties = !kept_by_counts(frame) || frame->mappings > 0 || frame->pins > 0;
    tied_pages[frame->owner] += (size_t)ties - (size_t)tied;
    if (ties && !tied)
        palloc_tie(pfn);
    if (ties)
        palloc_word(pfn)->frame = pack(frame);
    else if (tied)
        palloc_untie(pfn, place);
}

static void describe(pfn_t pfn, char *out, size_t bytes) {
    struct frame frame = unpack(palloc_word(pfn)->frame);
    const char *name = frame_owner_name(frame.owner);
    if (frame.owner == FRAME_TABLE) {
        fmt(out, bytes, "owned by %s, %u entries in use, pinned %u times", name, frame.mappings, frame.pins);
        return;
    }
    const char *how = frame.held ? "held by" : frame.owner == FRAME_MAPPED ? "kept by" : "owned by";
    fmt(out, bytes, "%s %s, mapped %u times (%u writable, %u executable), pinned %u times", how, name, frame.mappings,
        frame.writable, frame.executable, frame.pins);
}

/* The lock is held, and is released: whoever survives the panic, a test, goes on without it. */
static NORETURN void refuse(const char *call, pfn_t pfn, const char *why) {
    char what[160];
    palloc_describe_locked(pfn, what, sizeof(what));
    palloc_unlock();
    panic("%s(page 0x%x): %s: it is %s", call, pfn, why, what);
}

/* --- Init -------------------------------------------------------------------------------------------------------- */

static void enter(const struct bootmap *map, enum bootmap_type type, enum frame_owner owner) {
    const struct frame frame = { .owner = owner };
    struct extent extent;
    for (size_t index = 0; bootmap_next(map, &index, type, &extent);) {
        for (pfn_t pfn = extent.first; pfn < extent.end; pfn++)
            palloc_word(pfn)->frame = pack(&frame);
        tied_pages[owner] += extent.end - extent.first;
    }
}

static bool may_reclaim(pfn_t pfn) {
    struct frame frame = unpack(palloc_word(pfn)->frame);
    return frame.owner == FRAME_LOADER && frame.mappings == 0 && frame.pins == 0;
}

static void reclaimed(pfn_t first, size_t pages) {
    (void)first;
    tied_pages[FRAME_LOADER] -= pages;
}

void frame_init(const struct bootmap *map) {
    static const struct palloc_frame_hooks hooks = { .describe = describe,
                                                     .may_reclaim = may_reclaim,
                                                     .reclaimed = reclaimed };
    palloc_lock();
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        tied_pages[i] = 0;
    enter(map, BOOTMAP_KERNEL, FRAME_KERNEL);
    enter(map, BOOTMAP_METADATA, FRAME_METADATA);
    enter(map, BOOTMAP_LOADER, FRAME_LOADER);
    palloc_set_hooks(&hooks);
    palloc_unlock();
}

/* --- Owners ------------------------------------------------------------------------------------------------------ */

static bool is_kind(enum frame_owner owner) {
    return owner == FRAME_TABLE || owner == FRAME_POOL || owner == FRAME_HEAP;
}

/* The lock is held. */
static void own(const char *call, pfn_t pfn, enum frame_owner owner) {
    const struct frame frame = { .owner = owner };
    if (palloc_state(pfn) != PALLOC_HELD)
        refuse(call, pfn, "only a page that is held, and neither mapped nor pinned, can change its owner");
    palloc_tie(pfn);
    palloc_drop_hold(pfn);
    palloc_word(pfn)->frame = pack(&frame);
    tied_pages[owner]++;
}

static void disown(const char *call, pfn_t pfn, enum frame_owner owner, uintptr_t place) {
    struct frame frame = look(pfn);
    if (!is_kind(owner) || frame.owner != owner)
        refuse(call, pfn, "it doesn't belong to the owner that gives it back");
    if (frame.mappings > 0 || frame.pins > 0)
        refuse(call, pfn, "it is still in use");
    tied_pages[owner]--;
    palloc_untie(pfn, place);
}

static void require_kind(const char *call, pfn_t pfn, enum frame_owner owner) {
    require(is_kind(owner), "%s(page 0x%x, %s): not a kind that owns pages", call, pfn, frame_owner_name(owner));
}

void frame_own(pfn_t pfn, enum frame_owner owner) {
    require_kind("frame_own", pfn, owner);
    palloc_lock();
    own("frame_own", pfn, owner);
    palloc_unlock();
}

void frame_disown(pfn_t pfn, enum frame_owner owner) {
    palloc_lock();
    disown("frame_disown", pfn, owner, PALLOC_PLACE());
    palloc_unlock();
}

static size_t batch_end(size_t first, size_t count) {
    return count - first < FRAME_BATCH ? count : first + FRAME_BATCH;
}

void frame_own_list(const pfn_t *list, size_t count, enum frame_owner owner) {
    for (size_t i = 0; i < count;) {
        require_kind("frame_own_list", list[0], owner);
        palloc_lock();
        for (size_t end = batch_end(i, count); i < end; i++)
            own("frame_own_list", list[i], owner);
        palloc_unlock();
    }
}

void frame_disown_list(const pfn_t *list, size_t count, enum frame_owner owner) {
    for (size_t i = 0; i < count;) {
        palloc_lock();
        for (size_t end = batch_end(i, count); i < end; i++)
            disown("frame_disown_list", list[i], owner, PALLOC_PLACE());
        palloc_unlock();
    }
}

uint32_t frame_table_entries(pfn_t pfn, int change) {
    palloc_lock();
    struct frame frame = look(pfn);
    uint32_t entries = FRAME_MAPPINGS_MAX;
    if (frame.owner == FRAME_TABLE) {
        if (change < 0 ? frame.mappings < 0u - (uint32_t)change
                       : FRAME_MAPPINGS_MAX - frame.mappings < (uint32_t)change)
            refuse("frame_table_entries", pfn, "the count of entries leaves its range");
        frame.mappings += (uint32_t)change;
        palloc_word(pfn)->frame = pack(&frame);
        entries = frame.mappings;
    }
    palloc_unlock();
    return entries;
}

/* --- Mappings and pins ------------------------------------------------------------------------------------------- */

static int may_map(const struct frame *frame, unsigned attributes) {
    bool writes = (attributes & PAGE_WRITE) != 0, executes = (attributes & PAGE_EXECUTE) != 0;
    if (frame->owner == FRAME_FREE || frame->owner == FRAME_NOT_RAM)
        return ERR_FAULT;
    if (frame->owner == FRAME_TABLE || frame->owner == FRAME_METADATA)
        return ERR_REFUSED;
    if (attributes & (PAGE_UNCACHED | PAGE_WRITE_COMBINING)) /* the frame view has it write-back (SDM 3A, 11.12.4) */
        return ERR_REFUSED;
    if ((attributes & PAGE_USER) && !kept_by_counts(frame))
        return ERR_REFUSED;
    if ((writes && executes) || (writes && frame->executable > 0) || (executes && frame->writable > 0))
        return ERR_REFUSED;
    return frame->mappings < FRAME_MAPPINGS_MAX ? 0 : ERR_LIMIT;
}

static void add_mapping(struct frame *frame, unsigned attributes) {
    frame->mappings++;
    frame->writable += (attributes & PAGE_WRITE) ? 1 : 0;
    frame->executable += (attributes & PAGE_EXECUTE) ? 1 : 0;
}

/* False when there is no mapping with these rights. */
static bool remove_mapping(struct frame *frame, unsigned attributes) {
    bool writes = (attributes & PAGE_WRITE) != 0, executes = (attributes & PAGE_EXECUTE) != 0;
    uint32_t plain = frame->mappings - frame->writable - frame->executable;
    bool there = writes ? frame->writable > 0 && !executes : executes ? frame->executable > 0 : plain > 0;
    if (!there || frame->owner == FRAME_TABLE)
        return false;
    frame->mappings--;
    frame->writable -= writes ? 1 : 0;
    frame->executable -= executes ? 1 : 0;
    return true;
}

int frame_map(pfn_t pfn, unsigned attributes) {
    palloc_lock();
    struct frame frame = look(pfn);
    int error = may_map(&frame, attributes);
    if (error == 0) {
        add_mapping(&frame, attributes);
        store(pfn, &frame, PALLOC_PLACE());
    }
    palloc_unlock();
    return error;
}

void frame_unmap(pfn_t pfn, unsigned attributes) {
    palloc_lock();
    struct frame frame = look(pfn);
    if (!remove_mapping(&frame, attributes))
        refuse("frame_unmap", pfn, "it has no such mapping");
    store(pfn, &frame, PALLOC_PLACE());
    palloc_unlock();
}

int frame_remap(pfn_t pfn, unsigned old_attributes, unsigned new_attributes) {
    palloc_lock();
    struct frame frame = look(pfn);
    if (!remove_mapping(&frame, old_attributes))
        refuse("frame_remap", pfn, "it has no such mapping");
    int error = may_map(&frame, new_attributes);
    if (error == 0) {
        add_mapping(&frame, new_attributes);
        store(pfn, &frame, PALLOC_PLACE());
    }
    palloc_unlock();
    return error;
}

int frame_pin(pfn_t pfn) {
    palloc_lock();
    struct frame frame = look(pfn);
    int error = 0;
    if (frame.owner == FRAME_FREE || frame.owner == FRAME_NOT_RAM) {
        error = ERR_FAULT;
    } else if (frame.pins == FRAME_PINS_MAX) {
        error = ERR_LIMIT;
    } else {
        frame.pins++;
        store(pfn, &frame, PALLOC_PLACE());
    }
    palloc_unlock();
    return error;
}

void frame_unpin(pfn_t pfn) {
    palloc_lock();
    struct frame frame = look(pfn);
    if (frame.pins == 0)
        refuse("frame_unpin", pfn, "it has no pin");
    frame.pins--;
    store(pfn, &frame, PALLOC_PLACE());
    palloc_unlock();
}

void frame_hand_over(pfn_t pfn) {
    palloc_lock();
    if (palloc_state(pfn) != PALLOC_HELD_TIED)
        refuse("frame_hand_over", pfn, "only a page that is held, and mapped or pinned, can be handed over");
    struct frame frame = look(pfn);
    frame.owner = FRAME_MAPPED;
    tied_pages[FRAME_CALLER]--;
    tied_pages[FRAME_MAPPED]++;
    palloc_drop_hold(pfn);
    palloc_word(pfn)->frame = pack(&frame);
    palloc_unlock();
}

/* --- Inspect ----------------------------------------------------------------------------------------------------- */

struct frame frame_get(pfn_t pfn) {
    palloc_lock();
    struct frame frame = look(pfn);
    palloc_unlock();
    return frame;
}

/* What no other has is the callers', so the sum is right whatever changes meanwhile. */
void frame_count(size_t pages[FRAME_OWNERS]) {
    size_t others = 0, total = 0;
    struct extent ram;
    for (size_t i = 0; palloc_ram(i, &ram); i++)
        total += ram.end - ram.first;
    palloc_lock();
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        pages[i] = tied_pages[i];
    pages[FRAME_FREE] = palloc_free_pages();
    palloc_unlock();
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        others += i == FRAME_CALLER ? 0 : pages[i];
    pages[FRAME_CALLER] = total - others;
}

static void audit_page(pfn_t pfn) {
    uint64_t word = palloc_word(pfn)->frame;
    struct frame frame = unpack(word);
    bool held = palloc_state(pfn) == PALLOC_HELD_TIED;
    uint32_t type = field(word, TYPE_SHIFT, TYPE_BITS), typed = field(word, TYPED_SHIFT, TYPED_BITS);
    bool owner_ties = frame.owner > FRAME_FREE && frame.owner < FRAME_NOT_RAM;
    require(owner_ties && frame.held == held, "frame F1: page 0x%x is %s, but its word says %s (0x%llx)", pfn,
            held ? "held" : "not held", frame_owner_name(frame.owner), (unsigned long long)word);
    require(typed <= frame.mappings && type <= TYPE_EXECUTABLE && (type == TYPE_NONE) == (typed == 0),
            "frame F2: page 0x%x has %u mappings, %u of them of type %u", pfn, frame.mappings, typed, type);
    require(frame.owner != FRAME_TABLE || typed == 0, "frame F2: page 0x%x is a table with %u typed mappings", pfn,
            typed);
    require(!kept_by_counts(&frame) || frame.mappings > 0 || frame.pins > 0,
            "frame F3: page 0x%x is tied by nothing (0x%llx)", pfn, (unsigned long long)word);
}

void frame_audit(void) {
    size_t counted[FRAME_OWNERS] = { 0 };
    palloc_lock();
    struct extent ram;
    for (size_t i = 0; palloc_ram(i, &ram); i++)
        for (pfn_t pfn = ram.first; (pfn = palloc_next_tied(pfn, ram.end)) < ram.end; pfn++) {
            audit_page(pfn);
            counted[unpack(palloc_word(pfn)->frame).owner]++;
        }
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        require(counted[i] == tied_pages[i], "frame F4: %zu tied pages of %s, but %zu are counted", counted[i],
                frame_owner_name((enum frame_owner)i), tied_pages[i]);
    palloc_unlock();
}
