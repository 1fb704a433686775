/* Tasks' lives and identities. There are no users, groups and sessions: everybody is 0. Signals end a task or are
 * ignored; what a program installs for them is accepted and not used. */
#include <arch/x86/timer.h>
#include <asm/errno.h>
#include <asm/prctl.h>
#include <base/fmt.h>
#include <base/string.h>
#include <calls.h>
#include <kernel/program.h>
#include <kernel/syscall.h>
#include <linux/sched.h>
#include <linux/utsname.h>
#include <linux/wait.h>
#include <mem/area.h>
#include <mem/task_copy.h>

enum {
    PATH_BYTES = 256,
    SIGNALS = 64,
    SIGNAL_CHILD = 17,
    SIGNAL_URGENT = 23,
    SIGNAL_WINDOW = 28,
    SIGNAL_CONTINUE = 18
};

static intptr_t zero(struct syscall *call) {
    (void)call;
    return 0;
}

static intptr_t number(struct syscall *call) {
    return (intptr_t)call->task->number;
}

static intptr_t parent_number(struct syscall *call) {
    return (intptr_t)call->task->parent->number;
}

static intptr_t yield(struct syscall *call) {
    (void)call;
    task_yield();
    return 0;
}

static intptr_t end(struct syscall *call) {
    task_exit((int)(call->arguments[0] & 0xff) << 8);
}

static intptr_t set_clear_number(struct syscall *call) {
    call->task->clear_number = call->arguments[0];
    return (intptr_t)call->task->number;
}

/* --- Copies ------------------------------------------------------------------------------------------------------- */

static intptr_t fork_plain(struct syscall *call) {
    struct task *child;
    return task_fork(call->frame, &child);
}

/* What a clone may ask for here: a copy of everything, told to both sides. */
enum {
    CLONE_KNOWN = CSIGNAL | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | CLONE_SETTLS | CLONE_VFORK
};

/* The child's own copy of the memory takes its number; if that has no page to spare, fault it in before there is a
 * child. */
static intptr_t clone(struct syscall *call) {
    const uintptr_t *arguments = call->arguments;
    uintptr_t flags = arguments[0], stack = arguments[1], parent_at = arguments[2];
    uintptr_t child_at = arguments[USER_CLONE_CHILD_NUMBER], pointer = arguments[USER_CLONE_THREAD_POINTER];
    if ((flags & ~(uintptr_t)CLONE_KNOWN) != 0)
        return -EINVAL;
    struct task *child;
    intptr_t made = task_fork(call->frame, &child);
    if (made < 0)
        return made;
    uint32_t child_number = child->number;
    if (stack != 0)
        user_frame_set_sp(task_frame(child), stack);
    if (flags & CLONE_SETTLS)
        user_set_thread_pointer(&child->user, pointer);
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_number = child_at;
    if (flags & CLONE_CHILD_SETTID)
        copy_to_task(child->context, child_at, &child_number, sizeof(child_number), NULL);
    if (flags & CLONE_PARENT_SETTID)
        copy_to_task(call->task->context, parent_at, &child_number, sizeof(child_number), NULL);
    return made;
}

static intptr_t wait_child(struct syscall *call) {
    uintptr_t status_at = call->arguments[1], options = call->arguments[2];
    if ((options & ~(uintptr_t)(WNOHANG | WUNTRACED | WCONTINUED | __WALL | __WNOTHREAD)) != 0)
        return -EINVAL;
    int status;
    intptr_t found = task_wait_child((intptr_t)(int32_t)call->arguments[0], (options & WNOHANG) != 0, &status);
    if (found > 0 && status_at != 0 && copy_to_task(call->task->context, status_at, &status, sizeof(status), NULL) != 0)
        return -EFAULT;
    return found;
}

/* --- Other programs ----------------------------------------------------------------------------------------------- */

/* A list of pointers to texts, ended by NULL; the list itself may be NULL. */
static int read_texts(struct context *context, uintptr_t list, struct program_texts *texts, bool arguments) {
    for (uintptr_t at = list; list != 0; at += sizeof(uintptr_t)) {
        uintptr_t text;
        if (copy_from_task(context, &text, at, sizeof(text), NULL) != 0)
            return -EFAULT;
        if (text == 0)
            return 0;
        size_t room;
        char *to = program_texts_room(texts, &room);
        int length = room > 0 ? string_from_task(context, to, text, room) : ERR_LIMIT;
        if (length < 0)
            return length == ERR_LIMIT ? -E2BIG : -EFAULT;
        program_texts_took(texts, (size_t)length + 1, arguments);
    }
    return 0;
}

static int load(struct syscall *call, char *path, struct program *program) {
    struct context *context = call->task->context;
    int length = string_from_task(context, path, call->arguments[0], PATH_BYTES);
    if (length < 0)
        return length == ERR_LIMIT ? -ENAMETOOLONG : -EFAULT;
    struct program_texts texts;
    int error = program_texts_make(&texts);
    if (error != 0)
        return error;
    const char *why;
    error = read_texts(context, call->arguments[1], &texts, true);
    if (error == 0)
        error = read_texts(context, call->arguments[2], &texts, false);
    if (error == 0)
        error = program_load(path, &texts, program, &why);
    program_texts_free(&texts);
    return error;
}

