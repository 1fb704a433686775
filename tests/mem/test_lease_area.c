/* Leases on a task's areas: pages that don't exist yet, that are shared after a fork, and that the task changes while
 * the kernel sees them. Each test ends with no page promised. */
#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/lease.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <tests/test.h>

enum { PLACE = 0x40000000, PAGES = 4 };

static const unsigned read_write = AREA_READ | AREA_WRITE;

static struct context *task, *child;

static void begin(unsigned rights) {
    struct area_request request = { .address = PLACE, .pages = PAGES, .rights = rights, .fixed = true };
    uintptr_t got;
    task = context_create("parent");
    child = NULL;
    expect(task != NULL && area_map(task, &request, &got) == 0);
}

static void end_context(struct context *context) {
    area_clear(context);
    context_destroy(context);
}

static void end(void) {
    if (task != NULL)
        end_context(task);
    if (child != NULL)
        end_context(child);
    expect_equal(reserve_pages(), 0);
    audit_all();
}

static void fork_task(void) {
    child = context_create("child");
    expect(child != NULL);
    expect_equal(area_copy(task, child), 0);
}

static volatile char *open_lease(size_t bytes, enum lease_access access, struct lease **lease) {
    expect_equal(lease_open(task, PLACE + 10, bytes, access, lease), 0);
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
}

TEST(a_lease_makes_pages_that_the_task_has_not_touched) {
    begin(read_write);
    struct lease *lease;
    volatile char *bytes = open_lease(2 * PAGE_SIZE, LEASE_WRITE, &lease);
    expect_equal(reserve_pages(), 1);
    for (size_t i = 0; i < 2 * PAGE_SIZE; i += 64)
        expect_equal(bytes[i], 0);
    bytes[PAGE_SIZE] = 'k';
    expect_equal(byte_of(task, PAGE_SIZE + 10), 'k');
    write_byte(task, 10, 't');
    expect_equal(bytes[0], 't');
    lease_close(lease);
    end();
}

TEST(a_task_that_unmaps_leased_pages_keeps_no_promise) {
    begin(read_write);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_lease(PAGE_SIZE, LEASE_READ, &lease);
    expect_equal(reserve_pages(), PAGES - 2);
    expect_equal(area_unmap(task, PLACE, PAGES), 0);
    expect_equal(reserve_pages(), 0);
    expect_equal(bytes[0], 'a');
    lease_close(lease);
    end();
}

TEST(a_task_that_ends_leaves_leased_pages_to_the_lease) {
    begin(read_write);
    struct lease *lease;
    volatile char *bytes = open_lease(3 * PAGE_SIZE, LEASE_WRITE, &lease);
    bytes[PAGE_SIZE] = 'x';
    end_context(task);
    task = NULL;
    expect_equal(reserve_pages(), 0);
    audit_all();
    expect_equal(bytes[PAGE_SIZE], 'x');
    lease_close(lease);
    end();
}

TEST(a_fork_copies_leased_pages_for_the_child) {
    begin(read_write);
    struct lease *lease;
    write_byte(task, 10, 'a');
    volatile char *bytes = open_lease(1, LEASE_WRITE, &lease);
    fork_task();
    audit_all();
    expect_equal(reserve_pages(), 2 * (PAGES - 1));
    bytes[0] = 'k';
    expect_equal(byte_of(task, 10), 'k');
    expect_equal(byte_of(child, 10), 'a');
    write_byte(task, 10, 'p');
    expect_equal(bytes[0], 'p');
    write_byte(child, 10, 'c');
    expect_equal(bytes[0], 'p');
    lease_close(lease);
    expect_equal(byte_of(task, 10), 'p');
    end();
}

TEST(a_write_lease_after_a_fork_gives_the_task_its_own_page) {
    begin(read_write);
    struct lease *lease;
    write_byte(task, 10, 'a');
    fork_task();
    volatile char *bytes = open_lease(1, LEASE_WRITE, &lease);
    bytes[0] = 'k';
    expect_equal(byte_of(task, 10), 'k');
    expect_equal(byte_of(child, 10), 'a');
    lease_close(lease);
    end();
}

TEST(a_read_lease_of_a_page_shared_after_a_fork_shows_it_as_it_was) {
    begin(read_write);
    struct lease *lease;
    write_byte(task, 10, 'a');
    fork_task();
    volatile char *bytes = open_lease(1, LEASE_READ, &lease);
    write_byte(task, 10, 'p');
    audit_all();
    expect_equal(bytes[0], 'a');
    expect_equal(byte_of(task, 10), 'p');
    write_byte(child, 10, 'c');
    audit_all();
    end_context(task);
    task = NULL;
    lease_close(lease);
    expect_equal(byte_of(child, 10), 'c');
    end();
}

TEST(the_last_owner_of_a_leased_page_writes_in_place) {
    begin(read_write);
    struct lease *lease;
    write_byte(task, 10, 'a');
    fork_task();
    volatile char *bytes = open_lease(1, LEASE_READ, &lease);
    end_context(child);
    child = NULL;
    size_t promised = reserve_pages();
    write_byte(task, 10, 'p');
    expect_equal(reserve_pages(), promised);
    expect_equal(bytes[0], 'p');
    lease_close(lease);
    end();
}

TEST(a_lease_respects_the_rights_of_an_area) {
    struct lease *lease;
    begin(AREA_READ);
    expect_equal(lease_open(task, PLACE, 10, LEASE_WRITE, &lease), ERR_FAULT);
    expect_equal(lease_open(task, PLACE, 10, LEASE_READ, &lease), 0);
    lease_close(lease);
    expect_equal(area_protect(task, PLACE, PAGES, 0), 0);
    expect_equal(lease_open(task, PLACE, 10, LEASE_READ, &lease), ERR_FAULT);
    expect_equal(area_protect(task, PLACE, PAGES, read_write), 0);
    expect_equal(lease_open(task, PLACE, PAGES * PAGE_SIZE + 1, LEASE_WRITE, &lease), ERR_FAULT);
    expect_equal(lease_open(task, PLACE, PAGES * PAGE_SIZE, LEASE_WRITE, &lease), 0);
    lease_close(lease);
    end();
}

TEST(a_leased_area_can_change_its_rights_but_not_become_executable_under_a_write_lease) {
    begin(read_write);
    struct lease *lease;
    volatile char *bytes = open_lease(PAGE_SIZE, LEASE_WRITE, &lease);
    expect_equal(area_protect(task, PLACE, PAGES, AREA_READ | AREA_EXECUTE), ERR_REFUSED);
    expect_equal(area_protect(task, PLACE, PAGES, AREA_READ), 0);
    audit_all();
    bytes[0] = 'k';
    expect_equal(area_protect(task, PLACE, PAGES, read_write), 0);
    write_byte(task, 11, 't');
    expect_equal(bytes[1], 't');
    expect_equal(byte_of(task, 10), 'k');
    lease_close(lease);
    end();
}

/* Pages that were faulted in stay, as after the task's own access; the rest is as it was. */
TEST(lease_open_of_an_area_keeps_all_promises_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    begin(read_write);
    write_byte(task, 10, 'a');
    fork_task();
    struct lease *lease;
    bool reached = true, opened = false;
    for (unsigned n = 1; reached || !opened; n++) {
        fail_arm(n);
        opened = lease_open(task, PLACE, PAGES * PAGE_SIZE, LEASE_WRITE, &lease) == 0;
        reached = fail_seen() >= n;
        fail_arm(0);
        expect(opened || reached);
        if (opened)
            lease_close(lease);
        audit_all();
    }
    expect_equal(byte_of(child, 10), 'a');
    end();
}
