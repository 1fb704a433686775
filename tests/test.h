/* tests/test.h - tests that run unchanged on the host and inside both kernels.
 *
 *     TEST(palloc_refuses_a_run_across_a_hole) {
 *         expect(palloc(3) == NULL);
 *     }
 *
 * A test's name is a claim. tests/base and tests/mem hold tests for everywhere: they find a live system and leave it as
 * they found it, which the runner checks. tests/host holds those that need a machine of their own. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <base/types.h>

struct test {
    const char *name, *file;
    void (*run)(void);
};

#define TEST(name_)                                                                                                    \
    static void name_(void);                                                                                           \
    static const struct test test_##name_ = { #name_, __FILE__, name_ };                                               \
    static const struct test *const test_at_##name_ __attribute__((section("tests"), used)) = &test_##name_;           \
    static void name_(void)

/* All tests linked in, in link order. */
extern const struct test *const __start_tests[];
extern const struct test *const __stop_tests[];

/* Ends the running test as failed. */
NORETURN void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Ends the running test as skipped: this machine can't show it. */
NORETURN void test_skip(const char *why);

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            test_fail(__FILE__, __LINE__, "expected: %s", #condition);                                                 \
    } while (0)

#define expect_equal(is, should)                                                                                       \
    do {                                                                                                               \
        unsigned long long is_ = (unsigned long long)(is), should_ = (unsigned long long)(should);                     \
        if (is_ != should_)                                                                                            \
            test_fail(__FILE__, __LINE__, "%s is %llu (0x%llx), not %llu (0x%llx)", #is, is_, is_, should_, should_);  \
    } while (0)

/* The statement must panic with a text that the pattern matches whole; `*` in it stands for any text. */
#define expect_panic(pattern, ...)                                                                                     \
    do {                                                                                                               \
        test_panic_expected = true;                                                                                    \
        if (__builtin_setjmp(test_panic_point) == 0) {                                                                 \
            __VA_ARGS__;                                                                                               \
            test_panic_expected = false;                                                                               \
            test_fail(__FILE__, __LINE__, "no panic from: %s", #__VA_ARGS__);                                          \
        }                                                                                                              \
        test_panic_matches(__FILE__, __LINE__, pattern);                                                               \
    } while (0)

extern bool test_panic_expected;
extern void *test_panic_point[5];
void test_panic_matches(const char *file, int line, const char *pattern);

/* The same of any text. */
bool test_matches(const char *pattern, const char *text);

/* The port's panic calls this first: doesn't return if the panic was expected, or if it can fail the test. */
void test_panicked(const char *text);

/* A byte read, or written, by somebody whose accesses nobody checks, as a device's are (mem/asan.h). */
char test_peek(const char *at);
void test_poke(char *at, char value);

/* The same sequence on every run and machine. */
struct test_random {
    uint64_t state;
};
uint32_t test_random(struct test_random *random);
uint32_t test_random_below(struct test_random *random, uint32_t end);

/* Counts of what ran. */
struct test_totals {
    unsigned passed, failed, skipped;
};

enum test_result {
    TEST_PASSED,
    TEST_FAILED,
    TEST_SKIPPED,
};

/* Runs one. `live`: the memory manager is up, its audits run, and its state is compared before and after; with canaries
 * blocks that were left in use are listed by place. A test may run another one. */
enum test_result test_run_one(const struct test *test, bool live, const char **why);

/* The filter is a part of its name or file; "": all. */
bool test_wanted(const struct test *test, const char *filter);

/* One line to the log: "ok NAME", "FAILED NAME: why" or "skipped NAME: why". */
void test_report(const struct test *test, enum test_result result, const char *why, struct test_totals *totals);

/* Runs all wanted ones on the live system, and ends with "tests: N passed, N failed, N skipped". */
void test_run_all(const char *filter, struct test_totals *totals);

#endif
