/* A word mixes the boot's random number with its own address: one constant would be learnt from any report, and would
 * not tell a neighbour's canary, copied together with the neighbour, from the right one.
 *
 * Words after a block may be misaligned and so are copied bytewise. */
#include <mem/canary.h>
#include <base/fmt.h>
#include <base/string.h>

enum { WORD = 8, SHOWN = 8 };

_Static_assert(CANARY_BEFORE % WORD == 0 && CANARY_AFTER % WORD == 0, "canaries are whole words");

static uint64_t secret;

void canary_init(uint64_t random) {
    secret = random;
}

/* Two rounds of multiply and fold: each bit of address and secret changes about half of the word's bits. */
static uint64_t word_at(uintptr_t address) {
    uint64_t value = secret ^ address;
    value = (value ^ value >> 32) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 29) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* The words' places, in order: those before, then those after; 0 past the last. */
static uintptr_t place_of(unsigned index, uintptr_t user, size_t bytes) {
    if (index < CANARY_BEFORE / WORD)
        return user - CANARY_BEFORE + index * WORD;
    index -= CANARY_BEFORE / WORD;
    return index < CANARY_AFTER / WORD ? user + bytes + index * WORD : 0;
}

void canary_write(uintptr_t user, size_t bytes) {
    uintptr_t at;
    for (unsigned i = 0; (at = place_of(i, user, bytes)) != 0; i++) {
        uint64_t word = word_at(at);
        memcpy((void *)at, &word, WORD);
    }
}

bool canary_intact(uintptr_t user, size_t bytes) {
    uint64_t difference = 0;
    uintptr_t at;
    for (unsigned i = 0; (at = place_of(i, user, bytes)) != 0; i++) {
        uint64_t found;
        memcpy(&found, (const void *)at, WORD);
        difference |= found ^ word_at(at);
    }
    return difference == 0;
}

void canary_describe(uintptr_t user, size_t bytes, char *out, size_t out_bytes) {
    unsigned changed = 0;
    size_t length = 0;
    char list[256] = "";
    uintptr_t at;
    for (unsigned i = 0; (at = place_of(i, user, bytes)) != 0; i++) {
        uint64_t word = word_at(at);
        for (unsigned byte = 0; byte < WORD; byte++) {
            unsigned expected = (unsigned)(word >> (8 * byte)) & 0xff, found = ((const uint8_t *)at)[byte];
            if (expected == found || changed++ >= SHOWN)
                continue;
            intptr_t offset = (intptr_t)(at + byte - user);
            length += fmt(list + length, sizeof(list) - length, "%s%s%zu was 0x%02x is 0x%02x", changed > 1 ? ", " : "",
                          offset < 0 ? "-" : "+", (size_t)(offset < 0 ? -offset : offset), expected, found);
        }
    }
    fmt(out, out_bytes, "%u byte%s changed: %s%s", changed, changed == 1 ? "" : "s", list,
        changed > SHOWN ? ", ..." : "");
}
