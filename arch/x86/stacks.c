#include <arch/x86/stacks.h>

struct kernel_stack kernel_stacks[LAYOUT_STACKS] __attribute__((section(".bss.stacks"), aligned(4096)));

static const char *const names[] = { "boot stack", "double fault stack", "NMI stack", "machine check stack",
                                     "debug stack" };

/* The stack whose guard or bytes hold the address, or -1. */
static int find(uintptr_t address) {
    uintptr_t offset = address - (uintptr_t)kernel_stacks;
    return offset < sizeof(kernel_stacks) ? (int)(offset / sizeof(struct kernel_stack)) : -1;
}

static bool in_guard(uintptr_t address) {
    return (address - (uintptr_t)kernel_stacks) % sizeof(struct kernel_stack) < PAGE_SIZE;
}

static stack_finder *others;

void stack_set_finder(stack_finder *finder) {
    others = finder;
}

bool stack_holds(uintptr_t address) {
    return (find(address) >= 0 && !in_guard(address)) || (others != NULL && others(address, false) != NULL);
}

const char *stack_guarded_by(uintptr_t address) {
    int stack = find(address);
    if (stack >= 0 && in_guard(address))
        return names[stack];
    return others != NULL ? others(address, true) : NULL;
}
