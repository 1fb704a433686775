/* The library's own side: the order of its cases, the heap as a table, and where the cases keep their notes. */
#include <bench/allocators.h>
#include <bench/bench.h>
#include <base/check.h>
#include <mem/kcache.h>
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

/* An object cache in the place of a heap. To say which cache costs some four instructions a pair, which are counted. */
static struct kcache *cache;

static void *take_object(size_t bytes) {
    (void)bytes;
    return kcache_alloc(cache);
}

static void give_object(void *object) {
    kcache_free(cache, object);
}

static void bench_objects(void) {
    const struct heap_allocator objects = { .name = bench_ours(), .take = take_object, .give = give_object };
    cache = kcache_create("bench", CACHE_BYTES, 0, NULL);
    require(cache != NULL, "bench: no memory for an object cache");
    bench_heap_cache(&objects);
    require(kcache_destroy(cache), "bench: objects are left in the cache");
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
    bench_objects();
    kmalloc_trim();
    if (all) {
        bench_ranges();
        bench_tasks();
        bench_copies();
    }
}
