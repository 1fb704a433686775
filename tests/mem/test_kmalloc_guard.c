/* What KMALLOC_CHECK_GUARD finds besides what canaries do.
 * Locals that are used after an expected panic are volatile. */
#include <base/config.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/context.h>
#include <mem/explain.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <tests/test.h>

static void need_guard(unsigned one_in) {
    if (!CONFIG_KMALLOC_GUARD)
        test_skip("built without red zones");
    kmalloc_sample(one_in);
}

static char *take(size_t bytes) {
    char *block = (char *)kmalloc(bytes);
    expect(block != NULL);
    return block;
}

static bool is_mapped(const void *at) {
    struct paging_entry entry;
    return paging_find(&context_kernel()->tables, (uintptr_t)at, &entry);
}

TEST(a_write_after_free_is_reported_with_who_freed) {
    need_guard(0);
    char *volatile block = take(100);
    kfree(block);
    expect_equal((uint8_t)test_peek(block + 50), 0x6b);
    test_poke(block + 50, 1);
    expect_panic("heap: H9 broken: the block of 100 bytes at * was written to since it was freed", kmalloc_audit());
    expect_panic("kmalloc: write after free: the block of 100 bytes at *, allocated at *, freed at *, was written to "
                 "since: 1 byte changed: +50 was 0x6b is 0x01: a pointer to it was kept, and used?",
                 kmalloc_trim());
    kmalloc_trim();
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(a_write_past_a_freed_block_is_reported) {
    need_guard(0);
    char *volatile block = take(100);
    kfree(block);
    test_poke(block + 101, (char)~test_peek(block + 101));
    expect_panic("kmalloc: write after free: the block of 100 bytes at *: 1 byte changed: +101 was *: written past the "
                 "end: an index too large?",
                 kmalloc_trim());
    kmalloc_trim();
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(a_write_beyond_the_canary_is_reported) {
    need_guard(0);
    char *volatile block = take(100);
    test_poke(block + 110, 7);
    expect_panic(
        "kfree(*): red zones of the block of 100 bytes, allocated at *, were overwritten: 1 byte changed: +110 "
        "was 0xa5 is 0x07: written past the end: an index too large?",
        kfree(block));
    test_poke(block + 110, (char)0xa5);
    kfree(block);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(the_quarantine_is_left_in_order_and_bounded) {
    need_guard(0);
    struct kmalloc_stats stats;
    char *first = take(64);
    kfree(first);
    for (int i = 0; i < 1000; i++) {
        char *block = take(64);
        expect(i >= 200 || block != first);
        kfree(block);
    }
    kmalloc_stats(&stats);
    expect(stats.quarantined > 0 && stats.quarantined <= 256 + 64);
    for (int i = 0; i < 100; i++)
        kfree(take(20000));
    kmalloc_stats(&stats);
    expect(stats.quarantined <= 262144 / 20480 + 64);
    kmalloc_trim();
    kmalloc_stats(&stats);
    expect_equal(stats.quarantined, 0);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(a_block_alone_ends_or_begins_at_an_unmapped_page) {
    need_guard(1);
    static const size_t sizes[] = { 16, 48, 100, 4096, 5000 };
    unsigned ends = 0, begins = 0;
    for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t bytes = sizes[i / 2];
        char *block = take(bytes);
        memset(block, 1, bytes);
        uintptr_t end = ((uintptr_t)block + bytes + 15) & ~(uintptr_t)15;
        ends += end % PAGE_SIZE == 0 && !is_mapped((char *)end);
        begins += (uintptr_t)block % PAGE_SIZE == 0 && !is_mapped(block - 1);
        kmalloc_audit();
        kfree(block);
        expect(!is_mapped(block));
        kmalloc_audit();
    }
    expect(ends >= 5 && begins >= 5);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(the_rest_of_a_lone_blocks_pages_is_checked) {
    need_guard(1);
    for (volatile int i = 0; i < 2; i++) {
        char *volatile block = take(90);
        volatile size_t at = (uintptr_t)block % PAGE_SIZE == 0 ? 2000 : 91;
        test_poke(block + at, 9);
        expect_panic(
            "kfree(*): red zones of the block of 90 bytes, allocated at *, were overwritten: 1 byte changed: *",
            kfree(block));
        test_poke(block + at, (char)0xa5);
        kfree(block);
    }
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(a_double_free_of_a_lone_block_is_reported_with_who_freed) {
    need_guard(1);
    char *volatile block = take(100);
    kfree(block);
    expect_panic(
        "kfree(*): double free: the block of 100 bytes there isn't in use, allocated at *, freed at *: freed twice?",
        kfree(block));
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

TEST(krealloc_moves_a_lone_block) {
    need_guard(1);
    char *block = take(100);
    memset(block, 5, 100);
    for (size_t bytes = 110; bytes > 10; bytes -= 20) {
        block = (char *)krealloc(block, bytes);
        expect(block != NULL && block[9] == 5 && kmalloc_usable_size(block) == bytes);
    }
    kfree(block);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}

/* --- What a fault's report says ----------------------------------------------------------------------------------- */

static char explained[2000];
static size_t explained_bytes;

static void keep(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void keep(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    explained_bytes += fmt_va(explained + explained_bytes, sizeof(explained) - explained_bytes, format, arguments);
    va_end(arguments);
}

static bool explains(const void *address, const char *part) {
    explained_bytes = 0;
    explain_address((uintptr_t)address, keep);
    for (const char *at = explained; *at != '\0'; at++)
        if (string_starts(at, part))
            return true;
    return false;
}

TEST(an_access_beside_a_lone_block_is_explained) {
    need_guard(1);
    for (int i = 0; i < 2; i++) {
        char *block = take(64);
        bool at_end = (uintptr_t)block % PAGE_SIZE != 0;
        expect(explains(at_end ? block + 70 : block - 6, "likely mistake: access past the"));
        expect(explains(at_end ? block + 70 : block - 6,
                        at_end ? "70 bytes after the start" : "6 bytes before the start"));
        kfree(block);
        expect(explains(block + 3, "likely mistake: use after free"));
        expect(explains(block + 3, "freed at"));
    }
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
}
