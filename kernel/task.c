/* One ring of tasks, the kernel's own first. A switch leaves one kernel stack and goes on on another:
 *
 *     kernel stack, 4 pages above a guard page
 *     | ...                               calls | frame of ring 3 |
 *     first                    stack pointer ^                     top: where the entry code copies the next frame
 *
 * A new task's stack looks as if it had called user_switch() from the end of the entry code, so it goes straight to
 * ring 3.
 *
 * The kernel isn't preempted: with interrupts off, it runs until it returns to ring 3 or waits. So the ring and all
 * tasks need no lock while there is one processor.
 *
 *   K1  `current` is ready or dying; the kernel's task has no context.
 *   K2  a dead task has no context, and its stack lives until its parent (or, if that is gone, the kernel) has asked;
 *       nobody runs on a stack that is freed, since a task never asks for itself.
 *   K3  a context belongs to one task.
 *
 * Not done: threads, priorities, more than one processor, wait queues: who waits for input asks again after each
 * interrupt. */
#include <kernel/task.h>
#include <arch/x86/cpu.h>
#include <arch/x86/stacks.h>
#include <arch/x86/timer.h>
#include <arch/x86/trap.h>
#include <arch/x86/window.h>
#include <asm/errno.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>
#include <kernel/program.h>
#include <mem/area.h>
#include <mem/nodes.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>

enum { STACK_PAGES = 4, SIGNAL_KILL = 9 };
#define STACK_BYTES (STACK_PAGES * PAGE_SIZE)

static struct {
    struct task kernel;
    struct task *current;
    struct pool pool;
    uint32_t number; /* given last */
    uint32_t slice;  /* the tick at which the running task got the processor */
} state;

_Static_assert(sizeof(struct task) <= 1024 && sizeof(struct task) % 16 == 0,
               "an object of mem/pool.h, aligned for FXSAVE");

/* For reports: whose kernel stack is it, or the guard page below one? */
static const char *find_stack(uintptr_t address, bool guard) {
    for (struct task *task = state.kernel.next; task != &state.kernel; task = task->next) {
        uintptr_t first = guard ? task->stack - PAGE_SIZE : task->stack;
        if (address - first < (guard ? PAGE_SIZE : STACK_BYTES))
            return task->name;
    }
    return NULL;
}

bool task_start(void) {
    if (!fpu_start())
        return false;
    pool_init(&state.pool, "tasks", sizeof(struct task), &nodes_source);
    state.kernel.next = &state.kernel;
    fmt(state.kernel.name, TASK_NAME_BYTES, "kernel");
    state.current = &state.kernel;
    trap_user_handler = task_trap;
    stack_set_finder(find_stack);
    return true;
}

struct task *task_current(void) {
    return state.current;
}

struct task *task_find(intptr_t number) {
    struct task *task = &state.kernel;
    do {
        if ((intptr_t)task->number == number)
            return task;
        task = task->next;
    } while (task != &state.kernel);
    return NULL;
}

struct trap_frame *task_frame(const struct task *task) {
    return (struct trap_frame *)(task->stack + STACK_BYTES) - 1;
}

/* --- Switching ---------------------------------------------------------------------------------------------------- */

void task_context_changed(void) {
    struct task *task = state.current;
    user_load(&task->user);
    window_task(task->context->tables.root, task->stack + STACK_BYTES);
}

static void switch_to(struct task *to) {
    struct task *from = state.current;
    uint32_t now = timer_ticks();
    from->ticks += now - state.slice;
    state.slice = now;
    if (to == from)
        return;
    if (from->context != NULL)
        user_save(&from->user);
    state.current = to;
    if (to->context != NULL)
        task_context_changed();
    user_switch(&from->switched, to->switched);
}

/* The next ready one after the running, which comes last itself; NULL if there is none. */
static struct task *next_ready(void) {
    struct task *task = state.current;
    do {
        task = task->next;
        if (task->state == TASK_READY)
            return task;
    } while (task != state.current);
    return NULL;
}

