/* Text is produced in pieces for a sink; fmt() is the sink that fills a buffer. Digits are made backwards in a small
 * buffer on the stack. 64-bit division: i386 without libgcc has none, so ten is divided out in two 32-bit steps. */
#include <base/fmt.h>
#include <base/string.h>
#include <mem/port.h>

struct sink {
    void (*write)(void *to, const char *text, size_t bytes);
    void *to;
};

struct field {
    bool left, zero, alternate;
    int width, precision, size; /* size: -2 hh, -1 h, 0 int, 1 l, 2 ll or j, 3 z or t */
};

static void put(struct sink *sink, const char *text, size_t bytes) {
    if (bytes > 0)
        sink->write(sink->to, text, bytes);
}

static void pad(struct sink *sink, char with, int count) {
    for (; count > 0; count--)
        put(sink, &with, 1);
}

static void put_padded(struct sink *sink, const struct field *field, const char *text, size_t bytes) {
    int missing = field->width - (int)bytes;
    if (!field->left)
        pad(sink, ' ', missing);
    put(sink, text, bytes);
    if (field->left)
        pad(sink, ' ', missing);
}

/* value / 10 with the remainder in *digit, by halves: i386 has a 64-by-32 division but the compiler won't use it. */
static uint64_t divide_by_ten(uint64_t value, unsigned *digit) {
    uint32_t high = (uint32_t)(value >> 32), low = (uint32_t)value;
    uint32_t middle = ((high % 10) << 16) | (low >> 16);
    uint32_t bottom = ((middle % 10) << 16) | (low & 0xffff);
    *digit = bottom % 10;
    return ((uint64_t)(high / 10) << 32) | ((uint64_t)(middle / 10) << 16) | (bottom / 10);
}

static void put_number(struct sink *sink, const struct field *field, uint64_t value, bool negative, bool hex) {
    char digits[24];
    char *end = digits + sizeof(digits), *at = end;
    const char *prefix = negative ? "-" : hex && field->alternate ? "0x" : "";
    do {
        unsigned digit;
        if (hex) {
            digit = (unsigned)value & 15;
            value >>= 4;
        } else {
            value = divide_by_ten(value, &digit);
        }
        *--at = "0123456789abcdef"[digit];
    } while (value != 0);

    size_t sign = string_length(prefix), count = (size_t)(end - at);
    int missing = field->width - (int)(sign + count);
    if (!field->left && !field->zero)
        pad(sink, ' ', missing);
    put(sink, prefix, sign);
    if (!field->left && field->zero)
        pad(sink, '0', missing);
    put(sink, at, count);
    if (field->left)
        pad(sink, ' ', missing);
}

static int read_number(const char **at, va_list *arguments) {
    int number = 0;
    if (**at == '*') {
        (*at)++;
        return va_arg(*arguments, int);
    }
    for (; **at >= '0' && **at <= '9'; (*at)++)
        number = number * 10 + (**at - '0');
    return number;
}

static const char *read_field(const char *at, struct field *field, va_list *arguments) {
    *field = (struct field){ .precision = -1 };
    for (;; at++) {
        if (*at == '-')
            field->left = true;
        else if (*at == '0')
            field->zero = true;
        else if (*at == '#')
            field->alternate = true;
        else
            break;
    }
    field->width = read_number(&at, arguments);
    if (*at == '.') {
        at++;
        field->precision = read_number(&at, arguments);
    }
    for (;; at++) {
        if (*at == 'l')
            field->size++;
        else if (*at == 'h')
            field->size--;
        else if (*at == 'j')
            field->size = 2;
        else if (*at == 'z' || *at == 't')
            field->size = 3;
        else
            return at;
    }
}

static uint64_t read_unsigned(const struct field *field, va_list *arguments) {
    switch (field->size) {
    case 1:
        return va_arg(*arguments, unsigned long);
    case 2:
        return va_arg(*arguments, unsigned long long);
    case 3:
        return va_arg(*arguments, size_t);
    case -1:
        return (unsigned short)va_arg(*arguments, unsigned);
    case -2:
        return (unsigned char)va_arg(*arguments, unsigned);
    default:
        return va_arg(*arguments, unsigned);
    }
}

static int64_t read_signed(const struct field *field, va_list *arguments) {
    switch (field->size) {
    case 1:
        return va_arg(*arguments, long);
    case 2:
        return va_arg(*arguments, long long);
    case 3:
        return va_arg(*arguments, ptrdiff_t);
    case -1:
        return (short)va_arg(*arguments, int);
    case -2:
        return (signed char)va_arg(*arguments, int);
    default:
        return va_arg(*arguments, int);
    }
}

static void put_string(struct sink *sink, const struct field *field, const char *text) {
    size_t length = 0;
    if (text == NULL)
        text = "(null)";
    while ((field->precision < 0 || length < (size_t)field->precision) && text[length] != '\0')
        length++;
    put_padded(sink, field, text, length);
}

static void put_conversion(struct sink *sink, char conversion, struct field *field, va_list *arguments) {
    switch (conversion) {
    case 'd':
    case 'i': {
        int64_t value = read_signed(field, arguments);
        put_number(sink, field, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, false);
        break;
    }
    case 'u':
        put_number(sink, field, read_unsigned(field, arguments), false, false);
        break;
    case 'x':
        put_number(sink, field, read_unsigned(field, arguments), false, true);
        break;
    case 'p':
        field->alternate = true;
        put_number(sink, field, (uintptr_t)va_arg(*arguments, void *), false, true);
        break;
    case 's':
        put_string(sink, field, va_arg(*arguments, const char *));
        break;
    case 'c': {
        char character = (char)va_arg(*arguments, int);
        put_padded(sink, field, &character, 1);
        break;
    }
    default: /* an unknown conversion shows itself */
        put(sink, "%", 1);
        put(sink, &conversion, 1);
    }
}

void fmt_to(void (*write)(void *to, const char *text, size_t bytes), void *to, const char *format, va_list arguments) {
    struct sink sink = { write, to };
    va_list rest;
    va_copy(rest, arguments);
    while (*format != '\0') {
        const char *plain = format;
        while (*format != '\0' && *format != '%')
            format++;
        put(&sink, plain, (size_t)(format - plain));
        if (*format == '\0')
            break;
        struct field field;
        format = read_field(format + 1, &field, &rest);
        if (*format == '\0')
            break;
        if (*format == '%')
            put(&sink, "%", 1);
        else
            put_conversion(&sink, *format, &field, &rest);
        format++;
    }
    va_end(rest);
}

struct buffer {
    char *at;
    size_t room, length;
};

static void write_to_buffer(void *to, const char *text, size_t bytes) {
    struct buffer *buffer = to;
    size_t part = bytes < buffer->room ? bytes : buffer->room;
    if (part > 0) { /* fmt(NULL, 0, ...) only measures */
        memcpy(buffer->at, text, part);
        buffer->at += part;
    }
    buffer->room -= part;
    buffer->length += bytes;
}

size_t fmt_va(char *out, size_t bytes, const char *format, va_list arguments) {
    struct buffer buffer = { out, bytes > 0 ? bytes - 1 : 0, 0 };
    fmt_to(write_to_buffer, &buffer, format, arguments);
    if (bytes > 0)
        *buffer.at = '\0';
    return buffer.length;
}

size_t fmt(char *out, size_t bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t length = fmt_va(out, bytes, format, arguments);
    va_end(arguments);
    return length;
}

void log_line(const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    size_t length = fmt_va(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    if (length > sizeof(text) - 2)
        length = sizeof(text) - 2;
    text[length] = '\n';
    port_log(text, length + 1);
}
