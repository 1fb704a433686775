/*     block:  | red ... | canary | the user's bytes | canary | red ... |        while in use
 *             | red ... | canary | freed freed ...  | canary | red ... |        in quarantine
 *     alone:  | user's | red ...                    | unmapped                  or the other way round:
 *                        unmapped | red ... | user's | unmapped
 *
 * Quarantine: a ring of the blocks that were freed last, up to RING blocks and RING_BYTES bytes. A block that leaves it
 * must be as it was filled when it was freed; if not, somebody wrote to it since then. It leaves when others push it
 * out, when memory is short, and in kmalloc_trim().
 *
 * Blocks with pages of their own, the large ones included, give their pages back at once and keep their addresses: an
 * access faults, and mem/explain.c finds the block's history. These wait in a list of their own, of HIDDEN blocks.
 *
 * A block that is alone has no canaries: at the beginning of its pages there is no room before it, at their end none
 * behind it. All of its pages that isn't its user's is filled.
 *
 * Invariant, checked by guard_audit():
 *   H9  each block in the ring is QUARANTINED and as it was filled; no other block is QUARANTINED; the sums are right.
 *
 * Locking: the heap's. Cost: a word's store for each word of a block when it is freed, a comparison when it leaves. */
#include <mem/guard.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/magazine.h>

enum {
    RING = CONFIG_KMALLOC_GUARD ? 256 : 1,
    RING_BYTES = 262144,
    HIDDEN = 64,
    SHOWN = 8,
    WORD = sizeof(uintptr_t),
};

static struct {
    struct block ring[RING];
    unsigned first, count;        /* of the ring */
    size_t bytes;                 /* of its blocks */
    struct slab *oldest, *newest; /* hidden ones, by `next` */
    unsigned hidden;
} guard;

/* Requests between two blocks that are alone, minus one; all ones: never. */
static size_t sample_mask = CONFIG_KMALLOC_SAMPLE - 1;

bool guard_wants_alone(size_t requests) {
    return CONFIG_KMALLOC_GUARD && (requests & sample_mask) == 0 && sample_mask != SIZE_MAX;
}

void guard_sample(unsigned one_in) {
    require(one_in == 0 || is_power_of_two(one_in), "kmalloc_sample(%u): no power of two", one_in);
    sample_mask = one_in == 0 ? SIZE_MAX : one_in - 1;
}

/* --- Filling ------------------------------------------------------------------------------------------------------ */

typedef uintptr_t __attribute__((may_alias)) guard_word;

enum { AT_ONCE = 8 * sizeof(uintptr_t) };

/* Eight words from an aligned address, two instructions each. */
static inline ASAN_UNCHECKED bool are_all(uintptr_t at, uintptr_t pattern) {
    const guard_word *word = (const guard_word *)at;
    uintptr_t any = word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] | word[7];
    uintptr_t all = word[0] & word[1] & word[2] & word[3] & word[4] & word[5] & word[6] & word[7];
    return any == pattern && all == pattern;
}

/* The first byte that isn't `byte`, or the end. */
static ASAN_UNCHECKED uintptr_t find_other(uintptr_t first, uintptr_t end, unsigned byte) {
    const uintptr_t pattern = UINTPTR_MAX / UINT8_MAX * byte;
    uintptr_t at = first;
    while (at < end && at % WORD != 0 && *(const uint8_t *)at == byte)
        at++;
    if (at % WORD == 0) {
        while (end - at >= AT_ONCE && are_all(at, pattern))
            at += AT_ONCE;
        while (end - at >= WORD && *(const guard_word *)at == pattern)
            at += WORD;
    }
    while (at < end && *(const uint8_t *)at == byte)
        at++;
    return at;
}

