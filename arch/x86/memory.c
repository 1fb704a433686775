/* The four functions that a compiler may call for any assignment or initializer (C11 freestanding, gcc's manual 2.1),
 * so they may not be loops that the compiler turns back into calls: the string instructions do the work.
 * Four bytes at a time, then the rest; every processor since 2013 does whole lines by itself.
 *
 * No compiler checks what assembler does, so at the level `asan` each asks for its ranges itself, and this file is
 * compiled without the checks of single accesses (Makefile). */
#include <base/config.h>
#include <base/string.h>

#define CHECK(address, bytes, write) check(address, bytes, write, (uintptr_t)__builtin_return_address(0))

static inline void check(const void *address, size_t bytes, bool write, uintptr_t place) {
    if (CONFIG_KMALLOC_CHECK == KMALLOC_CHECK_ASAN && string_check != NULL)
        string_check((uintptr_t)address, bytes, write, place);
}

static inline void copy_forward(void *to, const void *from, size_t bytes) {
    void *out = to;
    size_t words = bytes / 4, rest = bytes % 4;
    __asm__ volatile("rep movsl" : "+D"(out), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(out), "+S"(from), "+c"(rest) : : "memory");
}

static void copy_backward(void *to, const void *from, size_t bytes) {
    void *out = (char *)to + bytes - 1;
    const void *in = (const char *)from + bytes - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(out), "+S"(in), "+c"(bytes) : : "memory", "cc");
}

void *memcpy(void *to, const void *from, size_t bytes) {
    CHECK(from, bytes, false);
    CHECK(to, bytes, true);
    copy_forward(to, from, bytes);
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    CHECK(from, bytes, false);
    CHECK(to, bytes, true);
    if ((uintptr_t)to - (uintptr_t)from >= bytes)
        copy_forward(to, from, bytes);
    else
        copy_backward(to, from, bytes);
    return to;
}

void *memset(void *to, int byte, size_t bytes) {
    CHECK(to, bytes, true);
    void *out = to;
    uint32_t pattern = (uint8_t)byte * 0x01010101u;
    size_t words = bytes / 4, rest = bytes % 4;
    __asm__ volatile("rep stosl" : "+D"(out), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(out), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    CHECK(a, bytes, false);
    CHECK(b, bytes, false);
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}
