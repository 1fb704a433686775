/* The reference kernel: shows the machine, takes the tour, then serves the monitor. Words on the command line:
 *
 *     batch    no monitor: power off with the verdict
 *     test     run the tests that are linked in; test=NAME only those whose name contains NAME
 *     run=     run this program of the archive, in place of its /init
 *     fault=   make a mistake on purpose, to see its report: null text data guard stack double-free */
#include <base/fmt.h>
#include <boot/boot.h>
#include <kernel/mistake.h>
#include <kernel/monitor.h>
#include <kernel/run.h>
#include <kernel/show.h>
#include <kernel/syscall.h>
#include <kernel/tour.h>

static bool run_tests(const struct boot_info *info) {
    char filter[64];
    if (!boot_option(info, "test", filter, sizeof(filter)) && !boot_has_word(info, "test"))
        return true;
    console_print("\ntests in the kernel\n");
    return monitor_test(filter);
}

/* What the command line names, or /init of the archive. */
static bool run_programs(const struct boot_info *info) {
    char program[64];
    if (!boot_option(info, "run", program, sizeof(program)))
        fmt(program, sizeof(program), "init");
    else if (!run_has(program))
        return run_words(program) == 0; /* which says why not */
    if (!run_has(program))
        return true;
    console_print("\n%s\n", program);
    bool good = run_words(program) == 0;
    struct syscall_stats stats;
    syscall_stats(&stats);
    console_print("%lu system calls, %lu of them unknown here (the last: number %zu)\n", stats.calls, stats.unknown,
                  (size_t)stats.last_unknown);
    return good;
}

int kernel_main(const struct boot_info *info) {
    console_print("\nxelix-mm reference kernel\n");
    show_machine(info);
    console_print("\nmemory map\n");
    show_map(info);
    console_print("\nphysical memory\n");
    show_memory();
    console_print("\naddress layout\n");
    show_layout();
    char mistake[32];
    if (boot_option(info, "fault", mistake, sizeof(mistake)))
        mistake_make(mistake);
    console_print("\nprograms\n");
    if (boot_has_word(info, "overcommit=1"))
        syscall_overcommit();
    run_start(info);
    console_print("\ntour\n");
    bool good = tour_run();
    good = run_programs(info) && good;
    good = run_tests(info) && good;
    if (!boot_has_word(info, "batch")) {
        console_print("\n`help` lists the commands, `quit` powers off\n");
        monitor_run(info);
    }
    console_print("verdict: %s\n", good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
