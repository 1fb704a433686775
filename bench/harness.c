/* The allocators that only return: in a file of their own, so that no compiler sees through the calls. */
#include <bench/allocators.h>

static void *take_pages(uint32_t pages) {
    (void)pages;
    return (void *)PAGE_SIZE;
}

static void give_pages(uint32_t first, uint32_t pages) {
    (void)first;
    (void)pages;
}

static void *take(size_t bytes) {
    (void)bytes;
    return (void *)PAGE_SIZE;
}

static void *take_aligned(size_t align, size_t bytes) {
    (void)align;
    (void)bytes;
    return (void *)PAGE_SIZE;
}

static void give(void *block) {
    (void)block;
}

const struct page_allocator page_harness = {
    .name = BENCH_HARNESS, .pages_max = UINT32_MAX, .take = take_pages, .give = give_pages
};

const struct heap_allocator heap_harness = {
    .name = BENCH_HARNESS, .take = take, .take_aligned = take_aligned, .give = give
};
