/* What only a processor can show: that the rights in our tables are the rights that hold. Inside the kernels alone.
 *
 * An access that must fault is made between a set jump and the trap hook, which jumps back. */
#include <arch/x86/cpu.h>
#include <arch/x86/processor.h>
#include <arch/x86/trap.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <tests/test.h>

static struct {
    void *point[5];
    uintptr_t vector, error, address;
} fault;

static bool note_fault(struct trap_frame *frame) {
    fault.vector = frame->vector;
    fault.error = frame->error;
    fault.address = cpu_cr2();
    trap_test_hook = NULL;
    __builtin_longjmp(fault.point, 1);
}

/* True if the access faulted; what happened stands in `fault`. The access is called through a pointer, so that the
 * compiler can't move it before the hook is set or after it is taken away. */
static __attribute__((noinline)) bool faults(void (*volatile access)(uintptr_t address), uintptr_t address) {
    trap_test_hook = note_fault;
    if (__builtin_setjmp(fault.point) != 0)
        return true;
    access(address);
    trap_test_hook = NULL;
    return false;
}

static void expect_page_fault(uintptr_t address, unsigned error) {
    expect_equal(fault.vector, TRAP_PAGE);
    expect_equal(fault.address, address);
    expect_equal(fault.error, error);
}

static void read_byte(uintptr_t address) {
    (void)*(volatile const char *)address;
}

static void write_byte(uintptr_t address) {
    *(volatile char *)address = 1;
}

static void call(uintptr_t address) {
    ((void (*)(void))address)();
}

TEST(kernel_text_and_rodata_fault_on_write) {
    uintptr_t text = (uintptr_t)write_byte, rodata = (uintptr_t) "a constant";
    expect(faults(write_byte, text));
    expect_page_fault(text, TRAP_PAGE_PRESENT | TRAP_PAGE_WRITE);
    expect(faults(write_byte, rodata));
    expect_page_fault(rodata, TRAP_PAGE_PRESENT | TRAP_PAGE_WRITE);
}

TEST(kernel_data_and_pvalloc_memory_fault_on_execution) {
    static char data[16];
    if (!arch_features.no_execute)
        test_skip("this processor has no NX");
    expect(faults(call, (uintptr_t)data));
    expect_page_fault((uintptr_t)data, TRAP_PAGE_PRESENT | TRAP_PAGE_FETCH);
    char *memory = pvalloc(1, context_kernel());
    expect(memory != NULL);
    expect(faults(call, (uintptr_t)memory));
    expect_page_fault((uintptr_t)memory, TRAP_PAGE_PRESENT | TRAP_PAGE_FETCH);
    pvfree(page_number((uintptr_t)memory), 1);
}

TEST(guard_page_behind_pvalloc_faults) {
    char *memory = pvalloc(2, context_kernel());
    expect(memory != NULL);
    uintptr_t guard = (uintptr_t)memory + 2 * PAGE_SIZE;
    write_byte(guard - 1);
    expect(faults(write_byte, guard));
    expect_page_fault(guard, TRAP_PAGE_WRITE);
    pvfree(page_number((uintptr_t)memory), 2);
}

TEST(memory_faults_once_it_is_given_back) {
    char *memory = pvalloc(1, context_kernel());
    expect(memory != NULL);
    write_byte((uintptr_t)memory);
    pvfree(page_number((uintptr_t)memory), 1);
    expect(faults(read_byte, (uintptr_t)memory));
    expect_page_fault((uintptr_t)memory, 0);
}

TEST(protection_that_was_taken_away_holds_at_once) {
    struct context *kernel = context_kernel();
    char *memory = pvalloc(1, kernel);
    expect(memory != NULL);
    write_byte((uintptr_t)memory);
    expect_equal(paging_protect(&kernel->tables, (uintptr_t)memory, 1, 0), 0);
    read_byte((uintptr_t)memory);
    expect(faults(write_byte, (uintptr_t)memory));
    expect_page_fault((uintptr_t)memory, TRAP_PAGE_PRESENT | TRAP_PAGE_WRITE);
    pvfree(page_number((uintptr_t)memory), 1);
}

