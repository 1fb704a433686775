#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/kmalloc.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { LARGE = 100000, BLOCK_MAX = 32768 };

static char *take(size_t bytes) {
    char *block = (char *)kmalloc(bytes);
    expect(block != NULL);
    return block;
}

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

/* --- What is given ------------------------------------------------------------------------------------------------ */

TEST(kmalloc_gives_aligned_blocks_that_do_not_overlap) {
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 128, 129, 500, 4096, 4097, 10000, 32768, 32769, LARGE };
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), EACH = 5 };
    char *blocks[SIZES * EACH];
    for (size_t i = 0; i < SIZES * EACH; i++) {
        blocks[i] = take(sizes[i % SIZES]);
        expect_equal((uintptr_t)blocks[i] % 16, 0);
        expect(kmalloc_usable_size(blocks[i]) >= sizes[i % SIZES]);
        memset(blocks[i], (int)i, kmalloc_usable_size(blocks[i]));
    }
    audit_all();
    for (size_t i = 0; i < SIZES * EACH; i++) {
        expect(all_bytes_are(blocks[i], (int)i, kmalloc_usable_size(blocks[i])));
        kfree(blocks[i]);
    }
}

TEST(kmalloc_wastes_at_most_an_eighth_or_15_bytes) {
    if (CONFIG_KMALLOC_CANARY)
        test_skip("with canaries the usable size is what was asked for");
    for (size_t bytes = 1; bytes <= BLOCK_MAX; bytes += bytes < 600 ? 1 : 61) {
        char *block = take(bytes);
        size_t usable = kmalloc_usable_size(block), waste = usable - bytes;
        if (usable < bytes || (waste > 15 && waste * 8 > usable))
            test_fail(__FILE__, __LINE__, "%zu bytes take a block of %zu", bytes, usable);
        kfree(block);
    }
}

TEST(kmalloc_of_0_gives_a_block_of_its_own) {
    char *first = take(0), *second = take(0);
    expect(first != second);
    kfree(first);
    kfree(second);
}

TEST(zmalloc_clears_what_was_used_before) {
    static const size_t sizes[] = { 1, 48, 1000, 5000, LARGE };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *used = take(sizes[i]);
        memset(used, 0xff, sizes[i]);
        kfree(used);
        void *block = zmalloc(sizes[i]);
        expect(block != NULL && all_bytes_are(block, 0, sizes[i]));
        kfree(block);
    }
}

TEST(kmalloc_a_gives_page_aligned_blocks_of_any_size) {
    static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 12288, 20000, 28672, 32768, 32769, LARGE };
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    char *blocks[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        blocks[i] = (char *)(i % 2 == 0 ? kmalloc_a(sizes[i]) : zmalloc_a(sizes[i]));
        expect(blocks[i] != NULL);
        expect_equal((uintptr_t)blocks[i] % PAGE_SIZE, 0);
        expect(i % 2 == 0 || all_bytes_are(blocks[i], 0, sizes[i]));
        memset(blocks[i], (int)i, kmalloc_usable_size(blocks[i]));
    }
    audit_all();
    for (size_t i = 0; i < SIZES; i++) {
        expect(all_bytes_are(blocks[i], (int)i, sizes[i]));
        kfree(blocks[i]);
    }
}

TEST(kmalloc_refuses_absurd_sizes) {
    const size_t absurd[] = { SIZE_MAX,
                              SIZE_MAX - 3,
                              SIZE_MAX - 15,
                              SIZE_MAX - 16,
                              SIZE_MAX - 4095,
                              SIZE_MAX / 2 + 1,
                              SIZE_MAX / 4 + 1,
                              SIZE_MAX / 4,
                              stats_now().region_bytes + 1,
                              stats_now().region_bytes };
    char *block = take(40);
    memset(block, 7, 40);
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        expect(kmalloc(absurd[i]) == NULL);
        expect(zmalloc(absurd[i]) == NULL);
        expect(kmalloc_a(absurd[i]) == NULL);
        expect(zmalloc_a(absurd[i]) == NULL);
        expect(krealloc(block, absurd[i]) == NULL);
    }
    expect(all_bytes_are(block, 7, 40));
    kfree(block);
}