/* True if somebody waited. */
static bool wake_idle(void) {
    bool any = false;
    struct task *task = &state.kernel;
    do {
        any = any || task->state == TASK_IDLE;
        if (task->state == TASK_IDLE)
            task->state = TASK_READY;
        task = task->next;
    } while (task != &state.kernel);
    return any;
}

void task_interrupted(void) {
    wake_idle();
}

/* The kernel's own thread may come with interrupts on; a task's never does, and goes on with them off. */
void task_yield(void) {
    uintptr_t saved = port_interrupts_off();
    struct task *to;
    while ((to = next_ready()) == NULL) {
        cpu_sleep();
        require(wake_idle(), "task: every task waits for another");
    }
    switch_to(to);
    port_interrupts_restore(saved);
}

bool task_breathe(void) {
    uint32_t before = timer_ticks();
    cpu_interrupts_on();
    cpu_pause();
    cpu_interrupts_off();
    if (timer_ticks() != before) {
        task_interrupted();
        task_yield();
    }
    return state.current->signal == 0;
}

void task_idle(void) {
    state.current->state = TASK_IDLE;
    task_yield();
}

/* --- Beginning and end -------------------------------------------------------------------------------------------- */

/* No page is kept for the next one: with no task there is nothing of tasks. */
static void give_back(struct task *task) {
    pool_give(&state.pool, task);
    pool_trim(&state.pool);
}

static struct task *make_task(const char *name) {
    struct task *task = pool_take(&state.pool);
    if (task == NULL)
        return NULL;
    memset(task, 0, sizeof(*task));
    static const struct valloc_options options = { .guard_before = 1 };
    void *stack;
    if (pvalloc_with(context_kernel(), STACK_PAGES, &options, &stack) != 0) {
        give_back(task);
        return NULL;
    }
    task->stack = (uintptr_t)stack;
    fmt(task->name, TASK_NAME_BYTES, "%s", name);
    return task;
}

/* Not linked, and not the one that runs. */
static void free_task(struct task *task) {
    pvfree(page_number(task->stack), STACK_PAGES);
    give_back(task);
}

static void link(struct task *task, struct task *parent) {
    task->number = ++state.number;
    task->parent = parent;
    task->next = state.current->next;
    state.current->next = task;
}

static void unlink(struct task *task) {
    struct task *before = &state.kernel;
    while (before->next != task)
        before = before->next;
    before->next = task->next;
}

static void destroy_context(struct context *context) {
    area_clear(context);
    context_destroy(context);
}

int task_run(const char *path, const char *const arguments[], struct task **made, const char **why) {
    struct task *task = make_task(path);
    *why = "memory is short";
    if (task == NULL)
        return ERR_NO_MEMORY;
    struct program program;
    int error = program_start(path, arguments, &program, why);
    if (error != 0) {
        free_task(task);
        return error;
    }
    task->context = program.context;
    task->heap_first = task->heap_end = program.heap;
    user_init(&task->user);
    user_frame_make(task_frame(task), program.entry, program.stack);
    task->switched = user_switch_prepare(task_frame(task));
    uintptr_t saved = port_interrupts_off();
    link(task, &state.kernel);
    port_interrupts_restore(saved);
    *made = task;
    return 0;
}

intptr_t task_fork(const struct trap_frame *frame, struct task **made) {
    struct task *parent = state.current, *child = make_task(parent->name);
    if (child == NULL)
        return -ENOMEM;
    child->context = context_create("task");
    int error = child->context != NULL ? area_copy(parent->context, child->context) : ERR_NO_MEMORY;
    if (error != 0) {
        if (child->context != NULL)
            context_destroy(child->context);
        free_task(child);
        return error;
    }
    user_save(&parent->user);
    child->user = parent->user;
    child->heap_first = parent->heap_first;
    child->heap_end = parent->heap_end;
    memcpy(child->files, parent->files, sizeof(child->files));
    *task_frame(child) = *frame;
    user_call_return(task_frame(child), 0);
    child->switched = user_switch_prepare(task_frame(child));
    link(child, parent);
    *made = child;
    return (intptr_t)child->number;
}

