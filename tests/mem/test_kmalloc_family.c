/* The rest of kmalloc's family: alignments, arrays, sizes on free, reclaim and the reserve, marks. */
#include <base/config.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/kmalloc.h>
#include <mem/palloc.h>
#include <tests/test.h>

static bool all_bytes_are(const void *block, int byte, size_t bytes) {
    const uint8_t *at = (const uint8_t *)block;
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != (uint8_t)byte)
            return false;
    return true;
}

static struct kmalloc_stats stats_now(void) {
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    return stats;
}

/* --- Alignment and arrays ----------------------------------------------------------------------------------------- */

TEST(kmalloc_aligned_gives_blocks_of_any_size_at_any_power_of_two) {
    static const size_t sizes[] = { 0, 1, 16, 100, 500, 4096, 5000, 33000 };
    for (size_t align = 1; align <= (size_t)64 << 10; align *= 2) {
        char *blocks[sizeof(sizes) / sizeof(sizes[0])];
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            blocks[i] = (char *)kmalloc_aligned(sizes[i], align);
            expect(blocks[i] != NULL);
            if (((uintptr_t)blocks[i] & (align - 1)) != 0 || (uintptr_t)blocks[i] % 16 != 0)
                test_fail(__FILE__, __LINE__, "%zu bytes aligned to %zu lie at %p", sizes[i], align, (void *)blocks[i]);
            expect(kmalloc_usable_size(blocks[i]) >= sizes[i]);
            memset(blocks[i], (int)i + 1, sizes[i]);
        }
        kmalloc_audit();
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            expect(all_bytes_are(blocks[i], (int)i + 1, sizes[i]));
            kfree_sized(blocks[i], sizes[i]);
        }
    }
}

TEST(kmalloc_aligned_to_more_than_there_is_says_null) {
    expect(kmalloc_aligned(1, SIZE_MAX / 2 + 1) == NULL);
    expect(kmalloc_aligned(SIZE_MAX, 4096) == NULL);
}

TEST(an_alignment_that_is_no_power_of_two_is_reported) {
    expect_panic("kmalloc_aligned(100, 48): the alignment is no power of two", kmalloc_aligned(100, 48));
    expect_panic("kmalloc_aligned(100, 0): the alignment is no power of two", kmalloc_aligned(100, 0));
}

TEST(an_array_that_overflows_is_refused) {
    expect(kmalloc_array(SIZE_MAX / 2, 3) == NULL);
    expect(zmalloc_array((size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4)) == NULL);
    char *array = (char *)zmalloc_array(7, 30);
    expect(array != NULL && all_bytes_are(array, 0, 210));
    kfree_sized(array, 210);
    array = (char *)kmalloc_array(0, 30);
    expect(array != NULL);
    kfree(array);
}

/* --- Sized free --------------------------------------------------------------------------------------------------- */

TEST(kfree_sized_takes_each_size_that_the_block_may_have_been_asked_for_with) {
    for (size_t bytes = 0; bytes < 5000; bytes += bytes < 300 ? 1 : 37) {
        void *block = kmalloc(bytes);
        expect(block != NULL);
        kfree_sized(block, bytes);
    }
    void *block = krealloc(kmalloc(1000), 600);
    expect(block != NULL);
    kfree_sized(block, 600);
    kfree_sized(NULL, 5);
}

TEST(kfree_sized_reports_a_wrong_size) {
    char *volatile block = (char *)kmalloc(200);
    expect(block != NULL);
    if (CONFIG_KMALLOC_CANARY) {
        expect_panic(
            "kfree_sized(*, 201): wrong size: the block was asked for with 200 bytes, allocated at *: the size of "
            "another type, or from before it was resized?",
            kfree_sized(block, 201));
        expect_panic("kfree_sized(*, 199): wrong size: *", kfree_sized(block, 199));
    } else {
        expect_panic("kfree_sized(*, 209): wrong size: the block has 208 bytes: *", kfree_sized(block, 209));
        expect_panic(
            "kfree_sized(*, 100): wrong size: the block has 208 bytes, and so few would have got a shorter one: the "
            "size of another type, or from before it was resized?",
            kfree_sized(block, 100));
    }
    kfree_sized(block, 200);
}

/* --- Shortage ----------------------------------------------------------------------------------------------------- */

static struct {
    void *cached;
    unsigned calls;
    bool nested_failed;
} giver;

static size_t give_back(struct kmalloc_reclaim *me, size_t bytes) {
    expect(me != NULL && bytes > 0);
    giver.calls++;
    giver.nested_failed = kmalloc((size_t)1 << 28) == NULL;
    size_t freed = giver.cached == NULL ? 0 : kmalloc_usable_size(giver.cached);
    kfree(giver.cached);
    giver.cached = NULL;
    return freed;
}

