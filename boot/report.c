/* What is said of a trap that nobody handles, in the order of what is most likely to come out whole: the name and the
 * address first, the memory manager's view of it last, since that reads structures that may be what is broken. A fault
 * in the report itself is reported by its first line alone.
 *
 * A kernel stack overflow shows as a double fault on a stack of its own, with the address in a guard page: the page
 * fault's frame could not be pushed there. CR2 tells on both widths; the stack pointer is asked too, for overflows by
 * other faults. */
#include <arch/x86/cpu.h>
#include <arch/x86/stacks.h>
#include <arch/x86/trap.h>
#include <base/fmt.h>
#include <base/lock.h>
#include <boot/boot.h>
#include <boot/ending.h>
#include <mem/explain.h>
#include <registers.h>

static bool memory_is_up;

void report_memory_is_up(void) {
    memory_is_up = true;
}

static const char *overflowed_stack(const struct trap_frame *frame) {
    bool may_be = frame->vector == TRAP_DOUBLE_FAULT || frame->vector == TRAP_PAGE;
    const char *stack = may_be ? stack_guarded_by(cpu_cr2()) : NULL;
    if (stack == NULL && may_be)
        stack = stack_guarded_by(frame->sp - 1);
    return stack;
}

static void print_page_fault(uintptr_t error) {
    const char *access = error & TRAP_PAGE_FETCH ? "execute" : error & TRAP_PAGE_WRITE ? "write" : "read";
    const char *why = error & TRAP_PAGE_RESERVED  ? "a reserved bit is set in an entry"
                      : error & TRAP_PAGE_PRESENT ? "the page is there, but not for this"
                                                  : "the page isn't there";
    console_print("  %s by %s at 0x%zx: %s\n", access, error & TRAP_PAGE_USER ? "ring 3" : "the kernel",
                  (size_t)cpu_cr2(), why);
}

/* The error code of the faults that name a segment or gate (SDM volume 3A, 6.13). */
static void print_selector_error(uintptr_t error) {
    const char *table = error & 2 ? "IDT" : error & 4 ? "LDT" : "GDT";
    if (error != 0)
        console_print("  about %s entry %zu%s\n", table, (size_t)(error >> 3 & 0x1fff),
                      error & 1 ? ", from outside" : "");
}

static void print_heading(const struct trap_frame *frame) {
    char name[80];
    boot_symbol(frame->ip, name, sizeof(name));
    const char *stack = overflowed_stack(frame);
    if (stack != NULL)
        console_print("\nkernel stack overflow: %s\n", stack);
    console_print("\nfault: %s (vector %zu, error 0x%zx) at 0x%zx %s\n", trap_name((unsigned)frame->vector),
                  (size_t)frame->vector, (size_t)frame->error, (size_t)frame->ip, name);
    if (frame->vector == TRAP_PAGE)
        print_page_fault(frame->error);
    if (frame->vector >= 10 && frame->vector <= TRAP_PROTECTION)
        print_selector_error(frame->error);
}

static void print_control_registers(void) {
    console_print("  cr0 %zx cr2 %zx cr3 %zx cr4 %zx\n", (size_t)cpu_cr0(), (size_t)cpu_cr2(), (size_t)cpu_cr3(),
                  (size_t)cpu_cr4());
}

/* Locks that the interrupted code holds would be taken for ours by the checks of debug builds. */
static void explain(const struct trap_frame *frame, uintptr_t address) {
    lock_release_all();
    cpu_interrupts_off();
    if (memory_is_up && frame->vector == TRAP_PAGE)
        explain_address(address, console_print);
}

void report_trap(struct trap_frame *frame) {
    uintptr_t address = cpu_cr2();
    bool first = ending_begin();
    print_heading(frame);
    if (first) {
        registers_print(frame, console_print);
        print_control_registers();
        console_print("  at          %0*zx\n", (int)(2 * sizeof(uintptr_t)), (size_t)frame->ip);
        boot_stack_trace(frame->bp);
        explain(frame, address);
    }
    boot_power_off(ENDING_FAULT);
}
