/* user_switch(save, load): C keeps RBX, RBP and R12 to R15 over a call, so these and the return address are all that a
 * stack must hold. Both stacks are in the kernel's tables, which are loaded throughout. */
    .text
    .global user_switch
user_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

    .section .note.GNU-stack, "", @progbits
