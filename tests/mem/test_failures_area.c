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

/* Pages that had no rights are promised now. */
static bool call_protect_new(void) {
    return area_protect(task, PLACE, 5, read_write) == 0;
}

static void undo_protect_new(void) {
    area_clear(task);
    expect_equal(map(&(struct area_request){ .stack = false }, 5, 0), 0);
}

TEST(area_unmap_and_area_protect_leave_all_as_it_was_at_every_failure) {
    begin();
    fill();
    sweep_run(&(struct sweep){ "area_unmap, the middle of an area", call_unmap, undo_and_fill, 1, true });
    sweep_run(&(struct sweep){ "area_protect, the middle of an area", call_protect, undo_protect, 2, true });
    undo_protect_new();
    sweep_run(&(struct sweep){ "area_protect, memory without rights", call_protect_new, undo_protect_new, 1, true });
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
static uintptr_t lease_from;
static size_t lease_bytes;

static bool call_lease(void) {
    return lease_open(task, lease_from, lease_bytes, lease_access, &lease) == 0;
}

/* After a stable lease the task's pages can be written again at the next write. */
static void undo_lease(void) {
    lease_close(lease);
    touch_all();
}

static void sweep_lease(const char *call, enum lease_access access, uintptr_t from, size_t bytes) {
    lease_access = access;
    lease_from = from;
    lease_bytes = bytes;
    sweep_run(&(struct sweep){ call, call_lease, undo_lease, 2, false });
}

TEST(leases_leave_all_as_it_was_at_every_failure) {
    const uintptr_t border = PLACE + PAGE_SIZE - 1;
    begin();
    fill();
    sweep_lease("lease_open to read, 4 pages", LEASE_READ, PLACE, 4 * PAGE_SIZE);
    sweep_lease("lease_open to write, 4 pages", LEASE_WRITE, PLACE, 4 * PAGE_SIZE);
    sweep_lease("lease_open stable, 4 pages", LEASE_STABLE, PLACE, 4 * PAGE_SIZE);
    sweep_lease("lease_open to read, 2 bytes of 2 pages", LEASE_READ, border, 2);
    sweep_lease("lease_open to write, 2 bytes of 2 pages", LEASE_WRITE, border, 2);
    sweep_lease("lease_open stable, 2 bytes of 2 pages", LEASE_STABLE, border, 2);
    area_clear(task);
    expect_equal(map(&(struct area_request){ .shared = true }, PAGES, read_write), 0);
    sweep_lease("lease_open stable, 4 shared pages", LEASE_STABLE, PLACE + 1, 3 * PAGE_SIZE);
    end();
}

/* --- Moving and discarding ---------------------------------------------------------------------------------------- */

enum { FAR = 0x50000000 };

/* Five pages, of which two are written, and four leased, so that what is discarded needs promises. */
static void begin_leased(void) {
    expect(call_map());
    expect_equal(area_fault(task, page_at(1), AREA_WRITE), 0);
    expect_equal(lease_open(task, page_at(2), 4, LEASE_READ, &lease), 0);
}

static void undo_leased(void) {
    lease_close(lease);
    area_clear(task);
    begin_leased();
}

static bool move(const struct area_move *wish) {
    uintptr_t got;
    return area_move(task, wish, &got) == 0;
}

static bool call_grow_in_place(void) {
    return move(&(struct area_move){ .old = PLACE, .old_pages = 5, .pages = 20 });
}

static bool call_move(void) {
    return move(&(struct area_move){ .old = page_at(1), .old_pages = 2, .pages = 6, .may_move = true });
}

static bool call_move_fixed(void) {
    return move(&(struct area_move){
        .old = page_at(2), .old_pages = 3, .pages = 8, .may_move = true, .fixed = true, .address = FAR });
}

static bool call_discard(void) {
    return area_discard(task, PLACE, 4) == 0;
}

TEST(area_move_and_area_discard_leave_all_as_it_was_at_every_failure) {
    begin();
    begin_leased();
    sweep_run(&(struct sweep){ "area_move, from 5 to 20 pages", call_grow_in_place, undo_leased, 1, true });
    sweep_run(&(struct sweep){ "area_move, the middle elsewhere", call_move, undo_leased, 3, true });
    sweep_run(&(struct sweep){ "area_move, the end to a fixed place", call_move_fixed, undo_leased, 3, true });
    sweep_run(&(struct sweep){ "area_discard, a leased page", call_discard, undo_leased, 1, true });
    lease_close(lease);
    end();
}
