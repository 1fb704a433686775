/* mem/port.h for the host, strict about its caller. */
#include <base/types.h>
#include <mem/port.h>
#include <stdio.h>
#include <stdlib.h>
#include <tests/host/machine.h>
#include <tests/test.h>

static bool interrupts_are_off;
void (*machine_on_unlock)(void);

void port_log(const char *text, size_t bytes) {
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
}

void port_panic(const char *text) {
    test_panicked(text);
    fprintf(stderr, "panic: %s\n", text);
    abort();
}

unsigned port_processor(void) {
    return 0;
}

uintptr_t port_interrupts_off(void) {
    bool before = interrupts_are_off;
    interrupts_are_off = true;
    return before;
}

void port_interrupts_restore(uintptr_t saved) {
    interrupts_are_off = saved != 0;
}

void port_lock(struct port_lock *lock) {
    if (!interrupts_are_off || lock->word != 0)
        port_panic("port: lock taken with interrupts on, or twice");
    lock->word = 1;
}

void port_unlock(struct port_lock *lock) {
    if (lock->word != 1)
        port_panic("port: unlock of a free lock");
    lock->word = 0;
    if (machine_on_unlock != NULL)
        machine_on_unlock();
}