static ASAN_UNCHECKED intptr_t describe(uintptr_t first, uintptr_t end, unsigned byte, uintptr_t user, char *out,
                                        size_t out_bytes) {
    intptr_t offset = (intptr_t)(find_other(first, end, byte) - user);
    unsigned changed = 0;
    size_t length = 0;
    char list[256] = "";
    for (uintptr_t at = find_other(first, end, byte); at < end; at = find_other(at + 1, end, byte)) {
        if (changed++ >= SHOWN)
            continue;
        bool before = at < user;
        length += fmt(list + length, sizeof(list) - length, "%s%s%zu was 0x%02x is 0x%02x", changed > 1 ? ", " : "",
                      before ? "-" : "+", (size_t)(before ? user - at : at - user), byte, *(const uint8_t *)at);
    }
    fmt(out, out_bytes, "%u byte%s changed: %s%s", changed, changed == 1 ? "" : "s", list,
        changed > SHOWN ? ", ..." : "");
    return offset;
}

struct zones {
    uintptr_t first, first_end, last, last_end;
};

/* The parts that are filled before and after the user's bytes. */
static struct zones zones_of(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note) {
    size_t before = note->alone ? 0 : CANARY_BEFORE, after = note->alone ? 0 : CANARY_AFTER;
    return (struct zones){ block, user - before, user + note->bytes + after, block + block_bytes };
}

void guard_surround(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note) {
    struct zones zones = zones_of(block, block_bytes, user, note);
    memset((void *)zones.first, GUARD_RED, zones.first_end - zones.first);
    memset((void *)zones.last, GUARD_RED, zones.last_end - zones.last);
}

bool guard_surrounded(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note) {
    struct zones zones = zones_of(block, block_bytes, user, note);
    return find_other(zones.first, zones.first_end, GUARD_RED) == zones.first_end &&
           find_other(zones.last, zones.last_end, GUARD_RED) == zones.last_end;
}

intptr_t guard_describe_zones(uintptr_t block, size_t block_bytes, uintptr_t user, const struct note *note, char *out,
                              size_t out_bytes) {
    struct zones zones = zones_of(block, block_bytes, user, note);
    if (find_other(zones.first, zones.first_end, GUARD_RED) != zones.first_end)
        return describe(zones.first, zones.first_end, GUARD_RED, user, out, out_bytes);
    return describe(zones.last, zones.last_end, GUARD_RED, user, out, out_bytes);
}

/* --- Alone -------------------------------------------------------------------------------------------------------- */

