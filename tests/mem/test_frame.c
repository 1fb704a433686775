/* mem/frame.c on the live system. */
#include <arch/arch.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <tests/test.h>

static pfn_t one_page(void) {
    const struct palloc_request one = { .pages = 1 };
    pfn_t pfn = palloc_with(&one);
    expect(pfn != PFN_NONE);
    return pfn;
}

static bool is_free(pfn_t pfn) {
    return frame_get(pfn).owner == FRAME_FREE;
}

static void expect_frame(pfn_t pfn, enum frame_owner owner, uint32_t mappings, uint32_t pins) {
    struct frame frame = frame_get(pfn);
    expect_equal(frame.owner, owner);
    expect_equal(frame.mappings, mappings);
    expect_equal(frame.pins, pins);
    expect_equal(frame.held, owner == FRAME_CALLER);
}

/* --- Mappings ----------------------------------------------------------------------------------------------------- */

TEST(frame_counts_mappings_of_a_held_page) {
    pfn_t pfn = one_page();
    expect_equal(palloc_state(pfn), PALLOC_HELD);
    expect_equal(frame_map(pfn, 0), 0);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(palloc_state(pfn), PALLOC_HELD_TIED);
    expect_frame(pfn, FRAME_CALLER, 2, 0);
    expect_equal(frame_get(pfn).writable, 1);
    frame_unmap(pfn, PAGE_WRITE);
    frame_unmap(pfn, 0);
    expect_equal(palloc_state(pfn), PALLOC_HELD);
    pfree(pfn, 1);
}

TEST(frame_refuses_writable_and_executable_aliases) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_WRITE | PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(palloc_state(pfn), PALLOC_HELD);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(frame_map(pfn, PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(frame_map(pfn, PAGE_EXECUTE | PAGE_USER), ERR_REFUSED);
    expect_equal(frame_map(pfn, PAGE_USER), 0);
    frame_unmap(pfn, PAGE_WRITE);
    expect_equal(frame_map(pfn, PAGE_EXECUTE), 0);
    expect_equal(frame_map(pfn, PAGE_WRITE | PAGE_USER), ERR_REFUSED);
    expect_equal(frame_get(pfn).executable, 1);
    frame_unmap(pfn, PAGE_EXECUTE);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    frame_unmap(pfn, PAGE_WRITE);
    frame_unmap(pfn, PAGE_USER);
    pfree(pfn, 1);
}

TEST(frame_remap_keeps_write_and_execute_apart) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(frame_remap(pfn, PAGE_WRITE, PAGE_EXECUTE), 0);
    expect_equal(frame_map(pfn, 0), 0);
    expect_equal(frame_remap(pfn, 0, PAGE_WRITE), ERR_REFUSED);
    expect_equal(frame_remap(pfn, 0, PAGE_EXECUTE), 0);
    expect_equal(frame_remap(pfn, PAGE_EXECUTE, PAGE_WRITE), ERR_REFUSED);
    expect_equal(frame_get(pfn).executable, 2);
    expect_frame(pfn, FRAME_CALLER, 2, 0);
    frame_unmap(pfn, PAGE_EXECUTE);
    frame_unmap(pfn, PAGE_EXECUTE);
    pfree(pfn, 1);
}

TEST(frame_refuses_to_map_what_is_free_or_never_ours) {
    pfn_t pfn = one_page();
    pfree(pfn, 1);
    expect_equal(frame_map(pfn, 0), ERR_FAULT);
    expect_equal(frame_map(0, 0), ERR_FAULT);
    expect_equal(frame_map(palloc_end(), 0), ERR_FAULT);
    expect_equal(frame_map(PFN_NONE, PAGE_WRITE), ERR_FAULT);
    expect_equal(frame_pin(pfn), ERR_FAULT);
    expect_equal(frame_pin(0), ERR_FAULT);
    expect(is_free(pfn));
}

