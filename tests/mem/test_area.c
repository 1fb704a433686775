/* A task's memory, seen by what the kernel reads and writes of it. */
#include <base/config.h>
#include <base/string.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/lease.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { PLACE = 0x40000000 };

static const unsigned read_write = AREA_READ | AREA_WRITE;

static struct context *task, *copy;

static void begin(void) {
    task = context_create("area test");
    expect(task != NULL);
}

static void end(void) {
    area_clear(task);
    context_destroy(task);
    expect_equal(reserve_pages(), 0);
}

static int map_at(uintptr_t address, size_t pages, unsigned rights) {
    struct area_request request = { .address = address, .pages = pages, .rights = rights, .fixed = true };
    uintptr_t got = 0;
    int error = area_map(task, &request, &got);
    expect(error != 0 || got == address);
    return error;
}

static int write_word(struct context *context, uintptr_t address, uint32_t word) {
    return copy_to_task(context, address, &word, sizeof(word), NULL);
}

static uint32_t read_word(struct context *context, uintptr_t address) {
    uint32_t word = 0xdeadbeef;
    expect(copy_from_task(context, &word, address, sizeof(word), NULL) == 0);
    return word;
}

static uintptr_t page_at(unsigned index) {
    return PLACE + index * PAGE_SIZE;
}

TEST(area_pages_appear_zeroed_when_they_are_touched) {
    begin();
    expect(map_at(PLACE, 10, read_write) == 0);
    expect_equal(paging_count(&task->tables, PLACE, 10), 0);
    expect_equal(reserve_pages(), 10);
    expect_equal(read_word(task, page_at(3) + 8), 0);
    expect(write_word(task, page_at(5) - 2, 0x12345678) == 0);
    expect_equal(read_word(task, page_at(5) - 2), 0x12345678);
    expect_equal(paging_count(&task->tables, PLACE, 10), 3);
    expect_equal(reserve_pages(), 7);
    end();
}

TEST(area_refuses_what_its_rights_do_not_allow) {
    begin();
    expect(map_at(PLACE, 1, AREA_READ) == 0);
    expect(map_at(page_at(1), 1, 0) == 0);
    expect_equal(write_word(task, PLACE, 1), ERR_FAULT);
    expect_equal(area_fault(task, PLACE, AREA_EXECUTE), ERR_FAULT);
    expect_equal(area_fault(task, page_at(1), AREA_READ), ERR_FAULT);
    expect_equal(area_fault(task, page_at(2), AREA_READ), ERR_FAULT);
    expect_equal(area_fault(task, UINTPTR_MAX, AREA_READ), ERR_FAULT);
    expect_equal(map_at(page_at(2), 1, AREA_WRITE | AREA_EXECUTE), ERR_REFUSED);
    expect_equal(area_protect(task, PLACE, 1, AREA_WRITE | AREA_EXECUTE), ERR_REFUSED);
    end();
}

TEST(area_checks_runs_that_wrap_or_pass_the_end) {
    char byte;
    begin();
    expect(map_at(PLACE, 1, read_write) == 0);
    expect_equal(map_at(PLACE, UINTPTR_MAX >> PAGE_SHIFT, read_write), ERR_INVALID);
    expect_equal(map_at(0, 1, read_write), ERR_INVALID);
    expect_equal(map_at(GEOMETRY_TASK_END - PAGE_SIZE, 2, read_write), ERR_INVALID);
    expect_equal(area_unmap(task, PLACE, 0), ERR_INVALID);
    expect_equal(area_unmap(task, PLACE, UINTPTR_MAX >> PAGE_SHIFT), ERR_INVALID);
    expect_equal(area_unmap(task, PLACE + 1, 1), ERR_INVALID);
    expect_equal(copy_from_task(task, &byte, PLACE, UINTPTR_MAX, NULL), ERR_FAULT);
    expect_equal(copy_from_task(task, &byte, UINTPTR_MAX, 2, NULL), ERR_FAULT);
    end();
}

