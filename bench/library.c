/* The library's own side: the order of its cases, the heap as a table, and where the cases keep their notes. */
#include <bench/allocators.h>
#include <bench/bench.h>
#include <base/check.h>
#include <mem/kmalloc.h>
#include <mem/valloc.h>

const char *bench_ours(void) {
    static const char *const names[] = {
        [KMALLOC_CHECK_NONE] = "xelix-mm",
        [KMALLOC_CHECK_CANARY] = "xelix-mm-canary",
        [KMALLOC_CHECK_GUARD] = "xelix-mm-guard",
        [KMALLOC_CHECK_ASAN] = "xelix-mm-asan",
    };
    return names[CONFIG_KMALLOC_CHECK];
}

static size_t pages_for(size_t bytes) {
    return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

void *bench_memory(size_t bytes) {
    void *memory = pvalloc(pages_for(bytes), context_kernel());
    require(memory != NULL, "bench: no memory for %zu bytes of notes; this machine is too small", bytes);
    return memory;
}

void bench_release(void *memory, size_t bytes) {
    pvfree(page_number((uintptr_t)memory), pages_for(bytes));
}

static void *take_aligned(size_t align, size_t bytes) {
    require(align == PAGE_SIZE, "bench: the heap aligns to pages and not to %zu", align);
    return kmalloc_a(bytes);
}

static size_t held(void) {
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    return stats.pages << PAGE_SHIFT;
}

/* With another level than `none` only what it changes is measured: the heap. */
void bench_library(const char *filter) {
    const struct heap_allocator heap = {
        .name = bench_ours(), .take = kmalloc, .take_aligned = take_aligned, .give = kfree, .held = held
    };
    bool all = CONFIG_KMALLOC_CHECK == KMALLOC_CHECK_NONE;
    bench_begin(filter);
    if (all)
        bench_pages();
    bench_heap_peak(&heap);
    bench_heap(&heap);
    kmalloc_trim();
    if (all) {
        bench_ranges();
        bench_tasks();
        bench_copies();
    }
}
