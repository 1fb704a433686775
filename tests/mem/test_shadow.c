#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/palloc.h>
#include <mem/shadow.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { PAGES = 40, BYTES = PAGES * 4096, POINTS_MAX = 100 };

/* A shadow of a range with nothing behind it: it is never touched, only spoken of. */
static struct shadow shadow;
static uintptr_t region;

static void begin(void) {
    region = (uintptr_t)valloc(PAGES, context_kernel());
    expect(region != 0);
    expect_equal(shadow_create(&shadow, region, PAGES), 0);
}

static void end(void) {
    shadow_destroy(&shadow);
    vfree(page_number(region), PAGES);
}

static uintptr_t page(size_t number) {
    return region + (number << PAGE_SHIFT);
}

static void expect_good(uintptr_t address, size_t bytes) {
    uintptr_t bad;
    enum shadow_why why;
    if (shadow_first_bad_in(&shadow, address, bytes, &bad, &why))
        test_fail(__FILE__, __LINE__, "%zu bytes at +%#zx: +%#zx is bad (%02x)", bytes, (size_t)(address - region),
                  (size_t)(bad - region), why);
}

static void expect_bad(uintptr_t address, size_t bytes, uintptr_t should, enum shadow_why reason) {
    uintptr_t bad = 0;
    enum shadow_why why = SHADOW_UNUSED;
    bool found = shadow_first_bad_in(&shadow, address, bytes, &bad, &why);
    if (!found || bad != should || why != reason)
        test_fail(__FILE__, __LINE__, "%zu bytes at +%#zx: found %d, +%#zx (%02x), not +%#zx (%02x)", bytes,
                  (size_t)(address - region), found, (size_t)(bad - region), why, (size_t)(should - region), reason);
}

TEST(shadow_forbids_all_bytes_of_a_page_until_some_are_allowed) {
    begin();
    expect_equal(shadow_back_in(&shadow, page(3), 2), 0);
    expect_bad(page(3), 1, page(3), SHADOW_UNUSED);
    expect_bad(page(5) - 1, 1, page(5) - 1, SHADOW_UNUSED);
    expect_bad(page(3) - 1, 1, page(3) - 1, SHADOW_NO_PAGE);
    expect_bad(page(5), 1, page(5), SHADOW_NO_PAGE);
    shadow_allow_in(&shadow, page(3), 2 * PAGE_SIZE);
    expect_good(page(3), 2 * PAGE_SIZE);
    expect_bad(page(3), 2 * PAGE_SIZE + 1, page(5), SHADOW_NO_PAGE);
    shadow_audit(&shadow);
    shadow_unback_in(&shadow, page(3), 2);
    end();
}

TEST(shadow_says_nothing_of_addresses_outside_its_region) {
    begin();
    expect_good(region, BYTES);
    expect_equal(shadow_back_in(&shadow, page(0), 1), 0);
    expect_equal(shadow_back_in(&shadow, page(PAGES - 1), 1), 0);
    expect_good(region - 16, 16);
    expect_good(page(PAGES), 16);
    expect_good(0, 1);
    expect_good(0, region);
    expect_good(page(PAGES), UINTPTR_MAX - page(PAGES));
    expect_good(UINTPTR_MAX, 1);
    expect_good(UINTPTR_MAX, 0);
    expect_good(page(0), 0);
    expect_bad(region - 16, 17, region, SHADOW_UNUSED);
    expect_bad(0, SIZE_MAX, region, SHADOW_UNUSED);
    expect_bad(page(PAGES) - 1, SIZE_MAX, page(PAGES) - 1, SHADOW_UNUSED);
    shadow_unback_in(&shadow, page(0), 1);
    shadow_unback_in(&shadow, page(PAGES - 1), 1);
    end();
}

