/* mem/canary.h - layer 6: words around a block that tell when somebody wrote past it.
 *
 * From CONFIG_KMALLOC_CHECK == KMALLOC_CHECK_CANARY on, each block of the heap is laid out as below. Below that a block
 * is its user's alone.
 *
 *     | unused (aligned requests) | before: 16 bytes | the user's bytes | after: 8 bytes | unused |
 *
 * What the words are is random for each boot, and another at each address. Context: any; no lock, no memory. Cost:
 * some twenty instructions. */
#ifndef MEM_CANARY_H
#define MEM_CANARY_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CANARY_BEFORE = 16, CANARY_AFTER = 8 };

/* What keys the words: two numbers, so that one word seen doesn't tell the next. */
struct canary_keys {
    uintptr_t mask, factor;
};
extern struct canary_keys canary_keys;

/* Once, before the first block. */
void canary_init(uint64_t random);

/* The word that belongs to an address; the others of a group are made of it by turning over and round. */
static inline uintptr_t canary_word(uintptr_t address) {
    return (address ^ canary_keys.mask) * canary_keys.factor;
}

enum { CANARY_WORDS = 16 / sizeof(uintptr_t), CANARY_WORDS_AFTER = CANARY_AFTER / sizeof(uintptr_t) };

/* Words may be misaligned, and lie among bytes of other types. */
typedef uintptr_t __attribute__((may_alias, aligned(1))) canary_unaligned;

static inline uintptr_t canary_turned(uintptr_t word, unsigned index) {
    uintptr_t turned = (index & 1) != 0 ? ~word : word;
    return (index & 2) != 0 ? turned << 16 | turned >> (sizeof(word) * 8 - 16) : turned;
}

/* Writes the words around the user's bytes. */
static inline void canary_write(uintptr_t user, size_t bytes) {
    uintptr_t before = canary_word(user - CANARY_BEFORE), after = canary_word(user + bytes);
    canary_unaligned *words = (canary_unaligned *)(user - CANARY_BEFORE);
    for (unsigned i = 0; i < CANARY_WORDS; i++)
        words[i] = canary_turned(before, i);
    words = (canary_unaligned *)(user + bytes);
    for (unsigned i = 0; i < CANARY_WORDS_AFTER; i++)
        words[i] = canary_turned(after, i);
}

static inline bool canary_intact(uintptr_t user, size_t bytes) {
    uintptr_t before = canary_word(user - CANARY_BEFORE), after = canary_word(user + bytes), difference = 0;
    const canary_unaligned *words = (const canary_unaligned *)(user - CANARY_BEFORE);
    for (unsigned i = 0; i < CANARY_WORDS; i++)
        difference |= words[i] ^ canary_turned(before, i);
    words = (const canary_unaligned *)(user + bytes);
    for (unsigned i = 0; i < CANARY_WORDS_AFTER; i++)
        difference |= words[i] ^ canary_turned(after, i);
    return difference == 0;
}

/* Fills a buffer with which bytes changed: "3 bytes changed: +24 was 0x5a is 0x00, ...". Offsets count from the user's
 * first byte; the first eight bytes are named. Returns the offset of the first one. */
intptr_t canary_describe(uintptr_t user, size_t bytes, char *out, size_t out_bytes);

/* What probably changed the first byte, at this offset outside of the user's bytes. */
const char *canary_mistake(uintptr_t user, size_t bytes, intptr_t offset);

#ifdef __cplusplus
}
#endif
#endif
