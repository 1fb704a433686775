/* Wrong frees: what the report says, and that nothing has changed after it. The same in debug and release builds, but
 * for the places that a debug build adds at the end. */
#include <arch/arch.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <tests/test.h>

enum { RUN = 6, WRONG = 4 };

static pfn_t take(uint32_t pages) {
    const struct palloc_request request = { .pages = pages };
    pfn_t first = palloc_with(&request);
    expect(first != PFN_NONE);
    return first;
}

/* All but the wrong one are held still. */
static void expect_held(pfn_t first, pfn_t wrong) {
    for (pfn_t pfn = first; pfn < first + RUN; pfn++)
        if (pfn != wrong)
            expect_equal(palloc_state(pfn), PALLOC_HELD);
}

/* The whole run, a part that ends with the wrong page, one that begins with it, and that page alone. */
static void expect_refused(pfn_t first, const char *what) {
    static const uint32_t parts[][2] = { { 0, RUN }, { 1, WRONG }, { WRONG, RUN - WRONG }, { WRONG, 1 } };
    char should[256];
    for (unsigned i = 0; i < 4; i++) {
        pfn_t from = first + parts[i][0];
        fmt(should, sizeof(should), "pfree(page 0x%x, %u pages): page 0x%x is %s*", from, parts[i][1], first + WRONG,
            what);
        expect_panic(should, pfree(from, parts[i][1]));
        expect_held(first, first + WRONG);
    }
}

static void give_but_wrong(pfn_t first) {
    pfree(first, WRONG);
    pfree(first + WRONG + 1, RUN - WRONG - 1);
}

/* --- A length that reaches a page of another owner ---------------------------------------------------------------- */

TEST(pfree_reports_a_length_that_reaches_a_page_table) {
    pfn_t first = take(RUN);
    frame_own(first + WRONG, FRAME_TABLE);
    expect_equal(frame_table_entries(first + WRONG, 3), 3);
    expect_refused(first, "owned by page table, 3 entries in use, pinned 0 times: palloc's caller doesn't hold it, or "
                          "doesn't any more");
    expect_equal(frame_table_entries(first + WRONG, -3), 0);
    frame_disown(first + WRONG, FRAME_TABLE);
    give_but_wrong(first);
}

TEST(pfree_reports_a_length_that_reaches_a_page_of_the_heap) {
    pfn_t first = take(RUN);
    frame_own(first + WRONG, FRAME_HEAP);
    expect_refused(first, "owned by heap, mapped 0 times (0 writable, 0 executable), pinned 0 times: palloc's caller "
                          "doesn't hold it, or doesn't any more");
    frame_disown(first + WRONG, FRAME_HEAP);
    give_but_wrong(first);
}

TEST(pfree_reports_a_length_that_reaches_a_mapped_page) {
    pfn_t first = take(RUN);
    expect_equal(frame_map(first + WRONG, PAGE_WRITE), 0);
    expect_refused(first, "held by palloc's caller, mapped 1 times (1 writable, 0 executable), pinned 0 times: unmap "
                          "and unpin it first, or hand it over to its mappings");
    frame_unmap(first + WRONG, PAGE_WRITE);
    pfree(first, RUN);
}

TEST(pfree_reports_a_length_that_reaches_a_pinned_page) {
    pfn_t first = take(RUN);
    expect_equal(frame_pin(first + WRONG), 0);
    expect_refused(first, "held by palloc's caller, mapped 0 times (0 writable, 0 executable), pinned 1 times: unmap "
                          "and unpin it first, or hand it over to its mappings");
    frame_unpin(first + WRONG);
    pfree(first, RUN);
}

TEST(pfree_reports_a_length_that_reaches_a_page_left_to_its_mappings) {
    pfn_t first = take(RUN);
    expect_equal(frame_map(first + WRONG, 0), 0);
    frame_hand_over(first + WRONG);
    expect_refused(first, "kept by mappings, mapped 1 times (0 writable, 0 executable), pinned 0 times: palloc's "
                          "caller doesn't hold it, or doesn't any more");
    frame_unmap(first + WRONG, 0);
    give_but_wrong(first);
}

TEST(pfree_reports_a_length_that_reaches_a_free_page) {
    pfn_t first = take(RUN);
    pfree(first + WRONG, 1);
    expect_refused(first, "free");
    give_but_wrong(first);
}

/* A run that was taken as one, and a single page behind it, are both held: the caller's word counts. */
TEST(pfree_takes_back_neighbours_that_were_taken_apart) {
    pfn_t first = take(RUN);
    pfree(first + 2, 3);
    palloc_drain();
    const struct palloc_request one = { .pages = 1, .exact = true, .at = first + 2 };
    const struct palloc_request two = { .pages = 2, .exact = true, .at = first + 3 };
    expect_equal(palloc_with(&one), first + 2);
    expect_equal(palloc_with(&two), first + 3);
    pfree(first, RUN);
    for (pfn_t pfn = first; pfn < first + RUN; pfn++)
        expect(frame_get(pfn).owner == FRAME_FREE);
}

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

