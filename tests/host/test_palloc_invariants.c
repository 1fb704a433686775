/* Each numbered invariant of palloc and frame, broken on purpose: the audit says which, and where. */
#include <arch/arch.h>
#include <mem/palloc_cache.h>
#include <tests/host/bare.h>
#include <tests/test.h>

/* Bits of a tied page's word, as mem/frame.c draws them. */
enum { OWNER_BIT = 0, MAPPING_BIT = 6, TYPED_BIT = 28 };

enum { FIRST = 0x1000, PAGES = 0x8000, HOLE = FIRST + PAGES };

static void boot(void) {
    static const struct bare_extent ram[] = { { FIRST, PAGES, BOOTMAP_FREE }, { HOLE + 2, 0x1000, BOOTMAP_FREE } };
    bare_boot(ram, 2);
    palloc_audit();
    frame_audit();
}

static pfn_t take(uint32_t pages) {
    const struct palloc_request request = { .pages = pages, .limit = HOLE - 1 };
    pfn_t first = palloc_with(&request);
    expect(first != PFN_NONE);
    return first;
}

/* A free run of so many pages between two that are held. */
static pfn_t make_run(uint32_t pages) {
    pfn_t first = take(pages + 2);
    pfree(first + 1, pages);
    palloc_drain();
    expect_equal(palloc_state(first + 1), PALLOC_FREE);
    return first + 1;
}

static void toggle_bit(pfn_t pfn) {
    palloc_tables.held[pfn / BITMAP_BITS] ^= bitmap_bit(pfn);
}

static struct palloc_cache *cache(void) {
    return &palloc_caches[0].level[0];
}

/* --- palloc ------------------------------------------------------------------------------------------------------- */

TEST(palloc_audit_finds_a_broken_p1) {
    boot();
    pfn_t run = make_run(20), held = take(3);
    toggle_bit(run + 7);
    expect_panic("palloc P1: page 0x* is inside a free run, but its tag is 0, its bit 1", palloc_audit());
    toggle_bit(run + 7);
    tag_set(held + 1, TAG_HELD_ONE);
    expect_panic("palloc P1: page 0x* is held in a run, and its tag is 242", palloc_audit());
    tag_set(held + 1, TAG_NONE);
    toggle_bit(held + 1);
    expect_panic("palloc P1: page 0x* has neither a tag nor a bit, and is in no run", palloc_audit());
    tag_set(held + 1, TAG_CACHED_RUN_LAST + 1);
    expect_panic("palloc P1: page 0x* has tag 254", palloc_audit());
    tag_set(held + 1, TAG_NONE);
    toggle_bit(held + 1);
    palloc_audit();
}

