/* kernel/run.h - programs of the archive, for main, the monitor and the tour.
 *
 * Context: the kernel's thread. */
#ifndef KERNEL_RUN_H
#define KERNEL_RUN_H

#include <boot/boot.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Once: readies tasks, system calls and the archive, and says what there is. */
void run_start(const struct boot_info *info);

/* Is there such a program? */
bool run_has(const char *path);

/* Runs a program, its words separated by spaces, until it ends, and says how. Its exit code, 128 + the signal that
 * killed it, or a negative error if it could not start, which is said too. */
int run_words(const char *words);

/* Runs two at once, each in turn whenever the timer ticks, until both have ended. The larger of the two results. */
int run_both(const char *words, const char *others);

/* What the archive holds, for the monitor. */
void run_list(void);

#ifdef __cplusplus
}
#endif
#endif
