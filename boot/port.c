/* mem/port.h as this kernel supplies it: one processor for now, but locks that are real, so that a second one changes
 * nothing here but the number.
 *
 * A lock word is 0 when free. Once the machine is ending (a panic or a fault's report), nobody waits for a lock any
 * more: its holder may be what was interrupted, and reading what it guards is worth the risk then. */
#include <arch/x86/cpu.h>
#include <boot/console.h>
#include <boot/ending.h>
#include <mem/port.h>

void (*boot_panic_hook)(const char *text);

static bool ending;

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
    if (boot_panic_hook != NULL && !ending)
        boot_panic_hook(text);
    bool first = ending_begin();
    console_print("\npanic: %s\n", text);
    if (first)
        boot_stack_trace((uintptr_t)__builtin_frame_address(0));
    boot_power_off(ENDING_PANIC);
}

unsigned port_processor(void) {
    return 0;
}

uintptr_t port_interrupts_off(void) {
    uintptr_t saved = cpu_flags();
    cpu_interrupts_off();
    return saved;
}

void port_interrupts_restore(uintptr_t saved) {
    if (saved & FLAGS_INTERRUPT)
        cpu_interrupts_on();
}

void port_lock(struct port_lock *lock) {
    while (__atomic_exchange_n(&lock->word[0], 1, __ATOMIC_ACQUIRE) != 0 && !ending)
        cpu_pause();
}

void port_unlock(struct port_lock *lock) {
    __atomic_store_n(&lock->word[0], 0, __ATOMIC_RELEASE);
}
