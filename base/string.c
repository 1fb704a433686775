#include <base/string.h>

void (*string_check)(uintptr_t address, size_t bytes, bool write, uintptr_t place);

size_t string_length(const char *text) {
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

bool string_equal(const char *a, const char *b) {
    for (; *a == *b; a++, b++)
        if (*a == '\0')
            return true;
    return false;
}

bool string_starts(const char *text, const char *prefix) {
    for (; *prefix != '\0'; text++, prefix++)
        if (*text != *prefix)
            return false;
    return true;
}
