/* Random lives of the kernel's context and some tasks', on the pretend MMU, judged page by page: what a context shows
 * must be what a plain table of records says, found by the MMU's own walk; memory must keep the words that were written
 * to it. */
#include <arch/host/mmu.h>
#include <base/bits.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/valloc.h>
#include <tests/host/machine.h>
#include <tests/test.h>

enum { CONTEXTS = 4, RECORDS = 60, STEPS = 2500, PAGES_MAX = 40 };

struct record {
    struct context *context;
    uintptr_t first, pages;
    uint64_t word; /* written to each page at its start, mixed with the page's index */
    bool mapped, writable;
};

static struct context *contexts[CONTEXTS];
static struct record records[RECORDS];
static struct test_random random_source;

static uint32_t below(uint32_t end) {
    return test_random_below(&random_source, end);
}

static void check_page(const struct record *record, uintptr_t index) {
    uintptr_t address = page_address(record->first + index);
    struct mmu_walk walk = mmu_walk(record->context->tables.root, address);
    expect_equal(walk.present, record->mapped);
    if (!record->mapped)
        return;
    uint64_t word = 0;
    expect(mmu_read(record->context->tables.root, address, &word, sizeof(word), record->context->task));
    expect_equal(word, record->word + index);
    expect_equal(walk.writable, record->writable);
    expect_equal(walk.user, record->context->task);
    expect(!walk.executable && !walk.global);
    if (!record->context->task)
        expect_equal(*(const uint64_t *)address, word); /* through the TLB, stale or not */
}

static void check(const struct record *record) {
    for (uintptr_t i = 0; i < record->pages; i++)
        check_page(record, i);
    expect(!mmu_walk(record->context->tables.root, page_address(record->first + record->pages)).present);
}

static void write_words(const struct record *record) {
    for (uintptr_t i = 0; i < record->pages; i++) {
        uint64_t word = record->word + i;
        uintptr_t address = page_address(record->first + i);
        if (record->context->task)
            expect(mmu_write(record->context->tables.root, address, &word, sizeof(word), true));
        else
            *(uint64_t *)address = word;
    }
}

static void begin(struct record *record) {
    struct context *context = contexts[below(CONTEXTS)];
    size_t pages = 1 + below(PAGES_MAX);
    bool mapped = below(4) > 0;
    void *range = mapped ? pvalloc(pages, context) : valloc(pages, context);
    if (range == NULL)
        return;
    *record =
        (struct record){ context, page_number((uintptr_t)range), pages, test_random(&random_source), mapped, true };
    if (mapped)
        write_words(record);
}

static void protect(struct record *record) {
    if (!record->mapped)
        return;
    record->writable = !record->writable;
    unsigned attributes = (record->context->task ? PAGE_USER : 0) | (record->writable ? PAGE_WRITE : 0);
    expect_equal(paging_protect(&record->context->tables, page_address(record->first), record->pages, attributes), 0);
}

/* The front or the back of a range goes, or all of it. */
static void shrink(struct record *record) {
    uintptr_t pages = below(2) == 0 ? record->pages : 1 + below((uint32_t)record->pages);
    bool front = below(2) == 0;
    uintptr_t at = front ? record->first : record->first + record->pages - pages;
    int error = record->mapped ? pvfree_in(record->context, at, pages) : vfree_in(record->context, at, pages);
    expect_equal(error, 0);
    for (uintptr_t i = 0; i < pages; i++)
        expect(!mmu_walk(record->context->tables.root, page_address(at + i)).present);
    if (front) {
        record->first += pages;
        record->word += pages;
    }
    record->pages -= pages;
}

static void new_task(unsigned slot) {
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].pages > 0 && records[i].context == contexts[slot])
            records[i].pages = 0;
    if (contexts[slot] != NULL)
        context_destroy(contexts[slot]);
    contexts[slot] = context_create("life");
    expect(contexts[slot] != NULL);
}

