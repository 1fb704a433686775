/* base/string.h - the byte functions that a compiler expects to find, and three of ours.
 *
 * memcpy, memmove, memset and memcmp have C's meaning; on the host they are libc's. Context: any. */
#ifndef BASE_STRING_H
#define BASE_STRING_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/* Bytes before the terminating zero. */
size_t string_length(const char *text);
bool string_equal(const char *a, const char *b);
/* `text` starts with all of `prefix`. */
bool string_starts(const char *text, const char *prefix);

/* Called with each range that the first four are about to read or write, and who called them, at the level `asan` of
 * base/config.h; NULL: nobody asks. Not on the host. */
extern void (*string_check)(uintptr_t address, size_t bytes, bool write, uintptr_t place);

#ifdef __cplusplus
}
#endif
#endif