enum { RUNS_MAX = 4096 };
static struct extent runs[RUNS_MAX];

static size_t take_all_pages(void) {
    size_t count = 0;
    struct palloc_stats stats;
    palloc_drain();
    for (palloc_stats(&stats); stats.largest > 0 && count < RUNS_MAX; palloc_stats(&stats)) {
        struct palloc_request request = { .pages = (uint32_t)stats.largest };
        pfn_t first = palloc_with(&request);
        expect(first != PFN_NONE);
        runs[count++] = (struct extent){ first, first + (pfn_t)stats.largest };
    }
    return count;
}

static void give_pages(size_t count) {
    for (size_t i = 0; i < count; i++)
        pfree(runs[i].first, runs[i].end - runs[i].first);
}

TEST(who_registered_is_asked_before_a_request_fails) {
    static struct kmalloc_reclaim who = { .give_back = give_back };
    giver.cached = kmalloc(100000);
    giver.calls = 0;
    expect(giver.cached != NULL);
    kmalloc_trim();
    kmalloc_reclaim_register(&who);
    size_t count = take_all_pages();
    void *block = kmalloc(50000);
    unsigned calls = giver.calls;
    void *none = kmalloc(500000);
    give_pages(count);
    bool gone = kmalloc_reclaim_unregister(&who);
    expect(gone && block != NULL && none == NULL);
    expect_equal(calls, 1);
    expect_equal(giver.calls, 2);
    expect(giver.nested_failed);
    kfree(block);
}

static bool refused_while_it_ran;

static size_t try_to_leave(struct kmalloc_reclaim *me, size_t bytes) {
    (void)bytes;
    refused_while_it_ran = !kmalloc_reclaim_unregister(me);
    return 0;
}

TEST(who_is_being_asked_cannot_leave) {
    static struct kmalloc_reclaim who = { .give_back = try_to_leave };
    kmalloc_reclaim_register(&who);
    size_t count = take_all_pages();
    void *none = kmalloc(500000);
    give_pages(count);
    expect(none == NULL && refused_while_it_ran);
    expect(kmalloc_reclaim_unregister(&who));
    expect_panic("kmalloc_reclaim_unregister(*): it isn't registered", kmalloc_reclaim_unregister(&who));
}

TEST(the_reserve_serves_urgent_requests_when_nothing_else_is_left) {
    enum { MOST = 32 };
    char *urgent[MOST], *last = NULL;
    kmalloc_trim();
    size_t count = take_all_pages(), got = 0, reserve = stats_now().reserve_pages;
    for (char *next; (next = (char *)kmalloc(3000)) != NULL; last = next)
        memcpy(next, (void *)&last, sizeof(last));
    expect(kmalloc_urgent(5000) == NULL);
    while (got < MOST && (urgent[got] = (char *)kmalloc_urgent(3000)) != NULL)
        memset(urgent[got], (int)got, 3000), got++;
    expect(kmalloc(3000) == NULL);
    audit_all();
    for (size_t i = 0; i < got; i++) {
        expect(all_bytes_are(urgent[i], (int)i, 3000));
        kfree(urgent[i]);
    }
    audit_all();
    for (char *next; last != NULL; last = next) {
        memcpy((void *)&next, last, sizeof(next));
        kfree(last);
    }
    give_pages(count);
    expect_equal(got, reserve);
}

/* --- Leaks -------------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void *take_here(size_t bytes) {
    void *block = kmalloc(bytes);
    expect(block != NULL);
    return block;
}

TEST(blocks_since_a_mark_are_listed_by_place_and_age) {
    if (!CONFIG_KMALLOC_CANARY)
        test_skip("built without canaries");
    struct kmalloc_place table[8], others;
    void *older = kmalloc(10);
    size_t mark = kmalloc_mark();
    expect_equal(kmalloc_places_since(mark, table, 8, &others), 0);
    void *kept[3];
    for (size_t i = 0; i < 3; i++)
        kept[i] = take_here(20);
    kfree(kmalloc(30));
    expect_equal(kmalloc_places_since(mark, table, 8, &others), 1);
    expect_equal(table[0].blocks, 3);
    expect_equal(table[0].bytes, 60);
    expect_equal(table[0].oldest - table[0].youngest, 2);
    expect_equal(others.blocks, 0);
    for (size_t i = 0; i < 3; i++)
        kfree(kept[i]);
    expect_equal(kmalloc_places_since(mark, table, 8, &others), 0);
    kfree(older);
}
