/* mem/canary.h - layer 6: words around a block that tell when somebody wrote past it.
 *
 * With CONFIG_KMALLOC_CANARY == 1 each block of the heap is laid out as below, and what is known of it stands in a
 * record outside of it. With 0 a block is its user's alone and there are no records.
 *
 *     | before: two words (kmalloc_a: at the end of a page of its own) | the user's bytes | after: a word | unused |
 *
 * A word is random for each boot, and another at each address. Context: any; no lock, no memory. Cost: three words. */
#ifndef MEM_CANARY_H
#define MEM_CANARY_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct canary_record {
    uintptr_t place; /* the return address of the request */
    size_t bytes;    /* as asked for */
    size_t before;   /* bytes of the block before the user's */
};

enum { CANARY_BEFORE = 16, CANARY_AFTER = 8 };

/* What a request's block must hold besides the user's bytes. */
static inline size_t canary_before(bool page_aligned) {
    if (!CONFIG_KMALLOC_CANARY)
        return 0;
    return page_aligned ? PAGE_SIZE : (size_t)CANARY_BEFORE;
}

static inline size_t canary_after(void) {
    return CONFIG_KMALLOC_CANARY ? CANARY_AFTER : 0;
}

/* Once, before the first block. */
void canary_init(uint64_t random);

/* Writes the words around the user's bytes. */
void canary_write(uintptr_t user, size_t bytes);

bool canary_intact(uintptr_t user, size_t bytes);

/* Fills a buffer with which bytes changed: "3 bytes changed: +24 was 0x5a is 0x00, ...". Offsets count from the user's
 * first byte; the first eight bytes are named. */
void canary_describe(uintptr_t user, size_t bytes, char *out, size_t out_bytes);

#ifdef __cplusplus
}
#endif
#endif
