/* The calls of physical pages, ranges, tables and contexts: tests/sweep.h. */
#include <base/config.h>
#include <mem/frame.h>
#include <mem/nodes.h>
#include <mem/range_cache.h>
#include <mem/reserve.h>
#include <mem/ul_visible.h>
#include <mem/valloc.h>
#include <tests/sweep.h>

static void *range;
static struct context *task;
static pfn_t pages;
static struct paging tables;

enum { LIST_PAGES = 100, RUN_LIMIT = 1 << 12 };
static pfn_t list[LIST_PAGES];

static bool call_palloc(void) {
    void *run = palloc(5);
    pages = palloc_pfn(run);
    return run != NULL;
}

static void undo_palloc(void) {
    pfree(pages, 5);
}

static bool call_palloc_with(void) {
    const struct palloc_request request = { .pages = 8, .align = 8, .limit = RUN_LIMIT };
    pages = palloc_with(&request);
    return pages != PFN_NONE;
}

static void undo_palloc_with(void) {
    pfree(pages, 8);
}

static bool call_palloc_bulk(void) {
    return palloc_bulk(list, LIST_PAGES);
}

static void undo_palloc_bulk(void) {
    pfree_bulk(list, LIST_PAGES);
}

static bool call_reserve(void) {
    return reserve_add(5) == 0;
}

static void undo_reserve(void) {
    reserve_drop(5);
}

TEST(palloc_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "palloc_with, 8 aligned pages", call_palloc_with, undo_palloc_with, 1, false });
    sweep_run(&(struct sweep){ "palloc_bulk, 100 pages", call_palloc_bulk, undo_palloc_bulk, 1, false });
    sweep_run(&(struct sweep){ "reserve_add, 5 pages", call_reserve, undo_reserve, 1, false });
    sweep_run(&(struct sweep){ "palloc, 5 pages", call_palloc, undo_palloc, 1, false });
}

static bool call_valloc(void) {
    return (range = valloc(RANGE_CACHE_PAGES + 1, context_kernel())) != NULL;
}

static void undo_valloc(void) {
    vfree(page_number((uintptr_t)range), RANGE_CACHE_PAGES + 1);
}

TEST(valloc_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "valloc, 8 pages", call_valloc, undo_valloc, 1, false });
}

static bool call_pvalloc(void) {
    return (range = pvalloc(70, context_kernel())) != NULL;
}

static void undo_pvalloc(void) {
    pvfree(page_number((uintptr_t)range), 70);
}

TEST(pvalloc_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "pvalloc, 70 pages", call_pvalloc, undo_pvalloc, 71, false });
}

static bool call_pvalloc_short(void) {
    return (range = pvalloc(RANGE_CACHE_PAGES, context_kernel())) != NULL;
}

static void undo_pvalloc_short(void) {
    pvfree(page_number((uintptr_t)range), RANGE_CACHE_PAGES);
}

TEST(pvalloc_of_a_short_range_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "pvalloc, 7 pages", call_pvalloc_short, undo_pvalloc_short, RANGE_CACHE_PAGES, false });
}

static bool call_pvalloc_task(void) {
    return (range = pvalloc(3, task)) != NULL;
}

static void undo_pvalloc_task(void) {
    expect_equal(pvfree_in(task, page_number((uintptr_t)range), 3), 0);
}

TEST(pvalloc_in_a_task_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    task = context_create("test");
    expect(task != NULL);
    sweep_run(&(struct sweep){ "pvalloc in a task, 3 pages", call_pvalloc_task, undo_pvalloc_task, 5, false });
    context_destroy(task);
}

static bool call_valloc_with(void) {
    const struct valloc_options options = { .align = 16, .guard_before = 1 };
    return valloc_with(context_kernel(), 5, &options, &range) == 0;
}

static void undo_valloc_with(void) {
    vfree(page_number((uintptr_t)range), 5);
}

static bool call_pvalloc_with(void) {
    const struct valloc_options options = { .align = 16, .read_only = true, .zero = true, .limit = RUN_LIMIT };
    return pvalloc_with(context_kernel(), 5, &options, &range) == 0;
}

static void undo_pvalloc_with(void) {
    pvfree(page_number((uintptr_t)range), 5);
}

TEST(valloc_with_and_pvalloc_with_leave_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    sweep_run(&(struct sweep){ "valloc_with, 5 aligned pages", call_valloc_with, undo_valloc_with, 1, false });
    sweep_run(&(struct sweep){ "pvalloc_with, 5 zeroed pages", call_pvalloc_with, undo_pvalloc_with, 2, false });
}

/* The middle of a range with pages goes, and comes back: others, maybe. */
static bool call_pvfree_in(void) {
    return pvfree_in(context_kernel(), page_number((uintptr_t)range) + 4, 2) == 0;
}

static void undo_pvfree_in(void) {
    pvfree(page_number((uintptr_t)range), 4);
    pvfree(page_number((uintptr_t)range) + 6, 4);
    const struct valloc_options there = { .address = (uintptr_t)range, .fixed = true };
    expect_equal(pvalloc_with(context_kernel(), 10, &there, &range), 0);
}

