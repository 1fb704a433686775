/* arch/x86/stacks.h - the kernel stacks that the image holds, each above a guard page.
 *
 * Layer: arch. The guard pages are part of the image and are left out when the final tables are made: an overflow
 * faults there instead of running into a neighbour. Context: any. */
#ifndef ARCH_X86_STACKS_H
#define ARCH_X86_STACKS_H

#include <base/types.h>
#include <layout.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kernel_stack {
    uint8_t guard[PAGE_SIZE];
    uint8_t bytes[LAYOUT_STACK_BYTES];
};

enum stack_use { STACK_BOOT, STACK_DOUBLE_FAULT, STACK_NMI, STACK_MACHINE_CHECK, STACK_DEBUG };

extern struct kernel_stack kernel_stacks[LAYOUT_STACKS];

/* Where a push goes first. */
static inline uintptr_t stack_top(enum stack_use use) {
    return (uintptr_t)&kernel_stacks[use] + sizeof(struct kernel_stack);
}

/* Kernel stacks that somebody else has, each above a guard page too: the name of the one whose bytes, or with `guard`
 * whose guard page, hold the address; NULL. Called from reports, in any context. */
typedef const char *stack_finder(uintptr_t address, bool guard);
void stack_set_finder(stack_finder *finder);

/* The address lies in one of the stacks, guard pages not counted. */
bool stack_holds(uintptr_t address);

/* The name of the stack whose guard page the address lies in, or NULL. */
const char *stack_guarded_by(uintptr_t address);

#ifdef __cplusplus
}
#endif
#endif
