/* Searches by address, which let others in on their way: what those do then, done here whenever the lock is let go. */
#include <tests/host/bare.h>
#include <tests/host/machine.h>
#include <tests/test.h>

/* Runs of 3 pages, each with a held page before it at a multiple of 4, so that a request for 3 pages at such a multiple
 * looks through all of them. The first is held too. Runs of 3 pages aren't cached. */
enum { FIRST = 0x2000, ROWS = 4000 };

static unsigned releases;

static pfn_t take_aligned(void) {
    const struct palloc_request request = { .pages = 3, .align = 4 };
    return palloc_with(&request);
}

static pfn_t row(unsigned number) {
    return FIRST + 1 + 4 * number;
}

static void make_rows(void) {
    static const struct bare_extent extents[] = { { FIRST, 4 * ROWS + 1, BOOTMAP_FREE },
                                                  { 0x6000, 0x200, BOOTMAP_FREE } }; /* for the descriptors */
    bare_boot(extents, 2);
    const struct palloc_request one = { .pages = 1 };
    for (pfn_t pfn; (pfn = palloc_with(&one)) != PFN_NONE;)
        continue;
    for (unsigned i = 1; i < ROWS; i++)
        pfree(row(i), 3);
    palloc_drain();
    expect_equal(take_aligned(), PFN_NONE);
}

/* The request, `then` done whenever it lets the lock go. */
static pfn_t take_while(void (*then)(void)) {
    releases = 0;
    machine_on_unlock = then;
    pfn_t first = take_aligned();
    machine_on_unlock = NULL;
    return first;
}

static void free_behind(void) {
    if (++releases == 2) /* in the search, when it has passed the first rows */
        pfree(FIRST, 3);
}

static void free_elsewhere(void) {
    static bool inside;
    releases++;
    if (inside)
        return;
    inside = true;
    const struct palloc_request last = { .pages = 3, .exact = true, .at = row(ROWS - 2) };
    expect_equal(palloc_with(&last), last.at);
    pfree(last.at, 3);
    inside = false;
}

TEST(palloc_search_finds_what_is_freed_behind_it) {
    make_rows();
    pfn_t first = take_while(free_behind);
    expect(releases > 2);
    expect_equal(first, FIRST);
}

/* Into a cache, which was emptied before: one page in the first search, so that there is a second, and in that one the
 * others, which then are a run together. */
static void free_into_cache(void) {
    enum { IN_FIRST = 2, IN_SECOND = 10 };
    releases++;
    if (releases == IN_FIRST)
        pfree(FIRST + 2, 1);
    if (releases == IN_SECOND) {
        pfree(FIRST, 1);
        pfree(FIRST + 1, 1);
    }
}

TEST(palloc_search_finds_what_is_cached_behind_it_after_the_caches_were_emptied) {
    make_rows();
    struct palloc_stats stats;
    palloc_stats(&stats);
    expect_equal(stats.cached, 0);
    pfn_t first = take_while(free_into_cache);
    expect(releases > 10);
    expect_equal(first, FIRST);
}

/* Frees that are of no use to it don't keep it searching for ever. */
TEST(palloc_search_ends_whatever_is_freed_meanwhile) {
    make_rows();
    pfn_t first = take_while(free_elsewhere);
    expect_equal(first, PFN_NONE);
    expect(releases > 8);
    palloc_audit();
}