/* Most of the count is set and not counted; tests/host counts it all. Bits as mem/frame.c draws them. */
TEST(frame_mappings_saturate_into_an_error) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    const uint64_t jump = (uint64_t)(FRAME_MAPPINGS_MAX - 3) << 6 | (uint64_t)(FRAME_MAPPINGS_MAX - 3) << 28;
    palloc_lock();
    palloc_word(pfn)->frame += jump;
    palloc_unlock();
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(frame_get(pfn).writable, FRAME_MAPPINGS_MAX);
    expect_equal(frame_map(pfn, PAGE_WRITE), ERR_LIMIT);
    expect_equal(frame_map(pfn, 0), ERR_LIMIT);
    expect_frame(pfn, FRAME_CALLER, FRAME_MAPPINGS_MAX, 0);
    palloc_lock();
    palloc_word(pfn)->frame -= jump;
    palloc_unlock();
    for (int i = 0; i < 3; i++)
        frame_unmap(pfn, PAGE_WRITE);
    expect_equal(palloc_state(pfn), PALLOC_HELD);
    pfree(pfn, 1);
}

TEST(frame_pins_saturate_into_an_error) {
    pfn_t pfn = one_page();
    uint32_t count = 0;
    while (frame_pin(pfn) == 0)
        count++;
    expect_equal(count, FRAME_PINS_MAX);
    expect_equal(frame_pin(pfn), ERR_LIMIT);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_frame(pfn, FRAME_CALLER, 1, FRAME_PINS_MAX);
    frame_unmap(pfn, PAGE_WRITE);
    for (; count > 0; count--)
        frame_unpin(pfn);
    pfree(pfn, 1);
}

/* --- What keeps a page -------------------------------------------------------------------------------------------- */

TEST(frame_hand_over_leaves_the_page_to_its_mappings) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    frame_hand_over(pfn);
    expect_frame(pfn, FRAME_MAPPED, 1, 0);
    expect_equal(palloc_state(pfn), PALLOC_TIED);
    expect_panic(
        "pfree(page 0x*, 1 pages): page 0x* is kept by mappings, mapped 1 times (1 writable, 0 executable), pinned 0 "
        "times: palloc's caller doesn't hold it, or doesn't any more*",
        pfree(pfn, 1));
    frame_unmap(pfn, PAGE_WRITE);
    expect(is_free(pfn));
}

TEST(frame_pin_keeps_a_page_that_lost_its_mappings) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_USER), 0);
    expect_equal(frame_pin(pfn), 0);
    frame_hand_over(pfn);
    frame_unmap(pfn, PAGE_USER);
    expect_frame(pfn, FRAME_MAPPED, 0, 1);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    frame_unpin(pfn);
    expect_frame(pfn, FRAME_MAPPED, 1, 0);
    frame_unmap(pfn, PAGE_WRITE);
    expect(is_free(pfn));
}

TEST(frame_holder_keeps_a_page_that_lost_mappings_and_pins) {
    pfn_t pfn = one_page();
    expect_equal(frame_pin(pfn), 0);
    frame_unpin(pfn);
    expect_equal(frame_map(pfn, 0), 0);
    frame_unmap(pfn, 0);
    expect_frame(pfn, FRAME_CALLER, 0, 0);
    pfree(pfn, 1);
    expect(is_free(pfn));
}

TEST(pfree_refuses_a_mapped_or_pinned_page) {
    const struct palloc_request three = { .pages = 3 };
    pfn_t first = palloc_with(&three);
    expect(first != PFN_NONE);
    expect_equal(frame_map(first + 1, PAGE_EXECUTE), 0);
    expect_equal(frame_pin(first + 1), 0);
    char should[256];
    fmt(should, sizeof(should),
        "pfree(page 0x%x, 3 pages): page 0x%x is held by palloc's caller, mapped 1 times (0 writable, 1 executable), "
        "pinned 1 "
        "times: unmap and unpin it first, or hand it over to its mappings*",
        first, first + 1);
    expect_panic(should, pfree(first, 3));
    expect_panic("pfree(page 0x*, 1 pages): page 0x* is held by palloc's caller, mapped 1 times *",
                 pfree(first + 1, 1));
    expect_equal(palloc_state(first), PALLOC_HELD);
    expect_frame(first + 1, FRAME_CALLER, 1, 1);
    frame_unmap(first + 1, PAGE_EXECUTE);
    frame_unpin(first + 1);
    pfree(first, 3);
}

/* --- Owners ------------------------------------------------------------------------------------------------------- */

