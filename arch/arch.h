/* arch/arch.h - all that a machine supplies to mem/.
 *
 * Layer: above base/, below mem/. <geometry.h> and <view.h> are the machine's own files, chosen by the include path:
 * arch/x86/i386, arch/x86/x86_64, or for the tests arch/host together with the geometry of either width.
 * Nothing here calls back into mem/. */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <base/types.h>
#include <geometry.h>
#include <arch/x86/pte.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Translations ------------------------------------------------------------------------------------------------ */

/* Makes `root` the table that this processor translates by. All translations but global ones are forgotten. */
void arch_root_load(pfn_t root);
pfn_t arch_root(void);

/* Makes this processor forget whatever it may hold of root's translations of these pages, the upper tables on the way
 * included (SDM 4.10.4.1). Must come after the entry was changed and before the page behind it is used anew.
 * Cost: nothing if root isn't loaded; one INVLPG a page up to ARCH_FLUSH_SINGLE pages, else a load of CR3. */
void arch_flush(pfn_t root, uintptr_t address, size_t pages);
enum { ARCH_FLUSH_SINGLE = 32 };

/* --- The frame view ---------------------------------------------------------------------------------------------- */

/* Makes one page of RAM reachable: read and write, not execute. Views are closed in the reverse order of opening, at
 * most ARCH_VIEW_DEPTH are open on a processor, and none is kept across a reschedule. Interrupts may come while a view
 * is open; a handler that opens views closes them before it returns.
 * Cost: an addition on x86_64; an entry write and an INVLPG on i386.
 *
 *     void *arch_frame_open(pfn_t pfn);
 *     void arch_frame_close(void *view);                                                       (in <view.h>) */
enum { ARCH_VIEW_DEPTH = 4 };

/* Until arch_view_start(), the boot code's own tables serve: page p is at base + p * PAGE_SIZE for p < end. */
void arch_view_early(uintptr_t base, pfn_t end);

/* Kernel address space, in bytes, that the view needs on a machine whose RAM ends at page `end`; and its alignment. */
size_t arch_view_bytes(pfn_t end);
#define ARCH_VIEW_ALIGN ((size_t)2 << 20)

/* Switches to the final view at `base`. On a machine with a permanent view all RAM is mapped there by now; on one with
 * slots `slot_table` is the page table of the slots, and is itself mapped right behind them. */
void arch_view_start(uintptr_t base, pfn_t slot_table);

/* Slots that arch_view_bytes() counted: 0 with a permanent view. */
size_t arch_view_slots(void);

#ifdef __cplusplus
}
#endif

#include <view.h>

#endif