TEST(a_large_block_is_followed_by_an_unmapped_page) {
    char *block = take(LARGE);
    struct paging_entry entry;
    uintptr_t end = ((uintptr_t)block + LARGE + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
    expect(paging_find(&context_kernel()->tables, end - 1, &entry));
    expect(!paging_find(&context_kernel()->tables, end + 16, &entry));
    kfree(block);
}

TEST(a_heap_page_cannot_be_mapped_in_a_task) {
    struct context *task = context_create("test");
    expect(task != NULL);
    char *block = take(100);
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, (uintptr_t)block, &entry));
    expect_equal(frame_get(entry.pfn).owner, FRAME_HEAP);
    expect_equal(entry.attributes, PAGE_WRITE);
    void *range = valloc(1, task);
    expect(range != NULL);
    expect_equal(paging_map(&task->tables, (uintptr_t)range, entry.pfn, 1, PAGE_USER), ERR_REFUSED);
    expect_equal(paging_map(&task->tables, (uintptr_t)range, entry.pfn, 1, PAGE_USER | PAGE_WRITE), ERR_REFUSED);
    kfree(block);
    context_destroy(task);
}

TEST(what_a_user_writes_reaches_no_data_of_the_heap) {
    if (CONFIG_KMALLOC_CANARY)
        test_skip("with canaries such writes are reported");
    enum { BLOCKS = 64 };
    char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(64);
    for (size_t i = 0; i < BLOCKS; i++) {
        uintptr_t page = (uintptr_t)blocks[i] & ~(uintptr_t)(PAGE_SIZE - 1);
        memset((void *)page, 0xee, PAGE_SIZE);
    }
    audit_all();
    for (size_t i = 0; i < BLOCKS; i++)
        kfree(blocks[i]);
}

/* --- Resizing ----------------------------------------------------------------------------------------------------- */

TEST(krealloc_keeps_the_bytes_that_fit) {
    static const size_t sizes[] = { 10, 17, 100, 40, 3000, 5000, 33000, LARGE, 2 * LARGE, 50000, 30000, 700, 16, 0, 8 };
    uint8_t *block = (uint8_t *)krealloc(NULL, sizes[0]);
    expect(block != NULL);
    size_t kept = sizes[0];
    for (size_t i = 0; i < kept; i++)
        block[i] = (uint8_t)(i * 7);
    for (size_t step = 1; step < sizeof(sizes) / sizeof(sizes[0]); step++) {
        size_t bytes = sizes[step];
        block = (uint8_t *)krealloc(block, bytes);
        expect(block != NULL && kmalloc_usable_size(block) >= bytes);
        for (size_t i = 0; i < (bytes < kept ? bytes : kept); i++)
            expect(block[i] == (uint8_t)(i * 7));
        for (size_t i = 0; i < bytes; i++)
            block[i] = (uint8_t)(i * 7);
        kept = bytes;
        kmalloc_audit();
    }
    kfree(block);
}

