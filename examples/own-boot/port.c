/* mem/port.h for a kernel with one processor and a serial line. Interrupts are off all the time. */
#include <base/fmt.h>
#include <mem/port.h>
#include "machine.h"

enum { COM1 = 0x3f8, COM1_STATUS = COM1 + 5, STATUS_IDLE = 0x20, DEBUG_EXIT = 0xf4 };

static void write_text(void *unused, const char *text, size_t bytes) {
    (void)unused;
    for (size_t i = 0; i < bytes; i++) {
        while ((port_in(COM1_STATUS) & STATUS_IDLE) == 0) {
        }
        port_out(COM1, (uint8_t)text[i]);
    }
}

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fmt_to(write_text, NULL, format, arguments);
    va_end(arguments);
}

void power_off(uint8_t status) {
    port_out(DEBUG_EXIT, status);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void port_log(const char *text, size_t bytes) {
    write_text(NULL, text, bytes);
}

void port_panic(const char *text) {
    say("panic: %s\n", text);
    power_off(2);
}

unsigned port_processor_number(void) {
    return 0;
}

/* With one processor nobody else can have it. */
void port_lock_wait(struct port_lock *lock) {
    (void)lock;
    port_panic("a lock was taken twice");
}
