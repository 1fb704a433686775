#include <base/config.h>
#include <base/string.h>
#include <mem/vspace.h>
#include <tests/test.h>

/* A vspace of its own, with nodes from a pool over a static piece of memory: the live system isn't touched. */
enum { PAGES = 64 };
static char storage[PAGES][4096] __attribute__((aligned(4096)));
static size_t storage_next;
static char *storage_free[PAGES];
static size_t storage_free_count;
static bool storage_empty;

static void *take(void) {
    if (storage_empty)
        return NULL;
    if (storage_free_count > 0)
        return storage_free[--storage_free_count];
    return storage_next < PAGES ? storage[storage_next++] : NULL;
}

static void give(void *page) {
    storage_free[storage_free_count++] = page;
}

static const struct pool_source source = { take, give };
static struct pool pool;
static struct vspace space;

enum { FIRST = 100, END = 10100 };

static void set_up(void) {
    storage_next = storage_free_count = 0;
    storage_empty = false;
    pool_init(&pool, "test ranges", VSPACE_NODE_BYTES, &source);
    vspace_init(&space, FIRST, END, &pool);
}

static void tear_down(void) {
    vspace_audit(&space);
    pool_audit(&pool);
    vspace_clear(&space);
    expect_equal(pool.objects, 0);
}

static uintptr_t take_pages(uintptr_t pages) {
    struct vspace_request request = { .pages = pages };
    uintptr_t first = 0;
    expect_equal(vspace_take(&space, &request, &first), 0);
    return first;
}

static int take_at(uintptr_t at, uintptr_t pages) {
    struct vspace_request request = { .pages = pages, .at = at, .fixed = true };
    uintptr_t first;
    return vspace_take(&space, &request, &first);
}

TEST(vspace_takes_the_lowest_gap_that_fits) {
    set_up();
    expect_equal(take_pages(10), 100);
    expect_equal(take_pages(5), 110);
    expect_equal(take_pages(20), 115);
    expect_equal(vspace_give(&space, 110, 5), 0);
    expect_equal(take_pages(6), 135);
    expect_equal(take_pages(5), 110);
    tear_down();
}

TEST(vspace_refuses_zero_pages_and_more_than_there_are) {
    set_up();
    struct vspace_request request = { .pages = 0 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), ERR_INVALID);
    request.pages = END - FIRST + 1;
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    request.pages = UINTPTR_MAX;
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    request.guard_after = 255;
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    request.align = 3;
    expect_equal(vspace_take(&space, &request, &first), ERR_INVALID);
    expect_equal(take_pages(END - FIRST), FIRST);
    request = (struct vspace_request){ .pages = 1 };
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    tear_down();
}

TEST(vspace_keeps_guard_pages_free_on_both_sides) {
    set_up();
    struct vspace_request request = { .pages = 4, .guard_before = 2, .guard_after = 3 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 102);
    expect_equal(take_pages(1), 109);
    expect_equal(take_at(101, 1), ERR_EXISTS);
    expect_equal(take_at(106, 1), ERR_EXISTS);
    expect(vspace_find(&space, 101) == NULL && vspace_find_guard(&space, 101) != NULL);
    expect(vspace_find(&space, 102) != NULL && vspace_find_guard(&space, 102) == NULL);
    expect(vspace_find_guard(&space, 108) != NULL && vspace_find_guard(&space, 109) == NULL);
    tear_down();
}

TEST(vspace_takes_a_fixed_place_or_says_why_not) {
    set_up();
    expect_equal(take_at(500, 10), 0);
    expect_equal(take_at(500, 10), ERR_EXISTS);
    expect_equal(take_at(509, 1), ERR_EXISTS);
    expect_equal(take_at(495, 6), ERR_EXISTS);
    expect_equal(take_at(495, 5), 0);
    expect_equal(take_at(510, 1), 0);
    expect_equal(take_at(99, 1), ERR_INVALID);
    expect_equal(take_at(END, 1), ERR_INVALID);
    expect_equal(take_at(END - 1, 2), ERR_INVALID);
    expect_equal(take_at(END - 1, UINTPTR_MAX), ERR_INVALID);
    expect_equal(take_at(END - 1, 1), 0);
    tear_down();
}