TEST(frame_own_takes_a_page_from_its_holder) {
    pfn_t pfn = one_page();
    frame_own(pfn, FRAME_HEAP);
    expect_frame(pfn, FRAME_HEAP, 0, 0);
    expect_panic("pfree(page 0x*, 1 pages): page 0x* is owned by heap, *", pfree(pfn, 1));
    expect_panic("frame_disown(page 0x*): it doesn't belong to the owner that gives it back: it is owned by heap, *",
                 frame_disown(pfn, FRAME_TABLE));
    frame_disown(pfn, FRAME_HEAP);
    expect(is_free(pfn));
}

TEST(frame_own_refuses_pages_that_are_not_just_held) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, 0), 0);
    expect_panic(
        "frame_own(page 0x*): only a page that is held, and neither mapped nor pinned, can change its owner: it is "
        "held by palloc's caller, mapped 1 times *",
        frame_own(pfn, FRAME_TABLE));
    frame_unmap(pfn, 0);
    expect_panic("frame_own(page 0x*, kernel image): not a kind that owns pages", frame_own(pfn, FRAME_KERNEL));
    pfree(pfn, 1);
    expect_panic("frame_own(page 0x*): *: it is free*", frame_own(pfn, FRAME_TABLE));
    expect_panic("frame_own(page 0x0): *: it is never ours *", frame_own(0, FRAME_TABLE));
}

TEST(frame_disown_refuses_a_page_in_use) {
    pfn_t pfn = one_page();
    frame_own(pfn, FRAME_HEAP);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_panic("frame_disown(page 0x*): it is still in use: it is owned by heap, mapped 1 times *",
                 frame_disown(pfn, FRAME_HEAP));
    frame_unmap(pfn, PAGE_WRITE);
    expect_frame(pfn, FRAME_HEAP, 0, 0);
    frame_disown(pfn, FRAME_HEAP);
}

TEST(frame_shows_ring_3_only_what_a_caller_or_mappings_keep) {
    static const enum frame_owner kinds[] = { FRAME_TABLE, FRAME_POOL, FRAME_HEAP };
    for (int i = 0; i < 3; i++) {
        pfn_t pfn = one_page();
        frame_own(pfn, kinds[i]);
        expect_equal(frame_map(pfn, PAGE_USER), ERR_REFUSED);
        expect_equal(frame_map(pfn, PAGE_USER | PAGE_WRITE), ERR_REFUSED);
        frame_disown(pfn, kinds[i]);
    }
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_USER | PAGE_WRITE), 0);
    frame_unmap(pfn, PAGE_USER | PAGE_WRITE);
    pfree(pfn, 1);
}

TEST(frame_maps_a_page_table_nowhere) {
    pfn_t pfn = one_page();
    frame_own(pfn, FRAME_TABLE);
    expect_equal(frame_map(pfn, 0), ERR_REFUSED);
    expect_equal(frame_map(pfn, PAGE_WRITE), ERR_REFUSED);
    frame_disown(pfn, FRAME_TABLE);
}

TEST(frame_maps_the_managers_own_tables_nowhere) {
    struct extent ram;
    bool seen = false;
    for (size_t i = 0; palloc_ram(i, &ram) && !seen; i++)
        for (pfn_t pfn = ram.first; !seen && (pfn = palloc_next_tied(pfn, ram.end)) < ram.end; pfn++) {
            if (frame_get(pfn).owner != FRAME_METADATA)
                continue;
            seen = true;
            expect_equal(frame_map(pfn, 0), ERR_REFUSED);
            expect_equal(frame_map(pfn, PAGE_WRITE), ERR_REFUSED);
        }
    expect(seen);
}

TEST(frame_maps_ram_write_back_only) {
    pfn_t pfn = one_page();
    expect_equal(frame_map(pfn, PAGE_UNCACHED), ERR_REFUSED);
    expect_equal(frame_map(pfn, PAGE_WRITE | PAGE_WRITE_COMBINING), ERR_REFUSED);
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_equal(frame_remap(pfn, PAGE_WRITE, PAGE_WRITE | PAGE_UNCACHED), ERR_REFUSED);
    frame_unmap(pfn, PAGE_WRITE);
    pfree(pfn, 1);
}

