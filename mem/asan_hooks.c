/* The functions that the compiler calls at -fsanitize=kernel-address when told to call and not to write the check out
 * (gcc: --param asan-instrumentation-with-call-threshold=0). Their names are its own: load or store, the size in bytes
 * or N for a second argument, and noabort, which leaves the ending to us.
 *
 * What is wanted is the way that passes. An access of n bytes within one granule of 8 all of whose bytes are allowed
 * has shadow byte 0 and begins at most 8 - n into it. One of 16 has two, read as one if it is aligned, as else the
 * second could lie behind the shadow's end. All else goes the exact way. The place is this call's return address, so
 * none of these is inlined into another.
 *
 * Not for the host, whose compiler brings checks and shadow of its own. */
#include <mem/asan.h>

#define PLACE ((uintptr_t)__builtin_return_address(0))

static inline bool is_good_at_once(uintptr_t address, unsigned bytes) {
    const struct shadow *shadow = asan_watched;
    size_t offset = address - shadow->first;
    if (offset >= shadow->reach)
        return true;
    const uint8_t *at = shadow->bytes + offset / 8;
    if (bytes == 16)
        return offset % 16 == 0 && *(const uint16_t *)(const void *)at == 0;
    return *at == 0 && (bytes == 1 || offset % 8 <= 8 - bytes);
}

#define HOOK(name, bytes, write)                                                                                       \
    void name(void *address);                                                                                          \
    void name(void *address) {                                                                                         \
        if (__builtin_expect(!is_good_at_once((uintptr_t)address, bytes), 0))                                          \
            asan_check((uintptr_t)address, bytes, write, PLACE);                                                       \
    }

HOOK(__asan_load1_noabort, 1, false)
HOOK(__asan_load2_noabort, 2, false)
HOOK(__asan_load4_noabort, 4, false)
HOOK(__asan_load8_noabort, 8, false)
HOOK(__asan_load16_noabort, 16, false)
HOOK(__asan_store1_noabort, 1, true)
HOOK(__asan_store2_noabort, 2, true)
HOOK(__asan_store4_noabort, 4, true)
HOOK(__asan_store8_noabort, 8, true)
HOOK(__asan_store16_noabort, 16, true)

#define HOOK_N(name, write)                                                                                            \
    void name(void *address, ptrdiff_t bytes);                                                                         \
    void name(void *address, ptrdiff_t bytes) {                                                                        \
        asan_check((uintptr_t)address, (size_t)bytes, write, PLACE);                                                   \
    }

HOOK_N(__asan_loadN_noabort, false)
HOOK_N(__asan_storeN_noabort, true)

/* Called before a function that doesn't return, for a shadow of the stack, which we don't have. */
void __asan_handle_no_return(void);
void __asan_handle_no_return(void) {
}