TEST(shadow_knows_each_byte_of_a_block_of_every_length_up_to_40) {
    begin();
    expect_equal(shadow_back_in(&shadow, page(0), 1), 0);
    const uintptr_t block = page(0) + 64;
    for (size_t length = 1; length <= 40; length++) {
        shadow_forbid_in(&shadow, page(0), PAGE_SIZE, SHADOW_RED_ZONE);
        shadow_allow_in(&shadow, block, length);
        for (size_t bytes = 1; bytes <= 20; bytes++)
            for (size_t at = 0; at <= length + 8; at++)
                if (at + bytes <= length)
                    expect_good(block + at, bytes);
                else
                    expect_bad(block + at, bytes, block + (at > length ? at : length), SHADOW_RED_ZONE);
        expect_bad(block - 1, length + 1, block - 1, SHADOW_RED_ZONE);
    }
    shadow_unback_in(&shadow, page(0), 1);
    end();
}

TEST(shadow_finds_one_forbidden_byte_anywhere_in_a_long_range) {
    begin();
    expect_equal(shadow_back_in(&shadow, page(0), 9), 0);
    for (size_t hole = 0; hole < 9 * PAGE_SIZE; hole += 1016) {
        shadow_allow_in(&shadow, page(0), 9 * PAGE_SIZE);
        shadow_forbid_in(&shadow, page(0) + hole, 8, SHADOW_FREED);
        expect_bad(page(0), 9 * PAGE_SIZE, page(0) + hole, SHADOW_FREED);
        expect_bad(page(0) + hole + 7, 9 * PAGE_SIZE - hole - 7, page(0) + hole + 7, SHADOW_FREED);
        expect_good(page(0), hole);
        expect_good(page(0) + hole + 8, 9 * PAGE_SIZE - hole - 8);
    }
    shadow_unback_in(&shadow, page(0), 9);
    end();
}

TEST(shadow_holds_S1_S2_and_S3_while_pages_come_and_go_in_any_order) {
    begin();
    static bool backed[PAGES];
    struct test_random random = { 4 };
    memset(backed, 0, sizeof(backed));
    for (unsigned step = 0; step < 400; step++) {
        uint32_t first = test_random_below(&random, PAGES), count = 0;
        uint32_t most = 1 + test_random_below(&random, 20);
        while (first + count < PAGES && count < most && backed[first + count] == backed[first])
            count++;
        if (backed[first])
            shadow_unback_in(&shadow, page(first), count);
        else
            expect_equal(shadow_back_in(&shadow, page(first), count), 0);
        bool now = !backed[first];
        uint32_t last = 0;
        for (uint32_t i = 0; i < PAGES; i++) {
            if (i >= first && i < first + count)
                backed[i] = now;
            last = backed[i] ? i + 1 : last;
        }
        expect_equal(shadow.reach, (size_t)(last + 7) / 8 * 8 * PAGE_SIZE);
        shadow_audit(&shadow);
    }
    for (uint32_t i = 0; i < PAGES; i++)
        if (backed[i])
            shadow_unback_in(&shadow, page(i), 1);
    end();
}

TEST(shadow_pages_are_taken_for_what_is_backed_alone) {
    begin();
    struct palloc_stats before, after;
    palloc_drain();
    palloc_stats(&before);
    expect_equal(shadow_back_in(&shadow, page(32), 2), 0);
    palloc_drain();
    palloc_stats(&after);
    expect(before.free - after.free <= 5); /* one, and tables */
    expect_equal(shadow.reach, PAGES * PAGE_SIZE);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)shadow.bytes, PAGES / 8), PAGES / 8);
    shadow_unback_in(&shadow, page(32), 2);
    expect_equal(shadow.reach, 0);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)shadow.bytes, PAGES / 8), 0);
    end();
}

/* --- Against a byte for each byte --------------------------------------------------------------------------------- */

/* 0: allowed; else why not. */
static uint8_t *model;

static void model_forbid(size_t at, size_t bytes, uint8_t why) {
    size_t end = bytes == 0 ? at : (at + bytes + 7) & ~(size_t)7; /* what is behind it was forbidden already */
    for (size_t i = at; i < end; i++) {
        size_t granule = i & ~(size_t)7;
        if (granule >= at)
            model[i] = why;
        else if (model[granule] == 0)
            model[i] = SHADOW_RED_ZONE; /* behind allowed bytes there is one value only */
    }
}