TEST(frame_counts_the_entries_of_a_table) {
    pfn_t pfn = one_page();
    frame_own(pfn, FRAME_TABLE);
    expect_equal(frame_table_entries(pfn, 0), 0);
    expect_equal(frame_table_entries(pfn, 5), 5);
    expect_equal(frame_table_entries(pfn, -2), 3);
    expect_panic(
        "frame_table_entries(page 0x*): the count of entries leaves its range: it is owned by page table, 3 entries "
        "in use, pinned 0 times",
        frame_table_entries(pfn, -4));
    expect_panic("frame_disown(page 0x*): it is still in use: it is owned by page table, 3 *",
                 frame_disown(pfn, FRAME_TABLE));
    expect_equal(frame_table_entries(pfn, -3), 0);
    frame_disown(pfn, FRAME_TABLE);
}

TEST(frame_table_entries_leaves_other_owners_alone) {
    pfn_t pfn = one_page();
    expect(frame_table_entries(pfn, 1) > 0);
    expect(frame_table_entries(pfn, -1) > 0);
    expect_equal(palloc_state(pfn), PALLOC_HELD);
    pfree(pfn, 1);
}

/* --- Mistakes ----------------------------------------------------------------------------------------------------- */

TEST(frame_unmap_refuses_a_mapping_that_is_not_there) {
    pfn_t pfn = one_page();
    expect_panic("frame_unmap(page 0x*): it has no such mapping: it is held by palloc's caller", frame_unmap(pfn, 0));
    expect_equal(frame_map(pfn, PAGE_WRITE), 0);
    expect_panic("frame_unmap(page 0x*): it has no such mapping: *", frame_unmap(pfn, 0));
    expect_panic("frame_unmap(page 0x*): it has no such mapping: *", frame_unmap(pfn, PAGE_EXECUTE));
    expect_panic("frame_remap(page 0x*): it has no such mapping: *", (void)frame_remap(pfn, PAGE_EXECUTE, 0));
    frame_unmap(pfn, PAGE_WRITE);
    pfree(pfn, 1);
    expect_panic("frame_unmap(page 0x*): it has no such mapping: it is free*", frame_unmap(pfn, 0));
    expect_panic("frame_unpin(page 0x*): it has no pin: it is free*", frame_unpin(pfn));
}

TEST(frame_hand_over_needs_a_holder_and_something_that_keeps_the_page) {
    pfn_t pfn = one_page();
    expect_panic(
        "frame_hand_over(page 0x*): only a page that is held, and mapped or pinned, *: it is held by palloc's caller",
        frame_hand_over(pfn));
    expect_equal(frame_pin(pfn), 0);
    frame_hand_over(pfn);
    expect_panic("frame_hand_over(page 0x*): *: it is kept by mappings, mapped 0 times *, pinned 1 times",
                 frame_hand_over(pfn));
    frame_unpin(pfn);
    expect(is_free(pfn));
}

TEST(palloc_reclaim_takes_the_loaders_pages_only) {
    pfn_t pfn = one_page();
    expect_panic("palloc_reclaim(page 0x*, 1 pages): page 0x* isn't the loader's: it is held by palloc's caller",
                 palloc_reclaim(pfn, 1));
    pfree(pfn, 1);
    expect_panic("palloc_reclaim(page 0x*, 1 pages): page 0x* isn't the loader's: it is free*", palloc_reclaim(pfn, 1));
    expect_panic("palloc_reclaim(page 0x0, 1 pages): page 0x0 isn't the loader's: it is never ours *",
                 palloc_reclaim(0, 1));
    expect_panic("palloc_reclaim(page 0xffffffff, 2 pages): page 0xffffffff isn't the loader's: *",
                 palloc_reclaim(UINT32_MAX, 2));
}

/* --- Counts ------------------------------------------------------------------------------------------------------- */

TEST(frame_count_sums_to_all_pages) {
    size_t pages[FRAME_OWNERS], sum = 0;
    pfn_t pfn = one_page();
    frame_own(pfn, FRAME_HEAP);
    frame_count(pages);
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        sum += pages[i];
    struct palloc_stats stats;
    palloc_stats(&stats);
    expect_equal(sum, stats.total);
    expect(pages[FRAME_HEAP] >= 1);
    expect_equal(pages[FRAME_NOT_RAM], 0);
    expect_equal(pages[FRAME_FREE], stats.free + stats.cached);
    frame_audit();
    frame_disown(pfn, FRAME_HEAP);
}

TEST(frame_owner_names_are_known) {
    expect(frame_owner_name(FRAME_HEAP)[0] == 'h');
    expect(frame_owner_name((enum frame_owner)FRAME_OWNERS)[0] == 'u');
}