/* The first page from here on that isn't held. */
static pfn_t first_not_held(pfn_t pfn) {
    while (palloc_state(pfn) == PALLOC_HELD)
        pfn++;
    return pfn;
}

TEST(pfree_reports_lengths_that_wrap_or_pass_the_end) {
    pfn_t first = take(RUN);
    const uint32_t lengths[] = { palloc_end() - first + 1, UINT32_MAX - first, UINT32_MAX - first + 1, UINT32_MAX };
    char should[128];
    for (unsigned i = 0; i < 4; i++) {
        fmt(should, sizeof(should), "pfree(page 0x%x, %u pages): page 0x%x is *", first, lengths[i],
            first_not_held(first));
        expect_panic(should, pfree(first, lengths[i]));
        expect_held(first, PFN_NONE);
    }
    pfree(first, RUN);
}

TEST(pfree_reports_each_kind_of_page_that_the_manager_keeps) {
    struct extent ram;
    bool seen[FRAME_OWNERS] = { false };
    char should[160];
    for (size_t i = 0; palloc_ram(i, &ram); i++)
        for (pfn_t pfn = ram.first; (pfn = palloc_next_tied(pfn, ram.end)) < ram.end; pfn++) {
            enum frame_owner owner = frame_get(pfn).owner;
            if (seen[owner] || owner == FRAME_CALLER || owner == FRAME_MAPPED)
                continue;
            seen[owner] = true;
            fmt(should, sizeof(should),
                "pfree(page 0x%x, 1 pages): page 0x%x is owned by %s, *: palloc's caller doesn't hold it, or doesn't "
                "any more*",
                pfn, pfn, frame_owner_name(owner));
            expect_panic(should, pfree(pfn, 1));
            fmt(should, sizeof(should), "pfree_bulk(1 pages), entry 0: page 0x%x is owned by %s, *", pfn,
                frame_owner_name(owner));
            expect_panic(should, pfree_bulk(&pfn, 1));
            expect_equal(frame_get(pfn).owner, owner);
        }
    expect(seen[FRAME_METADATA]);
}

/* --- Lists -------------------------------------------------------------------------------------------------------- */

/* The list is right but for its last entry. */
static void expect_bulk_refused(const pfn_t list[3], const char *what) {
    char should[256];
    fmt(should, sizeof(should), "pfree_bulk(3 pages), entry 2: page 0x%x is %s*", list[2], what);
    expect_panic(should, pfree_bulk(list, 3));
    expect_equal(palloc_state(list[0]), PALLOC_HELD);
    expect_equal(palloc_state(list[1]), PALLOC_HELD);
}

TEST(pfree_bulk_reports_a_mapped_and_a_pinned_page_and_frees_nothing) {
    const pfn_t list[3] = { take(1), take(1), take(1) };
    expect_equal(frame_map(list[2], PAGE_EXECUTE), 0);
    expect_bulk_refused(list, "held by palloc's caller, mapped 1 times (0 writable, 1 executable), pinned 0 times: "
                              "unmap and unpin it first, or hand it over to its mappings");
    expect_equal(frame_pin(list[2]), 0);
    frame_unmap(list[2], PAGE_EXECUTE);
    expect_bulk_refused(list, "held by palloc's caller, mapped 0 times (0 writable, 0 executable), pinned 1 times: "
                              "unmap and unpin it first, or hand it over to its mappings");
    frame_unpin(list[2]);
    pfree_bulk(list, 3);
}

TEST(pfree_bulk_reports_the_second_of_two_equal_entries) {
    pfn_t list[3] = { take(1), take(1), 0 };
    char should[128];
    list[2] = list[0];
    fmt(should, sizeof(should), "pfree_bulk(3 pages), entry 2: page 0x%x is free*: freed twice?*", list[0]);
    expect_panic(should, pfree_bulk(list, 3));
    expect(frame_get(list[0]).owner == FRAME_FREE && frame_get(list[1]).owner == FRAME_FREE);
}

TEST(pfree_bulk_recognizes_a_physical_address) {
    pfn_t pfn = take(1);
    uint32_t address = pfn << PAGE_SHIFT;
    bool mistaken = pfn >> (32 - PAGE_SHIFT) == 0 && palloc_state(address) == PALLOC_NOT_RAM;
    char should[256];
    fmt(should, sizeof(should),
        "pfree_bulk(1 pages), entry 0: page 0x%x is never ours (*): 0x%x looks like a physical address; pass the page "
        "number, address >> 12, which is 0x%x*",
        address, address, pfn);
    if (mistaken)
        expect_panic(should, pfree_bulk(&address, 1));
    pfree(pfn, 1);
    if (!mistaken)
        test_skip("its address isn't mistaken for a page number");
}
