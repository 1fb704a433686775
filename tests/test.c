/* One test runs between a set jump and its end; failing, skipping and expected panics are long jumps back. A long jump
 * passes by whatever the test held, so locks are released, interrupts turned on again and forced failures disarmed
 * before the next one starts. A test may run another one: the state is put aside for it. */
#include <tests/test.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <base/lock.h>
#include <base/string.h>
#include <mem/asan.h>
#include <mem/audit.h>
#include <mem/kmalloc.h>

bool test_panic_expected;
void *test_panic_point[5];

static struct state {
    const struct test *running;
    void *end_point[5];
    uintptr_t interrupts; /* as they were before the test */
    enum test_result result;
    char why[400], panic[512];
} state;

/* Of a test that another one ran. */
static char inner_why[sizeof(state.why)];

static NORETURN void end(enum test_result result) {
    state.result = result;
    __builtin_longjmp(state.end_point, 1);
}

void test_fail(const char *file, int line, const char *format, ...) {
    size_t length = fmt(state.why, sizeof(state.why), "%s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    fmt_va(state.why + length, sizeof(state.why) - length, format, arguments);
    va_end(arguments);
    end(TEST_FAILED);
}

void test_skip(const char *why) {
    fmt(state.why, sizeof(state.why), "%s", why);
    end(TEST_SKIPPED);
}

static void clean_up(void) {
    test_panic_expected = false;
    lock_release_all();
    port_interrupts_restore(state.interrupts);
    fail_arm(0);
}

void test_panicked(const char *text) {
    if (state.running == NULL)
        return;
    if (test_panic_expected) {
        fmt(state.panic, sizeof(state.panic), "%s", text);
        clean_up();
        __builtin_longjmp(test_panic_point, 1);
    }
    fmt(state.why, sizeof(state.why), "panic: %s", text);
    end(TEST_FAILED);
}

/* `*` stands for any text, the empty one included. */
bool test_matches(const char *pattern, const char *text) {
    for (; *pattern != '*'; pattern++, text++) {
        if (*pattern != *text)
            return false;
        if (*pattern == '\0')
            return true;
    }
    do {
        if (test_matches(pattern + 1, text))
            return true;
    } while (*text++ != '\0');
    return false;
}

void test_panic_matches(const char *file, int line, const char *pattern) {
    if (!test_matches(pattern, state.panic))
        test_fail(file, line, "the panic said \"%s\", not \"%s\"", state.panic, pattern);
}

ASAN_UNCHECKED char test_peek(const char *at) {
    return *(const volatile char *)at;
}

ASAN_UNCHECKED void test_poke(char *at, char value) {
    *(volatile char *)at = value;
}

/* Not inlined: a set jump's function may not be the one that the long jump is made in. */
static __attribute__((noinline)) void run_between(const struct test *test) {
    if (__builtin_setjmp(state.end_point) == 0) {
        state.result = TEST_PASSED;
        test->run();
        /* Not by a tail call either, as clang would make it: the frame that the long jump returns to would be gone. */
        __asm__ volatile("");
    }
}

/* Blocks in use that were asked for since the mark, by place. */
static void fail_with_leaks(const struct test *test, size_t mark) {
    struct kmalloc_place places[4], others;
    size_t count = kmalloc_places_since(mark, places, sizeof(places) / sizeof(places[0]), &others), length = 0;
    char list[300];
    for (size_t i = 0; i < count; i++)
        length += fmt(list + length, sizeof(list) - length, "%s%zu (%zu bytes) from %#zx", i > 0 ? ", " : "",
                      places[i].blocks, places[i].bytes, (size_t)places[i].place);
    if (others.blocks > 0)
        fmt(list + length, sizeof(list) - length, ", %zu (%zu bytes) from elsewhere", others.blocks, others.bytes);
    if (count > 0)
        test_fail(test->file, 0, "left blocks in use: %s", list);
}

enum test_result test_run_one(const struct test *test, bool live, const char **why) {
    const struct state outer = state;
    uint64_t before = live ? audit_hash() : 0;
    size_t mark = live ? kmalloc_mark() : 0;
    state.why[0] = '\0';
    state.running = test;
    state.interrupts = port_interrupts_off();
    port_interrupts_restore(state.interrupts);
    run_between(test);
    clean_up();
    if (live && state.result != TEST_FAILED && __builtin_setjmp(state.end_point) == 0) {
        audit_all();
        if (audit_hash() != before) {
            fail_with_leaks(test, mark);
            test_fail(test->file, 0, "left the memory's state different");
        }
    }
    state.running = NULL;
    *why = state.why;
    enum test_result result = state.result;
    if (outer.running != NULL) {
        memcpy(inner_why, state.why, sizeof(inner_why));
        *why = inner_why;
        state = outer;
    }
    return result;
}

uint32_t test_random(struct test_random *random) {
    /* Marsaglia's xorshift64*, constants from his paper and Vigna's. */
    uint64_t x = random->state + 0x9e3779b97f4a7c15;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return (uint32_t)((x * 0x2545f4914f6cdd1d) >> 32);
}

uint32_t test_random_below(struct test_random *random, uint32_t end) {
    return (uint32_t)(((uint64_t)test_random(random) * end) >> 32);
}

static bool contains(const char *text, const char *part) {
    do {
        if (string_starts(text, part))
            return true;
    } while (*text++ != '\0');
    return false;
}

bool test_wanted(const struct test *test, const char *filter) {
    return contains(test->name, filter) || contains(test->file, filter);
}

void test_report(const struct test *test, enum test_result result, const char *why, struct test_totals *totals) {
    static const char *const words[] = { "ok", "FAILED", "skipped" };
    log_line("%s %s%s%s", words[result], test->name, why[0] != '\0' ? ": " : "", why);
    totals->passed += result == TEST_PASSED;
    totals->failed += result == TEST_FAILED;
    totals->skipped += result == TEST_SKIPPED;
}

void test_run_all(const char *filter, struct test_totals *totals) {
    for (const struct test *const *at = __start_tests; at < __stop_tests; at++) {
        if (!test_wanted(*at, filter))
            continue;
        const char *why;
        enum test_result result = test_run_one(*at, true, &why);
        test_report(*at, result, why, totals);
    }
    log_line("tests: %u passed, %u failed, %u skipped", totals->passed, totals->failed, totals->skipped);
}
