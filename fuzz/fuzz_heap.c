/* Bytes become operations on the heap and on an object cache, judged by a table of what is in use and what each block
 * was filled with. At the level of red zones one block in four is alone, so an input meets both kinds.
 *
 *     2 bytes an operation: what, and on which of the blocks; then 2 bytes for a size where one is needed
 *
 * The machine is booted once and is small, so that memory runs out; each input leaves it as it found it. The audit
 * walks all tables, which is slow here, so it is held after every 16th input, and for a long one in between. */
#include <base/fail.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <mem/valloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <tests/host/machine.h>
#include <tests/test.h>

enum { BLOCKS = 256, AUDIT_STEPS = 256, AUDIT_INPUTS = 16 };

static struct {
    uint8_t *at;
    size_t bytes, usable;
    uint8_t mark;
    bool object; /* the cache's */
} blocks[BLOCKS];

enum { OBJECT_BYTES = 72 };
static struct kcache *cache;

static struct input { const uint8_t *at, *end; } input;

static unsigned next_byte(void) {
    return input.at < input.end ? *input.at++ : 0;
}

/* Few bits and an exponent: as many small sizes as large ones, up to 2 MiB, and now and then an absurd one. */
static size_t next_size(void) {
    unsigned first = next_byte(), second = next_byte();
    if (first == 0xff)
        return SIZE_MAX - second * 16;
    return (size_t)((first & 0x0f) << 8 | second) << (first >> 4) >> 6;
}

static void check(unsigned i) {
    for (size_t at = 0; at < blocks[i].bytes; at++)
        if (blocks[i].at[at] != blocks[i].mark)
            test_fail(__FILE__, __LINE__, "byte %zu of %p (%zu bytes) changed", at, (void *)blocks[i].at,
                      blocks[i].bytes);
}

static void check_place(unsigned i) {
    uintptr_t first = (uintptr_t)blocks[i].at, end = first + blocks[i].usable;
    expect_equal(first % 16, 0);
    expect(blocks[i].usable >= blocks[i].bytes);
    for (unsigned other = 0; other < BLOCKS; other++)
        if (other != i && blocks[other].at != NULL)
            expect(end <= (uintptr_t)blocks[other].at || (uintptr_t)blocks[other].at + blocks[other].usable <= first);
}

static void enter(unsigned i, void *block, size_t bytes) {
    blocks[i].at = block;
    blocks[i].bytes = bytes;
    blocks[i].usable = blocks[i].object ? (size_t)OBJECT_BYTES : kmalloc_usable_size(block);
    blocks[i].mark++;
    check_place(i);
    memset(block, blocks[i].mark, bytes);
}

static void take_object(unsigned i) {
    if (cache == NULL)
        cache = kcache_create("fuzzed", OBJECT_BYTES, 0, NULL);
    void *object = cache == NULL ? NULL : kcache_alloc(cache);
    if (object == NULL)
        return;
    blocks[i].object = true;
    enter(i, object, OBJECT_BYTES);
}

static void take_aligned(unsigned i) {
    size_t bytes = next_size(), align = (size_t)1 << next_byte() % 18;
    void *block = kmalloc_aligned(bytes, align);
    if (block == NULL)
        return;
    expect(((uintptr_t)block & (align - 1)) == 0);
    enter(i, block, bytes);
}

static void take_array(unsigned i) {
    size_t bytes = next_size(), count = next_byte();
    void *block = zmalloc_array(count, bytes);
    if (block == NULL)
        return;
    expect(count == 0 || bytes <= SIZE_MAX / count);
    for (size_t at = 0; at < bytes * count; at++)
        expect(((uint8_t *)block)[at] == 0);
    enter(i, block, bytes * count);
}

static void take_urgent(unsigned i) {
    size_t bytes = next_size();
    void *block = kmalloc_urgent(bytes);
    if (block != NULL)
        enter(i, block, bytes);
}

static void take(unsigned i, unsigned how) {
    size_t bytes = next_size();
    void *block = how & 1 ? how & 2 ? zmalloc_a(bytes) : kmalloc_a(bytes) : how & 2 ? zmalloc(bytes) : kmalloc(bytes);
    if (block == NULL)
        return;
    expect(!(how & 1) || (uintptr_t)block % PAGE_SIZE == 0);
    for (size_t at = 0; (how & 2) && at < bytes; at++)
        expect(((uint8_t *)block)[at] == 0);
    enter(i, block, bytes);
}