TEST(area_unmap_takes_parts_of_several_areas_and_the_holes_between) {
    begin();
    expect(map_at(page_at(0), 4, read_write) == 0);
    expect(map_at(page_at(6), 4, AREA_READ) == 0);
    expect(map_at(page_at(12), 4, read_write) == 0);
    expect(write_word(task, page_at(1), 1) == 0 && write_word(task, page_at(14), 2) == 0);
    expect(area_unmap(task, page_at(2), 12) == 0);
    expect_equal(task->ranges.ranges, 2);
    expect_equal(task->ranges.pages, 4);
    expect_equal(read_word(task, page_at(1)), 1);
    expect_equal(read_word(task, page_at(14)), 2);
    expect_equal(area_fault(task, page_at(2), AREA_READ), ERR_FAULT);
    expect_equal(reserve_pages(), 2);
    expect(area_unmap(task, page_at(0), 16) == 0);
    expect_equal(task->ranges.ranges, 0);
    end();
}

TEST(area_unmap_of_a_middle_leaves_both_ends) {
    begin();
    expect(map_at(PLACE, 5, read_write) == 0);
    for (unsigned i = 0; i < 5; i++)
        expect(write_word(task, page_at(i), i) == 0);
    expect(area_unmap(task, page_at(2), 1) == 0);
    expect_equal(task->ranges.ranges, 2);
    expect_equal(read_word(task, page_at(1)), 1);
    expect_equal(read_word(task, page_at(3)), 3);
    expect(map_at(page_at(2), 1, read_write) == 0);
    expect_equal(task->ranges.ranges, 1);
    expect_equal(read_word(task, page_at(2)), 0);
    end();
}

TEST(area_protect_splits_and_joins_again) {
    begin();
    expect(map_at(PLACE, 6, read_write) == 0);
    expect(write_word(task, page_at(2), 7) == 0);
    expect(area_protect(task, page_at(2), 2, AREA_READ) == 0);
    expect_equal(task->ranges.ranges, 3);
    expect_equal(write_word(task, page_at(2), 8), ERR_FAULT);
    expect_equal(write_word(task, page_at(3), 8), ERR_FAULT);
    expect(write_word(task, page_at(4), 8) == 0);
    expect_equal(read_word(task, page_at(2)), 7);
    expect(area_protect(task, page_at(1), 4, read_write) == 0);
    expect_equal(task->ranges.ranges, 1);
    expect(write_word(task, page_at(2), 9) == 0);
    expect_equal(area_protect(task, page_at(5), 2, AREA_READ), ERR_NO_MEMORY);
    expect_equal(task->ranges.ranges, 1);
    end();
}

TEST(area_without_rights_keeps_its_bytes_and_promises_nothing_before) {
    begin();
    expect(map_at(PLACE, 3, 0) == 0);
    expect_equal(reserve_pages(), 0);
    expect(area_protect(task, page_at(0), 2, read_write) == 0);
    expect_equal(reserve_pages(), 2);
    expect(write_word(task, page_at(1), 5) == 0);
    expect(area_protect(task, page_at(1), 1, 0) == 0);
    expect_equal(area_fault(task, page_at(1), AREA_READ), ERR_FAULT);
    expect(area_protect(task, page_at(1), 1, AREA_READ) == 0);
    expect_equal(read_word(task, page_at(1)), 5);
    end();
}

TEST(area_can_be_executed_only_once_nothing_can_write_it) {
    begin();
    expect(map_at(PLACE, 1, read_write) == 0);
    expect(write_word(task, PLACE, 0xc3) == 0);
    struct paging_entry entry;
    expect(paging_find(&task->tables, PLACE, &entry));
    void *alias = valloc(1, context_kernel());
    expect(paging_map(&context_kernel()->tables, (uintptr_t)alias, entry.pfn, 1, PAGE_WRITE) == 0);
    expect_equal(area_protect(task, PLACE, 1, AREA_EXECUTE), ERR_REFUSED);
    vfree(page_number((uintptr_t)alias), 1);
    expect(area_protect(task, PLACE, 1, AREA_EXECUTE) == 0);
    expect_equal(area_fault(task, PLACE, AREA_EXECUTE), 0);
    expect_equal(write_word(task, PLACE, 0), ERR_FAULT);
    end();
}

