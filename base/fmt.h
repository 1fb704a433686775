/* base/fmt.h - printf's formatting for a place without libc.
 *
 * Knows %% %c %s %p %d %i %u %x with the flags # 0 - , a width, a precision for %s (a number or *), and the sizes hh h
 * l ll z j t. Context: any; no lock, no memory. Cost: linear in the text. */
#ifndef BASE_FMT_H
#define BASE_FMT_H

#include <base/types.h>
#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes at most `bytes` bytes, a zero at the end included (nothing for 0), and returns the length that the whole text
 * would have had without the zero, as snprintf() does. */
size_t fmt(char *out, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t fmt_va(char *out, size_t bytes, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));

/* The same, a piece at a time, to a function: for a console. */
void fmt_to(void (*write)(void *to, const char *text, size_t bytes), void *to, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* One formatted line to port_log(), at most 255 bytes of it. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
#endif
