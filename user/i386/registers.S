/* Fills every register with a struct machine_run's values, does something that must not change them, and notes what
 * is found. The stack pointer is a value like the others meanwhile: nothing may be pushed on it. Flags are read and
 * written on the C stack, so that direction and alignment check are set in between. DS and ES may be null: memory is
 * reached by SS then. GS is the C library's. */
#define SET       0
#define FOUND     48
#define FPU_SET   96
#define FPU_FOUND 608
#define FPU_OWN   1120
#define ROUNDS    1632
#define DI_WORD   20
#define SP_WORD   28
#define FLAGS_WORD 32
#define DS_WORD   36
#define ES_WORD   40

    .macro LOAD
    push %ebx
    push %ebp
    push %esi
    push %edi
    mov 20(%esp), %edi
    mov %esp, c_stack
    mov %edi, run
    mov ROUNDS(%edi), %eax
    mov %eax, rounds
    fxsave FPU_OWN(%edi)
    fxrstor FPU_SET(%edi)
    pushl SET + FLAGS_WORD(%edi)
    popfl
    mov SET + ES_WORD(%edi), %es
    mov SET + DS_WORD(%edi), %ds
    mov %ss:SET + 0(%edi), %eax
    mov %ss:SET + 4(%edi), %ebx
    mov %ss:SET + 8(%edi), %ecx
    mov %ss:SET + 12(%edi), %edx
    mov %ss:SET + 16(%edi), %esi
    mov %ss:SET + 24(%edi), %ebp
    mov %ss:SET + SP_WORD(%edi), %esp
    mov %ss:SET + DI_WORD(%edi), %edi
    .endm

    .macro STORE_AND_RETURN
    mov %esp, %ss:found_stack
    mov %ss:c_stack, %esp
    pushfl
    push %edi
    push %es
    push %ds
    push %ss
    pop %ds
    push %ss
    pop %es
    mov run, %edi
    mov %eax, FOUND + 0(%edi)
    mov %ebx, FOUND + 4(%edi)
    mov %ecx, FOUND + 8(%edi)
    mov %edx, FOUND + 12(%edi)
    mov %esi, FOUND + 16(%edi)
    mov %ebp, FOUND + 24(%edi)
    pop %eax
    movzwl %ax, %eax
    mov %eax, FOUND + DS_WORD(%edi)
    pop %eax
    movzwl %ax, %eax
    mov %eax, FOUND + ES_WORD(%edi)
    popl FOUND + DI_WORD(%edi)
    popl FOUND + FLAGS_WORD(%edi)
    pushl $2
    popfl
    mov found_stack, %eax
    mov %eax, FOUND + SP_WORD(%edi)
    fxsave FPU_FOUND(%edi)
    fxrstor FPU_OWN(%edi)
    pop %edi
    pop %esi
    pop %ebp
    pop %ebx
    ret
    .endm

    .text
    .global machine_spin
machine_spin:
    LOAD
1:  decl %ss:rounds
    jnz 1b
    STORE_AND_RETURN

    .global machine_call
machine_call:
    LOAD
    int $0x80
    STORE_AND_RETURN

    .bss
    .balign 4
c_stack:
    .skip 4
found_stack:
    .skip 4
run:
    .skip 4
rounds:
    .skip 4

    .section .note.GNU-stack, "", @progbits