TEST(palloc_audit_finds_a_broken_p2) {
    boot();
    pfn_t one = palloc_pfn(palloc(1)), other = palloc_pfn(palloc(1));
    pfree(one, 1);
    pfree(other, 1);
    uint32_t top = cache()->count - 1;
    cache()->slots[top] = cache()->slots[top - 1];
    expect_panic("palloc P2: page 0x* is in a cache, but its tag is 255", palloc_audit());
    boot();
    pfn_t held = palloc_pfn(palloc(1));
    tag_set(held, TAG_CACHED);
    expect_panic("palloc P2: * pages are in caches, * are tagged so", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_p3) {
    boot();
    pfree(palloc_pfn(palloc(1)), 1);
    cache()->slots[cache()->count] = cache()->slots[0];
    expect_panic("palloc P3: slot *, past the * in use, has page 0x*", palloc_audit());
    cache()->slots[cache()->count] = PFN_NONE;
    cache()->count = cache()->room + 1;
    expect_panic("palloc P3: a stack of * slots has * in use", palloc_audit());
    boot();
    pfree(palloc_pfn(palloc(1)), 1);
    cache()->slots[0] = 1;
    expect_panic("palloc P3: a slot of level 0 has pages 0x1 to 0x1", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_p4) {
    boot();
    palloc_tables.tied++;
    expect_panic("palloc P4: * free, * cached, * held, * tied (counted: *), of * pages", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_t1) {
    boot();
    pfn_t held = take(1);
    palloc_tables.ready[held >> CHUNK_SHIFT] = 0;
    expect_panic("palloc T1: *", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_t2) {
    boot();
    tag_set(HOLE + 1, TAG_HELD_ONE);
    expect_panic("palloc T2: page 0x9001 is never ours, but its tag is 242, its bit 0", palloc_audit());
    tag_set(HOLE + 1, TAG_NONE);
    toggle_bit(HOLE);
    expect_panic("palloc T2: page 0x9000 is never ours, but its tag is 0, its bit 1", palloc_audit());
}

/* --- Runs --------------------------------------------------------------------------------------------------------- */

TEST(palloc_audit_finds_a_broken_r1) {
    boot();
    pfn_t run = make_run(20);
    tag_set(run + 19, 19);
    expect_panic("runs R1: pages 0x* to 0x* are a run of 20, but their tags are 20 and 19", palloc_audit());
    tag_set(run + 19, 20);
    /* Two runs side by side. */
    write_edges(run, 10);
    write_edges(run + 10, 10);
    expect_panic("runs R1: the runs at pages 0x* and 0x* aren't one", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_r2) {
    boot();
    pfn_t run = make_run(400);
    palloc_tables.words[run + 1].pages = 0;
    expect_panic("runs R2: the run at page 0x* says that it has 0 pages", palloc_audit());
    palloc_tables.words[run + 1].pages = 400;
    palloc_tables.words[run + 399].pages = 399;
    expect_panic("runs R2: pages 0x* to 0x* are a run of 400 (tag 239), but the last word says 399", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_r3) {
    boot();
    pfn_t run = make_run(20), twin = make_run(20);
    struct zone *zone = zone_at(run);
    expect_equal(zone->bins[20], twin);
    palloc_tables.words[run].link.previous = PFN_NONE;
    expect_panic("runs R3: the run at page 0x* isn't where its links say (0x* is)", palloc_audit());
    palloc_tables.words[run].link.previous = twin;
    list_remove(zone, 20, twin);
    list_insert(zone, 21, twin);
    expect_panic("runs R3: *", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_r4) {
    boot();
    pfn_t run = make_run(20);
    struct zone *zone = zone_at(run);
    zone->filled[21 / BITMAP_BITS] |= bitmap_bit(21);
    expect_panic("runs R4: bin 21 of the zone at 0x1000: bit 1, first run 0xffffffff", palloc_audit());
    zone->filled[21 / BITMAP_BITS] &= ~bitmap_bit(21);
    zone->summary ^= bitmap_bit(20 / BITMAP_BITS);
    expect_panic("runs R4: summary, word 0", palloc_audit());
}

TEST(palloc_audit_finds_a_broken_r5) {
    boot();
    zone_at(FIRST)->pages++;
    expect_panic("runs R5: the zone at 0x1000 counts * pages, and has *", palloc_audit());
}

/* --- frame -------------------------------------------------------------------------------------------------------- */

static uint64_t *word(pfn_t pfn) {
    return &palloc_tables.words[pfn].frame;
}

TEST(frame_audit_finds_a_broken_f1) {
    boot();
    pfn_t pfn = take(1);
    expect_equal(frame_map(pfn, 0), 0);
    *word(pfn) += (uint64_t)(FRAME_MAPPED - FRAME_CALLER) << OWNER_BIT;
    expect_panic("frame F1: page 0x* is held, but its word says mappings (0x*)", frame_audit());
    *word(pfn) += (uint64_t)(FRAME_NOT_RAM - FRAME_MAPPED) << OWNER_BIT;
    expect_panic("frame F1: page 0x* is held, but its word says not RAM (0x*)", frame_audit());
}

TEST(frame_audit_finds_a_broken_f2) {
    boot();
    pfn_t pfn = take(1);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    *word(pfn) += (uint64_t)1 << TYPED_BIT;
    expect_panic("frame F2: page 0x* has 1 mappings, 2 of them of type 1", frame_audit());
    *word(pfn) -= (uint64_t)2 << TYPED_BIT;
    expect_panic("frame F2: page 0x* has 1 mappings, 0 of them of type 1", frame_audit());
    *word(pfn) += (uint64_t)1 << TYPED_BIT;
    *word(pfn) += (uint64_t)(FRAME_TABLE - FRAME_CALLER) << OWNER_BIT;
    tag_set(pfn, TAG_TIED);
    expect_panic("frame F2: page 0x* is a table with 1 typed mappings", frame_audit());
}

TEST(frame_audit_finds_a_broken_f3) {
    boot();
    pfn_t pfn = take(1);
    expect_equal(frame_map(pfn, 0), 0);
    *word(pfn) -= (uint64_t)1 << MAPPING_BIT;
    expect_panic("frame F3: page 0x* is tied by nothing (0x*)", frame_audit());
}

TEST(frame_audit_finds_a_broken_f4) {
    boot();
    pfn_t pfn = take(1);
    frame_own(pfn, FRAME_HEAP);
    *word(pfn) += (uint64_t)(FRAME_METADATA - FRAME_HEAP) << OWNER_BIT;
    expect_panic("frame F4: 0 tied pages of heap, but 1 are counted", frame_audit());
}
