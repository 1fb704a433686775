/* The floor: taking is one load and one subtraction, giving one store and one addition. No lock, no interrupts off, no
 * check, no runs, and a page that is in nobody's hands looks like any other. */
#include <bench/allocators.h>

static struct {
    uint32_t count;
    uint32_t *pages;
} state;

static size_t bytes_for(uint32_t pages) {
    return pages * sizeof(*state.pages);
}

static void init(void *memory, uint32_t pages) {
    state.pages = (uint32_t *)memory;
    state.count = pages;
    for (uint32_t i = 0; i < pages; i++)
        state.pages[i] = YARDSTICKS_FIRST + pages - 1 - i;
}

static void *take(uint32_t pages) {
    (void)pages;
    return state.count > 0 ? (void *)((uintptr_t)state.pages[--state.count] << PAGE_SHIFT) : NULL;
}

static void give(uint32_t first, uint32_t pages) {
    (void)pages;
    state.pages[state.count++] = first;
}

const struct page_allocator stack = {
    .name = "free-stack", .pages_max = 1, .take = take, .give = give, .bytes = bytes_for, .init = init
};
