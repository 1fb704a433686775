#include <mem/audit.h>
#include <mem/nodes.h>
#include <tests/host/machine.h>
#include <tests/test.h>

static void *pages[NODES_PAGES];

/* Their address space ends before the machine's RAM does. */
TEST(nodes_refuse_a_page_when_their_address_space_is_full_and_change_nothing) {
    machine_boot(machine_list[2].entries, machine_list[2].count);
    uint64_t empty = audit_hash();
    for (size_t i = 0; i < NODES_PAGES; i++)
        expect((pages[i] = nodes_source.take()) != NULL);
    uint64_t full = audit_hash();
    expect(nodes_source.take() == NULL);
    expect(audit_hash() == full);
    nodes_source.give(pages[777]);
    expect(nodes_source.take() == pages[777]);
    expect_panic("nodes: * is no page of ours", nodes_source.give((char *)pages[0] - PAGE_SIZE));
    for (size_t i = 0; i < NODES_PAGES; i++)
        nodes_source.give(pages[i]);
    expect(audit_hash() == empty);
    expect_panic("nodes: * is no page of ours", nodes_source.give(pages[0]));
}
