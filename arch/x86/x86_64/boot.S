/* From the loader's hands to C in long mode.
 *
 * Multiboot 2 and PVH both enter in 32-bit protected mode, flat segments, paging off, EBX the physical address of their
 * data; Multiboot 2 has its magic number in EAX, PVH has an entry of its own. There is no Multiboot 1 header, since
 * QEMU tries that first and then refuses a 64-bit ELF.
 *
 * Throw-away tables, none of which outlive the memory manager's start:
 *
 *     virtual 0 to 4 GiB       -> physical 0 to 4 GiB   pages of 2 MiB: the loader's data is read where it is
 *     image home, 1 GiB        -> physical 0 to 1 GiB   the same directory
 *     the last 2 MiB           -> the UL_VISIBLE window, wherever in the image it was loaded
 *
 * EBP keeps the magic number and ESI the address until C has them. */
#include <layout.h>
#include <arch/x86/early.inc>
#include <xen/elfnote.h>

/* Not from the header <xen/arch-x86/hvm/start_info.h>, which is C: XEN_HVM_START_MAGIC_VALUE. */
#define PVH_MAGIC 0x336ec578

#define PAGES_2M  0x83 /* present, write, large */
#define TABLE     0x03 /* present, write */

    .section .headers, "a"
    MULTIBOOT2_HEADER

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad EARLY(pvh_entry)

    .section .text, "ax"
    .code32
    .global boot_entry
pvh_entry:
    mov $PVH_MAGIC, %eax
boot_entry:
    cli
    cld
    mov %eax, %ebp
    mov $EARLY(kernel_stacks + 4096 + LAYOUT_STACK_BYTES), %esp
    push %ebx
    EARLY_CPUID_PRESENT no_long_mode

    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb early_refuse
    mov $0x80000001, %eax
    cpuid
    test $(1 << 29), %edx
    jz early_refuse
    pop %esi

    mov $EARLY(early_directories), %edi
    mov $PAGES_2M, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b

    movl $EARLY(early_directories + 0x0000 + TABLE), EARLY(early_low + 0)
    movl $EARLY(early_directories + 0x1000 + TABLE), EARLY(early_low + 8)
    movl $EARLY(early_directories + 0x2000 + TABLE), EARLY(early_low + 16)
    movl $EARLY(early_directories + 0x3000 + TABLE), EARLY(early_low + 24)
    movl $EARLY(early_directories + 0x0000 + TABLE), EARLY(early_high + 510 * 8)
    movl $EARLY(early_low + TABLE), EARLY(early_root)
    movl $EARLY(early_high + TABLE), EARLY(early_root + 511 * 8)

    movl $EARLY(early_window + TABLE), EARLY(early_window_directory + 511 * 8)
    movl $EARLY(early_window_directory + TABLE), EARLY(early_high + 511 * 8)
    mov $EARLY(early_window), %edi
    mov $image_window_physical + TABLE, %eax
    mov $image_window_pages, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x1000, %eax
    loop 1b

    /* PAE, the root, long mode enable, then paging: the order of SDM volume 3A, 9.8.5. */
    mov %cr4, %eax
    or $(1 << 5), %eax
    mov %eax, %cr4
    mov $EARLY(early_root), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $(1 << 8), %eax
    wrmsr
    mov %cr0, %eax
    or $(1 << 31), %eax
    mov %eax, %cr0
    lgdt EARLY(early_gdt_pointer)
    ljmp $LAYOUT_CODE_SELECTOR, $EARLY(.Llong_mode)

    .code64
.Llong_mode:
    mov $LAYOUT_DATA_SELECTOR, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %ebp, %edi
    mov %esi, %esi
    xor %ebp, %ebp
    mov $(kernel_stacks + 4096 + LAYOUT_STACK_BYTES), %rsp
    mov $.Lhigh, %rax
    jmp *%rax
.Lhigh:
    call boot_main
    ud2

    .code32
    EARLY_REFUSE

    .section .rodata, "a"
no_long_mode:
    .asciz "xelix-mm: this processor has no long mode; a 64-bit kernel can't run on it.\r\n"
    .balign 8
early_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* code: 64-bit, ring 0 */
    .quad 0x00cf93000000ffff            /* data */
early_gdt_pointer:
    .word 23
    .long EARLY(early_gdt)

    .bss
    .balign 4096
early_root:
    .skip 4096
early_low:
    .skip 4096
early_high:
    .skip 4096
early_window_directory:
    .skip 4096
early_window:
    .skip 4096
early_directories:
    .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