static void live(const struct machine *machine) {
    machine_boot(machine->entries, machine->count);
    uint64_t before = audit_hash();
    random_source.state = 11;
    contexts[0] = context_kernel();
    for (unsigned i = 1; i < CONTEXTS; i++)
        new_task(i);
    for (unsigned step = 0; step < STEPS; step++) {
        struct record *record = &records[below(RECORDS)];
        if (record->pages == 0)
            begin(record);
        else if (below(3) == 0)
            protect(record);
        else
            shrink(record);
        if (record->pages > 0)
            check(record);
        if (below(200) == 0)
            new_task(1 + below(CONTEXTS - 1));
        if (step % 100 == 0) {
            mmu_audit();
            audit_all();
        }
    }
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].pages > 0) {
            check(&records[i]);
            expect_equal(vfree_in(records[i].context, records[i].first, records[i].pages), 0);
        }
    for (unsigned i = 1; i < CONTEXTS; i++)
        context_destroy(contexts[i]);
    expect_equal(mmu_open_views(), 0);
    expect(audit_hash() == before);
}

TEST(contexts_show_what_was_mapped_and_nothing_else_over_random_lives_in_16_mib) {
    live(&machine_list[0]);
}

TEST(contexts_show_what_was_mapped_and_nothing_else_over_random_lives_in_ram_with_holes) {
    live(&machine_list[1]);
}

TEST(contexts_show_what_was_mapped_and_nothing_else_over_random_lives_in_5_gib) {
    live(&machine_list[2]);
}

/* --- The order of removal ----------------------------------------------------------------------------------------- */

static struct {
    pfn_t page, table;
    bool page_free, table_free; /* seen to be so */
    unsigned long flushes_at_page, flushes_at_table;
} watched;

static unsigned long flushes(void) {
    return mmu_counts.flushed_pages + mmu_counts.full_flushes;
}

static void watch(void) {
    if (!watched.page_free && palloc_state(watched.page) <= PALLOC_CACHED) {
        watched.page_free = true;
        watched.flushes_at_page = flushes();
    }
    if (!watched.table_free && palloc_state(watched.table) <= PALLOC_CACHED) {
        watched.table_free = true;
        watched.flushes_at_table = flushes();
    }
}

static void expect_flush_first(size_t pages) {
    struct context *kernel = context_kernel();
    struct valloc_options whole_tables = { .align = 512 }; /* so that a table goes with the range */
    void *range;
    struct paging_entry entry;
    expect_equal(pvalloc_with(kernel, pages, &whole_tables, &range), 0);
    expect(paging_find(&kernel->tables, (uintptr_t)range, &entry));
    watched.page = entry.pfn;
    watched.table = paging_table_of(&kernel->tables, (uintptr_t)range);
    watched.page_free = watched.table_free = false;
    unsigned long before = flushes();
    machine_on_unlock = watch;
    pvfree(page_number((uintptr_t)range), pages);
    machine_on_unlock = NULL;
    expect(watched.page_free && watched.table_free);
    expect(watched.flushes_at_page > before && watched.flushes_at_table > before);
}

TEST(paging_flushes_before_a_page_or_a_table_is_let_go) {
    machine_boot(machine_list[1].entries, machine_list[1].count);
    expect_flush_first(3);
    expect_flush_first(ARCH_FLUSH_SINGLE + 1);
}

/* The judge must be able to fail: an entry cleared behind the manager's back, without a flush, is a stale
 * translation. */
TEST(pretend_mmu_notices_a_missed_flush) {
    machine_boot(machine_list[0].entries, machine_list[0].count);
    volatile char *memory = pvalloc(1, context_kernel());
    expect(memory != NULL);
    memory[0] = 1;
    mmu_audit();
    pfn_t table = paging_table_of(&context_kernel()->tables, (uintptr_t)memory);
    uint64_t *entries = arch_frame_open(table);
    entries[page_number((uintptr_t)memory) & 511] = 0;
    arch_frame_close(entries);
    expect_panic("pretend MMU: stale translation of * to page *: a flush was missed", mmu_audit());
}

TEST(pretend_mmu_refuses_views_out_of_order_and_too_many) {
    machine_boot(machine_list[0].entries, machine_list[0].count);
    pfn_t page = palloc_pfn(palloc(1));
    void *a = arch_frame_open(page), *b = arch_frame_open(page);
    expect_panic("frame view: closed out of order*", arch_frame_close(a));
    arch_frame_close(b);
    arch_frame_close(a);
    expect_panic("frame view: closed, but none is open", arch_frame_close(a));
    for (unsigned i = 0; i < ARCH_VIEW_DEPTH; i++)
        arch_frame_open(page);
    expect_panic("frame view: * views are open already", arch_frame_open(page));
}
