/* All RAM at one offset, mapped by whoever builds the kernel's tables; here is only where. */
#include <arch/arch.h>
#include <base/bits.h>

uintptr_t arch_view_base;

void arch_view_early(uintptr_t base, pfn_t end) {
    (void)end;
    arch_view_base = base;
}

size_t arch_view_bytes(pfn_t end) {
    return (size_t)round_up(pfn_to_phys(end), ARCH_VIEW_ALIGN);
}

void arch_view_start(uintptr_t base, pfn_t slot_table) {
    (void)slot_table;
    arch_view_base = base;
}

size_t arch_view_slots(void) {
    return 0;
}