static void model_allow(size_t at, size_t bytes) {
    for (size_t i = at; i < at + bytes; i++)
        model[i] = 0;
    for (size_t i = at + bytes; (i & 7) != 0; i++)
        model[i] = SHADOW_RED_ZONE;
}

static bool may_forbid(size_t at, size_t bytes) {
    for (size_t i = at + bytes; (i & 7) != 0; i++)
        if (model[i] == 0)
            return false;
    return true;
}

static void compare_with_model(struct test_random *random) {
    size_t at = test_random_below(random, BYTES), bytes = test_random_below(random, 300);
    size_t stop = at + bytes < BYTES ? at + bytes : BYTES, i = at;
    while (i < stop && model[i] == 0)
        i++;
    if (i == stop)
        expect_good(region + at, stop - at);
    else
        expect_bad(region + at, bytes, region + i, (enum shadow_why)model[i]);
    uintptr_t good = 0;
    for (i = at; i < stop && model[i] != 0;)
        i++;
    expect_equal(shadow_first_good_in(&shadow, region + at, stop - at, &good), i < stop);
    expect(i == stop || good == region + i);
}

TEST(shadow_agrees_with_a_byte_for_each_byte_over_a_random_life) {
    static const enum shadow_why reasons[] = { SHADOW_UNUSED, SHADOW_RED_ZONE, SHADOW_FREED };
    begin();
    model = (uint8_t *)pvalloc(PAGES, context_kernel());
    expect(model != NULL);
    memset(model, SHADOW_UNUSED, BYTES);
    expect_equal(shadow_back_in(&shadow, region, PAGES), 0);
    struct test_random random = { 8 };
    for (unsigned step = 0; step < 20000; step++) {
        size_t at = test_random_below(&random, BYTES - 400), bytes = test_random_below(&random, 400);
        enum shadow_why why = reasons[test_random_below(&random, 3)];
        if (step % 2 == 0) {
            at &= ~(size_t)7;
            shadow_allow_in(&shadow, region + at, bytes);
            if (bytes != 0)
                model_allow(at, bytes);
        } else if (may_forbid(at, bytes)) {
            shadow_forbid_in(&shadow, region + at, bytes, why);
            model_forbid(at, bytes, (uint8_t)why);
        }
        for (unsigned i = 0; i < 4; i++)
            compare_with_model(&random);
    }
    shadow_audit(&shadow);
    shadow_unback_in(&shadow, region, PAGES);
    pvfree(page_number((uintptr_t)model), PAGES);
    end();
}

/* --- Failures and mistakes ---------------------------------------------------------------------------------------- */

/* Makes the n-th inner request fail, n = 1, 2, 3... until none is left. Returns how many were forced. */
static unsigned sweep(int (*call)(void), void (*undo)(void)) {
    uint64_t before = audit_hash();
    for (unsigned n = 1; n < POINTS_MAX; n++) {
        fail_arm(n);
        int error = call();
        bool reached = fail_seen() >= n;
        fail_arm(0);
        if (error == 0)
            undo();
        else
            expect(error == ERR_NO_MEMORY || error == ERR_NO_SPACE);
        shadow_audit(&shadow);
        if (audit_hash() != before)
            test_fail(__FILE__, __LINE__, "failure point %u left something changed", n);
        if (!reached)
            return n - 1;
    }
    test_fail(__FILE__, __LINE__, "still failing after %d points", POINTS_MAX);
}

static int call_create(void) {
    return shadow_create(&shadow, region, PAGES);
}

static void undo_create(void) {
    shadow_destroy(&shadow);
}

static int call_back(void) {
    return shadow_back_in(&shadow, page(6), 30);
}

static void undo_back(void) {
    shadow_unback_in(&shadow, page(6), 30);
}

TEST(shadow_create_and_back_change_nothing_when_any_inner_request_fails) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    begin();
    end();
    region = (uintptr_t)valloc(PAGES, context_kernel());
    expect(sweep(call_create, undo_create) >= 1);
    expect_equal(call_create(), 0);
    expect(sweep(call_back, undo_back) >= 5);
    expect_equal(shadow_back_in(&shadow, page(2), 2), 0); /* the first page of the shadow is there already, */
    expect(sweep(call_back, undo_back) >= 4);
    expect_equal(shadow_back_in(&shadow, page(37), 1), 0); /* and the last one too */
    expect(sweep(call_back, undo_back) >= 3);
    shadow_unback_in(&shadow, page(2), 2);
    shadow_unback_in(&shadow, page(37), 1);
    end();
}

