/* Searches by address, which let others in on their way: what those do then, done here whenever the lock is let go. */
#include <tests/host/bare.h>
#include <tests/host/machine.h>
#include <tests/test.h>

/* Runs of 2 pages at odd numbers, each with a held page before it: none is aligned to 2, so that a request for aligned
 * ones looks through all of them. */
enum { FIRST = 0x2000, ROWS = 4000 };

static unsigned releases;

static pfn_t take_aligned(void) {
    const struct palloc_request request = { .pages = 2, .align = 4 };
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
    for (unsigned i = 0; i < ROWS; i++)
        pfree(row(i), 2);
    palloc_drain();
    expect_equal(take_aligned(), PFN_NONE);
}

static void free_behind(void) {
    if (++releases != 2) /* in the search, when it has passed the first rows */
        return;
    pfree(FIRST, 1);
    pfree(FIRST + 3, 1);
}

static void free_elsewhere(void) {
    static bool inside;
    releases++;
    if (inside)
        return;
    inside = true;
    pfn_t at = row(ROWS - 2);
    const struct palloc_request same = { .pages = 3, .exact = true, .at = at - 1 };
    pfree(at - 1, 1);
    expect_equal(palloc_with(&same), at - 1);
    pfree(at, 2);
    inside = false;
}

TEST(palloc_search_finds_what_is_freed_behind_it) {
    make_rows();
    releases = 0;
    machine_on_unlock = free_behind;
    pfn_t first = take_aligned();
    machine_on_unlock = NULL;
    expect(releases > 2);
    expect_equal(first, FIRST);
}

/* Frees that are of no use to it don't keep it searching for ever. */
TEST(palloc_search_ends_whatever_is_freed_meanwhile) {
    make_rows();
    releases = 0;
    machine_on_unlock = free_elsewhere;
    pfn_t first = take_aligned();
    machine_on_unlock = NULL;
    expect_equal(first, PFN_NONE);
    expect(releases > 8);
    palloc_audit();
}
