#include <base/config.h>
#include <base/fmt.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <tests/test.h>

/* Locals that are used again after an expected panic are volatile: it comes back by a long jump, which keeps no others
 * (C11 7.13.2.1). */
enum { LARGE = 100000 };

static char pattern[400];

/* "CALL(ADDRESS): " and the rest: what a report must say. */
static const char *report(const char *call, const void *address, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static const char *report(const char *call, const void *address, const char *format, ...) {
    size_t length = fmt(pattern, sizeof(pattern), "%s(%#zx): ", call, (size_t)(uintptr_t)address);
    va_list arguments;
    va_start(arguments, format);
    fmt_va(pattern + length, sizeof(pattern) - length, format, arguments);
    va_end(arguments);
    return pattern;
}

static char *take(size_t bytes) {
    char *block = (char *)kmalloc(bytes);
    expect(block != NULL);
    return block;
}

/* --- Misuse ------------------------------------------------------------------------------------------------------- */

TEST(kfree_of_null_does_nothing) {
    kfree(NULL);
    expect_equal(kmalloc_usable_size(NULL), 0);
}

/* What a report adds about the place of allocation. */
static const char *at_place(void) {
    return CONFIG_KMALLOC_CANARY ? ", allocated at *" : "";
}

TEST(a_double_free_is_reported) {
    char *volatile keep = take(60), *volatile block = take(60);
    volatile size_t bytes = kmalloc_usable_size(block);
    kfree(block);
    expect_panic(report("kfree", block, "double free: the block of %zu bytes there isn't in use%s: freed twice?", bytes,
                        at_place()),
                 kfree(block));
    expect_panic(report("krealloc", block,
                        "double free: the block of %zu bytes there isn't in use%s: used after it was freed?", bytes,
                        at_place()),
                 krealloc(block, 10));
    kfree(keep);
}

TEST(a_double_free_of_a_large_block_is_reported) {
    char *block = take(LARGE);
    kfree(block);
    if (CONFIG_KMALLOC_GUARD)
        expect_panic(report("kfree", block,
                            "double free: the block of 100000 bytes there isn't in use, allocated at *, freed at *: "
                            "freed twice?"),
                     kfree(block));
    else
        expect_panic(report("kfree", block,
                            "no block: this part of the heap is free, or was never handed out: freed twice, or a "
                            "pointer that was moved?"),
                     kfree(block));
}

TEST(a_pointer_where_no_block_is_is_reported_with_the_likely_mistake) {
    static const char no_block[] = "no block: this part of the heap is free, or was never handed out";
    char *volatile block = take(LARGE);
    kfree(block);
    kmalloc_trim();
    expect_panic(report("kmalloc_usable_size", block, "%s: used after it was freed?", no_block),
                 kmalloc_usable_size(block));
    expect_panic(report("kfree_sized", block + 1, "%s: a pointer that was moved, or overwritten?", no_block),
                 kfree_sized(block + 1, 1));
}

TEST(a_pointer_into_a_block_is_reported_with_the_block) {
    static const size_t sizes[] = { 50, 6000, LARGE };
    for (volatile size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *volatile block = take(sizes[i]);
        expect_panic(report("kfree", block + 24,
                            "not the start of a block: 24 bytes after %#zx, a block of %zu bytes that is in use%s: "
                            "kfree() wants what kmalloc() gave",
                            (size_t)(uintptr_t)block, kmalloc_usable_size(block), at_place()),
                     kfree(block + 24));
        kfree(block);
    }
}

TEST(a_pointer_into_a_free_block_is_reported) {
    char *volatile keep = take(60), *volatile block = take(60);
    volatile size_t bytes = kmalloc_usable_size(block);
    kfree(block);
    expect_panic(report("kfree", block + 1,
                        "not the start of a block: 1 bytes after %#zx, a block of %zu bytes that is free%s: "
                        "kfree() wants what kmalloc() gave",
                        (size_t)(uintptr_t)block, bytes, at_place()),
                 kfree(block + 1));
    kfree(keep);
}

TEST(memory_of_another_family_is_reported_with_the_call_that_frees_it) {
    void *volatile pages = pvalloc(3, context_kernel()), *volatile range = valloc(2, context_kernel());
    expect(pages != NULL && range != NULL);
    volatile size_t number = page_number((uintptr_t)pages);
    expect_panic(
        report("kfree", pages, "not the heap's: it is from pvalloc, and pvfree(%#zx, 3) gives it back", number),
        kfree(pages));
    expect_panic(report("kmalloc_usable_size", (char *)pages + 5000,
                        "not the heap's: it is from pvalloc, and pvfree(%#zx, 3) gives it back", number),
                 kmalloc_usable_size((char *)pages + 5000));
    expect_panic(report("kfree", (char *)pages + 3 * PAGE_SIZE,
                        "the guard page of the range from pvalloc at %#zx: a "
                        "pointer that was moved past its end?",
                        (size_t)(uintptr_t)pages),
                 kfree((char *)pages + 3 * PAGE_SIZE));
    expect_panic(report("krealloc", range, "not the heap's: it is from valloc, and vfree(%#zx, 2) gives it back",
                        (size_t)page_number((uintptr_t)range)),
                 krealloc(range, 1));
    pvfree(page_number((uintptr_t)pages), 3);
    vfree(page_number((uintptr_t)range), 2);
}

TEST(a_block_given_to_vfree_or_pvfree_is_reported) {
    char *volatile block = (char *)kmalloc_a(5000);
    volatile uintptr_t number = page_number((uintptr_t)block);
    expect_panic("vfree(*, 1) in context kernel: the range is from kmalloc_init, and kfree() gives its parts back",
                 vfree(number, 1));
    expect_panic("pvfree(*, 2) in context kernel: the range is from kmalloc_init, and kfree() gives its parts back",
                 pvfree_in(context_kernel(), number, 2));
    kfree(block);
}

TEST(device_memory_given_to_kfree_is_reported) {
    void *volatile device = io_map((uint64_t)palloc_end() << PAGE_SHIFT, 100, PAGE_UNCACHED);
    if (device == NULL)
        test_skip("no physical address behind the RAM");
    expect_panic(report("kfree", device, "not the heap's: it is from io_map, and io_unmap(%#zx, 4096) gives it back",
                        (size_t)(uintptr_t)device),
                 kfree(device));
    io_unmap(device, 100);
}

TEST(a_lease_given_to_kfree_is_reported) {
    struct context *volatile task = context_create("reader");
    void *range = pvalloc(1, task);
    expect(range != NULL);
    static struct lease *lease;
    expect_equal(lease_open(task, (uintptr_t)range + 8, 100, LEASE_READ, &lease), 0);
    expect_panic(report("kfree", lease->info.pointer,
                        "not the heap's: it is the window of a lease on %#zx of context reader; lease_close() ends it",
                        (size_t)(uintptr_t)range + 8),
                 kfree(lease->info.pointer));
    lease_close(lease);
    context_destroy(task);
}

TEST(a_task_address_given_to_kfree_is_reported) {
    struct context *volatile task = context_create("stranger");
    struct valloc_options there = { .address = 0x400000, .fixed = true };
    void *range;
    expect_equal(pvalloc_with(task, 1, &there, &range), 0);
    struct paging_entry entry;
    volatile bool shadowed = paging_find(&context_kernel()->tables, 0x400000, &entry);
    if (!shadowed)
        expect_panic(report("kfree", range,
                            "not the heap's: nothing is there in the kernel's context, but task context stranger has a "
                            "range there"),
                     kfree(range));
    context_destroy(task);
    if (shadowed)
        test_skip("the kernel has something of its own there");
}

TEST(a_pointer_to_nothing_of_the_heaps_is_reported) {
    expect_panic(report("kfree", (void *)(uintptr_t)16,
                        "not the heap's: nothing is mapped there: a member of a structure at NULL?"),
                 kfree((void *)(uintptr_t)16));
    void *own = (void *)(mem_layout.metadata + 64);
    expect_panic(report("kfree", own,
                        "not the heap's: memory of the kernel's own, of a variable or a stack: it needs no "
                        "freeing"),
                 kfree(own));
}

/* --- Canaries ----------------------------------------------------------------------------------------------------- */

static void need_canaries(void) {
    if (!CONFIG_KMALLOC_CANARY)
        test_skip("built without canaries");
    kmalloc_sample(0);
}

static const char *mistake(size_t bytes, intptr_t offset, char is) {
    if (offset < 0)
        return "written before the start: an index below 0?";
    if (offset > (intptr_t)bytes)
        return "written past the end: an index too large?";
    return is == 0 ? "written past the end: no room for a string's final 0, or off by one?"
                   : "written past the end: off by one?";
}

static void spoil(char *to_spoil, size_t bytes_of_it, intptr_t at) {
    char *volatile block = to_spoil;
    volatile size_t bytes = bytes_of_it;
    volatile intptr_t offset = at;
    volatile char was = test_peek(block + offset);
    test_poke(block + offset, (char)~was);
    expect_panic(
        report("kfree", block,
               "canaries of the block of %zu bytes, allocated at *, were overwritten: 1 byte changed: %s%zu was "
               "0x%02x is 0x%02x: %s",
               bytes, offset < 0 ? "-" : "+", (size_t)(offset < 0 ? -offset : offset), (unsigned)(uint8_t)was,
               (unsigned)(uint8_t)~was, mistake(bytes, offset, (char)~was)),
        kfree(block));
    expect_panic("krealloc(*): canaries of the block of *", krealloc(block, bytes + 1));
    expect_panic("heap: H7 broken: *", kmalloc_audit());
    test_poke(block + offset, was);
    kfree(block);
}

TEST(a_byte_written_past_either_end_is_reported) {
    need_canaries();
    static const size_t sizes[] = { 0, 1, 24, 31, 4096, LARGE };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        spoil(take(sizes[i]), sizes[i], (intptr_t)sizes[i]);
        spoil(take(sizes[i]), sizes[i], (intptr_t)sizes[i] + 7);
        spoil(take(sizes[i]), sizes[i], -1);
        spoil(take(sizes[i]), sizes[i], -16);
        spoil((char *)kmalloc_a(sizes[i]), sizes[i], (intptr_t)sizes[i]);
        spoil((char *)kmalloc_a(sizes[i]), sizes[i], -1);
    }
}

