/* Copies between the kernel and a task: what is refused, and exactly how much was copied before. */
#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { PLACE = 0x40000000, PAGES = 4 };

static struct context *task;
static uint8_t buffer[PAGES * PAGE_SIZE + 16];

static void begin(void) {
    struct area_request request = { .address = PLACE, .pages = PAGES, .rights = AREA_READ | AREA_WRITE, .fixed = true };
    uintptr_t got;
    task = context_create("copied");
    expect(task != NULL && area_map(task, &request, &got) == 0);
    for (size_t i = 0; i < sizeof(buffer); i++)
        buffer[i] = (uint8_t)(i * 7 + 1);
}

static void end(void) {
    area_clear(task);
    context_destroy(task);
    expect_equal(reserve_pages(), 0);
}

static void expect_copy(int (*copy)(uintptr_t, size_t, size_t *), uintptr_t at, size_t bytes, int error, size_t done) {
    size_t copied = 12345;
    expect_equal(copy(at, bytes, &copied), error);
    expect_equal(copied, done);
}

static int read_from(uintptr_t at, size_t bytes, size_t *copied) {
    return copy_from_task(task, buffer, at, bytes, copied);
}

static int write_to(uintptr_t at, size_t bytes, size_t *copied) {
    return copy_to_task(task, at, buffer, bytes, copied);
}

TEST(bytes_go_to_a_task_and_back_at_any_alignment) {
    begin();
    for (size_t offset = 0; offset < 4; offset++)
        for (size_t bytes = 0; bytes < 3 * PAGE_SIZE - 3; bytes = bytes * 3 + 1) {
            uint8_t back[3 * PAGE_SIZE];
            uintptr_t at = PLACE + PAGE_SIZE - 2 + offset;
            expect_copy(write_to, at, bytes, 0, bytes);
            expect_equal(copy_from_task(task, back, at, bytes, NULL), 0);
            expect(memcmp(back, buffer, bytes) == 0);
        }
    end();
}

