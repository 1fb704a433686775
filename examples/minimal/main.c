/* The smallest kernel on both archives: libxelixboot.a boots the machine and calls kernel_main(), libxelixmm.a is the
 * memory. It takes every kind of memory once, shows it, gives it back, and ends well if nothing is missing. */
#include <boot/boot.h>
#include <mem/audit.h>
#include <mem/palloc.h>
#include <mem/valloc.h>

enum { PAGES = 3 };

static bool try_memory(void) {
    struct context *kernel = context_kernel();
    void *run = palloc(PAGES);                     /* physical pages: an address not to be dereferenced */
    void *range = valloc(PAGES, kernel);           /* addresses: nothing behind them yet */
    char *memory = (char *)pvalloc(PAGES, kernel); /* both, and the mapping between them */
    bool served = run != NULL && range != NULL && memory != NULL;
    if (served) {
        memory[PAGES * PAGE_SIZE - 1] = 'x';
        console_print("minimal: palloc gave page %#x, valloc %p, pvalloc %p\n", palloc_pfn(run), range, (void *)memory);
    }
    if (run != NULL)
        pfree(palloc_pfn(run), PAGES);
    if (range != NULL)
        vfree(page_number((uintptr_t)range), PAGES);
    if (memory != NULL)
        pvfree(page_number((uintptr_t)memory), PAGES);
    return served;
}

int kernel_main(const struct boot_info *info) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    console_print("minimal: started by %s, %zu of %zu pages are free\n", info->protocol, stats.free + stats.cached,
                  stats.total);
    bool served = try_memory(); /* makes the page tables, which stay */
    uint64_t before = audit_hash();
    served = try_memory() && served;
    bool same = audit_hash() == before;
    audit_all();
    console_print("minimal: %s\n", served && same ? "all is back" : "something is missing");
    console_print("verdict: %s\n", served && same ? "ok" : "FAILED");
    return served && same ? 0 : 1;
}
