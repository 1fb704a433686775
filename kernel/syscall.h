/* kernel/syscall.h - Linux' system calls, by this width's numbers.
 *
 * Context: a task's kernel stack, interrupts off. Arguments are bad data from outside until checked: the answer is an
 * error. */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include <kernel/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call gets: the task, where it came from, and the six arguments. The result goes to ring 3. */
struct syscall {
    struct task *task;
    struct trap_frame *frame;
    uintptr_t arguments[USER_CALL_ARGUMENTS];
    bool no_return_value; /* the frame is another program's now */
};
typedef intptr_t syscall_function(struct syscall *call);

/* Once. */
void syscall_start(void);

/* The frame is a system call's: does it and leaves the result in the frame. */
void syscall_do(struct trap_frame *frame);

/* Calls that nobody knows, so far; and the number of the last one. */
struct syscall_stats {
    unsigned long calls, unknown;
    uintptr_t last_unknown;
};
void syscall_stats(struct syscall_stats *stats);

/* --- The calls, one file for each group --------------------------------------------------------------------------- */

struct syscall_entry {
    unsigned number;
    syscall_function *function;
};
/* Memory is promised no more: what can't be had is found out when it is touched. Once, while booting. */
void syscall_overcommit(void);

extern const struct syscall_entry syscall_memory_entries[], syscall_task_entries[], syscall_file_entries[];

#ifdef __cplusplus
}
#endif
#endif
