/* Runs each test in a process of its own, so that one that crashes or hangs is one that fails, and every test starts on
 * a fresh machine: those of tests/base and tests/mem once on each machine of the list, those of tests/host once.
 *
 *     program [FILTER]        a part of a test's name or file */
#include <base/fmt.h>
#include <base/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tests/host/machine.h>
#include <tests/test.h>
#include <unistd.h>

enum { SECONDS_MAX = 240, CRASHED = 99 };

static enum test_result run_here(const struct test *test, const struct machine *machine) {
    const char *why = "";
    struct test_totals totals = { 0, 0, 0 };
    enum test_result result = TEST_FAILED;
    if (machine != NULL && machine_try(machine->entries, machine->count, &why) != 0)
        test_report(test, TEST_FAILED, why, &totals);
    else {
        result = test_run_one(test, machine != NULL, &why);
        test_report(test, result, why, &totals);
    }
    return result;
}

static void run(const struct test *test, const struct machine *machine, struct test_totals *totals) {
    fflush(stdout); /* or the child would print it once more */
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS_MAX);
        if (machine != NULL)
            printf("[%s] ", machine->name);
        fflush(stdout);
        _exit((int)run_here(test, machine));
    }
    int status = 0;
    bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    int result = ended ? WEXITSTATUS(status) : CRASHED;
    if (result > TEST_SKIPPED)
        printf("FAILED %s: its process died (status %#x)\n", test->name, (unsigned)status);
    totals->passed += result == TEST_PASSED;
    totals->skipped += result == TEST_SKIPPED;
    totals->failed += result != TEST_PASSED && result != TEST_SKIPPED;
}

int main(int count, char **arguments) {
    const char *filter = count > 1 ? arguments[1] : "";
    struct test_totals totals = { 0, 0, 0 };
    for (const struct test *const *at = __start_tests; at < __stop_tests; at++) {
        if (!test_wanted(*at, filter))
            continue;
        bool own_machine = string_starts((*at)->file, "tests/host/");
        for (size_t i = 0; i < (own_machine ? 1 : machine_count); i++)
            run(*at, own_machine ? NULL : &machine_list[i], &totals);
    }
    printf("tests: %u passed, %u failed, %u skipped\n", totals.passed, totals.failed, totals.skipped);
    return totals.failed > 0 || totals.passed == 0;
}
