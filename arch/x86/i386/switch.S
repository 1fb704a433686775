/* user_switch(save, load): C keeps EBX, EBP, ESI and EDI over a call, so these and the return address are all that a
 * stack must hold. Both stacks are in the kernel's tables, which are loaded throughout. */
    .text
    .global user_switch
user_switch:
    mov 4(%esp), %eax
    mov 8(%esp), %ecx
    push %ebp
    push %ebx
    push %esi
    push %edi
    mov %esp, (%eax)
    mov %ecx, %esp
    pop %edi
    pop %esi
    pop %ebx
    pop %ebp
    ret

    .section .note.GNU-stack, "", @progbits
