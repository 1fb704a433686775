/* kernel/monitor.h - commands on the console. Layer: kernel. */
#ifndef KERNEL_MONITOR_H
#define KERNEL_MONITOR_H

#include <boot/boot.h>

/* Reads and carries out commands until `quit`. */
void monitor_run(const struct boot_info *info);

/* Runs the tests that are linked in; true if none failed and some ran. */
bool monitor_test(const char *filter);

#endif
