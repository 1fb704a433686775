/* Ranges, most in a task's context, where a hundred thousand have room on i386 too; and pages behind them, in the
 * kernel's.
 *
 *     valloc-K      K pages taken and given back in the kernel's context, few enough to be a short range
 *     valloc-K@N    K pages taken and given back while N ranges live
 *     pvalloc-K     K pages with memory behind them, taken and given back
 *     map-K         K pages that exist, mapped and unmapped
 *
 * The N ranges are what is left of a quarter more, of one and two pages, of which a random fifth was given back: so
 * there are holes, and most are too small. Between two samples eight ranges change their places, so that samples
 * differ.
 *
 * For pvalloc and map the page tables exist already, as they do nearly always: a neighbour keeps them. */
#include <bench/bench.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/palloc.h>
#include <mem/range_cache.h>
#include <mem/valloc.h>

enum { RANGE_SAMPLES = 31, PAGE_SAMPLES = 7, SHORT_PAIRS = 512, MOVES = 8, TABLE_PAGES = 512 };

static const size_t lengths[] = { 1, 16, 256, 4096 };
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

struct range {
    uintptr_t num;
    uint32_t pages;
};

static struct context *task;

static struct range take_range(uint32_t pages) {
    void *range = valloc(pages, task);
    require(range != NULL, "bench: no range of %u pages; this machine is too small", pages);
    return (struct range){ page_number((uintptr_t)range), pages };
}

static void move_range(struct range *range) {
    vfree_in(task, range->num, range->pages);
    *range = take_range(1 + bench_random_below(2));
}

/* `list` has room for a quarter more. */
static void make_ranges(struct range *list, uint32_t live) {
    uint32_t count = live + live / 4;
    for (uint32_t i = 0; i < count; i++)
        list[i] = take_range(1 + bench_random_below(2));
    while (count > live) {
        struct range *gone = &list[bench_random_below(count)];
        vfree_in(task, gone->num, gone->pages);
        *gone = list[--count];
    }
}

static void measure_range(const char *name, size_t pages, struct range *list, uint32_t live) {
    for (unsigned i = 0; i < RANGE_SAMPLES; i++) {
        for (unsigned k = 0; k < MOVES; k++)
            move_range(&list[bench_random_below(live)]);
        bench_open();
        void *range = valloc(pages, task);
        vfree_in(task, page_number((uintptr_t)range), pages);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
}

static bool name_case(char name[32], const char *form, size_t pages, uint32_t live) {
    fmt(name, 32, form, (unsigned)pages, live);
    return bench_wanted(name);
}

static void measure_ranges(uint32_t live) {
    char name[32];
    bool wanted = false;
    for (size_t i = 0; i < LENGTHS; i++)
        wanted = name_case(name, "valloc-%u@%u", lengths[i], live) || wanted;
    if (!wanted)
        return;
    bench_random_restart();
    size_t bytes = (live + live / 4) * sizeof(struct range);
    struct range *list = (struct range *)bench_memory(bytes);
    make_ranges(list, live);
    for (size_t i = 0; i < LENGTHS; i++)
        if (name_case(name, "valloc-%u@%u", lengths[i], live))
            measure_range(name, lengths[i], list, live);
    for (uint32_t i = 0; i < live; i++)
        vfree_in(task, list[i].num, list[i].pages);
    bench_release(list, bytes);
}

/* --- With pages behind them -------------------------------------------------------------------------------------- */

static void measure_pages(size_t pages) {
    char name[32];
    fmt(name, sizeof(name), "pvalloc-%u", (unsigned)pages);
    if (!bench_wanted(name))
        return;
    for (unsigned i = 0; i < PAGE_SAMPLES; i++) {
        bench_open();
        void *range = pvalloc(pages, context_kernel());
        pvfree(page_number((uintptr_t)range), pages);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
}

static void measure_mapping(uintptr_t address, pfn_t run, size_t pages) {
    char name[32];
    fmt(name, sizeof(name), "map-%u", (unsigned)pages);
    if (!bench_wanted(name))
        return;
    struct paging *tables = &context_kernel()->tables;
    for (unsigned i = 0; i < PAGE_SAMPLES; i++) {
        bench_open();
        paging_map(tables, address, run, pages, PAGE_WRITE);
        paging_unmap(tables, address, pages);
        bench_close();
        bench_sample(name, bench_ours(), 1);
    }
}

/* In a range that is a page table's, whose last entry stays. */
static void measure_mappings(void) {
    static const struct valloc_options whole_table = { .align = TABLE_PAGES };
    struct context *kernel = context_kernel();
    void *range;
    pfn_t run = palloc_pfn(palloc(TABLE_PAGES));
    require(run != 0 && valloc_with(kernel, TABLE_PAGES, &whole_table, &range) == 0,
            "bench: no room for %u pages in a row; this machine is too small", (unsigned)TABLE_PAGES);
    uintptr_t address = (uintptr_t)range, last = address + page_address(TABLE_PAGES - 1);
    paging_map(&kernel->tables, last, run + TABLE_PAGES - 1, 1, PAGE_WRITE);
    for (size_t i = 0; i < LENGTHS && lengths[i] < TABLE_PAGES; i++)
        measure_mapping(address, run, lengths[i]);
    vfree(page_number(address), TABLE_PAGES);
    pfree(run, TABLE_PAGES);
}

/* First fit puts the measured range behind a neighbour in the first half of a table; a short one has another. */
static void measure_with_neighbour(void) {
    enum { LONG = RANGE_CACHE_PAGES + 1 };
    struct range list[TABLE_PAGES];
    uint32_t count = 0;
    uintptr_t num, near = page_number((uintptr_t)bench_memory(PAGE_SIZE));
    do {
        num = page_number((uintptr_t)bench_memory(LONG * PAGE_SIZE));
        list[count++] = (struct range){ num, LONG };
    } while (num % TABLE_PAGES >= TABLE_PAGES / 2 && count < TABLE_PAGES);
    for (size_t i = 0; i < LENGTHS; i++)
        measure_pages(lengths[i]);
    while (count > 0)
        pvfree(list[--count].num, LONG);
    pvfree(near, 1);
}

/* Short ranges of the kernel's, which each processor has at hand. */
static void measure_short(size_t pages) {
    char name[32];
    fmt(name, sizeof(name), "valloc-%u", (unsigned)pages);
    if (!bench_wanted(name))
        return;
    for (unsigned i = 0; i < RANGE_SAMPLES; i++) {
        bench_open();
        for (unsigned k = 0; k < SHORT_PAIRS; k++)
            vfree(page_number((uintptr_t)valloc(pages, context_kernel())), pages);
        bench_close();
        bench_sample(name, bench_ours(), SHORT_PAIRS);
    }
}

void bench_ranges(void) {
    task = context_create("bench");
    require(task != NULL, "bench: no memory for a context");
    for (uint32_t live = 10; live <= bench_ranges_most; live *= 10)
        measure_ranges(live);
    context_destroy(task);
    measure_short(1);
    measure_short(RANGE_CACHE_PAGES);
    measure_with_neighbour();
    measure_mappings();
}
