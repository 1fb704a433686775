/* palloc on machines larger than this one: the descriptors alone, in address space that the host backs as it is
 * touched. */
#include <tests/host/bare.h>
#include <tests/test.h>

enum { TIB_PAGES = 1 << 28 };

/* RAM from page `first` on, `pages` of it. The pages that set-up touched. */
static size_t boot(uint64_t first, uint64_t pages) {
    const struct bare_extent ram = { first, pages, BOOTMAP_FREE };
    if (sizeof(void *) == 4)
        test_skip("the descriptors don't fit into 32 bits of addresses");
    bare_boot(&ram, 1);
    return bare_touched();
}

static void take_and_give(uint32_t pages, pfn_t below) {
    const struct palloc_request request = { .pages = pages, .limit = below };
    pfn_t run = palloc_with(&request);
    expect(run != PFN_NONE && (below == 0 || run + pages <= below));
    for (uint32_t i = 0; i < pages; i++)
        expect_equal(palloc_state(run + i), PALLOC_HELD);
    pfree(run, pages);
    expect_equal(palloc_state(run), pages == 1 ? PALLOC_CACHED : palloc_state(run));
}

static void use(pfn_t first, pfn_t end) {
    take_and_give(1, 0);
    take_and_give(512, 0);
    take_and_give(5000, 0);
    take_and_give(3, first + 100);
    const struct palloc_request lowest = { .pages = 1, .exact = true, .at = first };
    const struct palloc_request highest_free = { .pages = 1 };
    expect_equal(palloc_with(&lowest), first);
    pfn_t high = palloc_with(&highest_free);
    expect(high != PFN_NONE && high < end);
    pfree(first, 1);
    pfree(high, 1);
    palloc_drain();
    struct palloc_stats stats;
    palloc_stats(&stats);
    expect_equal(stats.runs, 1);
    expect(stats.metadata_bytes <= stats.total * 10);
}

TEST(palloc_set_up_of_1_tib_touches_1_page_in_16384) {
    size_t touched = boot(1, TIB_PAGES);
    expect(touched <= TIB_PAGES / 16384);
    use(1, TIB_PAGES + 1);
}

TEST(palloc_set_up_of_8_tib_touches_1_page_in_16384) {
    size_t touched = boot(1, (uint64_t)8 * TIB_PAGES);
    expect(touched <= (size_t)8 * TIB_PAGES / 16384);
    use(1, (pfn_t)(8u * TIB_PAGES + 1));
}

/* The highest number that a page can have is 2^32 - 2. */
TEST(palloc_describes_the_last_page_that_has_a_number) {
    pfn_t first = (pfn_t)(UINT32_MAX - TIB_PAGES);
    size_t touched = boot(first, TIB_PAGES);
    expect(touched <= TIB_PAGES / 16384);
    expect_equal(palloc_end(), UINT32_MAX);
    expect_equal(palloc_state(UINT32_MAX), PALLOC_NOT_RAM);
    use(first, UINT32_MAX);
    expect_panic("pfree(page 0xffffffff, 1 pages): page 0xffffffff is never ours *", pfree(UINT32_MAX, 1));
    expect_panic("pfree(page 0xffffff00, 512 pages): page 0x* is *", pfree(0xffffff00, 512));
}
