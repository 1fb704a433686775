/* Entry and exit of all 256 vectors.
 *
 * A stub makes every frame look the same: the processor pushes an error code for some exceptions only (SDM volume 3A,
 * table 6-1), for the others it pushes 0; then the vector. The common part saves the whole interrupted state as struct
 * trap_frame has it. The processor aligned the stack to 16 before its own pushes, 5 words; with error, vector and 15
 * registers it is aligned again at the call.
 *
 * Flags: the gate cleared IF and TF; the popfq clears DF, which C counts on, NT, which IRET would choke on, and AC,
 * which ring 3 may set and which would void SMAP. Segments need no loading in 64-bit mode. */
#include <layout.h>

    .section .text, "ax"
    .balign 16
    .global trap_entries
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || \
        (vector == 30))
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    vector = vector + 1
    .endr

    .balign 16
trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    pushq $2
    popfq
    mov %rsp, %rdi
    call trap_dispatch
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