size_t guard_pages(size_t bytes, size_t align) {
    return ((size_t)round_up(bytes, align) + (bytes == 0) + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* In turns at the beginning and at the end, as close to it as the alignment lets them. */
size_t guard_place(size_t pages, size_t bytes, size_t align) {
    static bool at_end;
    at_end = !at_end;
    return at_end ? (size_t)round_down((pages << PAGE_SHIFT) - bytes - (bytes == 0), align) : 0;
}

/* --- Quarantine --------------------------------------------------------------------------------------------------- */

static size_t bytes_of(struct block block) {
    return slab_note(slab_state(block))->bytes;
}

static bool is_as_filled(struct block block) {
    const struct note *note = slab_note(slab_state(block));
    uintptr_t user = slab_user(block);
    return find_other(user, user + note->bytes, GUARD_FREED) == user + note->bytes &&
           canary_intact(user, note->bytes) &&
           guard_surrounded(slab_address(block), block.slab->block_bytes, user, note);
}

void guard_refuse(struct block block) {
    char what[320];
    const struct note note = *slab_note(slab_state(block));
    size_t user = slab_user(block), end = user + note.bytes;
    const char *mistake = "a pointer to it was kept, and used?";
    if (find_other(user, end, GUARD_FREED) != end)
        describe(user, end, GUARD_FREED, user, what, sizeof(what));
    else if (!canary_intact(user, note.bytes))
        mistake = canary_mistake(user, note.bytes, canary_describe(user, note.bytes, what, sizeof(what)));
    else
        mistake = canary_mistake(
            user, note.bytes,
            guard_describe_zones(slab_address(block), block.slab->block_bytes, user, &note, what, sizeof(what)));
    slab_unlock();
    panic("kmalloc: write after free: the block of %zu bytes at %#zx, allocated at %#zx, freed at %#zx, was written to "
          "since: %s: %s",
          note.bytes, user, (size_t)note.place, (size_t)note.freed_place, what, mistake);
}

/* Objects with a constructor are no longer what it made of them. */
static void let_go(void) {
    struct block block = guard.ring[guard.first];
    guard.first = (guard.first + 1) % RING;
    guard.count--;
    guard.bytes -= block.slab->block_bytes;
    struct slab_class *of = block.slab->of;
    bool good = is_as_filled(block);
    slab_store(slab_state(block), of->constructed ? BLOCK_CACHED_RAW : BLOCK_CACHED);
    magazine_give(of, (struct entry){ slab_address(block), slab_state(block) });
    if (!good)
        guard_refuse(block);
}

static void let_go_hidden(void) {
    struct slab *slab = guard.oldest;
    guard.oldest = slab->next;
    guard.hidden--;
    slab_unhide(slab);
}

static void hide(struct slab *slab) {
    if (slab->urgent) {
        shadow_forbid((void *)slab->first, slab->block_bytes, SHADOW_FREED);
        slab_give_large(slab);
        return;
    }
    slab_store(slab->notes, BLOCK_QUARANTINED);
    slab_hide(slab);
    slab->next = NULL;
    *(guard.hidden > 0 ? &guard.newest->next : &guard.oldest) = slab;
    guard.newest = slab;
    if (++guard.hidden > HIDDEN)
        let_go_hidden();
}

void guard_keep(struct block block) {
    if (slab_is_large(block.slab)) {
        hide(block.slab);
        return;
    }
    if (guard.count == RING)
        let_go();
    memset((void *)slab_user(block), GUARD_FREED, bytes_of(block));
    shadow_forbid((void *)slab_address(block), block.slab->block_bytes, SHADOW_FREED);
    slab_store(slab_state(block), BLOCK_QUARANTINED);
    guard.ring[(guard.first + guard.count++) % RING] = block;
    guard.bytes += block.slab->block_bytes;
    while (guard.bytes > RING_BYTES)
        let_go();
}

bool guard_drain(void) {
    bool any = guard.count + guard.hidden > 0;
    while (guard.count > 0)
        let_go();
    while (guard.hidden > 0)
        let_go_hidden();
    return any;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

size_t guard_kept(void) {
    return guard.count + guard.hidden;
}

size_t guard_kept_of(const struct slab_class *of) {
    size_t kept = 0;
    for (unsigned i = 0; i < guard.count; i++)
        kept += guard.ring[(guard.first + i) % RING].slab->of == of;
    return kept;
}

void guard_audit(void) {
    size_t bytes = 0, quarantined = 0;
    for (unsigned i = 0; i < guard.count; i++) {
        struct block block = guard.ring[(guard.first + i) % RING];
        require(*slab_state(block) == BLOCK_QUARANTINED && is_as_filled(block),
                "heap: H9 broken: the block of %zu bytes at %#zx was written to since it was freed", bytes_of(block),
                (size_t)slab_user(block));
        bytes += block.slab->block_bytes;
    }
    for (const struct slab *slab = slab_next(0); slab != NULL;
         slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT)))
        for (unsigned i = 0; i < slab->blocks; i++)
            quarantined += slab->notes[i * NOTE_BYTES] == BLOCK_QUARANTINED;
    require(bytes == guard.bytes && quarantined == guard.count && guard.hidden == slab_lists.hidden,
            "heap: H9 broken: %zu blocks are quarantined with %zu bytes, noted %u and %zu; %u of %zu hidden",
            quarantined, bytes, guard.count, guard.bytes, guard.hidden, slab_lists.hidden);
}
