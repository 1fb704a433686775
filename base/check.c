#include <base/check.h>
#include <base/fmt.h>
#include <mem/port.h>

void panic(const char *format, ...) {
    /* On the stack and not static: two processors may panic at once, and a panic may interrupt another. */
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    fmt_va(text, sizeof(text), format, arguments);
    va_end(arguments);
    port_panic(text);
}
