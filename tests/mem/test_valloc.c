#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/valloc.h>
#include <tests/test.h>

static uintptr_t number(const void *address) {
    return page_number((uintptr_t)address);
}

TEST(valloc_gives_a_range_with_nothing_behind_it) {
    char *range = valloc(5, context_kernel());
    expect(range != NULL);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)range, 5), 0);
    vfree(number(range), 5);
}

TEST(valloc_leaves_an_unmapped_page_behind_every_range) {
    char *a = pvalloc(2, context_kernel()), *b = pvalloc(2, context_kernel());
    expect(a != NULL && b != NULL);
    expect(a + 2 * PAGE_SIZE < b || b + 2 * PAGE_SIZE < a);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)a + 2 * PAGE_SIZE, 1), 0);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)b + 2 * PAGE_SIZE, 1), 0);
    pvfree(number(b), 2);
    pvfree(number(a), 2);
}

TEST(valloc_refuses_zero_and_absurd_sizes) {
    struct context *kernel = context_kernel();
    expect(valloc(0, kernel) == NULL && pvalloc(0, kernel) == NULL);
    expect(valloc(SIZE_MAX, kernel) == NULL && pvalloc(SIZE_MAX, kernel) == NULL);
    expect(valloc(SIZE_MAX / PAGE_SIZE, kernel) == NULL && pvalloc(SIZE_MAX / PAGE_SIZE, kernel) == NULL);
    expect(pvalloc((mem_layout.ranges_end - mem_layout.ranges) >> PAGE_SHIFT, kernel) == NULL);
}

TEST(pvalloc_gives_memory_that_keeps_what_is_written) {
    char *memory = pvalloc(7, context_kernel());
    expect(memory != NULL);
    for (size_t i = 0; i < 7 * PAGE_SIZE; i += 512)
        memory[i] = (char)(i / 512);
    for (size_t i = 0; i < 7 * PAGE_SIZE; i += 512)
        expect_equal(memory[i], (char)(i / 512));
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, (uintptr_t)memory, &entry));
    expect_equal(entry.attributes & (PAGE_WRITE | PAGE_USER | PAGE_GLOBAL), PAGE_WRITE);
    expect_equal(frame_get(entry.pfn).owner, FRAME_MAPPED);
    pvfree(number(memory), 7);
    expect_equal(frame_get(entry.pfn).owner, FRAME_FREE);
}

TEST(pvalloc_takes_more_pages_than_one_batch_in_any_memory) {
    enum { PAGES = 700 };
    char *memory = pvalloc(PAGES, context_kernel());
    expect(memory != NULL);
    for (size_t i = 0; i < PAGES; i++)
        *(size_t *)(void *)(memory + i * PAGE_SIZE) = i;
    for (size_t i = 0; i < PAGES; i++)
        expect_equal(*(size_t *)(void *)(memory + i * PAGE_SIZE), i);
    pvfree(number(memory), PAGES);
}

TEST(pvalloc_of_more_than_there_is_changes_nothing) {
    struct palloc_stats before;
    palloc_stats(&before);
    size_t too_many = before.free + before.cached + 1;
    if (too_many > (mem_layout.ranges_end - mem_layout.ranges) >> PAGE_SHIFT || too_many > 100000)
        test_skip("more memory than fits the kernel's address space, or than can be taken in short time");
    uint64_t state = audit_hash();
    expect(pvalloc(too_many, context_kernel()) == NULL);
    expect(audit_hash() == state);
}

TEST(pvfree_gives_back_the_ends_of_a_range_one_by_one) {
    char *memory = pvalloc(4, context_kernel());
    expect(memory != NULL);
    pvfree(number(memory), 1);
    pvfree(number(memory) + 3, 1);
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)memory, 4), 2);
    memory[PAGE_SIZE] = 1;
    pvfree(number(memory) + 1, 2);
}

TEST(pvfree_in_splits_a_range_in_the_middle) {
    struct context *kernel = context_kernel();
    char *memory = pvalloc(5, kernel);
    expect(memory != NULL);
    expect_panic("pvfree(*, 1): a part from the middle of a range can fail, use pvfree_in()",
                 pvfree(number(memory) + 2, 1));
    expect_equal(pvfree_in(kernel, number(memory) + 2, 1), 0);
    expect_equal(paging_count(&kernel->tables, (uintptr_t)memory, 5), 4);
    expect_panic("pvfree(*, 1) in context kernel: the number is a guard page's", pvfree(number(memory) + 2, 1));
    pvfree(number(memory), 2);
    pvfree(number(memory) + 3, 2);
}

