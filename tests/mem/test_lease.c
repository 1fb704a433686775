#include <base/config.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/lease.h>
#include <mem/valloc.h>
#include <tests/test.h>

static struct context *task;
static uintptr_t memory; /* in the task: PAGES pages from pvalloc() */

enum { PAGES = 5 };

static pfn_t page_behind(struct context *context, uintptr_t address) {
    struct paging_entry entry;
    return paging_find(&context->tables, address, &entry) ? entry.pfn : PFN_NONE;
}

/* What the task would read or write there, through the frame view. */
static void as_task(uintptr_t address, void *bytes, size_t count, bool write) {
    for (char *at = (char *)bytes; count > 0; count--, at++, address++) {
        char *view = (char *)arch_frame_open(page_behind(task, address));
        char *there = view + (address & (PAGE_SIZE - 1));
        if (write)
            *there = *at;
        else
            *at = *there;
        arch_frame_close(view);
    }
}

static void set_up(void) {
    task = context_create("borrower");
    expect(task != NULL);
    memory = (uintptr_t)pvalloc(PAGES, task);
    expect(memory != 0);
}

static struct lease *open_lease(uintptr_t address, size_t bytes, enum lease_access access) {
    struct lease *lease = NULL;
    expect_equal(lease_open(task, address, bytes, access, &lease), 0);
    expect(lease != NULL);
    lease_audit();
    return lease;
}

static int try_lease(uintptr_t address, size_t bytes, enum lease_access access) {
    struct lease *lease = NULL;
    int error = lease_open(task, address, bytes, access, &lease);
    if (error == 0)
        lease_close(lease);
    return error;
}

/* --- What is seen ------------------------------------------------------------------------------------------------- */

TEST(a_read_lease_shows_what_the_task_wrote) {
    set_up();
    char text[] = "written by the task", more[] = "later";
    as_task(memory + 100, text, sizeof(text), true);
    struct lease *lease = open_lease(memory + 100, sizeof(text), LEASE_READ);
    expect_equal((uintptr_t)lease->info.pointer % PAGE_SIZE, 100);
    expect(memcmp(lease->info.pointer, text, sizeof(text)) == 0);
    as_task(memory + 100, more, sizeof(more), true);
    expect(memcmp(lease->info.pointer, more, sizeof(more)) == 0);
    lease_close(lease);
    context_destroy(task);
}

TEST(a_write_lease_writes_into_the_tasks_memory) {
    set_up();
    struct lease *lease = open_lease(memory + 7, 20, LEASE_WRITE);
    memcpy(lease->info.pointer, "from the kernel", 16);
    char seen[16];
    as_task(memory + 7, seen, 16, false);
    expect(memcmp(seen, "from the kernel", 16) == 0);
    lease_close(lease);
    as_task(memory + 7, seen, 16, false);
    expect(memcmp(seen, "from the kernel", 16) == 0);
    context_destroy(task);
}

TEST(a_lease_makes_scattered_pages_adjacent) {
    set_up();
    for (uint8_t i = 0; i < PAGES; i++)
        as_task(memory + i * PAGE_SIZE + 5, &i, 1, true);
    struct lease *lease = open_lease(memory + 5, 4 * PAGE_SIZE + 1, LEASE_READ);
    const uint8_t *bytes = (const uint8_t *)lease->info.pointer;
    for (uint8_t i = 0; i < PAGES; i++) {
        expect_equal(bytes[i * PAGE_SIZE], i);
        expect_equal(page_behind(context_kernel(), (uintptr_t)bytes + i * PAGE_SIZE),
                     page_behind(task, memory + i * PAGE_SIZE));
    }
    lease_close(lease);
    context_destroy(task);
}

TEST(a_lease_of_many_pages_shows_each_of_them) {
    set_up();
    enum { MANY = 150 };
    uintptr_t large = (uintptr_t)pvalloc(MANY, task);
    expect(large != 0);
    struct lease *lease = open_lease(large, MANY * PAGE_SIZE, LEASE_WRITE);
    char *bytes = (char *)lease->info.pointer;
    for (size_t i = 0; i < MANY; i++)
        bytes[i * PAGE_SIZE] = (char)i;
    for (size_t i = 0; i < MANY; i++) {
        char seen;
        as_task(large + i * PAGE_SIZE, &seen, 1, false);
        expect_equal((uint8_t)seen, i);
    }
    lease_close(lease);
    context_destroy(task);
}

