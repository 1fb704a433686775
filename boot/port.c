/* mem/port.h as this kernel supplies it: one processor for now, but locks that are real, so that a second one changes
 * nothing here but the number.
 *
 * Once the machine is ending (a panic or a fault's report), nobody waits for a lock any more: its holder may be what
 * was interrupted, and reading what it guards is worth the risk then. */
#include <arch/x86/cpu.h>
#include <boot/console.h>
#include <boot/ending.h>
#include <mem/port.h>

void (*boot_panic_hook)(const char *text);

static bool ending;
static bool survived; /* a hook went on after a panic: locks may be held that nobody will release */

bool ending_begin(void) {
    bool first = !__atomic_exchange_n(&ending, true, __ATOMIC_RELAXED);
    cpu_interrupts_off();
    console_last_words();
    return first;
}

void port_log(const char *text, size_t bytes) {
    console_write(text, bytes);
}

void port_panic(const char *text) {
    if (boot_panic_hook != NULL && !ending) {
        survived = true;
        boot_panic_hook(text);
    }
    bool first = ending_begin();
    console_print("\npanic: %s\n", text);
    if (first)
        boot_stack_trace((uintptr_t)__builtin_frame_address(0));
    boot_power_off(ENDING_PANIC);
}

unsigned port_processor_number(void) {
    return 0;
}

/* With one processor, what is locked was left so by a panic that a test survived. */
void port_lock_wait(struct port_lock *lock) {
    while (!ending && !survived && !port_lock_try(lock))
        cpu_pause();
}
