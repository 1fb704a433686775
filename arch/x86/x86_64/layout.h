/* arch/x86/x86_64/layout.h - addresses that the boot code chooses. Read by the assembler too: plain numbers only. */
#ifndef LAYOUT_H
#define LAYOUT_H

/* Physical address p of the image is at this + p: the top 2 GiB, which 32-bit relocations reach (-mcmodel=kernel). */
#define LAYOUT_IMAGE_HOME 0xffffffff80000000

/* The boot code's tables show physical pages below this one at their own address. */
#define LAYOUT_EARLY_PAGES 0x100000

/* The memory manager's: the upper half but for its last 512 GiB entry, in which the image lives. */
#define LAYOUT_SPACE_FIRST 0xffff800000000000
#define LAYOUT_SPACE_END   0xffffff0000000000

/* The UL_VISIBLE window: the last 2 MiB, at the same address in every context. */
#define LAYOUT_WINDOW 0xffffffffffe00000

/* Stacks in the image, arch/x86/stacks.h: boot, double fault, NMI, machine check, debug. */
#define LAYOUT_STACKS      5
#define LAYOUT_STACK_BYTES 0x4000

#define LAYOUT_CODE_SELECTOR 0x08
#define LAYOUT_DATA_SELECTOR 0x10

/* Ring 3's, its privilege level included; and the vector of its system calls, which no gate has: SYSCALL has its own
 * entry. */
#define LAYOUT_USER_DATA_SELECTOR 0x2b
#define LAYOUT_USER_CODE_SELECTOR 0x33
#define LAYOUT_SYSCALL_VECTOR     0x100

#endif