TEST(a_lease_takes_no_more_pages_than_its_bytes_touch) {
    set_up();
    struct lease_stats stats;
    struct lease *one = open_lease(memory + PAGE_SIZE - 1, 1, LEASE_READ);
    lease_stats(&stats);
    expect_equal(stats.pages, 1);
    struct lease *two = open_lease(memory + PAGE_SIZE - 1, 2, LEASE_READ);
    lease_stats(&stats);
    expect_equal(stats.pages, 3);
    uintptr_t end = (uintptr_t)two->info.pointer + PAGE_SIZE + 2;
    expect_equal(page_behind(context_kernel(), end + PAGE_SIZE), PFN_NONE);
    lease_close(one);
    lease_close(two);
    context_destroy(task);
}

TEST(a_lease_has_no_more_rights_than_asked_for) {
    set_up();
    struct paging_entry entry;
    struct lease *lease = open_lease(memory, 1, LEASE_READ);
    expect(paging_find(&context_kernel()->tables, (uintptr_t)lease->info.pointer, &entry));
    expect_equal(entry.attributes, 0);
    lease_close(lease);
    lease = open_lease(memory, 1, LEASE_WRITE);
    expect(paging_find(&context_kernel()->tables, (uintptr_t)lease->info.pointer, &entry));
    expect_equal(entry.attributes, PAGE_WRITE);
    lease_close(lease);
    context_destroy(task);
}

/* --- What the task does meanwhile --------------------------------------------------------------------------------- */

TEST(leased_pages_survive_an_unmap_by_the_task) {
    set_up();
    char text[] = "still there";
    as_task(memory + 2 * PAGE_SIZE - 4, text, sizeof(text), true);
    pfn_t first = page_behind(task, memory + PAGE_SIZE), other = page_behind(task, memory);
    struct lease *lease = open_lease(memory + 2 * PAGE_SIZE - 4, sizeof(text), LEASE_READ);
    expect_equal(pvfree_in(task, page_number(memory), PAGES), 0);
    expect_equal(frame_get(other).owner, FRAME_FREE);
    expect_equal(frame_get(first).owner, FRAME_MAPPED);
    expect_equal(frame_get(first).pins, 1);
    expect(memcmp(lease->info.pointer, text, sizeof(text)) == 0);
    lease_audit();
    lease_close(lease);
    expect_equal(frame_get(first).owner, FRAME_FREE);
    context_destroy(task);
}

TEST(leased_pages_survive_the_end_of_the_task) {
    set_up();
    uint32_t number = task->number;
    char text[] = "outlives its task";
    as_task(memory + 10, text, sizeof(text), true);
    pfn_t page = page_behind(task, memory);
    struct lease *lease = open_lease(memory + 10, sizeof(text), LEASE_WRITE);
    context_destroy(task);
    audit_all();
    expect(memcmp(lease->info.pointer, text, sizeof(text)) == 0);
    memset(lease->info.pointer, 1, sizeof(text));
    struct lease_info info;
    expect(lease_find((uintptr_t)lease->info.pointer, &info));
    expect(string_equal(info.context_name, "borrower") && info.context_number == number);
    lease_close(lease);
    expect_equal(frame_get(page).owner, FRAME_FREE);
}

TEST(a_task_that_maps_anew_does_not_change_what_a_lease_shows) {
    set_up();
    char old[] = "old", young[] = "new";
    as_task(memory, old, sizeof(old), true);
    struct lease *lease = open_lease(memory, sizeof(old), LEASE_READ);
    expect_equal(pvfree_in(task, page_number(memory), PAGES), 0);
    struct valloc_options there = { .address = memory, .fixed = true };
    void *again;
    expect_equal(pvalloc_with(task, PAGES, &there, &again), 0);
    as_task(memory, young, sizeof(young), true);
    expect(memcmp(lease->info.pointer, old, sizeof(old)) == 0);
    lease_close(lease);
    context_destroy(task);
}

