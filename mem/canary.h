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

#include <mem/asan.h>

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

/* Words lie among bytes of other types. */
typedef uintptr_t __attribute__((may_alias)) canary_aligned;

static inline uintptr_t canary_turned(uintptr_t word, unsigned index) {
    uintptr_t turned = (index & 1) != 0 ? ~word : word;
    return (index & 2) != 0 ? turned << 16 | turned >> (sizeof(word) * 8 - 16) : turned;
}

/* Others may look at a block's words while its user gets it, so each word is one access. Those before the user's bytes
 * are aligned; those after may not be, and are written bytewise then. */
static inline void canary_store(uintptr_t at, uintptr_t word) {
    __atomic_store_n((canary_aligned *)at, word, __ATOMIC_RELEASE);
}

static inline ASAN_UNCHECKED uintptr_t canary_load(uintptr_t at) {
    return __atomic_load_n((const canary_aligned *)at, __ATOMIC_ACQUIRE);
}

void canary_store_after(uintptr_t at, uintptr_t word);
uintptr_t canary_load_after(uintptr_t at);

static inline bool canary_is_aligned(uintptr_t at) {
    return __builtin_expect(at % sizeof(uintptr_t) == 0, 1);
}

/* Writes the words around the user's bytes. */
static inline void canary_write(uintptr_t user, size_t bytes) {
    uintptr_t end = user + bytes, before = canary_word(user - CANARY_BEFORE), after = canary_word(end);
    for (unsigned i = 0; i < CANARY_WORDS; i++)
        canary_store(user - CANARY_BEFORE + i * sizeof(before), canary_turned(before, i));
    for (unsigned i = 0; i < CANARY_WORDS_AFTER; i++) {
        uintptr_t at = end + i * sizeof(after), word = canary_turned(after, i);
        if (canary_is_aligned(end))
            canary_store(at, word);
        else
            canary_store_after(at, word);
    }
}

static inline ASAN_UNCHECKED bool canary_intact(uintptr_t user, size_t bytes) {
    uintptr_t end = user + bytes, before = canary_word(user - CANARY_BEFORE), after = canary_word(end), difference = 0;
    for (unsigned i = 0; i < CANARY_WORDS; i++)
        difference |= canary_load(user - CANARY_BEFORE + i * sizeof(before)) ^ canary_turned(before, i);
    for (unsigned i = 0; i < CANARY_WORDS_AFTER; i++) {
        uintptr_t at = end + i * sizeof(after);
        difference |= (canary_is_aligned(end) ? canary_load(at) : canary_load_after(at)) ^ canary_turned(after, i);
    }
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
