/* What explain says of addresses that tests know all about. */
#include <base/config.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/explain.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/lease.h>
#include <mem/paging_levels.h>
#include <mem/valloc.h>
#include <tests/test.h>

static char text[4096];
static size_t text_bytes;

__attribute__((format(printf, 1, 2))) static void keep(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t length = fmt_va(text + text_bytes, sizeof(text) - text_bytes, format, arguments);
    va_end(arguments);
    text_bytes += length < sizeof(text) - text_bytes ? length : sizeof(text) - text_bytes - 1;
}

static bool says(const char *part) {
    for (const char *at = text; *at != '\0'; at++)
        if (string_starts(at, part))
            return true;
    return false;
}

static void explain(struct context *context, uintptr_t address) {
    text_bytes = 0;
    text[0] = '\0';
    explain_in(context, address, keep);
}

static unsigned levels_shown(void) {
    unsigned count = 0;
    for (const char *at = text; *at != '\0'; at++)
        count += string_starts(at, "  level ") ? 1 : 0;
    return count;
}

TEST(explain_names_a_range_its_guard_and_every_level) {
    void *range = pvalloc(3, context_kernel());
    expect(range != NULL);
    uintptr_t address = (uintptr_t)range;
    explain(context_kernel(), address + 2 * PAGE_SIZE + 5);
    expect(says("(3 pages, pvalloc)") && says("  translation: page ") && says("1 mappings (1 writable, 0 executable)"));
    expect_equal(levels_shown(), GEOMETRY_LEVELS);
    explain(context_kernel(), address + 3 * PAGE_SIZE);
    expect(says(", its guard page") && says("likely mistake: access past the end of the range"));
    expect(says(", not present") && says("  translation: none"));
    pvfree(page_number(address), 3);
    explain(context_kernel(), address);
    expect(says("  range: none"));
}

TEST(explain_says_who_took_a_page_in_debug_builds) {
    void *range = pvalloc(1, context_kernel());
    expect(range != NULL);
    explain(context_kernel(), (uintptr_t)range);
    expect(says("taken by 0x") == (CONFIG_DEBUG == 1));
    pvfree(page_number((uintptr_t)range), 1);
}

static void expect_lease_shown(struct context *task, uintptr_t address) {
    struct lease *lease;
    expect_equal(lease_open(task, address + 100, 2 * PAGE_SIZE, LEASE_READ, &lease), 0);
    explain(task, address);
    expect(says("  lease: number ") && says(" pins"));
    explain(task, address + 2 * PAGE_SIZE);
    expect(says("  lease: number "));
    explain(task, address + 3 * PAGE_SIZE);
    expect(!says("  lease: number "));
    explain(context_kernel(), (uintptr_t)lease->info.pointer);
    expect(says("  lease: number ") && says(", lease_open)") && says("to read"));
    lease_close(lease);
    explain(task, address);
    expect(!says("  lease: number "));
}

TEST(explain_names_leases_on_a_tasks_page_and_in_the_kernel) {
    struct context *task = context_create("explained");
    expect(task != NULL);
    void *range = pvalloc(4, task);
    expect(range != NULL);
    expect_lease_shown(task, (uintptr_t)range);
    explain(task, (uintptr_t)range);
    expect(says("in context explained: in a task's memory") && says(" user"));
    expect_equal(pvfree_in(task, page_number((uintptr_t)range), 4), 0);
    context_destroy(task);
}

TEST(explain_of_the_null_page_and_of_an_address_that_is_none_says_so) {
    explain(context_kernel(), 8);
    expect(says("the null page") && says("likely mistake: a null pointer"));
    if (geometry_canonical((uintptr_t)1 << (sizeof(uintptr_t) * 8 - 2)))
        return;
    explain(context_kernel(), (uintptr_t)1 << (sizeof(uintptr_t) * 8 - 2));
    expect(says("not a canonical address") && levels_shown() == 0);
}

TEST(explain_of_a_page_says_what_it_is_or_where_ram_ends) {
    void *page = palloc(1);
    expect(page != NULL);
    text_bytes = 0;
    explain_frame(palloc_pfn(page), keep);
    expect(says("palloc's caller") && says(" pins"));
    pfree(palloc_pfn(page), 1);
    text_bytes = 0;
    explain_frame(context_kernel()->tables.root, keep);
    expect(says("entries in use") || says("metadata"));
    text_bytes = 0;
    explain_frame(palloc_end(), keep);
    expect(says("not RAM that was given to us: that ends at page "));
}

TEST(paging_levels_end_where_the_translation_does) {
    struct paging_level list[GEOMETRY_LEVELS];
    struct paging_entry entry;
    void *range = pvalloc(1, context_kernel());
    expect(range != NULL);
    unsigned count = paging_levels(&context_kernel()->tables, (uintptr_t)range, list);
    expect_equal(count, GEOMETRY_LEVELS);
    expect_equal(list[0].table, context_kernel()->tables.root);
    for (unsigned i = 0; i + 1 < count; i++)
        expect(list[i].level == count - 1 - i && list[i + 1].table == arch_entry_pfn(list[i].entry));
    expect(paging_find(&context_kernel()->tables, (uintptr_t)range, &entry));
    expect_equal(arch_entry_pfn(list[count - 1].entry), entry.pfn);
    pvfree(page_number((uintptr_t)range), 1);
    count = paging_levels(&context_kernel()->tables, (uintptr_t)range, list);
    expect(count > 0 && !arch_entry_present(list[count - 1].entry));
}
