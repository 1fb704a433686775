/* Areas that move, and what a task says of its pages. */
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/lease.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <tests/test.h>

enum { PLACE = 0x40000000, FAR = 0x50000000 };

static const unsigned read_write = AREA_READ | AREA_WRITE;

static struct context *task;

static void begin(void) {
    task = context_create("move test");
    expect(task != NULL);
}

static void end(void) {
    audit_all();
    area_clear(task);
    context_destroy(task);
    expect_equal(reserve_pages(), 0);
}

static int map_at(uintptr_t address, size_t pages, unsigned rights) {
    struct area_request request = { .address = address, .pages = pages, .rights = rights, .fixed = true };
    uintptr_t got;
    return area_map(task, &request, &got);
}

static uintptr_t page_at(unsigned index) {
    return PLACE + index * PAGE_SIZE;
}

static void write_word(uintptr_t address, uint32_t word) {
    expect_equal(copy_to_task(task, address, &word, sizeof(word), NULL), 0);
}

static uint32_t read_word(uintptr_t address) {
    uint32_t word = 0xdeadbeef;
    expect_equal(copy_from_task(task, &word, address, sizeof(word), NULL), 0);
    return word;
}

static pfn_t pfn_at(uintptr_t address) {
    struct paging_entry entry;
    return paging_find(&task->tables, address, &entry) ? entry.pfn : PFN_NONE;
}

static int move(uintptr_t old, size_t old_pages, size_t pages, bool may_move, uintptr_t *got) {
    struct area_move wish = { .old = old, .old_pages = old_pages, .pages = pages, .may_move = may_move };
    return area_move(task, &wish, got);
}

static int move_to(uintptr_t old, size_t old_pages, size_t pages, uintptr_t to) {
    struct area_move wish = { .old = old, .old_pages = old_pages, .pages = pages, .fixed = true, .address = to };
    uintptr_t got = 0;
    int error = area_move(task, &wish, &got);
    expect(error != 0 || got == to);
    return error;
}

TEST(area_move_shrinks_and_grows_where_it_is) {
    uintptr_t got;
    begin();
    expect_equal(map_at(PLACE, 4, read_write), 0);
    write_word(page_at(1), 1);
    write_word(page_at(3), 3);
    expect(move(PLACE, 4, 2, false, &got) == 0 && got == PLACE);
    expect_equal(reserve_pages(), 1);
    expect(move(PLACE, 2, 6, false, &got) == 0 && got == PLACE);
    expect_equal(task->ranges.ranges, 1);
    expect_equal(reserve_pages(), 5);
    expect_equal(read_word(page_at(1)), 1);
    expect_equal(read_word(page_at(3)), 0);
    end();
}

TEST(area_move_takes_the_pages_themselves_and_their_promises) {
    uintptr_t got;
    begin();
    expect_equal(map_at(PLACE, 4, read_write), 0);
    expect_equal(map_at(page_at(4), 1, AREA_READ), 0);
    write_word(page_at(0), 10);
    write_word(page_at(2), 12);
    pfn_t pfn = pfn_at(page_at(2));
    expect_equal(move(PLACE, 4, 6, false, &got), ERR_NO_SPACE);
    expect_equal(reserve_pages(), 3);
    expect_equal(move(PLACE, 4, 6, true, &got), 0);
    expect(got != PLACE);
    expect_equal(pfn_at(got + 2 * PAGE_SIZE), pfn);
    expect_equal(frame_get(pfn).mappings, 1);
    expect_equal(reserve_pages(), 5);
    expect_equal(read_word(got), 10);
    expect_equal(read_word(got + PAGE_SIZE), 0);
    write_word(got + 5 * PAGE_SIZE, 15);
    expect_equal(area_fault(task, PLACE, AREA_READ), ERR_FAULT);
    end();
}

TEST(area_move_to_a_fixed_place_replaces_what_is_there) {
    begin();
    expect_equal(map_at(PLACE, 6, read_write), 0);
    expect_equal(map_at(FAR - PAGE_SIZE, 4, read_write), 0);
    for (unsigned i = 0; i < 6; i++)
        write_word(page_at(i), i);
    write_word(FAR - PAGE_SIZE, 99);
    write_word(FAR, 100);
    expect_equal(move_to(page_at(2), 3, 2, FAR), 0);
    expect_equal(read_word(FAR), 2);
    expect_equal(read_word(FAR + PAGE_SIZE), 3);
    expect_equal(read_word(FAR + 2 * PAGE_SIZE), 0);
    expect_equal(read_word(FAR - PAGE_SIZE), 99);
    expect_equal(area_fault(task, page_at(4), AREA_READ), ERR_FAULT);
    expect_equal(read_word(page_at(5)), 5);
    end();
}

TEST(area_move_refuses_what_makes_no_sense) {
    uintptr_t got = 1;
    begin();
    expect_equal(map_at(PLACE, 4, read_write), 0);
    expect_equal(map_at(page_at(4), 4, AREA_READ), 0);
    expect_equal(move(PLACE, 4, 0, true, &got), ERR_INVALID);
    expect_equal(move(PLACE + 1, 4, 5, true, &got), ERR_INVALID);
    expect_equal(move(PLACE, 5, 6, true, &got), ERR_FAULT);
    expect_equal(move(page_at(8), 1, 1, true, &got), ERR_FAULT);
    expect_equal(move_to(PLACE, 4, 4, page_at(3)), ERR_INVALID);
    expect_equal(move_to(page_at(1), 2, 3, PLACE), ERR_INVALID);
    expect_equal(move_to(PLACE, 1, 2, GEOMETRY_TASK_END - PAGE_SIZE), ERR_INVALID);
    expect_equal(move(PLACE, 4, UINTPTR_MAX >> PAGE_SHIFT, true, &got), ERR_NO_SPACE);
    expect_equal(got, 1);
    end();
}

