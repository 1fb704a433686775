/* What the entry code of both widths keeps between two traps. The theory stands in trap.S. */
#include <arch/x86/window.h>
#include <base/string.h>
#include <base/ul_visible.h>

UL_VISIBLE("percpu") struct window_processor window_processor __attribute__((aligned(4096)));

_Static_assert(offsetof(struct window_processor, kernel_root) == WINDOW_KERNEL_ROOT, "window_offsets.h");
_Static_assert(offsetof(struct window_processor, kernel_stack) == WINDOW_KERNEL_STACK, "window_offsets.h");
_Static_assert(offsetof(struct window_processor, task_root) == WINDOW_TASK_ROOT, "window_offsets.h");
_Static_assert(offsetof(struct window_processor, user_sp) == WINDOW_USER_SP, "window_offsets.h");
_Static_assert(offsetof(struct window_processor, found_stacks) == WINDOW_FOUND_STACKS, "window_offsets.h");

void window_kernel(pfn_t root) {
    window_processor.kernel_root = pfn_to_phys(root);
}

void window_task(pfn_t root, uintptr_t kernel_stack_top) {
    memset(window_processor.stacks, 0, sizeof(window_processor.stacks));
    window_processor.user_sp = 0;
    window_processor.task_root = pfn_to_phys(root);
    window_processor.kernel_stack = kernel_stack_top;
}
