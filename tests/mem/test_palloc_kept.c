/* The long run that a processor keeps (mem/palloc_cache.h). These machines may be too small to keep one: what is said
 * of pages holds on all. */
#include <mem/palloc.h>
#include <tests/test.h>

enum { LONG = 512 };

static struct palloc_stats stats_now(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats;
}

static pfn_t take(uint32_t pages) {
    const struct palloc_request request = { .pages = pages };
    pfn_t first = palloc_with(&request);
    expect(first != PFN_NONE);
    return first;
}

TEST(palloc_gives_a_long_run_that_was_just_freed_again) {
    palloc_drain();
    pfn_t first = take(LONG);
    pfree(first, LONG);
    bool kept = stats_now().cached >= LONG;
    pfn_t again = take(LONG);
    expect(!kept || again == first);
    pfree(again, LONG);
    palloc_audit();
}

TEST(palloc_keeps_one_long_run_and_only_until_the_next_by_the_lock) {
    palloc_drain();
    pfn_t one = take(LONG), two = take(LONG);
    pfree(one, LONG);
    bool kept = stats_now().cached >= LONG; /* not if the run passes a chunk's border */
    pfree(two, LONG);
    expect(!kept || stats_now().cached < LONG);
    one = take(LONG);
    pfree(one, LONG);
    pfn_t other = take(LONG / 2 + 1);
    expect(stats_now().cached < LONG);
    palloc_audit();
    pfree(other, LONG / 2 + 1);
}

TEST(palloc_takes_no_run_of_another_length_from_the_kept_one) {
    palloc_drain();
    size_t free_pages = palloc_free_pages();
    pfn_t one = take(LONG);
    pfree(one, LONG);
    pfn_t half = take(LONG / 2);
    expect_equal(palloc_free_pages(), free_pages - LONG / 2);
    pfree(half, LONG / 2);
    expect_equal(palloc_free_pages(), free_pages);
}

TEST(palloc_drain_empties_the_kept_run) {
    palloc_drain();
    size_t runs = stats_now().runs;
    pfree(take(LONG), LONG);
    palloc_drain();
    expect_equal(stats_now().cached, 0);
    expect_equal(stats_now().runs, runs);
    pfree(take(LONG), LONG); /* its note of a length is out of date */
    palloc_audit();
}

TEST(pfree_reports_a_long_run_freed_twice_in_whole_and_in_part) {
    pfn_t first = take(LONG);
    pfree(first, LONG);
    expect_panic("pfree(page *, 512 pages): * is *free*", pfree(first, LONG));
    expect_panic("pfree(page *, 1 pages): * is *free*", pfree(first + 7, 1));
    expect_panic("pfree(page *, 128 pages): * is *free*", pfree(first + 128, 128));
}

TEST(palloc_keeps_no_run_of_which_a_page_went) {
    palloc_drain();
    pfn_t first = take(LONG);
    pfree(first + 100, 1);
    expect_panic("pfree(page *, 512 pages): * is *free*", pfree(first, LONG));
    pfree(first, 100);
    pfree(first + 101, LONG - 101);
    palloc_drain();
    palloc_audit();
}
