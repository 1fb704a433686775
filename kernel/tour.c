/* Each step uses one part of the memory manager on the machine's real memory, says what happened, and gives all back.
 * A step that finds something wrong says so and the tour fails. */
#include <kernel/tour.h>
#include <base/string.h>
#include <boot/boot.h>
#include <kernel/tour_steps.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/valloc.h>

static bool failed;

bool tour_good(bool condition, const char *what) {
    if (!condition) {
        console_print("  WRONG: %s\n", what);
        failed = true;
    }
    return condition;
}

static size_t free_pages(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats.free + stats.cached;
}

static void tour_palloc(void) {
    size_t before = free_pages();
    void *run = palloc(3);
    if (!tour_good(run != NULL, "palloc(3) found no run"))
        return;
    console_print("  palloc(3): three pages at physical %p, exactly three: %zu fewer are free\n", run,
                  before - free_pages());
    tour_good(before - free_pages() == 3, "palloc(3) took another number of pages");
    pfree(palloc_pfn(run) + 1, 1);
    console_print("  pfree(%#x, 1): the middle one alone is given back\n", palloc_pfn(run) + 1);
    pfree(palloc_pfn(run), 1);
    pfree(palloc_pfn(run) + 2, 1);
    struct palloc_request low = { .pages = 16, .align = 16, .limit = 4096 };
    pfn_t first = palloc_with(&low);
    if (!tour_good(first != PFN_NONE && first % 16 == 0 && first + 16 <= 4096, "no aligned run below 16 MiB"))
        return;
    console_print("  palloc_with(16 pages, aligned to 16, below 16 MiB): page %#x, for a device\n", first);
    pfree(first, 16);
    struct palloc_stats stats;
    palloc_stats(&stats);
    if (stats.free > stats.free_dma32) {
        struct palloc_request any = { .pages = 1 };
        pfn_t high = palloc_with(&any);
        console_print("  palloc_with(1 page): page %#x, above 4 GiB: low memory is spent last\n", high);
        tour_good(high >= 1u << 20, "low memory was spent while there was high memory");
        pfree(high, 1);
    }
}

static void tour_valloc(void) {
    struct context *kernel = context_kernel();
    char *range = valloc(4, kernel);
    if (!tour_good(range != NULL, "valloc(4) found no range"))
        return;
    console_print("  valloc(4): %p to %p, nothing behind it, and an unmapped guard page\n", (void *)range,
                  (void *)(range + 4 * PAGE_SIZE));
    void *page = palloc(1);
    if (tour_good(page != NULL, "palloc(1) found no page")) {
        int error = paging_map(&kernel->tables, (uintptr_t)range + PAGE_SIZE, palloc_pfn(page), 1, PAGE_WRITE);
        tour_good(error == 0, "the page can't be mapped");
        range[PAGE_SIZE] = 42;
        struct paging_entry entry;
        tour_good(paging_find(&kernel->tables, (uintptr_t)range + PAGE_SIZE, &entry), "what was mapped isn't found");
        console_print("  paging_map: page %#x of palloc's now stands at %p: not 1:1\n", entry.pfn,
                      (void *)(range + PAGE_SIZE));
    }
    vfree(page_number((uintptr_t)range), 4);
    if (page != NULL) {
        tour_good(frame_get(palloc_pfn(page)).mappings == 0, "vfree left a mapping");
        console_print("  vfree(%#zx, 4): unmapped; the page is still its holder's\n",
                      (size_t)page_number((uintptr_t)range));
        pfree(palloc_pfn(page), 1);
    }
}

static void tour_pvalloc(void) {
    size_t before = free_pages();
    char *memory = pvalloc(5, context_kernel());
    if (!tour_good(memory != NULL, "pvalloc(5) failed"))
        return;
    memset(memory, 0x5a, 5 * PAGE_SIZE);
    console_print("  pvalloc(5): %p, mapped and writable; %zu pages went, tables and nodes included\n", (void *)memory,
                  before - free_pages());
    pvfree(page_number((uintptr_t)memory), 5);
    console_print("  pvfree(%#zx, 5): all given back\n", (size_t)page_number((uintptr_t)memory));
    size_t absurd = SIZE_MAX / PAGE_SIZE;
    tour_good(pvalloc(absurd, context_kernel()) == NULL && palloc(UINT32_MAX) == NULL, "an absurd size was granted");
    console_print("  pvalloc(%zu), palloc(%u): NULL, and nothing changed\n", absurd, UINT32_MAX);
}

static void tour_context(void) {
    struct context *task = context_create("visitor");
    if (!tour_good(task != NULL, "no context"))
        return;
    char *memory = pvalloc(2, task);
    struct paging_entry entry;
    if (tour_good(memory != NULL, "no memory in the context")) {
        bool found = paging_find(&task->tables, (uintptr_t)memory, &entry);
        tour_good(found && (entry.attributes & PAGE_USER), "the task can't reach its memory");
        console_print("  context_create, pvalloc(2, task): %p there is page %#x, zeroed, for ring 3\n", (void *)memory,
                      entry.pfn);
    }
    bool shown = paging_find(&task->tables, (uintptr_t)tour_context, &entry);
    tour_good(!shown, "the kernel is mapped in a task");
    console_print("  paging_find(task, %p): %s: the kernel isn't mapped there\n", (void *)(uintptr_t)tour_context,
                  shown ? "MAPPED" : "nothing");
    context_destroy(task);
    console_print("  context_destroy: its memory and its tables are free again\n");
}

static void tour_io_map(void) {
    volatile uint32_t *version = io_map(0xfee00030, 4, PAGE_UNCACHED);
    if (!tour_good(version != NULL, "the local APIC can't be mapped"))
        return;
    console_print("  io_map(0xfee00030, 4, uncached): the local APIC's version register says %#x\n", *version);
    io_unmap((void *)(uintptr_t)version, 4);
}

static const struct {
    const char *title;
    void (*run)(void);
} steps[] = {
    { "physical pages: palloc, pfree", tour_palloc },
    { "virtual pages: valloc, vfree", tour_valloc },
    { "both, mapped: pvalloc, pvfree", tour_pvalloc },
    { "an address space without a kernel", tour_context },
    { "device memory: io_map", tour_io_map },
    { "bytes: kmalloc, zmalloc, kmalloc_a, zmalloc_a, krealloc, kfree", tour_heap },
    { "an overrun, caught by a canary", tour_canary },
    { "tasks in ring 3, preempted", tour_preemption },
    { "a task's memory in the kernel without a copy: lease_open, lease_close", tour_lease },
    { "a task that reads the kernel", tour_spy },
};

bool tour_run(void) {
    failed = false;
    uint64_t state = audit_hash();
    size_t pages = free_pages();
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        console_print("%zu. %s\n", i + 1, steps[i].title);
        steps[i].run();
    }
    audit_all();
    tour_good(audit_hash() == state, "the state of the memory differs from that before the tour");
    tour_good(free_pages() == pages, "pages were lost");
    if (!failed)
        console_print("all counts equal those at the start: %zu pages free\n", pages);
    return !failed;
}
