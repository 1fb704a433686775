/* arch/x86/early.h - what both widths' boot code shares: how it refuses a machine. For the assembler only.
 *
 * Before there are traps, a console or C: 32-bit code, paging off, linked high and running low, so that every symbol is
 * written as EARLY(symbol). */
#define EARLY(symbol) ((symbol) - LAYOUT_IMAGE_HOME)

/* COM1 at 115200 8N1, then the text at ESI there and in VGA's text memory; then out by isa-debug-exit, or stand still. The wait
 * for the line is bounded: a machine without the port reads as always ready or never. */
.macro EARLY_REFUSE
early_refuse:
    mov $EARLY(early_uart), %ebx
1:  movw (%ebx), %dx
    test %dx, %dx
    jz 2f
    movb 2(%ebx), %al
    out %al, %dx
    add $3, %ebx
    jmp 1b
2:  mov $0xb8000, %edi
3:  lodsb
    test %al, %al
    jz 5f
    mov $0x07, %ah
    stosw
    mov %al, %bl
    mov $100000, %ecx
    mov $0x3fd, %dx
4:  in %dx, %al
    test $0x20, %al
    loopz 4b
    mov $0x3f8, %dx
    mov %bl, %al
    out %al, %dx
    jmp 3b
5:  mov $1, %eax
    out %eax, $0xf4
    cli
    hlt
    jmp 5b

/* Port and value: divisor latch on, divisor 1, latch off and 8N1. */
early_uart:
    .word 0x3fb
    .byte 0x80
    .word 0x3f8
    .byte 1
    .word 0x3f9
    .byte 0
    .word 0x3fb
    .byte 3
    .word 0
.endm

/* Leaves the text in ESI for whatever is asked next, and refuses with it if there is no CPUID: then bit 21 of EFLAGS can't
 * be changed (SDM volume 2A, CPUID). */
.macro EARLY_CPUID_PRESENT text
    pushf
    pop %eax
    mov %eax, %ecx
    xor $0x200000, %eax
    push %eax
    popf
    pushf
    pop %eax
    mov $EARLY(\text), %esi
    cmp %eax, %ecx
    je early_refuse
.endm

/* The header that a Multiboot 2 loader looks for, written from the specification's section 3.1. */
.macro MULTIBOOT2_HEADER
    .balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0                             /* 32-bit protected mode */
    .long multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + 0 + (multiboot2_header_end - multiboot2_header))

    .balign 8                           /* information request: the memory map; the rest may be missing */
    .short 1, 0
    .long 12
    .long 6
    .balign 8                           /* framebuffer, optional: 1024 by 768 by 32 preferred */
    .short 5, 1
    .long 20
    .long 1024, 768, 32
    .balign 8                           /* modules start on a page */
    .short 6, 0
    .long 8
    .balign 8                           /* end */
    .short 0, 0
    .long 8
multiboot2_header_end:
.endm
