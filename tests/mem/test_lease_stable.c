/* Stable leases: nobody can change what they show, the copy that the task may need is promised at the opening, and the
 * promise is given back whoever goes first. Each test ends with no page promised and no page lost. */
#include <base/string.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/lease.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { PLACE = 0x40000000, PAGES = 4 };

static const unsigned read_write = AREA_READ | AREA_WRITE;

static struct context *task, *child;

static void map(struct context *context, unsigned rights, bool shared, bool unreserved) {
    struct area_request request = {
        .address = PLACE, .pages = PAGES, .rights = rights, .fixed = true, .shared = shared, .unreserved = unreserved
    };
    uintptr_t got;
    expect_equal(area_map(context, &request, &got), 0);
}

static void begin(unsigned rights, bool shared) {
    task = context_create("parent");
    child = NULL;
    expect(task != NULL);
    map(task, rights, shared, false);
}

static void end_context(struct context **context) {
    if (*context == NULL)
        return;
    area_clear(*context);
    context_destroy(*context);
    *context = NULL;
}

static void end(void) {
    end_context(&task);
    end_context(&child);
    expect_equal(reserve_pages(), 0);
    audit_all();
}

static void fork_task(void) {
    child = context_create("child");
    expect(child != NULL);
    expect_equal(area_copy(task, child), 0);
}

static volatile char *open_stable(size_t bytes, uint32_t copied, struct lease **lease) {
    expect_equal(lease_open(task, PLACE + 10, bytes, LEASE_STABLE, lease), 0);
    expect_equal((*lease)->info.copied, copied);
    audit_all();
    return (volatile char *)(*lease)->info.pointer;
}

static char byte_of(struct context *context, uintptr_t offset) {
    char byte;
    expect_equal(copy_from_task(context, &byte, PLACE + offset, 1, NULL), 0);
    return byte;
}

static void write_byte(struct context *context, uintptr_t offset, char byte) {
    expect_equal(copy_to_task(context, PLACE + offset, &byte, 1, NULL), 0);
    audit_all();
}

TEST(a_stable_lease_shows_what_was_there_at_the_opening) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_stable(2 * PAGE_SIZE, 0, &lease);
    expect_equal(bytes[0], 'a');
    expect_equal(reserve_pages(), PAGES);
    write_byte(task, 10, 'b');
    expect_equal(bytes[0], 'a');
    expect_equal(byte_of(task, 10), 'b');
    expect_equal(reserve_pages(), PAGES - 1);
    lease_close(lease);
    expect_equal(reserve_pages(), 1);
    write_byte(task, 10 + PAGE_SIZE, 'c');
    expect_equal(reserve_pages(), 1);
    end();
}

TEST(a_task_writes_on_after_a_stable_lease_without_a_copy) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    struct paging_entry before, after;
    expect(paging_find(&task->tables, PLACE, &before));
    open_stable(1, 0, &lease);
    lease_close(lease);
    write_byte(task, 10, 'b');
    expect(paging_find(&task->tables, PLACE, &after));
    expect_equal(after.pfn, before.pfn);
    end();
}

TEST(a_stable_lease_copies_memory_that_others_can_write) {
    begin(read_write, true);
    struct lease *lease;
    write_byte(task, 10, 'a');
    fork_task();
    volatile char *bytes = open_stable(2 * PAGE_SIZE, 3, &lease);
    struct lease_info info;
    expect(lease_next(lease->info.number - 1, &info) && info.copied == 3);
    write_byte(child, 10, 'c');
    write_byte(task, 10 + PAGE_SIZE, 'p');
    expect_equal(bytes[0], 'a');
    expect_equal(bytes[PAGE_SIZE], 0);
    expect_equal(byte_of(task, 10), 'c');
    lease_close(lease);
    end();
}

TEST(a_stable_lease_copies_what_another_lease_may_write) {
    begin(read_write, false);
    struct lease *writer, *lease;
    write_byte(task, 10, 'a');
    expect_equal(lease_open(task, PLACE + 10, 1, LEASE_WRITE, &writer), 0);
    volatile char *bytes = open_stable(1, 1, &lease);
    *(volatile char *)writer->info.pointer = 'k';
    expect_equal(bytes[0], 'a');
    expect_equal(byte_of(task, 10), 'k');
    lease_close(writer);
    lease_close(lease);
    end();
}

