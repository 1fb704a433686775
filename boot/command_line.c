#include <base/fmt.h>
#include <base/string.h>
#include <boot/boot.h>

/* The next word at or after `text`, and where it ends; NULL when there is none. */
static const char *next_word(const char *text, const char **end) {
    while (*text == ' ')
        text++;
    *end = text;
    while (**end != '\0' && **end != ' ')
        (*end)++;
    return *text != '\0' ? text : NULL;
}

bool boot_has_word(const struct boot_info *info, const char *word) {
    size_t length = string_length(word);
    const char *end = info->command_line, *at;
    while ((at = next_word(end, &end)) != NULL)
        if ((size_t)(end - at) == length && string_starts(at, word))
            return true;
    return false;
}

bool boot_option(const struct boot_info *info, const char *word, char *out, size_t bytes) {
    size_t length = string_length(word);
    const char *end = info->command_line, *at;
    while ((at = next_word(end, &end)) != NULL)
        if (string_starts(at, word) && at[length] == '=') {
            at += length + 1;
            fmt(out, bytes, "%.*s", (int)(end - at), at);
            return true;
        }
    out[0] = '\0';
    return false;
}
