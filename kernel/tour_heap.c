/* The heap by every name, and mistakes that it catches: a canary overwritten, blocks left behind. */
#include <kernel/tour_steps.h>
#include <base/config.h>
#include <base/fmt.h>
#include <base/lock.h>
#include <base/string.h>
#include <boot/boot.h>
#include <mem/asan.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>

static void show_aligned_and_arrays(void) {
    void *aligned = kmalloc_aligned(300, 256), *array = kmalloc_array(10, 30);
    if (tour_good(aligned != NULL && array != NULL, "the heap is short")) {
        tour_good((uintptr_t)aligned % 256 == 0, "a block isn't aligned as asked for");
        console_print("  kmalloc_aligned(300, 256): %p; kmalloc_array(10, 30): %p\n", aligned, array);
    }
    tour_good(kmalloc_array(SIZE_MAX / 2, 3) == NULL, "an array that overflows was granted");
    kfree(aligned);
    kfree_sized(array, 10 * 30);
}

/* A constructor runs once for an object, not once for each use. */
static void construct(void *object) {
    *(uint32_t *)object = 0x600d;
}

static void show_cache(void) {
    struct kcache *cache = kcache_create("tour", 200, 64, construct);
    if (!tour_good(cache != NULL, "no object cache"))
        return;
    uint32_t *object = kcache_alloc(cache);
    if (tour_good(object != NULL && *object == 0x600d, "an object isn't constructed"))
        console_print("  kcache_alloc: %p, constructed, one of %zu objects in use of the cache\n", (void *)object,
                      kcache_used(cache));
    kcache_free(cache, object);
    tour_good(kcache_destroy(cache), "the object cache is still in use");
}

/* Who left them is told by place. */
static void show_leaks(void) {
    struct kmalloc_place place, others;
    size_t mark = kmalloc_mark();
    void *left = kmalloc(40);
    if (!tour_good(left != NULL, "the heap is short"))
        return;
    if (CONFIG_KMALLOC_CANARY && tour_good(kmalloc_places_since(mark, &place, 1, &others) == 1, "a leak isn't listed"))
        console_print("  kmalloc_places_since(a mark): %zu block of %zu bytes in use, from %#zx\n", place.blocks,
                      place.bytes, (size_t)place.place);
    kfree(left);
}

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
    show_aligned_and_arrays();
    show_cache();
    show_leaks();
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
