/* kernel/task.h - tasks: programs in contexts of their own, preempted round robin.
 *
 * The kernel itself is the first task, with no context and the boot stack; the others have a kernel stack each.
 * Context: the kernel's thread or a system call, interrupts off but where said. */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include <mem/context.h>
#include <user.h>

#ifdef __cplusplus
extern "C" {
#endif

enum task_state {
    TASK_READY,
    TASK_WAITING, /* for a child to end */
    TASK_IDLE,    /* for an interrupt */
    TASK_DEAD,    /* until its parent has asked */
};

enum { TASK_NAME_BYTES = 32, TASK_FILES = 5, TASK_FIRST_FILE = 3 };

/* An open file of the archive; `bytes` is NULL if there is none. 0 to 2 are the console. */
struct task_file {
    const uint8_t *bytes;
    size_t size, at;
};

struct task {
    struct user_state user;
    struct task *next, *parent;     /* all tasks in a ring, the kernel's first */
    struct context *context;        /* NULL for the kernel's and for dead ones */
    uintptr_t stack;                /* its kernel stack's first address */
    uintptr_t switched;             /* its stack pointer while it isn't running */
    uintptr_t heap_first, heap_end; /* brk */
    uintptr_t clear_number;         /* address to clear at its end, or 0 */
    uint32_t number;
    uint32_t ticks; /* of the timer while it ran */
    int status;     /* as wait4 gives it, once dead */
    int signal;     /* that kills it when it next leaves the kernel, or 0 */
    enum task_state state;
    bool orphan; /* its parent ended first, and left it to the kernel */
    char name[TASK_NAME_BYTES];
    struct task_file files[TASK_FILES];
};

/* Once: false if this processor can't run tasks. */
bool task_start(void);

struct task *task_current(void);

/* A task that runs a program of the archive. 0, or an error with *why. */
int task_run(const char *path, const char *const arguments[], struct task **task, const char **why);

/* Lets others run until the kernel's child has ended, gives its status as wait4 does, and forgets it. */
int task_wait(struct task *task);

/* Lets others run for so many ticks of the timer: for the kernel's thread too. */
void task_rest(uint32_t ticks);

/* --- For system calls --------------------------------------------------------------------------------------------- */

/* A copy of the running task, which goes on by a copy of this frame: its number or an error. */
intptr_t task_fork(const struct trap_frame *frame, struct task **child);

/* Ends the running task with a status as wait4 gives it. */
NORETURN void task_exit(int status);

/* A child's number with *status once one has ended (`number`: only that one; -1: any), 0 if `nobody_waits` and none
 * has, or a negative error: -ECHILD. */
intptr_t task_wait_child(intptr_t number, bool nobody_waits, int *status);

/* By number, alive or dead; NULL. */
struct task *task_find(intptr_t number);

/* Waits for an interrupt, and lets others run meanwhile. */
void task_idle(void);

/* In a long call: answers interrupts that wait, and lets others run if a tick has passed. False: the task is to end. */
bool task_breathe(void);

/* An interrupt came: who waits for one is ready. */
void task_interrupted(void);

/* Lets the next ready task run. */
void task_yield(void);

/* The running task was given other tables. */
void task_context_changed(void);

/* Every trap and system call of ring 3. */
void task_trap(struct trap_frame *frame);

/* The top of a task's kernel stack holds the frame by which it goes to ring 3. */
struct trap_frame *task_frame(const struct task *task);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

/* A line for each task: for the monitor. */
void task_list(void (*print)(const char *format, ...));

#ifdef __cplusplus
}
#endif
#endif