TEST(area_promises_no_more_than_there_is) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    size_t more = stats.total + 1;
    if (more > ((size_t)1 << 18))
        test_skip("promising all of more than 1 GiB takes long");
    begin();
    uint64_t before = audit_hash();
    expect_equal(map_at(PLACE, more, read_write), ERR_NO_MEMORY);
    expect(audit_hash() == before);
    struct area_request request = { .pages = more, .rights = read_write, .unreserved = true };
    uintptr_t address;
    expect_equal(area_map(task, &request, &address), 0);
    expect(write_word(task, address + (more - 1) * PAGE_SIZE, 1) == 0);
    end();
}

/* --- Copies ------------------------------------------------------------------------------------------------------- */

static void begin_copy(void) {
    begin();
    copy = context_create("copy");
    expect(copy != NULL);
}

static void end_copy(void) {
    area_clear(copy);
    context_destroy(copy);
}

TEST(area_copy_gives_each_its_own_after_a_write) {
    begin_copy();
    expect(map_at(PLACE, 4, read_write) == 0);
    expect(write_word(task, page_at(0), 10) == 0 && write_word(task, page_at(1), 11) == 0);
    expect(area_copy(task, copy) == 0);
    expect_equal(reserve_pages(), 2 + 4);
    expect(write_word(task, page_at(0), 20) == 0);
    expect(write_word(copy, page_at(1), 21) == 0);
    expect(write_word(copy, page_at(2), 22) == 0);
    expect_equal(reserve_pages(), 3);
    expect_equal(read_word(task, page_at(0)), 20);
    expect_equal(read_word(copy, page_at(0)), 10);
    expect_equal(read_word(task, page_at(1)), 11);
    expect_equal(read_word(copy, page_at(1)), 21);
    expect_equal(read_word(task, page_at(2)), 0);
    end_copy();
    expect_equal(read_word(task, page_at(0)), 20);
    expect_equal(read_word(task, page_at(1)), 11);
    end();
}

TEST(area_copy_is_exact_whoever_ends_first) {
    for (unsigned order = 0; order < 2; order++) {
        begin_copy();
        expect(map_at(PLACE, 3, read_write) == 0);
        expect(write_word(task, page_at(0), 1) == 0 && write_word(task, page_at(1), 2) == 0);
        expect(area_copy(task, copy) == 0);
        expect(write_word(task, page_at(1), 3) == 0);
        struct context *first = order == 0 ? task : copy, *last = order == 0 ? copy : task;
        area_clear(first);
        expect_equal(reserve_pages(), 1);
        expect(write_word(last, page_at(0), 4) == 0);
        expect_equal(reserve_pages(), 1);
        expect_equal(read_word(last, page_at(1)), order == 0 ? 2 : 3);
        end_copy();
        end();
    }
}

TEST(area_copy_keeps_shared_pages_shared) {
    begin_copy();
    struct area_request request = { .address = PLACE, .pages = 2, .rights = read_write, .fixed = true, .shared = true };
    uintptr_t address;
    expect(area_map(task, &request, &address) == 0);
    expect(area_copy(task, copy) == 0);
    expect(write_word(task, page_at(1), 77) == 0);
    expect_equal(read_word(copy, page_at(1)), 77);
    expect(write_word(copy, page_at(0), 78) == 0);
    expect_equal(read_word(task, page_at(0)), 78);
    end_copy();
    end();
}

TEST(area_copy_of_code_is_one_page_for_both) {
    struct paging_entry entry, copied;
    begin_copy();
    expect(map_at(PLACE, 1, read_write) == 0);
    expect(write_word(task, PLACE, 0xc3) == 0);
    expect(area_protect(task, PLACE, 1, AREA_EXECUTE) == 0);
    expect(area_copy(task, copy) == 0);
    expect(paging_find(&task->tables, PLACE, &entry) && paging_find(&copy->tables, PLACE, &copied));
    expect_equal(entry.pfn, copied.pfn);
    expect_equal(area_fault(copy, PLACE, AREA_EXECUTE), 0);
    expect(area_protect(copy, PLACE, 1, read_write) == 0);
    expect(write_word(copy, PLACE, 1) == 0);
    expect_equal(read_word(task, PLACE), 0xc3);
    end_copy();
    end();
}

/* --- Stacks and texts --------------------------------------------------------------------------------------------- */

