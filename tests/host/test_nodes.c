#include <mem/audit.h>
#include <mem/init.h>
#include <mem/nodes.h>
#include <mem/palloc.h>
#include <tests/host/machine.h>
#include <tests/test.h>

static void *pages[NODES_PAGES];

/* Their address space ends before the machine's RAM does. */
TEST(nodes_refuse_a_page_when_their_address_space_is_full_and_change_nothing) {
    machine_boot(machine_list[2].entries, machine_list[2].count);
    uint64_t empty = audit_hash();
    size_t taken = 0;
    while (taken < NODES_PAGES && (pages[taken] = nodes_source.take()) != NULL)
        taken++;
    expect(taken > NODES_PAGES - 64); /* the manager itself has the others */
    struct palloc_stats stats;
    palloc_stats(&stats);
    expect(stats.free > 0);
    uint64_t full = audit_hash();
    expect(nodes_source.take() == NULL);
    expect(audit_hash() == full);
    nodes_source.give(pages[777]);
    expect(nodes_source.take() == pages[777]);
    expect_panic("nodes: * is no page of ours", nodes_source.give((void *)(mem_layout.nodes - PAGE_SIZE)));
    while (taken > 0)
        nodes_source.give(pages[--taken]);
    expect(audit_hash() == empty);
    expect_panic("nodes: * is no page of ours", nodes_source.give(pages[0]));
}