TEST(two_leases_on_one_page_pin_it_twice) {
    set_up();
    pfn_t page = page_behind(task, memory);
    struct lease *first = open_lease(memory, 10, LEASE_WRITE), *second = open_lease(memory + 20, 10, LEASE_READ);
    expect_equal(frame_get(page).pins, 2);
    expect_equal(frame_get(page).mappings, 3);
    lease_close(first);
    expect_equal(frame_get(page).pins, 1);
    context_destroy(task);
    expect_equal(frame_get(page).mappings, 1);
    lease_close(second);
    expect_equal(frame_get(page).owner, FRAME_FREE);
}

TEST(a_closed_lease_shows_nothing_any_more) {
    set_up();
    struct lease *lease = open_lease(memory, 3 * PAGE_SIZE, LEASE_READ);
    uintptr_t window = (uintptr_t)lease->info.pointer;
    lease_close(lease);
    expect_equal(paging_count(&context_kernel()->tables, window, 3), 0);
    struct lease_info info;
    expect(!lease_find(window, &info));
    context_destroy(task);
}

/* --- What is refused ---------------------------------------------------------------------------------------------- */

TEST(lease_open_refuses_lengths_that_make_no_sense) {
    set_up();
    expect_equal(try_lease(memory, 0, LEASE_READ), ERR_INVALID);
    expect_equal(try_lease(memory, SIZE_MAX, LEASE_READ), ERR_INVALID);
    expect_equal(try_lease(memory, (size_t)0 - memory + 1, LEASE_READ), ERR_INVALID);
    expect_equal(try_lease(memory, (size_t)0 - memory, LEASE_READ), ERR_FAULT);
    expect_equal(try_lease(memory, SIZE_MAX / 2, LEASE_READ), memory > SIZE_MAX / 2 ? ERR_INVALID : ERR_FAULT);
    expect_equal(try_lease(UINTPTR_MAX, 1, LEASE_READ), ERR_FAULT);
    expect_equal(try_lease(0, 1, LEASE_READ), ERR_FAULT);
    context_destroy(task);
}

TEST(lease_open_checks_every_page) {
    set_up();
    expect_equal(try_lease(memory, PAGES * PAGE_SIZE + 1, LEASE_READ), ERR_FAULT);
    expect_equal(try_lease(memory - 1, 2, LEASE_READ), ERR_FAULT);
    expect_equal(try_lease(memory + PAGES * PAGE_SIZE, 1, LEASE_READ), ERR_FAULT);
    expect_equal(pvfree_in(task, page_number(memory) + 2, 1), 0);
    expect_equal(try_lease(memory, PAGES * PAGE_SIZE, LEASE_READ), ERR_FAULT);
    expect_equal(try_lease(memory, 2 * PAGE_SIZE, LEASE_READ), 0);
    expect_equal(try_lease(memory + 3 * PAGE_SIZE, 2 * PAGE_SIZE, LEASE_WRITE), 0);
    context_destroy(task);
}

TEST(lease_open_checks_the_right_to_write_of_every_page) {
    set_up();
    expect_equal(paging_protect(&task->tables, memory + 2 * PAGE_SIZE, 1, PAGE_USER), 0);
    expect_equal(try_lease(memory, PAGES * PAGE_SIZE, LEASE_READ), 0);
    expect_equal(try_lease(memory, PAGES * PAGE_SIZE, LEASE_WRITE), ERR_FAULT);
    expect_equal(try_lease(memory, 2 * PAGE_SIZE, LEASE_WRITE), 0);
    context_destroy(task);
}

TEST(lease_open_refuses_to_write_where_the_task_executes) {
    set_up();
    expect_equal(paging_protect(&task->tables, memory + PAGE_SIZE, 1, PAGE_USER | PAGE_EXECUTE), 0);
    expect_equal(try_lease(memory, 2 * PAGE_SIZE, LEASE_WRITE), ERR_REFUSED);
    struct lease *lease = open_lease(memory, 2 * PAGE_SIZE, LEASE_READ);
    lease_close(lease);
    context_destroy(task);
}

TEST(a_write_leased_page_cannot_become_executable) {
    set_up();
    struct lease *lease = open_lease(memory, 1, LEASE_WRITE);
    expect_equal(paging_protect(&task->tables, memory, 1, PAGE_USER | PAGE_EXECUTE), ERR_REFUSED);
    lease_close(lease);
    expect_equal(paging_protect(&task->tables, memory, 1, PAGE_USER | PAGE_EXECUTE), 0);
    context_destroy(task);
}

