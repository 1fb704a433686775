/* The calls of a task's memory: tests/sweep.h. Each is swept on a task whose areas are made anew; pages that come back
 * may be others then. */
#include <mem/area.h>
#include <mem/lease.h>
#include <mem/task_copy.h>
#include <tests/sweep.h>

enum { PLACE = 0x40000000, PAGES = 10, MOST = 8 };

static const unsigned read_write = AREA_READ | AREA_WRITE;
static struct context *task, *copy;
static struct lease *lease;

static uintptr_t page_at(unsigned index) {
    return PLACE + index * PAGE_SIZE;
}

static int map(const struct area_request *options, size_t pages, unsigned rights) {
    struct area_request request = *options;
    uintptr_t address;
    request.address = PLACE;
    request.pages = pages;
    request.rights = rights;
    request.fixed = true;
    return area_map(task, &request, &address);
}

static void touch_all(void) {
    for (unsigned i = 0; i < PAGES; i++)
        expect_equal(area_fault(task, page_at(i), AREA_WRITE), 0);
}

/* An area of PAGES pages at PLACE, each written. */
static void fill(void) {
    expect_equal(map(&(struct area_request){ .stack = false }, PAGES, read_write), 0);
    touch_all();
}

static void undo(void) {
    area_clear(task);
}

static void undo_and_fill(void) {
    area_clear(task);
    fill();
}

static void begin(void) {
    sweep_need_debug();
    task = context_create("swept task");
    expect(task != NULL);
}

static void end(void) {
    area_clear(task);
    context_destroy(task);
}

static bool call_map(void) {
    return map(&(struct area_request){ .stack = false }, 5, read_write) == 0;
}

static bool call_map_shared(void) {
    return map(&(struct area_request){ .shared = true }, 5, read_write) == 0;
}

static bool call_map_stack(void) {
    return map(&(struct area_request){ .stack = true }, 5, read_write) == 0;
}

TEST(area_map_leaves_all_as_it_was_at_every_failure) {
    begin();
    sweep_run(&(struct sweep){ "area_map, 5 private pages", call_map, undo, 3, false });
    sweep_run(&(struct sweep){ "area_map, 5 shared pages", call_map_shared, undo, 3, false });
    sweep_run(&(struct sweep){ "area_map, a stack of 5 pages", call_map_stack, undo, 3, false });
    end();
}

static bool call_unmap(void) {
    return area_unmap(task, page_at(4), 2) == 0;
}

static bool call_protect(void) {
    return area_protect(task, page_at(4), 2, AREA_READ) == 0;
}

static void undo_protect(void) {
    expect_equal(area_protect(task, page_at(4), 2, read_write), 0);
}

TEST(area_unmap_and_area_protect_leave_all_as_it_was_at_every_failure) {
    begin();
    fill();
    sweep_run(&(struct sweep){ "area_unmap, the middle of an area", call_unmap, undo_and_fill, 1, true });
    sweep_run(&(struct sweep){ "area_protect, the middle of an area", call_protect, undo_protect, 2, true });
    end();
}

static bool call_copy(void) {
    return area_copy(task, copy) == 0;
}

static void undo_copy(void) {
    area_clear(copy);
    undo_and_fill();
}

TEST(area_copy_leaves_all_as_it_was_at_every_failure) {
    begin();
    fill();
    copy = context_create("swept copy");
    expect(copy != NULL);
    sweep_run(&(struct sweep){ "area_copy, 10 written pages", call_copy, undo_copy, 3, true });
    area_clear(copy);
    context_destroy(copy);
    end();
}

static bool call_fault(void) {
    return area_fault(task, page_at(3), AREA_WRITE) == 0;
}

static bool call_write(void) {
    uint32_t word = 1;
    return copy_to_task(task, page_at(3) + 8, &word, sizeof(word), NULL) == 0;
}

static void undo_reserved(void) {
    area_clear(task);
    expect(call_map());
}

static void undo_unreserved(void) {
    area_clear(task);
    expect_equal(map(&(struct area_request){ .unreserved = true }, 5, read_write), 0);
}

/* What was promised can be touched whatever fails. */
TEST(area_fault_leaves_all_as_it_was_at_every_failure_and_has_none_where_pages_are_promised) {
    begin();
    expect(call_map());
    sweep_run(&(struct sweep){ "area_fault, a promised page", call_fault, undo_reserved, 0, true });
    sweep_run(&(struct sweep){ "copy_to_task, a promised page", call_write, undo_reserved, 0, true });
    undo_unreserved();
    sweep_run(&(struct sweep){ "area_fault, a page not promised", call_fault, undo_unreserved, 1, true });
    sweep_run(&(struct sweep){ "copy_to_task, a page not promised", call_write, undo_unreserved, 1, true });
    end();
}

static bool call_grow(void) {
    return area_grow(task, PLACE - 2 * PAGE_SIZE, MOST) == 0;
}

static void undo_grow(void) {
    area_clear(task);
    expect(call_map_stack());
}

TEST(area_grow_leaves_all_as_it_was_at_every_failure) {
    begin();
    expect(call_map_stack());
    sweep_run(&(struct sweep){ "area_grow, by 2 pages", call_grow, undo_grow, 1, true });
    end();
}

static enum lease_access lease_access;

static bool call_lease(void) {
    return lease_open(task, PLACE + 100, 3 * PAGE_SIZE, lease_access, &lease) == 0;
}

static void undo_lease(void) {
    lease_close(lease);
}

/* The task may write its pages again at the next write. */
static void undo_stable(void) {
    lease_close(lease);
    touch_all();
}

TEST(leases_leave_all_as_it_was_at_every_failure) {
    begin();
    fill();
    lease_access = LEASE_WRITE;
    sweep_run(&(struct sweep){ "lease_open to write, 4 pages", call_lease, undo_lease, 1, false });
    lease_access = LEASE_STABLE;
    sweep_run(&(struct sweep){ "lease_open stable, 4 pages", call_lease, undo_stable, 1, false });
    end();
}