TEST(a_short_copy_says_how_many_bytes_were_copied) {
    begin();
    expect_equal(area_unmap(task, PLACE + 2 * PAGE_SIZE, 1), 0);
    expect_copy(read_from, PLACE + 100, 3 * PAGE_SIZE, ERR_FAULT, 2 * PAGE_SIZE - 100);
    expect_copy(write_to, PLACE + 2 * PAGE_SIZE - 1, 2, ERR_FAULT, 1);
    expect_copy(write_to, PLACE + 2 * PAGE_SIZE, 2, ERR_FAULT, 0);
    expect_copy(read_from, PLACE + 4 * PAGE_SIZE - 5, 6, ERR_FAULT, 5);
    expect_copy(read_from, PLACE - 1, 2, ERR_FAULT, 0);
    expect_copy(read_from, PLACE - 1, 0, 0, 0);
    uint8_t before[8], after[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    memcpy(before, after, sizeof(after));
    expect_equal(copy_from_task(task, after, PLACE + 2 * PAGE_SIZE - 3, 8, NULL), ERR_FAULT);
    expect(memcmp(before + 3, after + 3, 5) == 0); /* and no other */
    end();
}

TEST(a_copy_that_wraps_copies_nothing) {
    begin();
    expect_copy(read_from, PLACE, SIZE_MAX, ERR_FAULT, 0);
    expect_copy(write_to, PLACE, (size_t)0 - PLACE + 1, ERR_FAULT, 0);
    expect_copy(read_from, UINTPTR_MAX, 2, ERR_FAULT, 0);
    expect_copy(read_from, UINTPTR_MAX, 1, ERR_FAULT, 0);
    end();
}

TEST(rights_are_checked_for_every_page_of_a_copy) {
    begin();
    expect_copy(write_to, PLACE, PAGES * PAGE_SIZE, 0, PAGES * PAGE_SIZE);
    expect_equal(area_protect(task, PLACE + PAGE_SIZE, 1, AREA_READ), 0);
    expect_equal(area_protect(task, PLACE + 3 * PAGE_SIZE, 1, 0), 0);
    expect_copy(write_to, PLACE, PAGES * PAGE_SIZE, ERR_FAULT, PAGE_SIZE);
    expect_copy(read_from, PLACE, PAGES * PAGE_SIZE, ERR_FAULT, 3 * PAGE_SIZE);
    expect_equal(copy_from_task(context_kernel(), buffer, (uintptr_t)buffer, 1, NULL), ERR_FAULT);
    end();
}

TEST(a_copy_reaches_memory_from_pvalloc_too) {
    begin();
    uintptr_t memory = (uintptr_t)pvalloc(2, task);
    expect(memory != 0);
    expect_copy(write_to, memory + 5, 2 * PAGE_SIZE - 5, 0, 2 * PAGE_SIZE - 5);
    expect_copy(write_to, memory + 5, 2 * PAGE_SIZE, ERR_FAULT, 2 * PAGE_SIZE - 5);
    expect_equal(pvfree_in(task, page_number(memory), 2), 0);
    end();
}

TEST(a_copy_to_a_task_after_a_fork_leaves_the_childs_bytes) {
    begin();
    expect_copy(write_to, PLACE, 10, 0, 10);
    struct context *child = context_create("child");
    expect(child != NULL && area_copy(task, child) == 0);
    uint8_t other[10] = { 0 }, seen[10];
    expect_equal(copy_to_task(task, PLACE, other, 10, NULL), 0);
    expect_equal(copy_from_task(child, seen, PLACE, 10, NULL), 0);
    expect(memcmp(seen, buffer, 10) == 0);
    area_clear(child);
    context_destroy(child);
    end();
}

TEST(a_copy_that_finds_no_memory_says_how_far_it_came) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    begin();
    area_clear(task);
    struct area_request request = {
        .address = PLACE, .pages = PAGES, .rights = AREA_READ | AREA_WRITE, .fixed = true, .unreserved = true
    };
    uintptr_t got;
    expect_equal(area_map(task, &request, &got), 0);
    expect_copy(write_to, PLACE, 1, 0, 1);
    fail_arm(1);
    expect_copy(write_to, PLACE + 10, 2 * PAGE_SIZE, ERR_NO_MEMORY, PAGE_SIZE - 10);
    fail_arm(0);
    expect_copy(write_to, PLACE + 10, 2 * PAGE_SIZE, 0, 2 * PAGE_SIZE);
    audit_all();
    end();
}

TEST(a_string_ends_at_its_zero_or_at_the_room) {
    begin();
    char text[16];
    uintptr_t last = PLACE + PAGES * PAGE_SIZE;
    expect_equal(copy_to_task(task, last - 6, "hello", 6, NULL), 0);
    expect_equal(string_from_task(task, text, last - 6, sizeof(text)), 5);
    expect(string_equal(text, "hello"));
    expect_equal(string_from_task(task, text, last - 6, 6), 5);
    expect_equal(string_from_task(task, text, last - 6, 5), ERR_LIMIT);
    expect_equal(string_from_task(task, text, last - 6, 0), ERR_LIMIT);
    expect_equal(copy_to_task(task, last - 6, "hello!", 6, NULL), 0);
    expect_equal(string_from_task(task, text, last - 6, sizeof(text)), ERR_FAULT);
    expect_equal(string_from_task(task, text, last - 6, 6), ERR_LIMIT);
    expect_equal(copy_to_task(task, PLACE + PAGE_SIZE - 3, "across", 7, NULL), 0);
    expect_equal(string_from_task(task, text, PLACE + PAGE_SIZE - 3, sizeof(text)), 6);
    expect(string_equal(text, "across"));
    expect_equal(string_from_task(task, text, UINTPTR_MAX, sizeof(text)), ERR_FAULT);
    end();
}