TEST(vfree_reports_what_was_never_handed_out) {
    struct context *kernel = context_kernel();
    char *range = valloc(3, kernel);
    expect(range != NULL);
    expect_panic("vfree(*, 4) in context kernel: the length passes the range's end", vfree(number(range), 4));
    expect_panic("vfree(*, 3) in context kernel: *", vfree((uintptr_t)range, 3));
    expect_panic("vfree(*, 0) in context kernel: the length is 0", vfree(number(range), 0));
    expect_panic("pvfree(*, 3) in context kernel: only 0 of the pages are mapped; the range is from valloc",
                 pvfree(number(range), 3));
    vfree(number(range), 3);
    expect_panic("vfree(*, 3) in context kernel: never handed out, or freed already", vfree(number(range), 3));
    expect_panic("vfree(0x0, 1) in context kernel: never handed out, or freed already", vfree(0, 1));
}

TEST(vfree_of_an_address_says_that_it_wants_the_page_number) {
    char *range = valloc(1, context_kernel());
    expect(range != NULL);
    expect_panic("vfree(*, 1) in context kernel: the number looks like an address; pass its page number",
                 vfree((uintptr_t)range, 1));
    vfree(number(range), 1);
}

TEST(vfree_frees_pages_that_only_its_mappings_kept_and_no_others) {
    struct context *kernel = context_kernel();
    char *range = valloc(2, kernel);
    pfn_t held = palloc_pfn(palloc(1)), handed = palloc_pfn(palloc(1));
    expect(range != NULL && held != 0 && handed != 0);
    expect_equal(paging_map(&kernel->tables, (uintptr_t)range, held, 1, PAGE_WRITE), 0);
    expect_equal(paging_map(&kernel->tables, (uintptr_t)range + PAGE_SIZE, handed, 1, PAGE_WRITE), 0);
    frame_hand_over(handed);
    vfree(number(range), 2);
    expect_equal(frame_get(held).owner, FRAME_CALLER);
    expect_equal(frame_get(handed).owner, FRAME_FREE);
    pfree(held, 1);
}

TEST(valloc_with_keeps_to_place_alignment_and_bounds) {
    struct context *kernel = context_kernel();
    struct valloc_options options = { .align = 512, .guard_before = 1 };
    void *range, *second;
    expect_equal(valloc_with(kernel, 3, &options, &range), 0);
    expect_equal((uintptr_t)range & (512 * PAGE_SIZE - 1), 0);
    options = (struct valloc_options){ .address = (uintptr_t)range, .fixed = true };
    expect_equal(valloc_with(kernel, 1, &options, &second), ERR_EXISTS);
    options.address++;
    expect_equal(valloc_with(kernel, 1, &options, &second), ERR_INVALID);
    options = (struct valloc_options){ .low = (uintptr_t)range, .high = (uintptr_t)range + 3 * PAGE_SIZE };
    expect_equal(valloc_with(kernel, 1, &options, &second), ERR_NO_SPACE);
    options = (struct valloc_options){ .address = mem_layout.ranges - PAGE_SIZE, .fixed = true };
    expect_equal(valloc_with(kernel, 1, &options, &second), ERR_INVALID);
    vfree(number(range), 3);
}

TEST(pvalloc_with_takes_pages_below_a_limit_and_with_rights) {
    struct context *kernel = context_kernel();
    struct valloc_options options = { .limit = 4096, .read_only = true, .zero = true };
    void *range;
    expect_equal(pvalloc_with(kernel, 2, &options, &range), 0);
    struct paging_entry entry;
    expect(paging_find(&kernel->tables, (uintptr_t)range, &entry));
    expect(entry.pfn < 4096);
    expect_equal(entry.attributes & PAGE_WRITE, 0);
    for (size_t i = 0; i < 2 * PAGE_SIZE; i++)
        expect_equal(((const char *)range)[i], 0);
    pvfree(number(range), 2);
}

