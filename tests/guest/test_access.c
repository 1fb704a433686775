/* arch/x86/access.h against this processor, in ring 0: all rights of a leaf and of the entry above it, all control bits
 * that can be changed under a running kernel (EFER.NXE can't: its own entries would become reserved), all accesses. */
#include <arch/x86/access.h>
#include <arch/x86/cpu.h>
#include <arch/x86/processor.h>
#include <arch/x86/trap.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <tests/test.h>

enum { TABLE_PAGES = 512, RETURN = 0xc3 };

static void *fault_point[5];
static int fault_code;

static bool note_fault(struct trap_frame *frame) {
    fault_code = frame->vector == TRAP_PAGE ? (int)frame->error : -2;
    trap_test_hook = NULL;
    __builtin_longjmp(fault_point, 1);
}

static __attribute__((noinline)) void touch(uintptr_t address, enum access_kind kind) {
    if (kind == ACCESS_READ)
        (void)*(volatile const char *)address;
    else if (kind == ACCESS_WRITE)
        *(volatile char *)address = (char)RETURN;
    else
        ((void (*)(void))address)();
}

/* ACCESS_ALLOWED, or the error code that came. */
static __attribute__((noinline)) int attempt(uintptr_t address, volatile enum access_kind kind, volatile bool check) {
    fault_code = ACCESS_ALLOWED;
    trap_test_hook = note_fault;
    if (__builtin_setjmp(fault_point) == 0) {
        if (check)
            __asm__ volatile("stac" : : : "memory", "cc");
        touch(address, kind);
    }
    __asm__ volatile("clac" : : : "memory", "cc");
    trap_test_hook = NULL;
    return fault_code;
}

static void swap_entry(pfn_t table, unsigned index, arch_entry_t entry) {
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
    arch_entry_write(&entries[index], entry);
    arch_frame_close(entries);
}

static arch_entry_t entry_at(pfn_t table, unsigned index) {
    arch_entry_t *entries = (arch_entry_t *)arch_frame_open(table);
    arch_entry_t entry = arch_entry_read(&entries[index]);
    arch_frame_close(entries);
    return entry;
}

static unsigned index_at(uintptr_t address, unsigned level) {
    unsigned bits = level == GEOMETRY_LEVELS - 1 ? GEOMETRY_TOP_BITS : GEOMETRY_INDEX_BITS;
    return (unsigned)(address >> (PAGE_SHIFT + GEOMETRY_INDEX_BITS * level)) & ((1u << bits) - 1);
}

/* Bit 0 present, 1 write, 2 user, 3 no-execute. */
static arch_entry_t with_rights(arch_entry_t entry, unsigned rights) {
    return (entry & PTE_PFN_MASK) | (rights & 7) | (rights & 8 ? PTE_NO_EXECUTE : 0);
}

static struct access_mode enter(unsigned number) {
    struct access_mode mode = { .no_execute = true,
                                .write_protect = (number & 1) != 0,
                                .smep = (number & 2) != 0,
                                .smap = (number & 4) != 0,
                                .alignment_check = (number & 8) != 0 };
    uintptr_t cr0 = cpu_cr0() & ~CR0_WRITE_PROTECT, cr4 = cpu_cr4() & ~(CR4_SMEP | CR4_SMAP);
    cpu_set_cr0(cr0 | (mode.write_protect ? CR0_WRITE_PROTECT : 0));
    cpu_set_cr4(cr4 | (mode.smep ? CR4_SMEP : 0) | (mode.smap ? CR4_SMAP : 0));
    return mode;
}

TEST(access_model_and_processor_agree_on_every_combination_in_ring_0) {
    if (!arch_features.smap || !arch_features.smep || !arch_features.no_execute)
        test_skip("this processor has no NX, SMEP or SMAP");
    char *range = valloc((size_t)2 * TABLE_PAGES, context_kernel());
    pfn_t page = palloc_pfn(palloc(1)), table = arch_root();
    expect(range != NULL && page != 0);
    uintptr_t at = ((uintptr_t)range + ARCH_VIEW_ALIGN - 1) & ~(uintptr_t)(ARCH_VIEW_ALIGN - 1);
    expect_equal(paging_map(&context_kernel()->tables, at, page, 1, PAGE_WRITE), 0);
    *(volatile char *)at = (char)RETURN;
    for (unsigned level = GEOMETRY_LEVELS - 1; level > 1; level--)
        table = arch_entry_pfn(entry_at(table, index_at(at, level)));
    unsigned index = index_at(at, 1), different = 0, faulted = 0;
    arch_entry_t upper = entry_at(table, index), leaf = entry_at(arch_entry_pfn(upper), 0);
    uintptr_t cr0 = cpu_cr0(), cr4 = cpu_cr4();
    for (unsigned number = 0; number < 16u * 16 * 16 * 3; number++) {
        enum access_kind kind = (enum access_kind)(number % 3);
        arch_entry_t entries[2] = { with_rights(upper, number / 3 & 15), with_rights(leaf, number / 48 & 15) };
        swap_entry(table, index, entries[0]);
        swap_entry(arch_entry_pfn(upper), 0, entries[1]);
        struct access_mode mode = enter(number / 768);
        cpu_invalidate_page(at);
        int is = attempt(at, kind, mode.alignment_check);
        different += is != access_judge(entries, 2, kind, mode);
        faulted += is != ACCESS_ALLOWED;
    }
    cpu_set_cr0(cr0);
    cpu_set_cr4(cr4);
    swap_entry(table, index, upper);
    swap_entry(arch_entry_pfn(upper), 0, leaf);
    cpu_invalidate_page(at);
    vfree(page_number((uintptr_t)range), (size_t)2 * TABLE_PAGES);
    pfree(page, 1);
    expect_equal(different, 0);
    expect(faulted > 0 && faulted < 16u * 16 * 16 * 3);
}
