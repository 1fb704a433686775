/* Short ranges of the kernel's context: what valloc() and pvalloc() give of 1 to 7 pages. */
#include <mem/context.h>
#include <mem/range_cache.h>
#include <mem/valloc.h>
#include <tests/test.h>

static uintptr_t number(const void *address) {
    return page_number((uintptr_t)address);
}

static uintptr_t take(size_t pages) {
    void *range = valloc(pages, context_kernel());
    expect(range != NULL);
    return number(range);
}

static void need_short_ranges(void) {
    uintptr_t page = take(1);
    bool any = range_cache_has(page);
    vfree(page, 1);
    if (!any)
        test_skip("this machine's kernel space is too small for short ranges");
}

TEST(short_ranges_of_each_length_have_a_guard_and_are_found) {
    need_short_ranges();
    struct context *kernel = context_kernel();
    for (size_t pages = 1; pages <= RANGE_CACHE_PAGES; pages++) {
        uintptr_t first = take(pages);
        struct vspace_range range;
        expect(range_cache_has(first));
        for (uintptr_t page = first; page < first + pages; page++) {
            expect_equal(context_find_range(kernel, page, &range), CONTEXT_IN_RANGE);
            expect(range.first == first && range.end == first + pages && range.attributes == CONTEXT_RANGE_EMPTY);
        }
        expect_equal(context_find_range(kernel, first + pages, &range), CONTEXT_IN_GUARD);
        expect_equal(range.first, first);
        vfree(first, pages);
        expect_equal(context_find_range(kernel, first, &range), CONTEXT_NO_RANGE);
    }
}

TEST(a_warm_valloc_and_vfree_take_no_lock_of_the_kernels_ranges) {
    need_short_ranges();
    struct context *kernel = context_kernel();
    for (size_t pages = 1; pages <= RANGE_CACHE_PAGES; pages++) {
        vfree(take(pages), pages);
        lock_take(&kernel->lock);
        unsigned long steps = kernel->ranges.steps;
        uintptr_t first = take(pages);
        vfree(first, pages);
        expect_equal(kernel->ranges.steps, steps);
        lock_release(&kernel->lock);
    }
}

TEST(any_part_of_a_short_range_can_be_given_back) {
    need_short_ranges();
    struct context *kernel = context_kernel();
    struct vspace_range range;
    uintptr_t first = take(7);
    expect_equal(vfree_in(kernel, first + 3, 1), 0);
    expect_equal(context_find_range(kernel, first + 3, &range), CONTEXT_IN_GUARD);
    expect(range.first == first && range.end == first + 3);
    expect_equal(context_find_range(kernel, first + 5, &range), CONTEXT_IN_RANGE);
    expect(range.first == first + 4 && range.end == first + 7);
    expect_panic("vfree(*, 2) in context kernel: the length passes the range's end", vfree(first + 2, 2));
    expect_panic("vfree(*, 1) in context kernel: the number is a guard page's", vfree(first + 3, 1));
    vfree(first, 3);
    vfree(first + 4, 1);
    vfree(first + 5, 2);
    expect_panic("vfree(*, 7) in context kernel: never handed out, or freed already", vfree(first, 7));
}

/* More than the stretch has: the others come from the kernel's ranges. */
TEST(short_ranges_are_disjoint_however_many_there_are) {
    enum { MOST = 9000, PAGES = 1 << 15 };
    static uintptr_t firsts[MOST];
    static uint8_t taken[PAGES];
    uintptr_t lowest = UINTPTR_MAX, count = 0;
    for (; count < MOST; count++) {
        void *range = valloc(1, context_kernel());
        if (range == NULL)
            break;
        firsts[count] = number(range);
        lowest = firsts[count] < lowest ? firsts[count] : lowest;
    }
    expect(count > 100);
    uintptr_t outside = 0, near = 0;
    for (uintptr_t i = 0; i < count; i++) {
        uintptr_t at = firsts[i] - lowest;
        outside += !range_cache_has(firsts[i]);
        if (at < PAGES) {
            expect_equal(taken[at], 0);
            taken[at] = 1;
            near++;
        }
    }
    expect(near > 0 && (count < MOST || outside > 0));
    for (uintptr_t i = 0; i < count; i++)
        vfree(firsts[i], 1);
    for (uintptr_t i = 0; i < PAGES; i++)
        taken[i] = 0;
}

TEST(short_ranges_agree_with_a_list_over_random_operations) {
    enum { LIVE = 200, STEPS = 20000 };
    static struct {
        uintptr_t first;
        size_t pages;
    } live[LIVE];
    struct test_random random = { 11 };
    size_t count = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        if (count < LIVE && test_random_below(&random, 2) == 0) {
            size_t pages = 1 + test_random_below(&random, RANGE_CACHE_PAGES);
            uintptr_t first = take(pages);
            for (size_t i = 0; i < count; i++)
                expect(first + pages < live[i].first || live[i].first + live[i].pages < first);
            live[count].first = first;
            live[count++].pages = pages;
        } else if (count > 0) {
            size_t at = test_random_below(&random, (uint32_t)count);
            size_t part = 1 + test_random_below(&random, (uint32_t)live[at].pages);
            vfree(live[at].first, part);
            live[at].first += part;
            live[at].pages -= part;
            if (live[at].pages == 0)
                live[at] = live[--count];
        }
    }
    range_cache_audit();
    while (count > 0) {
        count--;
        vfree(live[count].first, live[count].pages);
    }
}

TEST(a_pvalloc_that_is_short_of_memory_gives_its_range_back) {
    need_short_ranges();
    uintptr_t first = number(pvalloc(2, context_kernel()));
    struct vspace_range range;
    expect(first != 0);
    expect_equal(context_find_range(context_kernel(), first, &range), CONTEXT_IN_RANGE);
    expect_equal(range.attributes, CONTEXT_RANGE_PAGES);
    expect_panic("pvfree(*, 1) in context kernel: *", (vfree(first + 1, 1), pvfree(first + 1, 1)));
    pvfree(first, 1);
}

static void audit_broken(uint16_t bits_added, uint16_t bits_kept, const char *report) {
    need_short_ranges();
    uintptr_t first = take(3);
    uint16_t *state = range_cache_state(first), was = *state;
    *state = (uint16_t)((was | bits_added) & bits_kept);
    expect_panic(report, range_cache_audit());
    *state = was;
    vfree(first, 3);
}

TEST(range_cache_audit_finds_a_broken_q1) {
    audit_broken(1 << 5, UINT16_MAX, "short ranges: Q1 broken: a slot of 3 pages has state *");
}

TEST(range_cache_audit_finds_a_broken_q2) {
    audit_broken(0, 0, "short ranges: Q2 broken: a free slot of 3 pages is lost");
}
