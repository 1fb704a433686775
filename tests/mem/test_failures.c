/* Every public call that can fail, with its n-th inner request failing, n = 1, 2, 3... until it succeeds. After each
 * failure the logical state (mem/audit.h) must be what it was before. */
#include <base/config.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/nodes.h>
#include <mem/range_cache.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { POINTS_MAX = 200 };

/* `call` returns whether it succeeded; `undo` takes its effect back. Returns the number of points forced. */
static unsigned sweep(bool (*call)(void), void (*undo)(void)) {
    uint64_t before = audit_hash();
    for (unsigned n = 1; n < POINTS_MAX; n++) {
        fail_arm(n);
        bool succeeded = call();
        bool reached = fail_seen() >= n;
        fail_arm(0);
        if (succeeded) {
            undo();
            expect(audit_hash() == before);
            if (!reached)
                return n - 1;
            continue; /* the request that failed wasn't needed */
        }
        expect(reached);
        audit_all();
        if (audit_hash() != before)
            test_fail(__FILE__, __LINE__, "failure point %u left something changed", n);
    }
    test_fail(__FILE__, __LINE__, "still failing after %d points", POINTS_MAX);
}

static void expect_points(unsigned points, unsigned least) {
    if (points < least)
        test_fail(__FILE__, __LINE__, "only %u failure points were reached, at least %u expected", points, least);
}

static void need_debug(void) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
}

static void *range;
static struct context *task;
static pfn_t pages;
static struct paging tables;

static bool call_palloc(void) {
    void *run = palloc(5);
    pages = palloc_pfn(run);
    return run != NULL;
}

static void undo_palloc(void) {
    pfree(pages, 5);
}

TEST(palloc_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_palloc, undo_palloc), 1);
}

static bool call_valloc(void) {
    return (range = valloc(RANGE_CACHE_PAGES + 1, context_kernel())) != NULL;
}

static void undo_valloc(void) {
    vfree(page_number((uintptr_t)range), RANGE_CACHE_PAGES + 1);
}

TEST(valloc_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_valloc, undo_valloc), 1);
}

static bool call_pvalloc(void) {
    return (range = pvalloc(70, context_kernel())) != NULL;
}

static void undo_pvalloc(void) {
    pvfree(page_number((uintptr_t)range), 70);
}

TEST(pvalloc_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_pvalloc, undo_pvalloc), 71);
}

static bool call_pvalloc_short(void) {
    return (range = pvalloc(RANGE_CACHE_PAGES, context_kernel())) != NULL;
}

static void undo_pvalloc_short(void) {
    pvfree(page_number((uintptr_t)range), RANGE_CACHE_PAGES);
}

TEST(pvalloc_of_a_short_range_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_pvalloc_short, undo_pvalloc_short), RANGE_CACHE_PAGES);
}

static bool call_pvalloc_task(void) {
    return (range = pvalloc(3, task)) != NULL;
}

static void undo_pvalloc_task(void) {
    expect_equal(pvfree_in(task, page_number((uintptr_t)range), 3), 0);
}

TEST(pvalloc_in_a_task_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    task = context_create("test");
    expect(task != NULL);
    expect_points(sweep(call_pvalloc_task, undo_pvalloc_task), 5);
    context_destroy(task);
}

static bool call_vfree_in(void) {
    return vfree_in(context_kernel(), page_number((uintptr_t)range) + 4, 2) == 0;
}

static void undo_vfree_in(void) {
    vfree(page_number((uintptr_t)range), 4);
    vfree(page_number((uintptr_t)range) + 6, 4);
    struct valloc_options there = { .address = (uintptr_t)range, .fixed = true };
    expect_equal(valloc_with(context_kernel(), 10, &there, &range), 0);
}

TEST(vfree_in_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    range = valloc(10, context_kernel());
    expect(range != NULL);
    expect_points(sweep(call_vfree_in, undo_vfree_in), 1);
    vfree(page_number((uintptr_t)range), 10);
}

static bool call_context_create(void) {
    return (task = context_create("test")) != NULL;
}

static void undo_context_create(void) {
    context_destroy(task);
}

/* Numbers of contexts are never used again, but belong to no context that is left. */
TEST(context_create_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_context_create, undo_context_create), GEOMETRY_TOP_FIXED ? 6 : 2);
}

static bool call_paging_map(void) {
    return paging_map(&tables, 0x3fffe000, pages, 5, PAGE_WRITE) == 0;
}

static void undo_paging_map(void) {
    expect_equal(paging_unmap(&tables, 0x3fffe000, 5), 5);
}

static bool call_paging_reserve(void) {
    return paging_reserve(&tables, 0x3fffe000, 5) == 0;
}

static void undo_paging_reserve(void) {
    expect_equal(paging_unmap(&tables, 0x3fffe000, 5), 0);
}

static bool call_paging_create(void) {
    tables = (struct paging){ .root = PFN_NONE };
    return paging_create(&tables) == 0;
}

static void undo_paging_create(void) {
    paging_destroy(&tables);
}

TEST(paging_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_paging_create, undo_paging_create), 1);
    expect(call_paging_create() && call_palloc());
    expect_points(sweep(call_paging_map, undo_paging_map), 2);
    expect_points(sweep(call_paging_reserve, undo_paging_reserve), 2);
    undo_palloc();
    undo_paging_create();
}

static bool call_io_map(void) {
    return (range = io_map(0xfed00000, 3 * PAGE_SIZE, PAGE_UNCACHED)) != NULL;
}

static void undo_io_map(void) {
    io_unmap(range, 3 * PAGE_SIZE);
}

TEST(io_map_leaves_all_as_it_was_at_every_failure) {
    need_debug();
    expect_points(sweep(call_io_map, undo_io_map), 1);
}

/* The first pages of nodes lie in a table that was made at boot. The others need one of their own, which may be
 * refused. */
enum { NODES_MAX = 520 };
static void *node_pages[NODES_MAX], *node_expected;

static bool call_nodes(void) {
    return (range = nodes_source.take()) != NULL;
}

static void undo_nodes(void) {
    expect(range == node_expected); /* no failure before took an address with it */
    nodes_source.give(range);
}

TEST(nodes_leave_all_as_it_was_when_a_page_needs_a_table_and_there_is_none) {
    need_debug();
    size_t taken = 0, before = context_kernel()->tables.tables;
    while (taken < NODES_MAX && context_kernel()->tables.tables == before)
        expect((node_pages[taken++] = nodes_source.take()) != NULL);
    expect(context_kernel()->tables.tables > before);
    node_expected = node_pages[--taken];
    nodes_source.give(node_expected);
    expect_points(sweep(call_nodes, undo_nodes), 2);
    while (taken > 0)
        nodes_source.give(node_pages[--taken]);
}