TEST(area_move_keeps_copies_apart) {
    uintptr_t got;
    begin();
    struct context *copy = context_create("copy");
    expect_equal(map_at(PLACE, 2, read_write), 0);
    write_word(PLACE, 1);
    expect_equal(area_copy(task, copy), 0);
    expect_equal(move_to(PLACE, 2, 3, FAR), 0);
    audit_all();
    write_word(FAR, 2);
    uint32_t word = 0;
    expect(copy_from_task(copy, &word, PLACE, sizeof(word), NULL) == 0 && word == 1);
    expect_equal(move(FAR, 3, 1, false, &got), 0);
    area_clear(copy);
    context_destroy(copy);
    end();
}

TEST(area_move_leaves_a_lease_what_it_shows) {
    struct lease *lease;
    begin();
    expect_equal(map_at(PLACE, 2, read_write), 0);
    expect_equal(lease_open(task, PLACE, 8, LEASE_WRITE, &lease), 0);
    volatile uint32_t *word = (uint32_t *)lease->info.pointer;
    *word = 7;
    expect_equal(move_to(PLACE, 2, 2, FAR), 0);
    expect_equal(read_word(FAR), 7);
    *word = 8;
    expect_equal(read_word(FAR), 8);
    lease_close(lease);
    end();
}

/* A table goes with its last entry, and the neighbour's promise with it, if nobody looks. */
TEST(area_unmap_leaves_the_tables_that_a_neighbour_was_promised) {
    begin();
    expect(map_at(PLACE, 2, read_write) == 0 && map_at(page_at(3), 2, read_write) == 0);
    write_word(PLACE, 1);
    size_t tables = task->tables.tables;
    expect_equal(area_unmap(task, PLACE, 2), 0);
    expect_equal(task->tables.tables, tables);
    expect_equal(area_unmap(task, page_at(3), 2), 0);
    expect(task->tables.tables < tables);
    end();
}

/* --- Advice ------------------------------------------------------------------------------------------------------- */

TEST(area_discard_gives_zeroes_and_keeps_the_promise) {
    begin();
    expect_equal(map_at(PLACE, 4, read_write), 0);
    write_word(page_at(1), 1);
    write_word(page_at(3), 3);
    expect_equal(area_discard(task, PLACE, 3), 0);
    expect_equal(read_word(page_at(1)), 0);
    expect_equal(read_word(page_at(3)), 3);
    audit_all();
    expect_equal(area_discard(task, PLACE, 5), ERR_NO_SPACE);
    expect_equal(read_word(page_at(3)), 0);
    expect_equal(area_discard(task, PLACE, 0), ERR_INVALID);
    end();
}

TEST(area_discard_of_a_copied_or_leased_page_leaves_the_others_theirs) {
    struct lease *lease;
    begin();
    struct context *copy = context_create("copy");
    expect_equal(map_at(PLACE, 2, read_write), 0);
    write_word(page_at(0), 1);
    write_word(page_at(1), 2);
    expect_equal(lease_open(task, page_at(1), 4, LEASE_READ, &lease), 0);
    expect_equal(area_copy(task, copy), 0);
    expect_equal(area_discard(task, PLACE, 2), 0);
    audit_all();
    expect(read_word(page_at(0)) == 0 && read_word(page_at(1)) == 0);
    uint32_t word = 0;
    expect(copy_from_task(copy, &word, page_at(0), sizeof(word), NULL) == 0 && word == 1);
    expect_equal(*(uint32_t *)lease->info.pointer, 2);
    lease_close(lease);
    area_clear(copy);
    context_destroy(copy);
    end();
}

TEST(area_discard_gives_unreserved_pages_back_and_leaves_shared_ones) {
    uintptr_t got;
    begin();
    struct area_request request = {
        .address = PLACE, .pages = 2, .rights = read_write, .fixed = true, .unreserved = true
    };
    expect_equal(area_map(task, &request, &got), 0);
    write_word(PLACE, 1);
    expect_equal(area_discard(task, PLACE, 2), 0);
    expect_equal(paging_count(&task->tables, PLACE, 2), 0);
    expect_equal(read_word(PLACE), 0);
    request.address = FAR;
    request.unreserved = false;
    request.shared = true;
    expect_equal(area_map(task, &request, &got), 0);
    write_word(FAR, 5);
    expect_equal(area_discard(task, FAR, 2), 0);
    expect_equal(read_word(FAR), 5);
    end();
}

TEST(area_populate_and_resident_agree) {
    uint8_t resident[4];
    begin();
    expect_equal(map_at(PLACE, 4, read_write), 0);
    write_word(page_at(2), 1);
    expect_equal(area_resident(task, PLACE, 4, resident), 0);
    expect(resident[0] == 0 && resident[1] == 0 && resident[2] == 1 && resident[3] == 0);
    expect_equal(area_populate(task, PLACE, 4), 0);
    expect_equal(paging_count(&task->tables, PLACE, 4), 4);
    expect_equal(reserve_pages(), 0);
    expect_equal(area_resident(task, page_at(3), 2, resident), ERR_NO_SPACE);
    expect_equal(area_populate(task, page_at(3), 2), ERR_NO_SPACE);
    expect_equal(map_at(page_at(4), 1, 0), 0);
    expect_equal(area_populate(task, page_at(3), 2), ERR_FAULT);
    expect(area_covers(task, PLACE, 5) && !area_covers(task, PLACE, 6));
    area_populate_all(task);
    end();
}
