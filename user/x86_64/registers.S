/* Fills every register with a struct machine_run's values, does something that must not change them, and notes what
 * is found. The stack pointer is a value like the others meanwhile: nothing may be pushed on it. Flags are read and
 * written on the C stack, so that direction and alignment check are set in between. */
#define SET       0
#define FOUND     144
#define FPU_SET   288
#define FPU_FOUND 800
#define FPU_OWN   1312
#define ROUNDS    1824
#define DI_WORD   40
#define SP_WORD   56
#define FLAGS_WORD 128

    .macro LOAD
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, c_stack(%rip)
    mov %rdi, run(%rip)
    mov ROUNDS(%rdi), %rax
    mov %rax, rounds(%rip)
    fxsave FPU_OWN(%rdi)
    fxrstor FPU_SET(%rdi)
    pushq SET + FLAGS_WORD(%rdi)
    popfq
    mov SET + 0(%rdi), %rax
    mov SET + 8(%rdi), %rbx
    mov SET + 16(%rdi), %rcx
    mov SET + 24(%rdi), %rdx
    mov SET + 32(%rdi), %rsi
    mov SET + 48(%rdi), %rbp
    mov SET + SP_WORD(%rdi), %rsp
    mov SET + 64(%rdi), %r8
    mov SET + 72(%rdi), %r9
    mov SET + 80(%rdi), %r10
    mov SET + 88(%rdi), %r11
    mov SET + 96(%rdi), %r12
    mov SET + 104(%rdi), %r13
    mov SET + 112(%rdi), %r14
    mov SET + 120(%rdi), %r15
    mov SET + DI_WORD(%rdi), %rdi
    .endm

    .macro STORE_AND_RETURN
    mov %rsp, found_stack(%rip)
    mov c_stack(%rip), %rsp
    pushfq
    push %rdi
    mov run(%rip), %rdi
    mov %rax, FOUND + 0(%rdi)
    mov %rbx, FOUND + 8(%rdi)
    mov %rcx, FOUND + 16(%rdi)
    mov %rdx, FOUND + 24(%rdi)
    mov %rsi, FOUND + 32(%rdi)
    mov %rbp, FOUND + 48(%rdi)
    mov %r8, FOUND + 64(%rdi)
    mov %r9, FOUND + 72(%rdi)
    mov %r10, FOUND + 80(%rdi)
    mov %r11, FOUND + 88(%rdi)
    mov %r12, FOUND + 96(%rdi)
    mov %r13, FOUND + 104(%rdi)
    mov %r14, FOUND + 112(%rdi)
    mov %r15, FOUND + 120(%rdi)
    popq FOUND + DI_WORD(%rdi)
    popq FOUND + FLAGS_WORD(%rdi)
    pushq $2
    popfq
    mov found_stack(%rip), %rax
    mov %rax, FOUND + SP_WORD(%rdi)
    fxsave FPU_FOUND(%rdi)
    fxrstor FPU_OWN(%rdi)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .endm

    .text
    .global machine_spin
machine_spin:
    LOAD
1:  decq rounds(%rip)
    jnz 1b
    STORE_AND_RETURN

    .global machine_call
machine_call:
    LOAD
    syscall
    STORE_AND_RETURN

    .bss
    .balign 8
c_stack:
    .skip 8
found_stack:
    .skip 8
run:
    .skip 8
rounds:
    .skip 8

    .section .note.GNU-stack, "", @progbits
