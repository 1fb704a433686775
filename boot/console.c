/* One lock, no buffer: text is out when the call returns, since the next instruction may be the last. Text goes to the
 * serial line with a carriage return before each newline, and to the screen if there is one.
 *
 * The lock is the port's own and not of base/lock.h: the console is what that one reports with. */
#include <arch/x86/cpu.h>
#include <arch/x86/uart.h>
#include <base/fmt.h>
#include <boot/console.h>
#include <boot/screen.h>
#include <mem/port.h>

static struct {
    struct port_lock lock;
    bool last_words;
} state;

static uintptr_t take(void) {
    uintptr_t saved = port_interrupts_off();
    if (!state.last_words)
        port_lock(&state.lock);
    return saved;
}

static void release(uintptr_t saved) {
    if (!state.last_words)
        port_unlock(&state.lock);
    port_interrupts_restore(saved);
}

void console_start(void) {
    uart_start();
}

void console_start_input(void) {
    uart_receive_start();
}

void console_last_words(void) {
    state.last_words = true;
}

void console_flush(void) {
    uart_flush();
}

static void put(char character) {
    if (character == '\n')
        uart_write('\r');
    uart_write((uint8_t)character);
    screen_put(character);
}

static void put_text(void *unused, const char *text, size_t bytes) {
    (void)unused;
    for (size_t i = 0; i < bytes; i++)
        put(text[i]);
}

void console_write(const char *text, size_t bytes) {
    uintptr_t saved = take();
    put_text(NULL, text, bytes);
    release(saved);
}

void console_print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    uintptr_t saved = take();
    fmt_to(put_text, NULL, format, arguments);
    release(saved);
    va_end(arguments);
}

int console_read(void) {
    uintptr_t saved = take();
    int byte = uart_read();
    release(saved);
    return byte;
}

/* Interrupts stay off between looking and sleeping, so that a byte that comes between wakes the sleeper. */
int console_read_wait(void) {
    uintptr_t saved = port_interrupts_off();
    int byte;
    while ((byte = console_read()) < 0)
        cpu_sleep();
    port_interrupts_restore(saved);
    return byte;
}
