/* What ring 3 does to get here, and what becomes of it:
 *
 *     system call      done, and its result returned
 *     interrupt        answered; if a tick of the timer has passed, the next ready task runs
 *     page fault       a page, a copy, a longer stack; or the end of the task
 *     anything else    the end of the task
 *
 * A task's mistake ends that task with a report and the signal's number that Linux would send, and touches nobody
 * else. Before the frame is gone back to, it is made safe: nothing that ring 3 can put into it makes the return fault
 * in ring 0. */
#include <arch/x86/cpu.h>
#include <arch/x86/timer.h>
#include <arch/x86/trap.h>
#include <base/fmt.h>
#include <boot/boot.h>
#include <kernel/program.h>
#include <kernel/syscall.h>
#include <kernel/task.h>
#include <mem/area.h>
#include <mem/explain.h>
#include <registers.h>

enum { SIGNAL_ILLEGAL = 4, SIGNAL_TRAP = 5, SIGNAL_BUS = 7, SIGNAL_ARITHMETIC = 8, SIGNAL_SEGMENT = 11 };

/* Below the stack pointer a program may touch this much: what is pushed at once, and a red zone. */
enum { STACK_SLACK_BYTES = 64 << 10 };

static int signal_of(unsigned vector) {
    switch (vector) {
    case TRAP_DIVIDE:
    case TRAP_FPU:
    case TRAP_SIMD:
        return SIGNAL_ARITHMETIC;
    case TRAP_DEBUG:
    case TRAP_BREAKPOINT:
        return SIGNAL_TRAP;
    case TRAP_INVALID_OPCODE:
        return SIGNAL_ILLEGAL;
    case TRAP_ALIGNMENT:
        return SIGNAL_BUS;
    default:
        return SIGNAL_SEGMENT;
    }
}

static void report(const struct trap_frame *frame, uintptr_t address, int signal) {
    struct task *task = task_current();
    /* A task's own children are its own affair: it gets the signal's number. */
    if (task->parent->context != NULL)
        return;
    const char *access = frame->error & TRAP_PAGE_FETCH ? "execute" : frame->error & TRAP_PAGE_WRITE ? "write" : "read";
    if (frame->vector == TRAP_PAGE)
        console_print("task %u (%s) killed by signal %d: it tried to %s %#zx at ip %#zx\n", task->number, task->name,
                      signal, access, (size_t)address, (size_t)frame->ip);
    else
        console_print("task %u (%s) killed by signal %d: %s at ip %#zx\n", task->number, task->name, signal,
                      trap_name((unsigned)frame->vector), (size_t)frame->ip);
    registers_print(frame, console_print);
    if (frame->vector == TRAP_PAGE)
        explain_in(task->context, address, console_print);
}

NORETURN static void kill(const struct trap_frame *frame, uintptr_t address) {
    int signal = signal_of((unsigned)frame->vector);
    report(frame, address, signal);
    task_exit(signal);
}

static int fault_in(const struct trap_frame *frame, uintptr_t address) {
    struct context *context = task_current()->context;
    unsigned access = frame->error & TRAP_PAGE_FETCH   ? AREA_EXECUTE
                      : frame->error & TRAP_PAGE_WRITE ? AREA_WRITE
                                                       : AREA_READ;
    int error = area_fault(context, address, access);
    if (error != ERR_FAULT || address < user_frame_sp(frame) - STACK_SLACK_BYTES)
        return error;
    error = area_grow(context, address, PROGRAM_STACK_PAGES);
    return error == 0 ? area_fault(context, address, access) : error;
}

static void page_fault(struct trap_frame *frame) {
    uintptr_t address = cpu_cr2();
    if ((frame->error & TRAP_PAGE_RESERVED) != 0 || fault_in(frame, address) != 0)
        kill(frame, address);
}

static void interrupt(struct trap_frame *frame) {
    uint32_t before = timer_ticks();
    trap_dispatch(frame);
    task_interrupted();
    if (timer_ticks() != before)
        task_yield();
}

void task_trap(struct trap_frame *frame) {
    if (user_is_call(frame))
        syscall_do(frame);
    else if (frame->vector >= TRAP_IRQ || frame->vector == TRAP_NMI || frame->vector == TRAP_MACHINE_CHECK)
        interrupt(frame);
    else if (frame->vector == TRAP_PAGE)
        page_fault(frame);
    else
        kill(frame, 0);
    if (task_current()->signal != 0)
        task_exit(task_current()->signal);
    if (!user_frame_is_safe(frame))
        kill(frame, frame->ip);
}
