/* A word mixes the boot's random numbers with its own address: one constant would be learnt from any report, and would
 * not tell a neighbour's canary, copied together with the neighbour, from the right one. */
#include <mem/canary.h>
#include <base/fmt.h>
#include <base/string.h>

enum { SHOWN = 8 };

_Static_assert(CANARY_BEFORE == CANARY_WORDS * sizeof(uintptr_t), "canaries are whole words");

struct canary_keys canary_keys;

/* Two rounds of multiply and fold, so that each bit of the number that was given counts; a factor must be odd, or its
 * products lose bits. */
void canary_init(uint64_t random) {
    uint64_t value = random + 0x9e3779b97f4a7c15;
    value = (value ^ value >> 32) * 0xbf58476d1ce4e5b9;
    canary_keys.mask = (uintptr_t)(value ^ value >> 29);
    value = (value ^ value >> 29) * 0x94d049bb133111eb;
    canary_keys.factor = (uintptr_t)(value ^ value >> 31) | 1;
}

/* The byte that belongs at an offset from the first byte of a group. */
static unsigned expected_at(uintptr_t group, unsigned offset) {
    uintptr_t word = canary_turned(canary_word(group), offset / (unsigned)sizeof(uintptr_t));
    return (unsigned)(word >> (8 * (offset % sizeof(uintptr_t)))) & 0xff;
}

void canary_store_after(uintptr_t at, uintptr_t word) {
    for (unsigned i = 0; i < sizeof(word); i++)
        __atomic_store_n((uint8_t *)at + i, (uint8_t)(word >> 8 * i), __ATOMIC_RELEASE);
}

ASAN_UNCHECKED uintptr_t canary_load_after(uintptr_t at) {
    uintptr_t word = 0;
    for (unsigned i = 0; i < sizeof(word); i++)
        word |= (uintptr_t)__atomic_load_n((const uint8_t *)at + i, __ATOMIC_ACQUIRE) << 8 * i;
    return word;
}

ASAN_UNCHECKED intptr_t canary_describe(uintptr_t user, size_t bytes, char *out, size_t out_bytes) {
    unsigned changed = 0;
    size_t length = 0;
    intptr_t first = 0;
    char list[256] = "";
    for (unsigned i = 0; i < CANARY_BEFORE + CANARY_AFTER; i++) {
        bool after = i >= CANARY_BEFORE;
        uintptr_t group = after ? user + bytes : user - CANARY_BEFORE, at = group + i - (after ? CANARY_BEFORE : 0);
        unsigned expected = expected_at(group, (unsigned)(at - group)), found = *(const uint8_t *)at;
        intptr_t offset = (intptr_t)(at - user);
        if (expected == found || changed++ >= SHOWN)
            continue;
        first = changed == 1 ? offset : first;
        length += fmt(list + length, sizeof(list) - length, "%s%s%zu was 0x%02x is 0x%02x", changed > 1 ? ", " : "",
                      offset < 0 ? "-" : "+", (size_t)(offset < 0 ? -offset : offset), expected, found);
    }
    fmt(out, out_bytes, "%u byte%s changed: %s%s", changed, changed == 1 ? "" : "s", list,
        changed > SHOWN ? ", ..." : "");
    return first;
}

ASAN_UNCHECKED const char *canary_mistake(uintptr_t user, size_t bytes, intptr_t offset) {
    if (offset < 0)
        return "written before the start: an index below 0?";
    if ((size_t)offset > bytes)
        return "written past the end: an index too large?";
    return *(const char *)(user + bytes) == 0 ? "written past the end: no room for a string's final 0, or off by one?"
                                              : "written past the end: off by one?";
}