TEST(area_stack_grows_down_to_its_limit_and_leaves_a_page_free_below) {
    begin();
    struct area_request request = {
        .address = page_at(20), .pages = 2, .rights = read_write, .fixed = true, .stack = true
    };
    uintptr_t address;
    expect(area_map(task, &request, &address) == 0);
    expect_equal(area_grow(task, page_at(18), 6), 0);
    expect(write_word(task, page_at(18), 1) == 0);
    expect_equal(task->ranges.ranges, 1);
    expect_equal(area_grow(task, page_at(15), 6), ERR_FAULT);
    expect(map_at(page_at(14), 2, read_write) == 0);
    expect_equal(area_grow(task, page_at(16), 100), ERR_FAULT);
    expect_equal(area_grow(task, page_at(17), 100), 0);
    end();
}

TEST(area_reads_a_text_up_to_the_end_of_what_is_mapped) {
    char text[64];
    begin();
    expect(map_at(PLACE, 1, read_write) == 0);
    expect(copy_to_task(task, page_at(1) - 6, "hello", 6, NULL) == 0);
    expect_equal(string_from_task(task, text, page_at(1) - 6, sizeof(text)), 5);
    expect(string_equal(text, "hello"));
    expect_equal(string_from_task(task, text, page_at(1) - 6, 5), ERR_LIMIT);
    expect(copy_to_task(task, page_at(1) - 6, "hello!", 6, NULL) == 0);
    expect_equal(string_from_task(task, text, page_at(1) - 6, sizeof(text)), ERR_FAULT);
    end();
}

/* --- Leases ------------------------------------------------------------------------------------------------------- */

static struct lease *lease_at(uintptr_t address, size_t bytes, enum lease_access access) {
    struct lease *lease = NULL;
    expect(lease_open(task, address, bytes, access, &lease) == 0);
    return lease;
}

TEST(area_lease_shows_pages_that_were_not_there_yet) {
    begin();
    expect(map_at(PLACE, 3, read_write) == 0);
    struct lease *lease = lease_at(page_at(1) - 8, 16, LEASE_WRITE);
    uint32_t *words = (uint32_t *)lease->info.pointer;
    expect_equal(words[0], 0);
    words[1] = 11;
    words[2] = 22;
    expect_equal(read_word(task, page_at(1) - 4), 11);
    expect_equal(read_word(task, page_at(1)), 22);
    expect(write_word(task, page_at(1), 33) == 0);
    expect_equal(words[2], 33);
    lease_close(lease);
    end();
}

TEST(area_lease_refuses_what_the_task_may_not_touch) {
    struct lease *lease;
    begin();
    expect(map_at(PLACE, 1, AREA_READ) == 0);
    expect_equal(lease_open(task, PLACE, 4, LEASE_WRITE, &lease), ERR_FAULT);
    expect_equal(lease_open(task, PLACE, PAGE_SIZE + 1, LEASE_READ, &lease), ERR_FAULT);
    expect_equal(lease_open(task, UINTPTR_MAX, 2, LEASE_READ, &lease), ERR_INVALID);
    expect_equal(lease_open(task, PLACE, 0, LEASE_READ, &lease), ERR_INVALID);
    end();
}

TEST(area_lease_outlives_the_areas_it_is_on) {
    begin();
    expect(map_at(PLACE, 2, read_write) == 0);
    expect(write_word(task, PLACE, 5) == 0);
    struct lease *lease = lease_at(PLACE, 4, LEASE_READ);
    area_clear(task);
    expect_equal(reserve_pages(), 0);
    expect(map_at(PLACE, 1, read_write) == 0);
    expect_equal(read_word(task, PLACE), 0);
    expect_equal(*(uint32_t *)lease->info.pointer, 5);
    lease_close(lease);
    end();
}

TEST(area_copy_gives_a_copy_of_what_is_leased) {
    begin_copy();
    expect(map_at(PLACE, 2, read_write) == 0);
    struct lease *lease = lease_at(PLACE, 4, LEASE_WRITE);
    uint32_t *word = (uint32_t *)lease->info.pointer;
    *word = 1;
    expect(area_copy(task, copy) == 0);
    *word = 2;
    expect_equal(read_word(task, PLACE), 2);
    expect_equal(read_word(copy, PLACE), 1);
    expect(write_word(task, PLACE, 3) == 0);
    expect_equal(*word, 3);
    expect(write_word(copy, PLACE, 4) == 0);
    expect_equal(read_word(task, PLACE), 3);
    lease_close(lease);
    end_copy();
    end();
}