/* The new program's context is whole before the old one goes. */
static intptr_t execute(struct syscall *call) {
    char path[PATH_BYTES];
    struct program program;
    struct task *task = call->task;
    int error = load(call, path, &program);
    if (error != 0)
        return error;
    struct context *old = task->context;
    task->context = program.context;
    task->heap_first = task->heap_end = program.heap;
    task->clear_number = 0;
    fmt(task->name, TASK_NAME_BYTES, "%s", path);
    user_init(&task->user);
    user_frame_make(call->frame, program.entry, program.stack);
    task_context_changed();
    area_clear(old);
    context_destroy(old);
    call->no_return_value = true;
    return 0;
}

/* --- Thread pointers ---------------------------------------------------------------------------------------------- */

static intptr_t arch_control(struct syscall *call) {
    uintptr_t value = 0;
    intptr_t result = user_arch_control(&call->task->user, call->arguments[0], call->arguments[1], &value);
    if (result == 1)
        return copy_to_task(call->task->context, call->arguments[1], &value, sizeof(value), NULL);
    return result;
}

static intptr_t set_segment(struct syscall *call) {
    uint32_t words[4];
    uintptr_t at = call->arguments[0];
    if (copy_from_task(call->task->context, words, at, sizeof(words), NULL) != 0)
        return -EFAULT;
    intptr_t result = user_set_segment(&call->task->user, words);
    return result == 0 ? copy_to_task(call->task->context, at, words, sizeof(words[0]), NULL) : result;
}

/* --- Signals ------------------------------------------------------------------------------------------------------ */

static bool is_ignored(uintptr_t signal) {
    return signal == 0 || signal == SIGNAL_CHILD || signal == SIGNAL_URGENT || signal == SIGNAL_WINDOW ||
           signal == SIGNAL_CONTINUE;
}

static intptr_t send(uintptr_t to, uintptr_t signal) {
    struct task *task = task_find((intptr_t)(int32_t)to);
    if (task == NULL || task->number == 0)
        return -ESRCH;
    if (signal > SIGNALS)
        return -EINVAL;
    if (is_ignored(signal) || task->state == TASK_DEAD)
        return 0;
    task->signal = (int)signal;
    task->state = TASK_READY;
    return 0;
}

static intptr_t kill(struct syscall *call) {
    return send(call->arguments[0], call->arguments[1]);
}

static intptr_t kill_thread(struct syscall *call) {
    return send(call->arguments[1], call->arguments[2]);
}

/* --- Time and names ----------------------------------------------------------------------------------------------- */

static intptr_t sleep(struct syscall *call) {
    intptr_t wish[2];
    if (copy_from_task(call->task->context, wish, call->arguments[0], sizeof(wish), NULL) != 0)
        return -EFAULT;
    if (wish[0] < 0 || wish[1] < 0 || wish[1] >= 1000000000)
        return -EINVAL;
    uint32_t begun = timer_ticks(), most = wish[0] > 1000000 ? 1000000u * TIMER_HZ : (uint32_t)wish[0] * TIMER_HZ;
    uint32_t ticks = most + ((uint32_t)wish[1] + 1000000000u / TIMER_HZ - 1) / (1000000000u / TIMER_HZ);
    while (timer_ticks() - begun < ticks && call->task->signal == 0)
        task_idle();
    return call->task->signal != 0 ? -EINTR : 0;
}

/* Every clock counts from the start of the machine. */
static intptr_t clock(struct syscall *call) {
    uint32_t ticks = timer_ticks();
    intptr_t now[2] = { (intptr_t)(ticks / TIMER_HZ), (intptr_t)(ticks % TIMER_HZ * (1000000000u / TIMER_HZ)) };
    return copy_to_task(call->task->context, call->arguments[1], now, sizeof(now), NULL);
}

static intptr_t system_name(struct syscall *call) {
    struct new_utsname name;
    memset(&name, 0, sizeof(name));
    fmt(name.sysname, sizeof(name.sysname), "Linux");
    fmt(name.nodename, sizeof(name.nodename), "xelix-mm");
    fmt(name.release, sizeof(name.release), "6.1.0");
    fmt(name.version, sizeof(name.version), "xelix-mm reference kernel");
    fmt(name.machine, sizeof(name.machine), USER_BITS == 64 ? "x86_64" : "i686");
    return copy_to_task(call->task->context, call->arguments[0], &name, sizeof(name), NULL);
}

const struct syscall_entry syscall_task_entries[] = {
    { __NR_getpid, number },
    { __NR_gettid, number },
    { __NR_getppid, parent_number },
    { __NR_getuid, zero },
    { __NR_geteuid, zero },
    { __NR_getgid, zero },
    { __NR_getegid, zero },
    { __NR_sched_yield, yield },
    { __NR_exit, end },
    { __NR_exit_group, end },
    { __NR_set_tid_address, set_clear_number },
    { __NR_fork, fork_plain },
    { __NR_vfork, fork_plain },
    { __NR_clone, clone },
    { __NR_wait4, wait_child },
    { __NR_waitpid, wait_child },
    { __NR_execve, execute },
    { __NR_arch_prctl, arch_control },
    { __NR_set_thread_area, set_segment },
    { __NR_rt_sigaction, zero },
    { __NR_rt_sigprocmask, zero },
    { __NR_sigaltstack, zero },
    { __NR_kill, kill },
    { __NR_tkill, kill },
    { __NR_tgkill, kill_thread },
    { __NR_nanosleep, sleep },
    { __NR_clock_gettime, clock },
    { __NR_uname, system_name },
    { 0, NULL },
};
