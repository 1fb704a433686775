/* From a PVH loader (32-bit protected mode, paging off, EBX the physical address of its data) to C in long mode, with
 * the first GiB mapped where it is. */
#include <xen/elfnote.h>

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad start

    .text
    .code32
    .global start
start:
    cli
    cld
    mov $boot_directory, %edi
    mov $0x83, %eax                     /* present, write, 2 MiB */
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    movl $(boot_directory + 3), boot_pointers
    movl $(boot_pointers + 3), boot_root

    mov %cr4, %eax
    or $(1 << 5), %eax                  /* PAE */
    mov %eax, %cr4
    mov $boot_root, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               /* EFER: long mode enable */
    rdmsr
    or $(1 << 8), %eax
    wrmsr
    mov %cr0, %eax
    or $(1 << 31), %eax                 /* paging */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $boot_stack_end, %rsp
    mov %ebx, %edi
    xor %ebp, %ebp
    call kernel_start
    ud2

    .balign 16
    .global trap_entries
trap_entries:
    vector = 0
    .rept 32
    .balign 16
    mov $vector, %edi
    jmp trap_common
    vector = vector + 1
    .endr
trap_common:                            /* nothing is saved: no trap of this kernel returns */
    cld
    and $-16, %rsp
    call trap
    ud2

    .section .rodata
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .long gdt

    .bss
    .balign 16
    .skip 16384
boot_stack_end:

    .section .tables, "aw", @nobits
    .balign 4096
    .global boot_root
boot_root:
    .skip 4096
boot_pointers:
    .skip 4096
boot_directory:
    .skip 4096

    .section .note.GNU-stack, "", @progbits