TEST(a_string_without_room_for_its_end_is_told_from_other_writes) {
    need_canaries();
    char *volatile block = take(5);
    volatile char was = test_peek(block + 5);
    test_poke(block + 5, '\0');
    if (was != 0)
        expect_panic(
            "kfree(*): *: 1 byte changed: +5 was * is 0x00: written past the end: no room for a string's final "
            "0, or off by one?",
            kfree(block));
    test_poke(block + 5, was);
    kfree(block);
}

TEST(a_byte_written_past_the_end_of_a_resized_block_is_reported) {
    need_canaries();
    char *block = take(100);
    block = (char *)krealloc(block, 90);
    spoil(block, 90, 90);
    block = (char *)krealloc(take(10), 2000);
    spoil(block, 2000, 2000);
}

static bool differ(const char *one, const char *other) {
    bool all_equal = true;
    for (size_t i = 0; i < 8; i++)
        all_equal &= test_peek(one + i) == test_peek(other + i);
    return !all_equal;
}

TEST(canaries_of_two_blocks_differ) {
    need_canaries();
    char *first = take(32), *second = take(32);
    expect(differ(first + 32, second + 32));
    expect(differ(first - 16, second - 16));
    expect(differ(first - 16, first - 8));
    kfree(first);
    kfree(second);
}
