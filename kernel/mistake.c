#include <kernel/mistake.h>
#include <base/check.h>
#include <base/string.h>
#include <boot/boot.h>
#include <mem/kmalloc.h>
#include <mem/palloc.h>
#include <mem/valloc.h>

static void read_null(void) {
    volatile const int *null = NULL;
    console_print("null holds %d\n", *null);
}

static void write_text(void) {
    volatile char *text = (volatile char *)(uintptr_t)mistake_make;
    *text = 0;
}

static void run_data(void) {
    static char code[] = { '\xc3' };
    void (*run)(void) = (void (*)(void))(uintptr_t)code;
    run();
}

static void pass_guard(void) {
    volatile char *memory = (volatile char *)pvalloc(2, context_kernel());
    memory[2 * PAGE_SIZE] = 1;
}

/* Goes deeper than any stack is; the result is used, so that each call leaves a frame. */
static __attribute__((noinline)) unsigned recurse(unsigned depth) {
    volatile char frame[256];
    frame[depth % sizeof(frame)] = (char)depth;
    return depth == UINT32_MAX ? 0 : recurse(depth + 1) + (unsigned)frame[0];
}

static void overflow_stack(void) {
    console_print("%u\n", recurse(0));
}

static void free_twice(void) {
    void *page = palloc(1);
    pfree(palloc_pfn(page), 1);
    pfree(palloc_pfn(page), 1);
}

/* Found at once, when the block is freed, or not at all: as CONFIG_KMALLOC_CHECK is. */
static void overrun_block(void) {
    volatile char *block = kmalloc(24);
    block[24] = 1;
    kfree((void *)(uintptr_t)block);
}

/* At once, or when the block would be handed out again, or not at all. (On pages of its own it would be a fault.) */
static void use_after_free(void) {
    kmalloc_sample(0);
    volatile char *block = kmalloc(100);
    kfree((void *)(uintptr_t)block);
    block[8] = 1;
    kmalloc_trim();
}

static const struct {
    const char *name;
    void (*make)(void);
} mistakes[] = {
    { "null", read_null },
    { "text", write_text },
    { "data", run_data },
    { "guard", pass_guard },
    { "stack", overflow_stack },
    { "double-free", free_twice },
    { "heap-overrun", overrun_block },
    { "use-after-free", use_after_free },
};

void mistake_make(const char *name) {
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
        if (string_equal(name, mistakes[i].name)) {
            console_print("\na mistake on purpose: %s\n", name);
            mistakes[i].make();
            panic("the mistake \"%s\" went unnoticed", name);
        }
    console_print("\nfault=%s: no such mistake\n", name);
}