TEST(lease_open_refuses_what_ring_3_may_not_use) {
    set_up();
    expect_equal(paging_protect(&task->tables, memory, 1, PAGE_WRITE), 0);
    expect_equal(try_lease(memory, 1, LEASE_READ), ERR_FAULT);
    void *own = pvalloc(1, context_kernel());
    struct lease *lease;
    expect_equal(lease_open(context_kernel(), (uintptr_t)own, 1, LEASE_READ, &lease), ERR_FAULT);
    pvfree(page_number((uintptr_t)own), 1);
    context_destroy(task);
}

TEST(lease_open_says_so_when_a_page_is_pinned_too_often) {
    set_up();
    pfn_t page = page_behind(task, memory + PAGE_SIZE);
    for (uint32_t i = 0; i < FRAME_PINS_MAX; i++)
        expect_equal(frame_pin(page), 0);
    expect_equal(try_lease(memory, 3 * PAGE_SIZE, LEASE_READ), ERR_LIMIT);
    expect_equal(frame_get(page_behind(task, memory)).pins, 0);
    for (uint32_t i = 0; i < FRAME_PINS_MAX; i++)
        frame_unpin(page);
    expect_equal(try_lease(memory, 3 * PAGE_SIZE, LEASE_READ), 0);
    context_destroy(task);
}

TEST(closing_a_lease_twice_is_reported) {
    set_up();
    struct lease *volatile keep = open_lease(memory, 1, LEASE_READ); /* volatile: kept over a long jump */
    struct lease *lease = open_lease(memory, 1, LEASE_READ);
    lease_close(lease);
    char text[128];
    fmt(text, sizeof(text), "lease_close(%#zx): no lease is open there: closed already, or never opened",
        (size_t)(uintptr_t)lease);
    expect_panic(text, lease_close(lease));
    lease_close(keep);
    context_destroy(task);
}

TEST(a_window_given_to_vfree_or_pvfree_is_reported) {
    set_up();
    struct lease *volatile lease = open_lease(memory, 1, LEASE_READ); /* volatile: kept over a long jump */
    volatile uintptr_t number = page_number((uintptr_t)lease->info.pointer);
    expect_panic("vfree(*, 1) in context kernel: the range is from lease_open, and lease_close() gives it back",
                 vfree(number, 1));
    expect_panic("pvfree(*, 1) in context kernel: the range is from lease_open, and lease_close() gives it back",
                 pvfree(number, 1));
    lease_close(lease);
    context_destroy(task);
}

static struct lease *opened;

static bool try_open(void) {
    return lease_open(task, memory + 100, 4 * PAGE_SIZE, LEASE_WRITE, &opened) == 0;
}

TEST(lease_open_leaves_all_as_it_was_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    set_up();
    uint64_t before = audit_hash();
    unsigned n = 1;
    for (bool reached = true; reached; n++) {
        fail_arm(n);
        bool succeeded = try_open();
        reached = fail_seen() >= n;
        fail_arm(0);
        expect(succeeded || reached);
        if (succeeded)
            lease_close(opened);
        audit_all();
        if (audit_hash() != before)
            test_fail(__FILE__, __LINE__, "failure %u left something changed", n);
    }
    expect(n > PAGES + 3);
    context_destroy(task);
}

/* --- Listing ------------------------------------------------------------------------------------------------------ */

TEST(open_leases_are_listed_in_the_order_of_opening) {
    set_up();
    struct lease *leases[3];
    for (size_t i = 0; i < 3; i++)
        leases[i] = open_lease(memory + i * 100, 10 + i, i == 1 ? LEASE_WRITE : LEASE_READ);
    uint64_t first = leases[0]->info.number;
    lease_close(leases[1]);
    struct lease_info info;
    expect(lease_next(first - 1, &info) && info.number == first && info.bytes == 10 && info.address == memory);
    expect(info.context_number == task->number && string_equal(info.context_name, "borrower") && info.place != 0);
    expect(lease_next(first, &info) && info.number == first + 2 && info.access == LEASE_READ);
    expect(!lease_next(first + 2, &info));
    struct lease_stats stats;
    lease_stats(&stats);
    expect_equal(stats.open, 2);
    expect_equal(stats.opened, first + 2);
    lease_close(leases[2]);
    lease_close(leases[0]);
    lease_stats(&stats);
    expect_equal(stats.open, 0);
    expect_equal(stats.pages, 0);
    context_destroy(task);
}
