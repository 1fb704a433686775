/* One table of functions, one way in.
 *
 *     gate -> stub (vector, error) -> common entry (whole state) -> ul_gate_* -> trap_dispatch -> handler
 *     and back by the common exit
 *
 * Exceptions (0 to 31): the test hook, the vector's handler, or `unhandled`. Interrupts of the 8259s (32 to 47): asked
 * back whether they are real, handled, then ended. An interrupt without a handler is ended and counted; any other
 * vector without a handler is `unhandled`.
 *
 * Locking: the table is written with interrupts off and read by one load. Not done: handlers on more than one
 * processor's behalf, nesting by priority; interrupts stay off in handlers. */
#include <arch/x86/cpu.h>
#include <arch/x86/descriptors.h>
#include <arch/x86/pic.h>
#include <arch/x86/trap.h>
#include <base/check.h>

enum { ENTRY_BYTES = 16, EXCEPTIONS = 32 };
extern const char trap_entries[]; /* trap.S: one stub of ENTRY_BYTES for each vector */

void ul_gate_kernel(struct trap_frame *frame);
void ul_gate_found(struct trap_frame *frame);
void ul_gate_user(struct trap_frame *frame);

bool (*trap_test_hook)(struct trap_frame *frame);
trap_function *trap_user_handler;

static struct {
    trap_function *handlers[DESCRIPTORS_GATES];
    trap_function *unhandled;
    unsigned spurious;
} state;

static const char *const names[EXCEPTIONS] = {
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no coprocessor",
    "double fault",
    "coprocessor segment overrun",
    "invalid task segment",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "exception 15",
    "coprocessor error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization exception",
    "control protection",
    "exception 22",
    "exception 23",
    "exception 24",
    "exception 25",
    "exception 26",
    "exception 27",
    "hypervisor injection",
    "VMM communication",
    "security exception",
    "exception 31",
};

const char *trap_name(unsigned vector) {
    return vector < EXCEPTIONS ? names[vector] : "interrupt";
}

void trap_start(trap_function *unhandled) {
    state.unhandled = unhandled;
    for (unsigned vector = 0; vector < DESCRIPTORS_GATES; vector++)
        descriptors_gate(vector, (uintptr_t)trap_entries + vector * ENTRY_BYTES);
    pic_start(TRAP_IRQ);
}

void trap_set_handler(unsigned vector, trap_function *handler) {
    require(vector < DESCRIPTORS_GATES, "trap_set_handler(%u): there are %u vectors", vector,
            (unsigned)DESCRIPTORS_GATES);
    __atomic_store_n(&state.handlers[vector], handler, __ATOMIC_RELEASE);
}

unsigned trap_spurious(void) {
    return state.spurious;
}

static void dispatch_line(unsigned line, struct trap_frame *frame, trap_function *handler) {
    if (!pic_begin(line)) {
        state.spurious++;
        return;
    }
    if (handler != NULL)
        handler(frame);
    pic_end(line);
}

/* --- What the entry code calls, once it is on the kernel's tables and stacks -------------------------------------- */

void ul_gate_kernel(struct trap_frame *frame) {
    trap_dispatch(frame);
}

void ul_gate_found(struct trap_frame *frame) {
    trap_dispatch(frame);
}

void ul_gate_user(struct trap_frame *frame) {
    trap_user_handler(frame);
}

/* --- Dispatch ----------------------------------------------------------------------------------------------------- */

void trap_dispatch(struct trap_frame *frame) {
    unsigned vector = (unsigned)frame->vector;
    trap_function *handler = __atomic_load_n(&state.handlers[vector], __ATOMIC_ACQUIRE);
    if (vector >= TRAP_IRQ && vector < TRAP_IRQ_END)
        dispatch_line(vector - TRAP_IRQ, frame, handler);
    else if (vector < EXCEPTIONS && trap_test_hook != NULL && trap_test_hook(frame))
        return;
    else if (handler != NULL)
        handler(frame);
    else
        state.unhandled(frame);
}