TEST(shadow_refuses_pages_and_bytes_that_are_not_its_own) {
    begin();
    expect_equal(shadow_back_in(&shadow, page(1), 2), 0);
    expect_panic("shadow_back(*, 2): page * is backed already", shadow_back_in(&shadow, page(2), 2));
    expect_panic("shadow_unback(*, 2): page * is not backed", shadow_unback_in(&shadow, page(2), 2));
    expect_panic("shadow_back(*, 0): not a run of pages of the region of 40 at *", shadow_back_in(&shadow, page(5), 0));
    expect_panic("shadow_back(*, 2): not a run of *", shadow_back_in(&shadow, page(PAGES - 1), 2));
    expect_panic("shadow_back(*, 1): not a run of *", shadow_back_in(&shadow, region - PAGE_SIZE, 1));
    expect_panic("shadow_back(*, 1): not a run of *", shadow_back_in(&shadow, region + 8, 1));
    expect_panic("shadow_allow(*, 8): a page of it is not backed", shadow_allow_in(&shadow, page(0), 8));
    expect_panic("shadow_allow(*, 5000): a page of it is not backed", shadow_allow_in(&shadow, page(2), 5000));
    expect_panic("shadow_allow(*, 8): not in the backed part *", shadow_allow_in(&shadow, page(9), 8));
    expect_panic("shadow_allow(*, 8): not at a multiple of 8", shadow_allow_in(&shadow, page(1) + 4, 8));
    shadow_allow_in(&shadow, page(1), 16);
    expect_panic("shadow_forbid(*, 4): bytes behind it, up to the next multiple of 8, are allowed",
                 shadow_forbid_in(&shadow, page(1), 4, SHADOW_FREED));
    expect_panic("shadow_destroy: the shadow of * is backed yet, up to *", shadow_destroy(&shadow));
    shadow_unback_in(&shadow, page(1), 2);
    end();
}

TEST(shadow_of_the_heap_given_to_vfree_is_reported) {
    begin();
    volatile uintptr_t number = page_number((uintptr_t)shadow.bytes);
    expect_panic("vfree(*, 1) in context kernel: the range is from shadow_init, and nobody gives it back",
                 vfree(number, 1));
    end();
}

TEST(shadow_audit_names_S1_S2_and_S3_when_they_are_broken) {
    begin();
    expect_equal(shadow_back_in(&shadow, page(0), 1), 0);
    volatile uint8_t *byte = shadow.bytes + 100;
    *byte = 0x42;
    expect_panic("shadow: S3 broken: the shadow of * is 0x42 in a page that is backed", shadow_audit(&shadow));
    *byte = SHADOW_NO_PAGE;
    expect_panic("shadow: S3 broken: *", shadow_audit(&shadow));
    *byte = SHADOW_UNUSED;
    volatile size_t reach = shadow.reach;
    shadow.reach = 0;
    expect_panic("shadow: S1 broken: 1 pages behind the reach are mapped", shadow_audit(&shadow));
    shadow.reach = reach;
    byte = shadow.bytes;
    memset(shadow.bytes, SHADOW_NO_PAGE, 512);
    expect_panic("shadow: S2 broken: nothing is backed at the reach's end, *", shadow_audit(&shadow));
    memset(shadow.bytes, SHADOW_UNUSED, 512);
    expect_equal(shadow_back_in(&shadow, page(8), 1), 0);
    memset(shadow.bytes, SHADOW_NO_PAGE, 512);
    expect_panic("shadow: S1 broken: page * shows page *", shadow_audit(&shadow));
    memset(shadow.bytes, SHADOW_UNUSED, 512);
    shadow_audit(&shadow);
    shadow_unback_in(&shadow, page(0), 1);
    shadow_unback_in(&shadow, page(8), 1);
    end();
}
