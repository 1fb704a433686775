/* Heap and leases against the pretend processor: what its TLB still holds, and what a program in ring 3 sees. */
#include <arch/host/mmu.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>
#include <mem/valloc.h>
#include <tests/host/machine.h>
#include <tests/test.h>

static void set_up(void) {
    machine_boot(machine_list[0].entries, machine_list[0].count);
}

static void use_heap_at_random(struct test_random *random, char **blocks, uint32_t count) {
    for (int step = 0; step < 1000; step++) {
        char **block = &blocks[test_random_below(random, count)];
        size_t bytes = test_random_below(random, (uint32_t)1 << test_random_below(random, 18));
        *block = (char *)krealloc(*block, bytes);
        expect(*block != NULL);
        memset(*block, step, bytes);
    }
}

TEST(the_heap_leaves_no_stale_translation) {
    set_up();
    struct test_random random = { 11 };
    char *blocks[32] = { NULL };
    for (int round = 0; round < 4; round++) {
        use_heap_at_random(&random, blocks, 32);
        mmu_audit();
        for (int i = 0; i < 32; i++) {
            kfree(blocks[i]);
            blocks[i] = NULL;
        }
        kmalloc_trim();
        mmu_audit();
    }
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    expect_equal(stats.pages, 0);
    audit_all();
}

TEST(a_closed_lease_leaves_no_stale_translation) {
    set_up();
    struct context *task = context_create("task");
    uintptr_t memory = (uintptr_t)pvalloc(3, task);
    struct lease *lease;
    for (int round = 0; round < 20; round++) {
        enum lease_access access = round % 2 == 0 ? LEASE_WRITE : LEASE_READ;
        expect_equal(lease_open(task, memory + 50, 2 * PAGE_SIZE, access, &lease), 0);
        volatile char *bytes = (volatile char *)lease->info.pointer;
        for (size_t i = 0; i < 2 * PAGE_SIZE; i += 100)
            expect_equal(bytes[i], round > 0 ? (round - 1) / 2 + 1 : 0);
        for (size_t i = 0; access == LEASE_WRITE && i < 2 * PAGE_SIZE; i++)
            bytes[i] = (char)(round / 2 + 1);
        lease_close(lease);
        mmu_audit();
    }
    context_destroy(task);
    mmu_audit();
}

TEST(task_and_kernel_see_each_others_bytes_through_a_lease) {
    set_up();
    struct context *task = context_create("task");
    uintptr_t memory = (uintptr_t)pvalloc(2, task);
    pfn_t root = task->tables.root;
    struct lease *lease;
    char seen[32];
    expect(mmu_write(root, memory + 4090, "across two pages", 17, true));
    expect_equal(lease_open(task, memory + 4090, 17, LEASE_WRITE, &lease), 0);
    char *bytes = (char *)lease->info.pointer;
    expect(memcmp(bytes, "across two pages", 17) == 0);
    memcpy(bytes, "written in place", 17);
    expect(mmu_read(root, memory + 4090, seen, 17, true) && memcmp(seen, "written in place", 17) == 0);
    expect(!mmu_read(root, (uintptr_t)bytes, seen, 1, true));
    expect_equal(pvfree_in(task, page_number(memory), 2), 0);
    expect(!mmu_read(root, memory + 4090, seen, 1, true));
    expect(memcmp(bytes, "written in place", 17) == 0);
    lease_close(lease);
    context_destroy(task);
    audit_all();
}

TEST(a_task_reads_no_byte_of_the_heap) {
    set_up();
    struct context *task = context_create("task");
    char *block = (char *)zmalloc(1000);
    char byte;
    expect(mmu_read(context_kernel()->tables.root, (uintptr_t)block, &byte, 1, false));
    expect(!mmu_read(context_kernel()->tables.root, (uintptr_t)block, &byte, 1, true));
    expect(!mmu_read(task->tables.root, (uintptr_t)block, &byte, 1, false));
    kfree(block);
    context_destroy(task);
}