TEST(a_write_lease_under_a_stable_one_gets_the_tasks_own_copy) {
    begin(read_write, false);
    struct lease *writer, *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_stable(1, 0, &lease);
    expect_equal(lease_open(task, PLACE + 10, 1, LEASE_WRITE, &writer), 0);
    *(volatile char *)writer->info.pointer = 'k';
    audit_all();
    expect_equal(bytes[0], 'a');
    expect_equal(byte_of(task, 10), 'k');
    lease_close(lease);
    lease_close(writer);
    end();
}

TEST(a_stable_lease_of_unreserved_memory_is_a_copy) {
    task = context_create("parent");
    child = NULL;
    expect(task != NULL);
    map(task, read_write, false, true);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_stable(1, 1, &lease);
    write_byte(task, 10, 'b');
    expect_equal(bytes[0], 'a');
    lease_close(lease);
    end();
}

TEST(a_stable_lease_of_memory_from_pvalloc_is_a_copy) {
    begin(read_write, false);
    struct lease *lease;
    void *memory = pvalloc(2, task);
    expect(memory != NULL);
    expect_equal(lease_open(task, (uintptr_t)memory + 1, PAGE_SIZE, LEASE_STABLE, &lease), 0);
    expect_equal(lease->info.copied, 2);
    audit_all();
    lease_close(lease);
    expect_equal(pvfree_in(task, page_number((uintptr_t)memory), 2), 0);
    end();
}

TEST(a_stable_lease_survives_unmap_and_end_of_the_task) {
    begin(read_write, false);
    struct lease *first, *second;
    write_byte(task, 10, 'a');
    write_byte(task, 10 + PAGE_SIZE, 'b');
    volatile char *bytes = open_stable(PAGE_SIZE + 1, 0, &first);
    open_stable(1, 0, &second);
    expect_equal(area_unmap(task, PLACE, 1), 0);
    audit_all();
    end_context(&task);
    audit_all();
    expect_equal(bytes[0], 'a');
    expect_equal(bytes[PAGE_SIZE], 'b');
    lease_close(first);
    audit_all();
    lease_close(second);
    end();
}

TEST(a_fork_under_a_stable_lease_shares_the_page_among_three) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_stable(1, 0, &lease);
    size_t promised = reserve_pages();
    fork_task();
    audit_all();
    expect_equal(reserve_pages(), promised + PAGES);
    write_byte(child, 10, 'c');
    expect_equal(bytes[0], 'a');
    expect_equal(byte_of(task, 10), 'a');
    write_byte(task, 10, 'p');
    expect_equal(bytes[0], 'a');
    lease_close(lease);
    expect_equal(byte_of(task, 10), 'p');
    expect_equal(byte_of(child, 10), 'c');
    end();
}

TEST(a_stable_lease_after_a_fork_lets_both_write) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    fork_task();
    volatile char *bytes = open_stable(1, 0, &lease);
    end_context(&child);
    audit_all();
    write_byte(task, 10, 'p');
    expect_equal(bytes[0], 'a');
    lease_close(lease);
    end();
}

TEST(a_page_under_a_stable_lease_may_become_executable_and_writable_again) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_stable(1, 0, &lease);
    expect_equal(area_protect(task, PLACE, PAGES, AREA_READ | AREA_EXECUTE), 0);
    audit_all();
    expect_equal(area_protect(task, PLACE, PAGES, read_write), 0);
    audit_all();
    write_byte(task, 10, 'b');
    expect_equal(bytes[0], 'a');
    lease_close(lease);
    end();
}

TEST(executable_memory_can_be_leased_stably_without_a_copy) {
    begin(AREA_READ | AREA_EXECUTE, false);
    struct lease *lease;
    volatile char *bytes = open_stable(2 * PAGE_SIZE, 0, &lease);
    expect_equal(bytes[0], 0);
    lease_close(lease);
    end();
}

static pfn_t leased_page(const struct lease *lease) {
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, (uintptr_t)lease->info.pointer, &entry));
    return entry.pfn;
}

TEST(lease_audit_finds_a_broken_z1) {
    begin(read_write, false);
    struct lease *lease;
    expect_equal(lease_open(task, PLACE, 1, LEASE_READ, &lease), 0);
    frame_unpin(leased_page(lease));
    expect_panic("lease: Z1 broken: page 0 of the window at * is not pinned, *", lease_audit());
    expect_equal(frame_pin(leased_page(lease)), 0);
    lease_close(lease);
    end();
}

TEST(lease_audit_finds_a_broken_z2) {
    begin(read_write, false);
    struct lease *lease;
    expect_equal(lease_open(task, PLACE, 1, LEASE_READ, &lease), 0);
    task->leases.pages++;
    expect_panic("lease: Z2 broken: context * has 1 leases with 1 pages, and other counts", lease_audit());
    task->leases.pages--;
    lease_close(lease);
    end();
}

