/* From the loader's hands to C with PAE paging on.
 *
 * Multiboot 1 and 2 both enter in 32-bit protected mode, flat segments, paging off, EAX their magic number, EBX the
 * physical address of their data. The loader's segments serve until C loads its own.
 *
 * Throw-away tables, none of which outlive the memory manager's start:
 *
 *     virtual 0 to 2 GiB       -> physical 0 to 2 GiB   pages of 2 MiB: the loader's data is read where it is
 *     image home, 1 GiB        -> physical 0 to 1 GiB   the same directory
 *     the last 2 MiB           -> the UL_VISIBLE window, wherever in the image it was loaded
 *
 * Top-level entries have the present bit only: the others are reserved there (SDM volume 3A, table 4-8).
 * EBP keeps the magic number and ESI the address until C has them. */
#define ASM_FILE 1
#include <layout.h>
#include <arch/x86/early.inc>
#include <multiboot/multiboot.h>

#define PAGES_2M  0x83 /* present, write, large */
#define TABLE     0x03 /* present, write */
#define TOP_ENTRY 0x01 /* present */

#define HEADER_FLAGS (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO)

    .section .headers, "a"
    .balign 4
    .long MULTIBOOT_HEADER_MAGIC, HEADER_FLAGS, -(MULTIBOOT_HEADER_MAGIC + HEADER_FLAGS)
    MULTIBOOT2_HEADER

    .section .text, "ax"
    .global boot_entry
boot_entry:
    cli
    cld
    mov %eax, %ebp
    mov $EARLY(kernel_stacks + 4096 + LAYOUT_STACK_BYTES), %esp
    push %ebx
    EARLY_CPUID_PRESENT no_pae

    mov $1, %eax
    cpuid
    test $(1 << 6), %edx
    jz early_refuse
    pop %esi

    mov $EARLY(early_directories), %edi
    mov $PAGES_2M, %eax
    mov $1024, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b

    movl $EARLY(early_directories + 0x0000 + TOP_ENTRY), EARLY(early_root + 0)
    movl $EARLY(early_directories + 0x1000 + TOP_ENTRY), EARLY(early_root + 8)
    movl $EARLY(early_directories + 0x0000 + TOP_ENTRY), EARLY(early_root + 16)

    movl $EARLY(early_window_directory + TOP_ENTRY), EARLY(early_root + 24)
    movl $EARLY(early_window + TABLE), EARLY(early_window_directory + 511 * 8)
    mov $EARLY(early_window), %edi
    mov $image_window_physical + TABLE, %eax
    mov $image_window_pages, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x1000, %eax
    loop 1b

    mov %cr4, %eax
    or $(1 << 5), %eax
    mov %eax, %cr4
    mov $EARLY(early_root), %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $(1 << 31), %eax
    mov %eax, %cr0
    mov $.Lhigh, %eax
    jmp *%eax
.Lhigh:
    mov %ebp, %eax
    xor %ebp, %ebp
    mov $(kernel_stacks + 4096 + LAYOUT_STACK_BYTES), %esp
    push %esi
    push %eax
    call boot_main
    ud2

    EARLY_REFUSE

    .section .rodata, "a"
no_pae:
    .asciz "xelix-mm: this processor has no PAE, without which no page is protected from execution.\r\n"

    .bss
    .balign 4096
early_directories:
    .skip 2 * 4096
early_window_directory:
    .skip 4096
early_window:
    .skip 4096
early_root:
    .skip 32

    .section .note.GNU-stack, "", @progbits
