/* Frames seen through slots.
 *
 *     base                                                       base + SLOTS pages
 *     | processor 0: 0 1 2 3 | processor 1: 0 1 2 3 | ...        | the page table whose first entries these slots are |
 *
 * base is 2 MiB aligned, so slot i is entry i of that table, and the table maps itself as entry SLOTS.
 *
 *   V1  On each processor, slots 0 to depth - 1 are open, in the order of opening.
 *   V2  A slot is written only by its processor, so only that one has to forget the old translation.
 *   V3  depth moves before the entry on open, and after it on close: an interrupt between the two finds slots that are
 *       free for it and leaves them and depth as they were.
 *
 * Debug builds clear the entry on close, so that a late use faults; others leave it until the slot's next opening.
 * Until arch_view_start() the boot code's tables show low RAM at one offset, and opening is an addition.
 * Not done: slots kept across a reschedule; a caller that can be moved to another processor has interrupts off. */
#include <arch/arch.h>
#include <arch/x86/cpu.h>
#include <base/check.h>
#include <base/percpu.h>

enum { SLOTS = CONFIG_PROCESSORS * ARCH_VIEW_DEPTH };
_Static_assert(SLOTS < 512, "slots and their table share one page table");

struct processor_view {
    unsigned depth;
} PERCPU_ALIGNED;

static struct {
    uintptr_t early_base;
    pfn_t early_end;
    uintptr_t base; /* 0 until the slots are in use */
    arch_entry_t *table;
    struct processor_view processors[CONFIG_PROCESSORS];
} state;

void arch_view_early(uintptr_t base, pfn_t end) {
    state.early_base = base;
    state.early_end = end;
    state.base = 0;
}

size_t arch_view_bytes(pfn_t end) {
    (void)end;
    return (SLOTS + 1) * PAGE_SIZE;
}

void arch_view_start(uintptr_t base, pfn_t slot_table) {
    require(base % ARCH_VIEW_ALIGN == 0, "arch_view_start(0x%zx, page 0x%x): the base isn't 2 MiB aligned",
            (size_t)base, slot_table);
    state.table = (arch_entry_t *)(base + SLOTS * PAGE_SIZE);
    state.base = base;
}

size_t arch_view_slots(void) {
    return SLOTS;
}

static void *open_early(pfn_t pfn) {
    require(pfn < state.early_end, "arch_frame_open(page 0x%x): the boot code's view ends at page 0x%x", pfn,
            state.early_end);
    return (void *)(state.early_base + (uintptr_t)pfn_to_phys(pfn));
}

static void set_slot(unsigned slot, arch_entry_t entry) {
    arch_entry_write(&state.table[slot], entry);
    cpu_invalidate_page(state.base + slot * PAGE_SIZE);
}

static unsigned first_slot(void) {
    return port_processor() * ARCH_VIEW_DEPTH;
}

void *arch_frame_open(pfn_t pfn) {
    if (state.base == 0)
        return open_early(pfn);
    struct processor_view *mine = percpu_this(state.processors);
    require(mine->depth < ARCH_VIEW_DEPTH, "arch_frame_open(page 0x%x): %u views are open already", pfn, mine->depth);
    unsigned slot = first_slot() + mine->depth;
    __atomic_store_n(&mine->depth, mine->depth + 1, __ATOMIC_SEQ_CST);
    set_slot(slot, arch_make_entry(0, pfn, PAGE_WRITE));
    return (void *)(state.base + slot * PAGE_SIZE);
}

/* A view that was opened before the slots were in use is closed by nothing, whenever that happens. */
void arch_frame_close(void *view) {
    uintptr_t address = (uintptr_t)view & ~(PAGE_SIZE - 1);
    if (state.base == 0 || address < state.base || address >= state.base + SLOTS * PAGE_SIZE)
        return;
    struct processor_view *mine = percpu_this(state.processors);
    unsigned last = first_slot() + mine->depth - 1;
    if (CONFIG_DEBUG) {
        require(mine->depth > 0 && address == state.base + last * PAGE_SIZE,
                "arch_frame_close(%p): not the view opened last, %u are open", view, mine->depth);
        set_slot(last, 0);
    }
    __atomic_store_n(&mine->depth, mine->depth - 1, __ATOMIC_SEQ_CST);
}
