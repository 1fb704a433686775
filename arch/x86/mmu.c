/* CR3 and what it makes the processor forget.
 *
 * A load of CR3 drops every translation but the global ones, and the caches of upper tables (SDM volume 3A, 4.10.4.1).
 * INVLPG drops one page's, global or not, and all caches of upper tables of the loaded root. On PAE the load also reads
 * the four top entries anew, which nothing else does. A root that isn't loaded here has nothing cached here, as there
 * are no PCIDs. */
#include <arch/arch.h>
#include <arch/x86/cpu.h>

arch_entry_t arch_no_execute;

void arch_root_load(pfn_t root) {
    cpu_set_cr3((uintptr_t)pfn_to_phys(root));
}

pfn_t arch_root(void) {
    return (pfn_t)(cpu_cr3() >> PAGE_SHIFT);
}

void arch_flush(pfn_t root, uintptr_t address, size_t pages) {
    if (root != arch_root())
        return;
    if (pages > ARCH_FLUSH_SINGLE) {
        arch_root_load(root);
        return;
    }
    for (size_t i = 0; i < pages; i++)
        cpu_invalidate_page(address + i * PAGE_SIZE);
}
