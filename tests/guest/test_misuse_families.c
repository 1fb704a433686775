/* The wrong call for the memory, or the wrong size. */
#include <mem/kcache.h>
#include <mem/lease.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <tests/guest/misuse.h>

enum { SMALL = 24, OBJECT = 48, TASK_PLACE = 0x40000000 };

/* --- Memory of others --------------------------------------------------------------------------------------------- */

static void *memory;
static struct context *task;
static struct lease *lease;

static void give_pages_back(void) {
    pvfree(page_number((uintptr_t)memory), 1);
}

MISUSE(free_of_pvalloc, "memory of pvalloc() given to kfree()", EVERYWHERE("at once: pvfree(")) {
    memory = pvalloc(1, context_kernel());
    misuse_after(give_pages_back);
    kfree(memory);
}

static void give_range_back(void) {
    vfree(page_number((uintptr_t)memory), 1);
}

MISUSE(free_of_valloc, "a range of valloc() given to kfree()", EVERYWHERE("at once: vfree(")) {
    memory = valloc(1, context_kernel());
    misuse_after(give_range_back);
    kfree(memory);
}

static void give_run_back(void) {
    pfree(palloc_pfn(memory), 1);
}

MISUSE(free_of_palloc, "a physical address of palloc() given to kfree()", EVERYWHERE("at once: not the heap's")) {
    /* Low: on i386 a high physical address may be one of the heap's virtual ones too. */
    const struct palloc_request low = { .pages = 1, .limit = 4096 };
    memory = (void *)(uintptr_t)pfn_to_phys(palloc_with(&low));
    misuse_after(give_run_back);
    kfree(memory);
}

static void unmap_device(void) {
    io_unmap(memory, 100);
}

MISUSE(free_of_device, "device memory given to kfree()", EVERYWHERE("at once: io_unmap(")) {
    memory = io_map((uint64_t)palloc_end() << PAGE_SHIFT, 100, PAGE_UNCACHED);
    misuse_after(unmap_device);
    kfree(memory);
}

static void end_task(void) {
    if (lease != NULL)
        lease_close(lease);
    lease = NULL;
    context_destroy(task);
}

static void begin_task(void) {
    const struct valloc_options there = { .address = TASK_PLACE, .fixed = true };
    task = context_create("misused");
    expect(task != NULL && pvalloc_with(task, 1, &there, &memory) == 0);
    misuse_after(end_task);
}

MISUSE(free_of_lease, "a lease given to kfree()", EVERYWHERE("at once: lease_close()")) {
    begin_task();
    expect_equal(lease_open(task, TASK_PLACE + 8, 100, LEASE_READ, &lease), 0);
    kfree(lease->info.pointer);
}

MISUSE(free_of_tasks, "a task's address given to kfree()", EVERYWHERE("at once: task context misused")) {
    begin_task();
    kfree(memory);
}

MISUSE(block_to_pvfree, "a block given to pvfree()", EVERYWHERE("at once: kfree() gives its parts back")) {
    void *block = misuse_keep(kmalloc_a(4096));
    pvfree(page_number((uintptr_t)block), 1);
}

MISUSE(block_to_vfree, "a block given to vfree()", EVERYWHERE("at once: kfree() gives its parts back")) {
    void *block = misuse_keep(kmalloc_a(4096));
    vfree(page_number((uintptr_t)block), 1);
}

/* --- Object caches ------------------------------------------------------------------------------------------------ */

static struct kcache *cache, *other_cache;
static void *object;

static void close_caches(void) {
    if (kcache_used(cache) > 0)
        kcache_free(cache, object);
    expect(kcache_destroy(cache) && kcache_destroy(other_cache));
}

static void open_caches(void) {
    cache = kcache_create("first", OBJECT, 0, NULL);
    other_cache = kcache_create("second", OBJECT, 0, NULL);
    expect(cache != NULL && other_cache != NULL);
    object = kcache_alloc(cache);
    expect(object != NULL);
    misuse_after(close_caches);
}

MISUSE(object_to_kfree, "an object of a cache given to kfree()", EVERYWHERE("at once: kcache_free() gives it back")) {
    open_caches();
    kfree(object);
}

MISUSE(object_to_other_cache, "an object of a cache given to another",
       EVERYWHERE("at once: given to the cache second")) {
    open_caches();
    kcache_free(other_cache, object);
}

MISUSE(block_to_cache, "a block given to a cache", EVERYWHERE("at once: kfree() gives it back")) {
    open_caches();
    kcache_free(cache, misuse_take(OBJECT));
}

MISUSE(object_freed_twice, "an object freed twice", EVERYWHERE("at once: double free")) {
    open_caches();
    kcache_free(cache, object);
    kcache_free(cache, object);
}

MISUSE(write_behind_object, "a byte written right behind an object of a cache", NOT_FOUND, "at once: +48 was",
       "at once: +48 was", "at once: write of 1 byte") {
    open_caches();
    misuse_write((char *)object, OBJECT);
    kcache_free(cache, object);
}

/* --- Sizes -------------------------------------------------------------------------------------------------------- */

MISUSE(free_of_wrong_size, "kfree_sized() with another size than was asked for, of the same class", NOT_FOUND,
       "at once: wrong size", "at once: wrong size", "at once: wrong size") {
    kfree_sized(misuse_take(SMALL), SMALL + 4);
}

MISUSE(free_of_far_size, "kfree_sized() with a size of another class", EVERYWHERE("at once: wrong size")) {
    kfree_sized(misuse_take(SMALL), 10 * SMALL);
}

MISUSE(resize_inside, "krealloc() of a pointer into a block", EVERYWHERE("at once: 8 bytes after")) {
    (void)krealloc(misuse_take(SMALL) + 8, 100);
}

MISUSE(size_inside, "kmalloc_usable_size() of a pointer into a block", EVERYWHERE("at once: 8 bytes after")) {
    (void)kmalloc_usable_size(misuse_take(SMALL) + 8);
}

MISUSE(odd_alignment, "kmalloc_aligned() to what is no power of two", EVERYWHERE("at once: power of two")) {
    misuse_keep(kmalloc_aligned(SMALL, 48));
}
