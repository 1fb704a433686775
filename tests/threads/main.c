/* Runs each test in a process of its own, on a fresh machine: two processors' worth of host threads and up share it.
 *
 *     program [FILTER]        a part of a test's name or file
 *
 * The machine is bench/host_machine.h's, without translation: the sanitizer sees each access. RAM lies in all three
 * zones of palloc where the host's addresses reach so far, and is small, so that tests run out of it soon. */
#include <base/check.h>
#include <base/fmt.h>
#include <bench/host_machine.h>
#include <mem/init.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tests/test.h>
#include <unistd.h>

enum { SECONDS_MAX = 120, CRASHED = 99 };

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* The sanitizer asks for its options. The first race ends the process, with a status that is no test's; threads that a
 * panic leaves behind are no matter of its. */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void) {
    return "halt_on_error=1:exitcode=66:report_thread_leaks=0";
}

static void boot(void) {
    static struct bootmap_range ranges[16];
    static struct bootmap map;
    bool high = sizeof(uintptr_t) > sizeof(uint32_t);
    uint64_t ram_bytes = high ? GIB(4) + MIB(24) : MIB(56), space_bytes = MIB(384) + (high ? ram_bytes : 0);
    bootmap_init(&map, ranges, sizeof(ranges) / sizeof(ranges[0]));
    bootmap_add(&map, 0, KIB(639), BOOTMAP_FREE);
    bootmap_add(&map, MIB(1), MIB(8), BOOTMAP_FREE);
    bootmap_add(&map, MIB(12), MIB(28), BOOTMAP_FREE);
    bootmap_add(&map, MIB(1), MIB(1), BOOTMAP_KERNEL);
    if (high)
        bootmap_add(&map, GIB(4), MIB(24), BOOTMAP_FREE);
    else
        bootmap_add(&map, MIB(40), MIB(16), BOOTMAP_FREE);
    host_machine_create((pfn_t)(ram_bytes >> PAGE_SHIFT), (size_t)space_bytes);
    const struct mem_boot request = {
        .map = &map,
        .root = PFN_NONE,
        .space_first = host_machine_space(),
        .space_end = host_machine_space() + (uintptr_t)space_bytes,
        .early_base = host_machine_ram(),
        .early_end = (pfn_t)(ram_bytes >> PAGE_SHIFT),
        .random = 0x5eed,
    };
    const char *why = "";
    int error = mem_init(&request, &why);
    require(error == 0, "threads: the machine doesn't boot: %d, %s", error, why);
}

static enum test_result run_here(const struct test *test) {
    struct test_totals totals = { 0, 0, 0 };
    const char *why = "";
    boot();
    enum test_result result = test_run_one(test, true, &why);
    test_report(test, result, why, &totals);
    return result;
}

static void run(const struct test *test, struct test_totals *totals) {
    fflush(stdout); /* or the child would print it once more */
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS_MAX);
        _exit((int)run_here(test));
    }
    int status = 0;
    bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    int result = ended ? WEXITSTATUS(status) : CRASHED;
    if (result != TEST_PASSED && result != TEST_SKIPPED)
        printf("FAILED %s: its process ended with status %#x\n", test->name, (unsigned)status);
    totals->passed += result == TEST_PASSED;
    totals->skipped += result == TEST_SKIPPED;
    totals->failed += result != TEST_PASSED && result != TEST_SKIPPED;
}

int main(int count, char **arguments) {
    const char *filter = count > 1 ? arguments[1] : "";
    struct test_totals totals = { 0, 0, 0 };
    for (const struct test *const *at = __start_tests; at < __stop_tests; at++)
        if (test_wanted(*at, filter))
            run(*at, &totals);
    printf("tests: %u passed, %u failed, %u skipped\n", totals.passed, totals.failed, totals.skipped);
    return totals.failed > 0 || totals.passed == 0;
}
