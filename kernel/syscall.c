/* A table by number, filled once from the lists of the groups. Each list ends with an entry without a function. */
#include <kernel/syscall.h>
#include <asm/errno.h>

enum { NUMBERS = 512 };

static struct {
    syscall_function *functions[NUMBERS];
    struct syscall_stats stats;
} state;

static void enter(const struct syscall_entry *entry) {
    for (; entry->function != NULL; entry++)
        if (entry->number < NUMBERS)
            state.functions[entry->number] = entry->function;
}

void syscall_start(void) {
    enter(syscall_memory_entries);
    enter(syscall_task_entries);
    enter(syscall_file_entries);
}

static intptr_t unknown(uintptr_t number) {
    state.stats.unknown++;
    state.stats.last_unknown = number;
    return -ENOSYS;
}

void syscall_do(struct trap_frame *frame) {
    struct syscall call = { .task = task_current(), .frame = frame };
    uintptr_t number = user_call_number(frame);
    syscall_function *function = number < NUMBERS ? state.functions[number] : NULL;
    state.stats.calls++;
    user_call_arguments(frame, call.arguments);
    intptr_t result = function != NULL ? function(&call) : unknown(number);
    if (!call.no_return_value)
        user_call_return(frame, result);
}

void syscall_stats(struct syscall_stats *stats) {
    *stats = state.stats;
}