TEST(vspace_tries_a_hint_first_and_goes_elsewhere_if_it_is_taken) {
    set_up();
    struct vspace_request request = { .pages = 10, .at = 700 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 700);
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 100);
    tear_down();
}

TEST(vspace_finds_an_aligned_place_that_only_just_fits) {
    set_up();
    expect_equal(take_at(100, 28), 0); /* leaves 128 to 192, then nothing */
    expect_equal(take_at(192, END - 192), 0);
    struct vspace_request request = { .pages = 64, .align = 64 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 128);
    tear_down();
}

TEST(vspace_keeps_a_request_between_its_bounds) {
    set_up();
    struct vspace_request request = { .pages = 50, .low = 1000, .high = 1100 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 1000);
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(first, 1050);
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    request.high = 1000;
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_SPACE);
    tear_down();
}

TEST(vspace_gives_back_any_part_of_a_range) {
    set_up();
    expect_equal(take_at(200, 100), 0);
    expect_equal(vspace_give(&space, 200, 10), 0);
    expect_equal(vspace_give(&space, 290, 10), 0);
    expect(vspace_give_splits(&space, 240, 10) && !vspace_give_splits(&space, 210, 10));
    expect_equal(vspace_give(&space, 240, 10), 0);
    expect_equal(space.ranges, 2);
    expect_equal(space.pages, 70);
    expect_equal(vspace_give(&space, 235, 10), ERR_FAULT);
    expect_equal(vspace_give(&space, 240, 1), ERR_FAULT);
    expect_equal(vspace_give(&space, 210, 0), ERR_FAULT);
    expect_equal(vspace_give(&space, 250, UINTPTR_MAX), ERR_FAULT);
    expect_equal(vspace_give(&space, 210, 30), 0);
    expect_equal(vspace_give(&space, 250, 40), 0);
    expect_equal(space.ranges, 0);
    tear_down();
}