static void resize(unsigned i) {
    size_t bytes = next_size(), kept = bytes < blocks[i].bytes ? bytes : blocks[i].bytes;
    uint8_t *moved = (uint8_t *)krealloc(blocks[i].at, bytes);
    if (moved == NULL) {
        expect(bytes > blocks[i].bytes);
        check(i);
        return;
    }
    blocks[i].at = moved;
    blocks[i].bytes = kept;
    check(i);
    enter(i, moved, bytes);
}

static void give(unsigned i, bool sized) {
    check(i);
    if (blocks[i].object)
        kcache_free(cache, blocks[i].at);
    else if (sized)
        kfree_sized(blocks[i].at, blocks[i].bytes);
    else
        kfree(blocks[i].at);
    blocks[i].at = NULL;
    blocks[i].object = false;
}

/* An address that isn't the start of a block in use must be refused, wherever it lies. */
static void misuse(unsigned i) {
    uintptr_t address = (uintptr_t)blocks[i].at + next_size() - 64;
    for (unsigned other = 0; other < BLOCKS; other++)
        if ((uintptr_t)blocks[other].at == address)
            return;
    if (address == 0)
        return;
    unsigned how = next_byte() % 4;
    if (how == 0)
        expect_panic("kfree(*): *", kfree((void *)address));
    else if (how == 1)
        expect_panic("kfree_sized(*): *", kfree_sized((void *)address, 8));
    else if (how == 2 && cache != NULL)
        expect_panic("kcache_free(*): *", kcache_free(cache, (void *)address));
    else
        expect_panic("krealloc(*): *", krealloc((void *)address, 20));
}

static void overrun(unsigned i) {
    uintptr_t page = (uintptr_t)blocks[i].at % PAGE_SIZE; /* beside a lone block there may be nothing to write to */
    if (!CONFIG_KMALLOC_CANARY || (CONFIG_KMALLOC_GUARD && (page == 0 || page + blocks[i].bytes + 24 > PAGE_SIZE)))
        return;
    uint8_t *volatile at = blocks[i].at + (next_byte() % 2 == 0 ? (intptr_t)blocks[i].bytes + next_byte() % 8
                                                                : -1 - (intptr_t)(next_byte() % 16));
    *at ^= 0x40;
    if (blocks[i].object)
        expect_panic("kcache_free(*): * were overwritten: *", kcache_free(cache, blocks[i].at));
    else
        expect_panic("kfree(*): * were overwritten: *", kfree(blocks[i].at));
    *at ^= 0x40;
}

static void (*const others[4])(unsigned) = { take_object, take_aligned, take_array, take_urgent };

static void step(void) {
    unsigned what = next_byte(), i = next_byte() % BLOCKS;
    if (what >= 0xf0)
        fail_arm(1 + (what & 0x0f));
    if (what == 0xef)
        kmalloc_trim();
    else if (what == 0xee)
        kmalloc_idle();
    else if (blocks[i].at == NULL && (what & 4) != 0)
        others[(what >> 3) % 4](i);
    else if (blocks[i].at == NULL)
        take(i, what & 3);
    else if (what % 8 < 2 && !blocks[i].object)
        resize(i);
    else if (what % 8 == 2)
        misuse(i);
    else if (what % 8 == 3)
        overrun(i);
    else
        give(i, (what & 8) != 0);
    fail_arm(0);
}

static void run(void) {
    static unsigned inputs;
    memset(blocks, 0, sizeof(blocks));
    kmalloc_sample(4);
    for (unsigned steps = 1; input.at < input.end; steps++) {
        step();
        if (steps % AUDIT_STEPS == 0)
            kmalloc_audit();
    }
    if (++inputs % AUDIT_INPUTS == 0)
        kmalloc_audit();
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].at != NULL)
            give(i, i % 2 == 0);
    kmalloc_trim();
    expect(cache == NULL || kcache_destroy(cache));
    cache = NULL;
    kmalloc_trim();
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    expect(stats.blocks == 0 && stats.pages == 0 && stats.slabs == 0 && stats.bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const struct test one = { "fuzz_heap", __FILE__, run };
    static bool booted;
    const char *why = "";
    if (!booted && machine_try(machine_list[0].entries, machine_list[0].count, &why) != 0) {
        fprintf(stderr, "no machine: %s\n", why);
        abort();
    }
    booted = true;
    input = (struct input){ data, data + bytes };
    if (test_run_one(&one, false, &why) == TEST_FAILED) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return 0;
}