TEST(pvalloc_in_a_task_is_zeroed_and_for_ring_3) {
    struct context *task = context_create("test");
    expect(task != NULL);
    char *dirty = pvalloc(100, context_kernel()); /* what the task gets next was written to before */
    expect(dirty != NULL);
    memset(dirty, 0x5a, 100 * PAGE_SIZE);
    pvfree(number(dirty), 100);
    char *memory = pvalloc(3, task);
    expect(memory != NULL);
    for (size_t page = 0; page < 3; page++) {
        struct paging_entry entry;
        expect(paging_find(&task->tables, (uintptr_t)memory + page * PAGE_SIZE, &entry));
        expect_equal(entry.attributes & (PAGE_USER | PAGE_WRITE), PAGE_USER | PAGE_WRITE);
        char *view = arch_frame_open(entry.pfn);
        bool zero = true;
        for (size_t i = 0; i < PAGE_SIZE; i++)
            zero = zero && view[i] == 0;
        arch_frame_close(view);
        expect(zero);
    }
    expect_equal(paging_count(&context_kernel()->tables, (uintptr_t)memory & ~(PAGE_SIZE - 1), 1), 0);
    expect_equal(pvfree_in(task, number(memory), 3), 0);
    context_destroy(task);
}

TEST(io_map_keeps_the_offset_and_refuses_ram) {
    struct context *kernel = context_kernel();
    char *registers = io_map(0xfed00123, 0x1000, PAGE_UNCACHED);
    expect(registers != NULL);
    expect_equal((uintptr_t)registers & (PAGE_SIZE - 1), 0x123);
    struct paging_entry entry;
    expect(paging_find(&kernel->tables, (uintptr_t)registers + 0xfff, &entry));
    expect_equal(entry.pfn, 0xfed01);
    expect(entry.attributes & PAGE_UNCACHED);
    io_unmap(registers, 0x1000);
    pfn_t page = palloc_pfn(palloc(1));
    expect(io_map(pfn_to_phys(page), 1, PAGE_UNCACHED) == NULL);
    expect(io_map(0xfed00000, 0, 0) == NULL);
    expect(io_map(UINT64_MAX, 2, 0) == NULL);
    expect(io_map(UINT64_MAX - 1, 1, 0) == NULL);
    expect(io_map(0xfed00000, 1, PAGE_EXECUTE) == NULL);
    expect(io_map(0xfed00000, 1, PAGE_UNCACHED | PAGE_WRITE_COMBINING) == NULL);
    pfree(page, 1);
}

TEST(io_unmap_of_memory_or_of_no_bytes_is_reported) {
    char *memory = pvalloc(1, context_kernel()), *registers = io_map(0xfed00123, 8, PAGE_UNCACHED);
    expect(memory != NULL && registers != NULL);
    expect_panic("io_unmap(*): the range is from pvalloc", io_unmap(memory, PAGE_SIZE));
    expect_panic("io_unmap(*, 0): no such run of bytes", io_unmap(registers, 0));
    expect_panic("io_unmap(*): no such run of bytes", io_unmap(registers, SIZE_MAX));
    io_unmap(registers, 8);
    expect_panic("io_unmap(*, 1) in context kernel: never handed out, or freed already", io_unmap(registers, 8));
    pvfree(number(memory), 1);
}

TEST(context_destroy_frees_all_that_the_task_had) {
    struct context *task = context_create("test");
    expect(task != NULL);
    expect(pvalloc(10, task) != NULL && valloc(10, task) != NULL && pvalloc(1, task) != NULL);
    struct valloc_options far = { .address = GEOMETRY_TASK_END - PAGE_SIZE, .fixed = true, .no_guard = true };
    void *range;
    expect_equal(pvalloc_with(task, 1, &far, &range), 0);
    context_destroy(task);
}

TEST(context_of_a_task_shows_nothing_of_the_kernel) {
    struct context *task = context_create("test");
    expect(task != NULL);
    struct paging_entry entry;
    expect(!paging_find(&task->tables, (uintptr_t)&context_create, &entry));
    expect(!paging_find(&task->tables, mem_layout.metadata, &entry));
    expect(!paging_find(&task->tables, mem_layout.view, &entry));
    expect(context_by_number(task->number) == task);
    expect(context_next_number(0) != UINT32_MAX);
    context_destroy(task);
}

TEST(context_of_a_task_refuses_the_memory_of_tables_and_pools) {
    struct context *task = context_create("test");
    expect(task != NULL);
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, (uintptr_t)task, &entry));
    expect_equal(frame_get(entry.pfn).owner, FRAME_POOL);
    uintptr_t at = GEOMETRY_TASK_FIRST;
    expect_equal(paging_map(&task->tables, at, entry.pfn, 1, PAGE_USER), ERR_REFUSED);
    expect_equal(paging_map(&task->tables, at, task->tables.root, 1, PAGE_USER), ERR_REFUSED);
    context_destroy(task);
}
