/* From a Multiboot 1 loader (32-bit protected mode, paging off, EBX the physical address of its data) to C with PAE
 * paging, the first GiB mapped where it is. All four top entries are present from the start: the processor loads them
 * with CR3 only, so the library doesn't change them. */
    .section .headers, "a"
    .balign 4
    .long 0x1badb002, 3, -(0x1badb002 + 3) /* page-aligned modules, memory map */

    .text
    .global start
start:
    cli
    cld
    mov $boot_directories, %edi
    mov $0x83, %eax                     /* present, write, 2 MiB */
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    movl $(boot_directories + 0x0001), boot_root
    movl $(boot_directories + 0x1001), boot_root + 8
    movl $(boot_directories + 0x2001), boot_root + 16
    movl $(boot_directories + 0x3001), boot_root + 24

    mov %cr4, %eax
    or $(1 << 5), %eax                  /* PAE */
    mov %eax, %cr4
    mov $boot_root, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $(1 << 31), %eax                 /* paging */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $1f
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $boot_stack_end, %esp
    xor %ebp, %ebp
    sub $12, %esp
    push %ebx
    call kernel_start
    ud2

    .balign 16
    .global trap_entries
trap_entries:
    vector = 0
    .rept 32
    .balign 16
    mov $vector, %eax
    jmp trap_common
    vector = vector + 1
    .endr
trap_common:                            /* nothing is saved: no trap of this kernel returns */
    cld
    and $-16, %esp
    sub $12, %esp
    push %eax
    call trap
    ud2

    .section .rodata
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
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
boot_root:                              /* 32 bytes are used, but a page has one owner */
    .skip 4096
boot_directories:
    .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
