/* What a report says. What leads to one in a kernel of the level `asan` is tested in tests/guest/test_asan.c. */
#include <base/check.h>
#include <base/config.h>
#include <base/fmt.h>
#include <mem/asan.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { PLACE = 0x1234 };

/* Two blocks of 100 and 24 bytes, red zones around them, and one of 64 bytes that is free:
 *     page | red | 100 at +32 | red | 24 at +256 | red | 64 freed at +512 | red |   page, backed   |   none ... */
static struct shadow shadow;
static char *memory;

static void begin(void) {
    asan_watched = &shadow_heap; /* whatever a test that failed left there */
    memory = (char *)pvalloc(3, context_kernel());
    expect(memory != NULL);
    uintptr_t at = (uintptr_t)memory;
    expect_equal(shadow_create(&shadow, at, 3), 0);
    expect_equal(shadow_back_in(&shadow, at, 2), 0);
    shadow_forbid_in(&shadow, at, PAGE_SIZE, SHADOW_RED_ZONE);
    shadow_allow_in(&shadow, at + 32, 100);
    shadow_allow_in(&shadow, at + 256, 24);
    shadow_forbid_in(&shadow, at + 512, 64, SHADOW_FREED);
    asan_watched = &shadow;
}

static void end(void) {
    asan_watched = &shadow_heap;
    shadow_unback_in(&shadow, (uintptr_t)memory, 2);
    shadow_destroy(&shadow);
    pvfree(page_number((uintptr_t)memory), 3);
}

static const char *report(const char *access, size_t at, size_t bad, const char *rest) {
    static char text[400];
    fmt(text, sizeof(text), "asan: %s at %#zx by 0x1234: byte %#zx is in %s", access, (size_t)(uintptr_t)(memory + at),
        (size_t)(uintptr_t)(memory + bad), rest);
    return text;
}

static void check(size_t at, size_t bytes, bool write) {
    asan_check((uintptr_t)(memory + at), bytes, write, PLACE);
}

TEST(asan_reports_an_overrun_with_its_distance) {
    begin();
    check(32, 100, true);
    check(131, 1, false);
    expect_panic(report("write of 1 byte", 132, 132,
                        "the red zone of a block (shadow 04), 1 behind the last allowed byte; likely mistake: an index "
                        "or a length that is too large by one"),
                 check(132, 1, true));
    expect_panic(
        report("read of 4 bytes", 140, 140,
               "the red zone of a block (shadow fa), 9 behind the last allowed byte; likely mistake: an overrun "
               "of the block below"),
        check(140, 4, false));
    expect_panic(
        report("read of 8 bytes", 272 + 4, 280,
               "the red zone of a block (shadow fa), 1 behind the last allowed byte; likely mistake: an access "
               "that is longer than what is left of the block"),
        check(276, 8, false));
    end();
}

TEST(asan_reports_an_underrun) {
    begin();
    expect_panic(report("read of 4 bytes", 28, 28,
                        "the red zone of a block (shadow fa), 4 before the first allowed byte; likely mistake: an "
                        "underrun: access before the block's start"),
                 check(28, 4, false));
    end();
}

TEST(asan_reports_freed_unused_and_missing_memory) {
    begin();
    expect_panic(report("write of 8 bytes", 520, 520, "a freed block (shadow fd); likely mistake: use after free"),
                 check(520, 8, true));
    expect_panic(report("read of 2 bytes", 4096, 4096,
                        "memory that is in no block (shadow f8); likely mistake: a wild pointer, or one kept since a "
                        "block was freed"),
                 check(4096, 2, false));
    expect_panic(report("read of 2 bytes", 8192, 8192,
                        "a page that the heap doesn't have (shadow ff); likely mistake: use of a large block after it "
                        "was freed, or a wild pointer"),
                 check(8192, 2, false));
    expect_panic(
        report("read of 1 byte", 1024, 1024, "the red zone of a block (shadow fa); likely mistake: a wild pointer"),
        check(1024, 1, false));
    end();
}

static bool off_inside;

static void describe(uintptr_t address, char *out, size_t bytes) {
    asan_check(address, 1, true, PLACE); /* what a report looks at must not make another */
    off_inside = true;
    fmt(out, bytes, "the block of 100 bytes at +32");
}

TEST(asan_report_asks_whoever_knows_the_block_and_is_not_caught_by_what_it_reads) {
    if (!shadow_is_used())
        test_skip("built without the level asan");
    begin();
    asan_describe_function *before = asan_start(describe);
    off_inside = false;
    expect_panic(report("read of 1 byte", 132, 132, "*; the block of 100 bytes at +32"), check(132, 1, false));
    expect_panic(report("read of 1 byte", 132, 132, "*; the block of 100 bytes at +32"), check(132, 1, false));
    asan_start(before);
    expect(off_inside);
    end();
}

TEST(asan_checks_nothing_while_it_is_off) {
    if (!shadow_is_used())
        test_skip("built without the level asan");
    begin();
    uintptr_t outer = asan_off(), inner = asan_off();
    check(132, 1, true);
    asan_on(inner);
    check(132, 1, true);
    asan_on(outer);
    expect_panic("asan: *", check(132, 1, true));
    expect_panic("asan_on: this processor's checks aren't off", asan_on(outer));
    end();
}