TEST(vspace_leaves_guards_to_what_stays_of_a_range) {
    set_up();
    struct vspace_request request = { .pages = 30, .at = 200, .fixed = true, .guard_before = 1, .guard_after = 1 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(vspace_give(&space, 220, 3), 0); /* three pages: a guard each and one free */
    expect_equal(take_at(220, 1), ERR_EXISTS);
    expect_equal(take_at(222, 1), ERR_EXISTS);
    expect_equal(take_at(221, 1), 0);
    expect_equal(take_at(199, 1), ERR_EXISTS); /* the outer guards stay where they were */
    expect_equal(take_at(230, 1), ERR_EXISTS);
    expect_equal(vspace_give(&space, 210, 1), 0); /* one page: it all becomes the left part's guard */
    expect_equal(take_at(210, 1), ERR_EXISTS);
    vspace_audit(&space);
    expect_equal(vspace_give(&space, 211, 9), 0); /* what was a guard of the part given back is free with it */
    expect_equal(take_at(211, 10), 0);
    tear_down();
}

TEST(vspace_merges_touching_ranges_that_ask_for_it) {
    set_up();
    struct vspace_request request = { .pages = 10, .at = 300, .fixed = true, .attributes = VSPACE_MERGE | 1 };
    uintptr_t first;
    expect_equal(vspace_take(&space, &request, &first), 0);
    request.at = 320;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(space.ranges, 2);
    request.at = 310;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(space.ranges, 1);
    expect_equal(vspace_find(&space, 315)->first, 300);
    request.at = 330;
    request.attributes = VSPACE_MERGE | 2;
    expect_equal(vspace_take(&space, &request, &first), 0);
    expect_equal(space.ranges, 2);
    tear_down();
}

TEST(vspace_changes_nothing_when_no_node_can_be_had) {
    set_up();
    expect_equal(take_at(200, 100), 0);
    while (pool.partial != NULL) /* use up the pool's page */
        take_pages(1);
    storage_empty = true;
    struct vspace_request request = { .pages = 1 };
    uintptr_t first;
    size_t ranges = space.ranges;
    expect_equal(vspace_take(&space, &request, &first), ERR_NO_MEMORY);
    expect_equal(vspace_give(&space, 250, 1), ERR_NO_MEMORY);
    expect_equal(space.ranges, ranges);
    expect_equal(vspace_find(&space, 250)->first, 200);
    tear_down();
}

/* The model: one byte a page, 0 free, else the number of the range modulo 255; a guard is 255. */
static uint8_t model[END];

static bool model_free(uintptr_t first, uintptr_t end) {
    for (uintptr_t page = first; page < end; page++)
        if (page < FIRST || page >= END || model[page] != 0)
            return false;
    return true;
}

static uintptr_t model_first_fit(uintptr_t pages, uintptr_t guard) {
    for (uintptr_t page = FIRST; page + pages + guard <= END; page++)
        if (model_free(page, page + pages + guard))
            return page;
    return 0;
}

TEST(vspace_agrees_with_a_byte_map_over_random_operations) {
    set_up();
    memset(model, 0, sizeof(model));
    struct test_random random = { 7 };
    for (unsigned i = 0; i < 1500; i++) {
        uintptr_t pages = 1 + test_random_below(&random, 60), first = 0;
        uint8_t guard = (uint8_t)test_random_below(&random, 2);
        struct vspace_request request = { .pages = pages, .guard_after = guard };
        uintptr_t should = model_first_fit(pages, guard);
        expect_equal(vspace_take(&space, &request, &first), should == 0 ? ERR_NO_SPACE : 0);
        if (should != 0) {
            expect_equal(first, should);
            memset(model + first, 1 + (int)(i % 254), pages);
            memset(model + first + pages, 255, guard);
        }
        for (unsigned n = 0; n < 2 && space.ranges > 60; n++) {
            uintptr_t at = FIRST + test_random_below(&random, END - FIRST);
            const struct vspace_range *range = vspace_next(&space, at);
            if (range == NULL)
                continue;
            memset(model + range->first, 0, range->end - range->first + range->guard_after);
            expect_equal(vspace_give(&space, range->first, range->end - range->first), 0);
        }
        if (i % 100 == 0)
            vspace_audit(&space);
    }
    tear_down();
}

/* The bound: twice the height of the tree and a bit, for a search, an insertion, and two looks at the neighbours. */
TEST(vspace_looks_at_few_nodes_however_many_ranges_there_are) {
    set_up();
    for (uintptr_t i = 0; i < 3000; i++)
        expect_equal(take_at(FIRST + 3 * i, 2), 0);
    unsigned long before = space.steps;
    expect_equal(take_pages(100), FIRST + 9000 - 1);
    expect(space.steps - before < 100);
    before = space.steps;
    expect_equal(vspace_give(&space, FIRST + 3 * 1500, 2), 0);
    expect(space.steps - before < 100);
    tear_down();
}

TEST(pool_refuses_a_double_free_and_a_stranger) {
    set_up();
    char *a = pool_take(&pool), *b = pool_take(&pool);
    expect(a != NULL && b != NULL && a != b);
    expect_panic("pool test ranges: * is not one of its objects", pool_give(&pool, a + 8));
    char *tail =
        a + pool.per_page * pool.object_bytes; /* `a` is the page's first object: too few bytes follow the last */
    expect_panic("pool test ranges: * is not one of its objects", pool_give(&pool, tail));
    pool_give(&pool, a);
    if (CONFIG_DEBUG)
        expect_panic("pool test ranges: double free of *", pool_give(&pool, a));
    pool_give(&pool, b);
    expect_panic("pool test ranges: double free of *", pool_give(&pool, b));
    tear_down();
}

TEST(pool_keeps_one_spare_page_and_trims_it) {
    set_up();
    void *objects[200];
    for (size_t i = 0; i < 200; i++)
        expect((objects[i] = pool_take(&pool)) != NULL);
    expect(pool.pages > 1);
    for (size_t i = 0; i < 200; i++)
        pool_give(&pool, objects[i]);
    expect_equal(pool.pages, 1);
    pool_audit(&pool);
    pool_trim(&pool);
    expect_equal(pool.pages, 0);
    expect_equal(storage_free_count, storage_next);
}
