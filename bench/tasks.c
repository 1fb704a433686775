/* A task's memory.
 *
 *     lease-K      a write lease on K pages that are there, opened and closed
 *     take-copy-B  B bytes that are there copied to the kernel by copy_from_task()
 *     take-lease-B the same bytes leased to read, the lease closed; nothing is read by either but what the copy copies
 *     touch-K      K pages of an area touched for the first time: a page from the reserve, cleared, mapped
 *     copy-K       an area of K pages copied to a new context as fork does, and that context cleared again */
#include <bench/bench.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/area.h>
#include <mem/lease.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>

enum { SAMPLES = 15, PLACE = 0x40000000 };

static const size_t lengths[] = { 1, 16, 256 };

static bool name_case(char name[32], const char *form, size_t pages) {
    fmt(name, 32, form, (unsigned)pages);
    return bench_wanted(name);
}

static void map_area(struct context *task, size_t pages) {
    struct area_request request = { .pages = pages, .rights = AREA_READ | AREA_WRITE, .address = PLACE, .fixed = true };
    uintptr_t address;
    int error = area_map(task, &request, &address);
    require(error == 0, "bench: no area of %zu pages: %d", pages, error);
}

static void touch(struct context *task, size_t pages) {
    for (size_t i = 0; i < pages; i++)
        area_fault(task, PLACE + i * PAGE_SIZE, AREA_WRITE);
}

static void measure_touch(struct context *task, size_t pages) {
    char name[32];
    if (!name_case(name, "touch-%u", pages))
        return;
    for (unsigned i = 0; i < SAMPLES; i++) {
        map_area(task, pages);
        bench_open();
        touch(task, pages);
        bench_close();
        bench_sample(name, bench_ours(), 1);
        area_clear(task);
    }
}

static void measure_lease(struct context *task, size_t pages) {
    char name[32];
    if (!name_case(name, "lease-%u", pages))
        return;
    map_area(task, pages);
    touch(task, pages);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct lease *lease;
        bench_open();
        int error = lease_open(task, PLACE, pages << PAGE_SHIFT, LEASE_WRITE, &lease);
        require(error == 0, "bench: no lease on %zu pages: %d", pages, error);
        lease_close(lease);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
    area_clear(task);
}

/* Enough beyond the last length for its start, in the middle of a page. */
enum { TAKE_MOST = 1 << 20, TAKE_PAGES = TAKE_MOST / PAGE_SIZE + 1, TAKE_OFFSET = 512 };

static void take_by_copy(struct context *task, void *buffer, size_t bytes) {
    int error = copy_from_task(task, buffer, PLACE + TAKE_OFFSET, bytes, NULL);
    require(error == 0, "bench: no copy of %zu bytes: %d", bytes, error);
}

static void take_by_lease(struct context *task, void *buffer, size_t bytes) {
    struct lease *lease;
    (void)buffer;
    int error = lease_open(task, PLACE + TAKE_OFFSET, bytes, LEASE_READ, &lease);
    require(error == 0, "bench: no lease on %zu bytes: %d", bytes, error);
    lease_close(lease);
}

static void measure_take(struct context *task, void *buffer, const char *form, size_t bytes,
                         void (*take)(struct context *task, void *buffer, size_t bytes)) {
    char name[32];
    if (!name_case(name, form, bytes))
        return;
    map_area(task, TAKE_PAGES);
    touch(task, TAKE_PAGES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        bench_open();
        take(task, buffer, bytes);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
    area_clear(task);
}

static void measure_takes(struct context *task) {
    void *buffer = pvalloc(TAKE_PAGES, context_kernel());
    require(buffer != NULL, "bench: no memory to copy to");
    for (size_t bytes = 64; bytes <= TAKE_MOST; bytes *= 4) {
        measure_take(task, buffer, "take-copy-%u", bytes, take_by_copy);
        measure_take(task, buffer, "take-lease-%u", bytes, take_by_lease);
    }
    pvfree(page_number((uintptr_t)buffer), TAKE_PAGES);
}

static void measure_copy(struct context *task, size_t pages) {
    char name[32];
    if (!name_case(name, "copy-%u", pages))
        return;
    struct context *copy = context_create("bench copy");
    require(copy != NULL, "bench: no memory for a context");
    map_area(task, pages);
    touch(task, pages);
    for (unsigned i = 0; i < SAMPLES; i++) {
        bench_open();
        int error = area_copy(task, copy);
        require(error == 0, "bench: no copy of %zu pages: %d", pages, error);
        area_clear(copy);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
    context_destroy(copy);
    area_clear(task);
}

void bench_tasks(void) {
    struct context *task = context_create("bench task");
    require(task != NULL, "bench: no memory for a context");
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        measure_touch(task, lengths[i]);
        measure_lease(task, lengths[i]);
        measure_copy(task, lengths[i]);
    }
    measure_takes(task);
    context_destroy(task);
}
