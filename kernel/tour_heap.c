/* The heap by every name, and a mistake that a canary catches. */
#include <kernel/tour_steps.h>
#include <base/config.h>
#include <base/fmt.h>
#include <base/lock.h>
#include <base/string.h>
#include <boot/boot.h>
#include <mem/asan.h>
#include <mem/kmalloc.h>

void tour_heap(void) {
    char *block = kmalloc(100), *zeroed = zmalloc(100), *page = kmalloc_a(5000), *zeroed_page = zmalloc_a(100);
    bool got = tour_good(block != NULL && zeroed != NULL && page != NULL && zeroed_page != NULL, "the heap is short");
    if (got) {
        console_print("  kmalloc(100): %p, %zu bytes usable; zmalloc(100): %p, all zero\n", (void *)block,
                      kmalloc_usable_size(block), (void *)zeroed);
        console_print("  kmalloc_a(5000): %p, zmalloc_a(100): %p, page-aligned\n", (void *)page, (void *)zeroed_page);
        tour_good(((uintptr_t)page | (uintptr_t)zeroed_page) % PAGE_SIZE == 0, "a block isn't page-aligned");
        tour_good(zeroed[0] == 0 && zeroed[99] == 0 && zeroed_page[99] == 0, "a block isn't zeroed");
        memset(block, 0x5a, 100);
        char *longer = krealloc(block, 3000);
        if (longer != NULL)
            block = longer;
        tour_good(longer != NULL && block[99] == 0x5a, "krealloc lost the contents");
        console_print("  krealloc(it, 3000): %p, the contents came along\n", (void *)block);
    }
    kfree(block);
    kfree(zeroed);
    kfree(page);
    kfree(zeroed_page);
    kfree(NULL);
    tour_good(kmalloc(SIZE_MAX) == NULL && kmalloc(SIZE_MAX - 8) == NULL, "an absurd size was granted");
    console_print("  kfree of each, and of NULL; kmalloc(%zu): NULL\n", SIZE_MAX);
}

/* --- A report that is expected ------------------------------------------------------------------------------------ */

static struct {
    void *point[5];
    char text[400];
} report;

static void keep_report(const char *text) {
    fmt(report.text, sizeof(report.text), "%s", text);
    lock_release_all();
    __builtin_longjmp(report.point, 1);
}

/* A function of its own: a long jump may not come back to the function that it was made in. Where each access is
 * checked (mem/asan.h) the write itself is reported, and not made. */
static __attribute__((noinline)) bool overrun_is_reported(volatile char *block, size_t at, char value) {
    boot_panic_hook = keep_report;
    bool reported = true;
    if (__builtin_setjmp(report.point) == 0) {
        block[at] = value;
        kfree((void *)(uintptr_t)block);
        reported = false;
    }
    boot_panic_hook = NULL;
    return reported;
}

static ASAN_UNCHECKED char peek(volatile const char *at) {
    return *at;
}

static ASAN_UNCHECKED void poke(volatile char *at, char value) {
    *at = value;
}

void tour_canary(void) {
    if (!CONFIG_KMALLOC_CANARY) {
        console_print("  built without canaries (make run KMALLOC_CHECK=canary)\n");
        return;
    }
    volatile char *block = kmalloc(24);
    if (!tour_good(block != NULL, "the heap is short"))
        return;
    char was = peek(block + 24);
    bool reported = overrun_is_reported(block, 24, (char)~was);
    tour_good(reported, "the overrun went unnoticed");
    console_print("  kmalloc(24), one byte written too far, kfree. The report:\n    %s\n", report.text);
    poke(block + 24, was);
    kfree((void *)(uintptr_t)block);
}