TEST(kernel_may_not_touch_or_run_what_ring_3_can_reach) {
    struct context *kernel = context_kernel();
    if (!arch_features.smap || !arch_features.smep)
        test_skip("this processor has no SMAP or no SMEP");
    char *range = valloc(2, kernel);
    pfn_t pages[2] = { palloc_pfn(palloc(1)), palloc_pfn(palloc(1)) };
    expect(range != NULL && pages[0] != 0 && pages[1] != 0);
    uintptr_t at = (uintptr_t)range, code = at + PAGE_SIZE;
    expect_equal(paging_map(&kernel->tables, at, pages[0], 1, PAGE_USER | PAGE_WRITE), 0);
    expect_equal(paging_map(&kernel->tables, code, pages[1], 1, PAGE_USER | PAGE_EXECUTE), 0);
    expect(faults(read_byte, at));
    expect_page_fault(at, TRAP_PAGE_PRESENT);
    expect(faults(call, code));
    expect_page_fault(code, TRAP_PAGE_PRESENT | TRAP_PAGE_FETCH);
    vfree(page_number(at), 2);
    pfree(pages[0], 1);
    pfree(pages[1], 1);
}

TEST(nothing_is_mapped_at_low_addresses_of_the_kernel) {
    expect(faults(read_byte, 0));
    expect_page_fault(0, 0);
    expect(faults(read_byte, 0x100000));
    expect_page_fault(0x100000, 0);
    struct paging *tables = &context_kernel()->tables;
    expect_equal(paging_count(tables, 0, (size_t)0x80000000 >> PAGE_SHIFT), 0);
}

TEST(frame_view_shows_no_kernel_code_and_runs_nothing) {
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, (uintptr_t)read_byte, &entry));
    if (arch_view_slots() == 0) {
        uintptr_t seen = (uintptr_t)arch_frame_open(entry.pfn);
        expect(faults(read_byte, seen));
        expect_page_fault(seen, 0);
    }
    pfn_t page = palloc_pfn(palloc(1));
    expect(page != 0);
    void *view = arch_frame_open(page);
    *(volatile char *)view = '\xc3';
    bool faulted = !arch_features.no_execute || faults(call, (uintptr_t)view);
    arch_frame_close(view);
    pfree(page, 1);
    expect(faulted);
}

TEST(write_protection_holds_in_ring_0_and_the_processor_bits_are_on) {
    expect(cpu_cr0() & CR0_WRITE_PROTECT);
    expect(!arch_features.smep || (cpu_cr4() & CR4_SMEP));
    expect(!arch_features.smap || (cpu_cr4() & CR4_SMAP));
    expect(!arch_features.umip || (cpu_cr4() & CR4_UMIP));
    expect(!(cpu_cr4() & CR4_FSGSBASE));
}

TEST(two_contexts_show_their_own_pages_at_one_address) {
    struct context *a = context_create("a"), *b = context_create("b");
    expect(a != NULL && b != NULL);
    struct valloc_options there = { .address = GEOMETRY_TASK_FIRST + 0x100000, .fixed = true };
    void *in_a, *in_b;
    expect_equal(pvalloc_with(a, 1, &there, &in_a), 0);
    expect_equal(pvalloc_with(b, 1, &there, &in_b), 0);
    struct paging_entry entry_a, entry_b;
    expect(in_a == in_b && paging_find(&a->tables, (uintptr_t)in_a, &entry_a) &&
           paging_find(&b->tables, (uintptr_t)in_b, &entry_b));
    expect(entry_a.pfn != entry_b.pfn);
    context_destroy(a);
    context_destroy(b);
}

TEST(kernel_text_can_not_be_made_writable_under_another_address) {
    struct context *kernel = context_kernel();
    struct paging_entry text, data;
    static char bytes[16];
    expect(paging_find(&kernel->tables, (uintptr_t)write_byte, &text) &&
           paging_find(&kernel->tables, (uintptr_t)bytes, &data));
    char *range = valloc(1, kernel);
    expect(range != NULL);
    expect_equal(paging_map(&kernel->tables, (uintptr_t)range, text.pfn, 1, PAGE_WRITE), ERR_REFUSED);
    expect_equal(paging_map(&kernel->tables, (uintptr_t)range, data.pfn, 1, PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(paging_map(&kernel->tables, (uintptr_t)range, text.pfn, 1, PAGE_EXECUTE), 0);
    vfree(page_number((uintptr_t)range), 1);
}