TEST(pvfree_in_leaves_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    range = pvalloc(10, context_kernel());
    expect(range != NULL);
    sweep_run(&(struct sweep){ "pvfree_in, the middle of a range", call_pvfree_in, undo_pvfree_in, 1, true });
    pvfree(page_number((uintptr_t)range), 10);
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
    sweep_need_debug();
    range = valloc(10, context_kernel());
    expect(range != NULL);
    sweep_run(&(struct sweep){ "vfree_in, the middle of a range", call_vfree_in, undo_vfree_in, 1, false });
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
    sweep_need_debug();
    sweep_run(&(struct sweep){ "context_create", call_context_create, undo_context_create, GEOMETRY_TOP_FIXED ? 6 : 2,
                               false });
}

static bool call_paging_map(void) {
    return paging_map(&tables, 0x3fffe000, pages, 5, PAGE_WRITE) == 0;
}

static void undo_paging_map(void) {
    expect_equal(paging_unmap(&tables, 0x3fffe000, 5), 5);
}

static bool call_paging_map_list(void) {
    for (unsigned i = 0; i < 5; i++)
        list[i] = pages + 4 - i;
    return paging_map_list(&tables, 0x3fffe000, list, 5, PAGE_WRITE) == 0;
}

static bool call_ul_visible_map(void) {
    return ul_visible_map(&tables) == 0;
}

static void undo_ul_visible_map(void) {
    ul_visible_unmap(&tables);
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
    sweep_need_debug();
    sweep_run(&(struct sweep){ "paging_create", call_paging_create, undo_paging_create, 1, false });
    expect(call_paging_create() && call_palloc());
    sweep_run(&(struct sweep){ "paging_map, across 1 GiB", call_paging_map, undo_paging_map, 2, false });
    sweep_run(&(struct sweep){ "paging_map_list, across 1 GiB", call_paging_map_list, undo_paging_map, 2, false });
    sweep_run(&(struct sweep){ "ul_visible_map", call_ul_visible_map, undo_ul_visible_map, 0, false });
    sweep_run(&(struct sweep){ "paging_reserve, across 1 GiB", call_paging_reserve, undo_paging_reserve, 2, false });
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
    sweep_need_debug();
    sweep_run(&(struct sweep){ "io_map, 3 pages", call_io_map, undo_io_map, 1, false });
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

TEST(nodes_leave_all_as_it_was_at_every_failure_of_a_page_that_needs_a_table) {
    sweep_need_debug();
    size_t taken = 0, before = context_kernel()->tables.tables;
    while (taken < NODES_MAX && context_kernel()->tables.tables == before)
        expect((node_pages[taken++] = nodes_source.take()) != NULL);
    expect(context_kernel()->tables.tables > before);
    node_expected = node_pages[--taken];
    nodes_source.give(node_expected);
    sweep_run(&(struct sweep){ "nodes_source.take, with a new table", call_nodes, undo_nodes, 2, false });
    while (taken > 0)
        nodes_source.give(node_pages[--taken]);
}

/* --- Ranges and nodes by hand ------------------------------------------------------------------------------------- */

static struct pool nodes;
static struct vspace space;
static uintptr_t taken_first;
static void *node;

static bool call_pool_take(void) {
    return (node = pool_take(&nodes)) != NULL;
}

static void undo_pool_take(void) {
    pool_give(&nodes, node);
    pool_trim(&nodes);
}

static bool call_vspace_take(void) {
    const struct vspace_request request = { .pages = 7 };
    return vspace_take(&space, &request, &taken_first) == 0;
}

static void undo_vspace_take(void) {
    expect_equal(vspace_give(&space, taken_first, 7), 0);
    pool_trim(&nodes);
}

static bool call_vspace_give(void) {
    return vspace_give(&space, 1002, 3) == 0;
}

static void undo_vspace_give(void) {
    const struct vspace_request request = { .pages = 3, .at = 1002, .fixed = true, .attributes = VSPACE_MERGE };
    expect_equal(vspace_take(&space, &request, &taken_first), 0);
    pool_trim(&nodes);
}

static bool call_vspace_split(void) {
    return vspace_split(&space, 1005) == 0;
}

static void undo_vspace_split(void) {
    vspace_join(&space, 1005);
    pool_trim(&nodes);
}

TEST(vspace_and_pool_leave_all_as_it_was_at_every_failure) {
    sweep_need_debug();
    const struct vspace_request whole = { .pages = 10, .at = 1000, .fixed = true, .attributes = VSPACE_MERGE };
    pool_init(&nodes, "swept", VSPACE_NODE_BYTES, &nodes_source);
    vspace_init(&space, 1000, 2000, &nodes);
    sweep_run(&(struct sweep){ "pool_take", call_pool_take, undo_pool_take, 2, false });
    sweep_run(&(struct sweep){ "vspace_take", call_vspace_take, undo_vspace_take, 2, false });
    expect_equal(vspace_take(&space, &whole, &taken_first), 0);
    sweep_run(&(struct sweep){ "vspace_give, the middle of a range", call_vspace_give, undo_vspace_give, 1, false });
    sweep_run(&(struct sweep){ "vspace_split", call_vspace_split, undo_vspace_split, 1, false });
    vspace_clear(&space);
    pool_trim(&nodes);
}