TEST(lease_audit_finds_a_broken_z3) {
    begin(read_write, false);
    struct lease *lease;
    write_byte(task, 10, 'a');
    open_stable(1, 0, &lease);
    expect_equal(paging_protect(&task->tables, PLACE, 1, PAGE_USER | PAGE_WRITE), 0);
    expect_panic("lease: Z3 broken: page 0 of the stable window at *", lease_audit());
    expect_equal(paging_protect(&task->tables, PLACE, 1, PAGE_USER), 0);
    lease_close(lease);
    end();
}

TEST(lease_audit_finds_a_broken_z4) {
    begin(read_write, false);
    struct lease *lease;
    const struct palloc_request one = { .pages = 1 };
    pfn_t page = palloc_with(&one);
    expect_equal(lease_open(task, PLACE, 1, LEASE_READ, &lease), 0);
    uintptr_t window = (uintptr_t)lease->info.pointer;
    lease_close(lease);
    expect_equal(paging_map(&context_kernel()->tables, window, page, 1, 0), 0);
    expect_panic("lease: Z4 broken: the window at * is kept and shows 1 pages", lease_audit());
    expect_equal(paging_unmap(&context_kernel()->tables, window, 1), 1);
    pfree(page, 1);
    end();
}

/* --- Limit and end ------------------------------------------------------------------------------------------------ */

TEST(a_task_has_no_more_pages_leased_than_its_limit) {
    begin(read_write, false);
    struct lease *lease, *other;
    lease_set_limit(task, 2);
    expect_equal(lease_open(task, PLACE, 3 * PAGE_SIZE, LEASE_READ, &lease), ERR_LIMIT);
    expect_equal(lease_open(task, PLACE + 1, 2 * PAGE_SIZE, LEASE_WRITE, &lease), ERR_LIMIT);
    expect_equal(lease_open(task, PLACE, PAGE_SIZE + 1, LEASE_WRITE, &lease), 0);
    expect_equal(lease_open(task, PLACE, 1, LEASE_STABLE, &other), ERR_LIMIT);
    lease_close(lease);
    expect_equal(lease_open(task, PLACE, 1, LEASE_STABLE, &other), 0);
    lease_set_limit(task, 1); /* what is open stays */
    expect_equal(lease_open(task, PLACE, 1, LEASE_READ, &lease), ERR_LIMIT);
    lease_close(other);
    lease_set_limit(task, 0);
    expect_equal(lease_open(task, PLACE, 3 * PAGE_SIZE, LEASE_READ, &lease), 0);
    lease_close(lease);
    end();
}

TEST(a_lease_left_open_at_its_tasks_end_is_reported) {
    begin(read_write, false);
    struct lease *lease, *other;
    struct lease_stats stats;
    struct lease_info info;
    uint32_t number = task->number;
    expect_equal(lease_open(task, PLACE, 10, LEASE_READ, &lease), 0);
    expect_equal(lease_open(task, PLACE, 10, LEASE_STABLE, &other), 0);
    expect(lease_next(lease->info.number - 1, &info) && !info.owner_ended && info.age == 1);
    lease_stats(&stats);
    expect_equal(stats.ended, 0);
    end_context(&task);
    lease_stats(&stats);
    expect_equal(stats.ended, 2);
    expect(lease_next(lease->info.number - 1, &info) && info.owner_ended && info.context_number == number);
    expect(string_equal(info.context_name, "parent"));
    lease_audit();
    lease_close(lease);
    lease_close(other);
    lease_stats(&stats);
    expect_equal(stats.ended, 0);
    end();
}

TEST(kept_windows_are_used_again_and_given_back_by_a_trim) {
    begin(read_write, false);
    struct lease *lease;
    struct lease_stats stats;
    lease_trim();
    expect_equal(lease_open(task, PLACE, 3 * PAGE_SIZE, LEASE_READ, &lease), 0);
    void *pointer = lease->info.pointer;
    lease_close(lease);
    lease_stats(&stats);
    expect_equal(stats.windows, 1);
    lease_audit();
    expect_equal(lease_open(task, PLACE, 4 * PAGE_SIZE, LEASE_WRITE, &lease), 0);
    expect(lease->info.pointer == pointer);
    lease_close(lease);
    expect(lease_trim());
    expect(!lease_trim());
    lease_stats(&stats);
    expect_equal(stats.windows, 0);
    end();
}