TEST(krealloc_stays_in_place_where_it_fits) {
    kmalloc_sample(0);
    char *block = take(100);
    expect(krealloc(block, 101) == block);
    expect(krealloc(block, 90) == block);
    kfree(block);
    block = take(3 * LARGE);
    size_t pages = stats_now().pages;
    expect(krealloc(block, 2 * LARGE) == block);
    expect(stats_now().pages + LARGE / PAGE_SIZE <= pages + 1);
    struct paging_entry entry;
    expect(!paging_find(&context_kernel()->tables, (uintptr_t)block + 2 * LARGE + 2 * PAGE_SIZE, &entry));
    kfree(block);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

/* --- Shortage ----------------------------------------------------------------------------------------------------- */

enum { RUNS_MAX = 4096 };
static struct extent runs[RUNS_MAX];

/* Takes every page but those in the caches. */
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

TEST(kmalloc_says_null_when_memory_is_short_and_recovers) {
    char *block = take(40);
    memset(block, 3, 40);
    size_t count = take_all_pages(), got = 0;
    char *last = NULL;
    for (char *next; (next = (char *)kmalloc(2000)) != NULL; last = next, got++)
        memcpy(next, (void *)&last, sizeof(last));
    expect(kmalloc(2000) == NULL);
    expect(kmalloc(LARGE) == NULL && zmalloc_a(5) == NULL);
    expect(krealloc(block, LARGE) == NULL);
    expect(all_bytes_are(block, 3, 40));
    audit_all();
    for (char *next; last != NULL; last = next) {
        memcpy((void *)&next, last, sizeof(next));
        kfree(last);
    }
    give_pages(count);
    char *after = take(2000);
    kfree(after);
    kfree(block);
}

TEST(krealloc_that_shrinks_never_fails) {
    char *block = take(3000);
    memset(block, 9, 3000);
    kmalloc_trim();
    size_t count = take_all_pages();
    char *same = (char *)krealloc(block, 200);
    expect(same != NULL && all_bytes_are(same, 9, 200));
    give_pages(count);
    kmalloc_audit();
    kfree(same);
}

TEST(spares_of_other_sizes_are_used_when_memory_is_short) {
    kmalloc_sample(0);
    kmalloc_trim();
    kfree(take(32000));
    kfree(take(16000));
    for (int i = 0; i < (CONFIG_KMALLOC_GUARD ? 20 : 0); i++) /* push them out of the quarantine */
        kfree(take(30000));
    kmalloc_idle();
    expect(stats_now().spares >= 2);
    size_t count = take_all_pages();
    char *block = take(4000);
    give_pages(count);
    kfree(block);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

static struct {
    size_t bytes, to;
    bool aligned;
    void *block;
} trial;

static bool try_kmalloc(void) {
    trial.block = trial.aligned ? zmalloc_a(trial.bytes) : kmalloc(trial.bytes);
    return trial.block != NULL;
}

static void undo_kmalloc(void) {
    kfree(trial.block);
}

static bool try_krealloc(void) {
    void *moved = krealloc(trial.block, trial.to);
    if (moved != NULL)
        trial.block = moved;
    return moved != NULL;
}

static void undo_krealloc(void) {
    kfree(trial.block);
    kmalloc_trim();
    trial.block = kmalloc(trial.bytes);
    expect(trial.block != NULL);
}

/* Pages come in lists of this many, each one inner request (mem/heap_pages.c). */
enum { HEAP_BATCH = 64 };

/* The n-th inner request fails, n = 1, 2, 3... until the call succeeds without it; a failed call may change nothing.
 * Returns the number of requests that were made to fail. */
static unsigned sweep(bool (*attempt)(void), void (*undo)(void)) {
    for (unsigned n = 1;; n++) {
        uint64_t before = audit_hash();
        fail_arm(n);
        bool succeeded = attempt(), reached = fail_seen() >= n;
        fail_arm(0);
        if (succeeded) {
            undo();
            if (!reached)
                return n - 1;
            continue;
        }
        expect(reached);
        audit_all();
        if (audit_hash() != before)
            test_fail(__FILE__, __LINE__, "failure %u of a request for %zu bytes left something changed", n,
                      trial.bytes);
    }
}

TEST(kmalloc_leaves_all_as_it_was_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    static const size_t sizes[] = { 20, 5000, LARGE, 70 * 4096 };
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        trial.bytes = sizes[i / 2];
        trial.aligned = i % 2 != 0;
        unsigned failures = sweep(try_kmalloc, undo_kmalloc);
        if (failures < 4 || failures < trial.bytes / PAGE_SIZE / HEAP_BATCH)
            test_fail(__FILE__, __LINE__, "only %u failures were forced for %zu bytes", failures, trial.bytes);
    }
}

TEST(krealloc_leaves_all_as_it_was_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    trial.bytes = 5000;
    trial.to = LARGE;
    kmalloc_trim();
    trial.block = kmalloc(trial.bytes);
    expect(sweep(try_krealloc, undo_krealloc) >= 4);
    kfree(trial.block);
}

TEST(each_request_asks_for_permission_to_fail_once) {
    if (!CONFIG_DEBUG)
        test_skip("failures are counted in debug builds");
    if (CONFIG_KMALLOC_GUARD)
        test_skip("the quarantine makes room for blocks now and then");
    char *keep = take(100);
    fail_arm(0);
    kfree(take(100));
    expect_equal(fail_seen(), 1);
    fail_arm(0);
    kfree(zmalloc(100));
    expect_equal(fail_seen(), 1);
    fail_arm(0);
    expect(krealloc(keep, 101) == keep);
    expect_equal(fail_seen(), 0);
    kfree(keep);
}

/* --- Giving back -------------------------------------------------------------------------------------------------- */

TEST(free_slabs_are_kept_up_to_the_limit_and_given_back_on_demand) {
    enum { BLOCKS = 600 };
    static char *blocks[BLOCKS];
    kmalloc_trim();
    size_t before = stats_now().pages;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(4000);
    size_t most = stats_now().pages;
    expect(most >= before + BLOCKS * 4000 / PAGE_SIZE);
    for (size_t i = 0; i < BLOCKS; i++)
        kfree(blocks[i]);
    struct kmalloc_stats after = stats_now();
    expect(after.spares > 0 && after.spare_pages <= 256);
    expect(after.pages < most && after.pages <= before + 256 + 128);
    kmalloc_trim();
    expect_equal(stats_now().pages, before);
    expect_equal(stats_now().spares, 0);
    expect_equal(stats_now().cached, 0);
}

TEST(a_batch_taken_and_freed_again_and_again_costs_no_page) {
    kmalloc_sample(0);
    enum { BLOCKS = 2000 };
    static char *blocks[BLOCKS];
    size_t pages = 0;
    if (CONFIG_KMALLOC_GUARD)
        test_skip("freed blocks wait in quarantine meanwhile");
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = take(64);
        expect(round == 0 || stats_now().pages == pages);
        pages = stats_now().pages;
        for (size_t i = 0; i < BLOCKS; i++)
            kfree(blocks[i * 7 % BLOCKS]);
        expect_equal(stats_now().pages, pages);
    }
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(a_block_taken_and_freed_again_and_again_costs_no_page) {
    if (CONFIG_KMALLOC_GUARD)
        test_skip("freed blocks wait in quarantine meanwhile");
    kmalloc_sample(0);
    kfree(take(200));
    size_t pages = stats_now().pages;
    struct palloc_stats before, after;
    palloc_stats(&before);
    for (int i = 0; i < 100; i++) {
        kfree(take(200));
        expect_equal(stats_now().pages, pages);
    }
    palloc_stats(&after);
    expect_equal(after.tied, before.tied);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

/* --- At random ---------------------------------------------------------------------------------------------------- */

enum { LIVE = 300, STEPS = 6000 };
static struct {
    uint8_t *at;
    size_t bytes;
    uint8_t mark;
} live[LIVE];

static size_t random_bytes(struct test_random *random) {
    size_t most = (size_t)1 << test_random_below(random, 17);
    return test_random_below(random, (uint32_t)most + 1);
}

static void check_and_mark(size_t i, size_t kept, size_t bytes) {
    expect(all_bytes_are(live[i].at, live[i].mark, kept));
    live[i].bytes = bytes;
    live[i].mark++;
    memset(live[i].at, live[i].mark, bytes);
}

static void step(struct test_random *random) {
    size_t i = test_random_below(random, LIVE), bytes = random_bytes(random);
    uint32_t what = test_random_below(random, 8);
    if (live[i].at == NULL) {
        live[i].at = (uint8_t *)(what == 0 ? kmalloc_a(bytes) : kmalloc(bytes));
        if (live[i].at != NULL)
            check_and_mark(i, 0, bytes);
    } else if (what < 2) {
        uint8_t *moved = (uint8_t *)krealloc(live[i].at, bytes);
        if (moved == NULL)
            return;
        live[i].at = moved;
        check_and_mark(i, bytes < live[i].bytes ? bytes : live[i].bytes, bytes);
    } else {
        check_and_mark(i, live[i].bytes, live[i].bytes);
        kfree(live[i].at);
        live[i].at = NULL;
    }
}

TEST(random_use_keeps_every_block_and_every_invariant) {
    struct test_random random = { 5 };
    memset(live, 0, sizeof(live));
    for (size_t i = 0; i < STEPS; i++) {
        step(&random);
        if (i % 1000 == 0)
            kmalloc_audit();
    }
    for (size_t i = 0; i < LIVE; i++)
        kfree(live[i].at);
    kmalloc_audit();
}