/* Its children become the kernel's, which asks for the dead ones when it next waits. */
static void leave_children(struct task *parent) {
    for (struct task *task = state.kernel.next; task != &state.kernel; task = task->next)
        if (task->parent == parent) {
            task->parent = &state.kernel;
            task->orphan = true;
        }
}

void task_exit(int status) {
    struct task *task = state.current;
    struct context *context = task->context;
    uint32_t zero = 0;
    if (task->clear_number != 0)
        copy_to_task(context, task->clear_number, &zero, sizeof(zero), NULL);
    task->context = NULL;
    destroy_context(context);
    leave_children(task);
    task->status = status;
    task->state = TASK_DEAD;
    if (task->parent->state == TASK_WAITING)
        task->parent->state = TASK_READY;
    task_yield();
    panic("task %u (%s) runs after its end", task->number, task->name);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static int forget(struct task *task) {
    int status = task->status;
    unlink(task);
    free_task(task);
    return status;
}

static struct task *child_of(const struct task *parent, intptr_t number, bool *any) {
    *any = false;
    for (struct task *task = state.kernel.next; task != &state.kernel; task = task->next) {
        if (task->parent != parent || (number > 0 && (intptr_t)task->number != number))
            continue;
        *any = true;
        if (task->state == TASK_DEAD)
            return task;
    }
    return NULL;
}

intptr_t task_wait_child(intptr_t number, bool nobody_waits, int *status) {
    struct task *self = state.current;
    for (;;) {
        bool any;
        struct task *child = child_of(self, number, &any);
        if (child != NULL) {
            intptr_t found = (intptr_t)child->number;
            *status = forget(child);
            return found;
        }
        if (!any)
            return -ECHILD;
        if (nobody_waits)
            return 0;
        if (self->signal != 0)
            return -EINTR;
        self->state = TASK_WAITING;
        task_yield();
    }
}

void task_rest(uint32_t ticks) {
    uintptr_t saved = port_interrupts_off();
    for (uint32_t begun = timer_ticks(); timer_ticks() - begun < ticks;)
        task_idle();
    port_interrupts_restore(saved);
}

/* Those that nobody asks for: what still runs of a program that has ended is ended too, so that nothing of it stays.
 * The kernel's own children are for who started them. */
static void forget_orphans(void) {
    for (struct task *task = state.kernel.next; task != &state.kernel; task = task->next)
        while (task->orphan && task->state != TASK_DEAD) {
            task->signal = SIGNAL_KILL;
            task->state = TASK_READY;
            task_yield();
        }
    for (struct task *task = state.kernel.next; task != &state.kernel;) {
        struct task *next = task->next;
        if (task->orphan && task->state == TASK_DEAD)
            forget(task);
        task = next;
    }
}

int task_wait(struct task *task) {
    uintptr_t saved = port_interrupts_off();
    require(state.current == &state.kernel && task->parent == &state.kernel,
            "task_wait(%s): only for the kernel's children", task->name);
    while (task->state != TASK_DEAD) {
        state.kernel.state = TASK_WAITING;
        task_yield();
    }
    forget_orphans();
    int status = forget(task);
    port_interrupts_restore(saved);
    return status;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

void task_list(void (*print)(const char *format, ...)) {
    static const char *const names[] = { "ready", "waits for a child", "waits for an interrupt", "dead" };
    print("  number parent  ticks  pages tables  name, state\n");
    for (struct task *task = state.kernel.next; task != &state.kernel; task = task->next)
        print("  %6u %6u %6u %6zu %6zu  %s, %s\n", task->number, task->parent->number, task->ticks,
              task->context != NULL ? (size_t)task->context->ranges.pages : 0,
              task->context != NULL ? task->context->tables.tables : 0, task->name, names[task->state]);
}
