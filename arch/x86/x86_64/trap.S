/* Entry and exit of all 256 vectors and of SYSCALL.
 *
 *     ring 3, task's tables                 ring 0, task's tables             ring 0, kernel's tables
 *     -------------------------------------------------------------------------------------------------------------
 *     trap      -> entry stack (TSS)   -> save all, CR3 = kernel's   -> frame copied to the task's kernel stack
 *     SYSCALL   -> entry stack (here)  -> the same                   -> ul_gate_user
 *     IRETQ     <- entry stack         <- CR3 = task's               <- frame copied to the entry stack
 *
 *     trap in ring 0                                                 -> saved on the stack in use, ul_gate_kernel
 *     NMI, machine check, debug, double fault, in ring 0:
 *       own entry stack (IST) -> save all, note CR3, CR3 = kernel's  -> frame copied to the vector's kernel stack,
 *                                                                       ul_gate_found, frame copied back, CR3 as noted
 *
 * This file is in the window, at one address in both worlds, and reaches only the window and the gates.
 *
 *   W1  With a task's tables loaded, nothing but the window is read or written in ring 0.
 *   W2  A trap from ring 3 finds the entry stack empty: interrupts are off from entry to exit, and nothing here
 *       faults. The exit can't either: whoever calls window_leave has seen to it that ip is canonical, cs and ss are
 *       ring 3's.
 *   W3  The four vectors that come in spite of W2 have stacks of their own, and if they came in ring 0, restore
 *       exactly the CR3 that they found: CS says nothing about the tables loaded. GS isn't used by the kernel at all,
 *       so there is no base to swap and to get wrong.
 *   W4  C runs on stacks that no task maps.
 *
 * Flags: a gate clears IF and TF, SYSCALL what SFMASK says; the popfq clears DF, which C counts on, NT, which IRET
 * would choke on, and AC, which ring 3 may set and which would void SMAP. It comes before the first string
 * instruction. Segments need no loading in 64-bit mode.
 *
 * Alignment: the processor aligned the stack to 16 before its own pushes, 5 words; with error, vector and 15 registers
 * it is aligned again at the calls. The entry stacks' tops are aligned too.
 *
 * Cost: two loads of CR3 and two copies of 22 words a trap from ring 3.
 * Not done: SYSRET, which is faster than IRETQ and restores less; PCIDs. */
#include <layout.h>
#include <arch/x86/window_offsets.h>

#define STUB_CS      24 /* behind vector, error and ip */
#define FRAME_VECTOR 120
#define FRAME_WORDS  22
#define FRAME_BYTES  (FRAME_WORDS * 8)

    .macro SAVE
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
    .endm

    .macro RESTORE_AND_RETURN
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
    .endm

    /* From RSI to RDI, which is kept in RDX. */
    .macro COPY_FRAME
    mov %rdi, %rdx
    mov $FRAME_WORDS, %ecx
    rep movsq
    .endm

    .section ul_visible_text, "ax"
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
    .if (vector == 1) || (vector == 2) || (vector == 8) || (vector == 18)
    jmp found
    .else
    jmp trap
    .endif
    vector = vector + 1
    .endr

    .balign 16
trap:
    testb $3, STUB_CS(%rsp)
    jnz from_user
    SAVE
    mov %rsp, %rdi
    call ul_gate_kernel
    RESTORE_AND_RETURN

    .global window_syscall
window_syscall:
    mov %rsp, window_processor + WINDOW_USER_SP(%rip)
    lea window_processor + WINDOW_ENTRY_STACK_TOP(%rip), %rsp
    pushq $LAYOUT_USER_DATA_SELECTOR
    pushq window_processor + WINDOW_USER_SP(%rip)
    push %r11
    pushq $LAYOUT_USER_CODE_SELECTOR
    push %rcx
    pushq $0
    pushq $LAYOUT_SYSCALL_VECTOR

    /* On the entry stack, or on an own one of the four vectors: this copies from wherever the frame is. */
from_user:
    SAVE
    mov window_processor + WINDOW_KERNEL_ROOT(%rip), %rax
    mov %rax, %cr3
    mov %rsp, %rsi
    mov window_processor + WINDOW_KERNEL_STACK(%rip), %rdi
    sub $FRAME_BYTES, %rdi
    COPY_FRAME
    mov %rdx, %rsp
    mov %rdx, %rdi
    xor %ebp, %ebp
    call ul_gate_user

    .global window_leave
window_leave:
    mov %rsp, %rsi
    lea window_processor + WINDOW_ENTRY_STACK_TOP - FRAME_BYTES(%rip), %rdi
    COPY_FRAME
    mov %rdx, %rsp
    mov window_processor + WINDOW_TASK_ROOT(%rip), %rax
    mov %rax, %cr3
    RESTORE_AND_RETURN

found:
    testb $3, STUB_CS(%rsp)
    jnz from_user
    SAVE
    mov %cr3, %rbx
    mov window_processor + WINDOW_KERNEL_ROOT(%rip), %rax
    mov %rax, %cr3
    mov %rsp, %rsi
    mov %rsp, %r12
    mov FRAME_VECTOR(%rsp), %eax
    lea window_processor + WINDOW_FOUND_STACKS(%rip), %rdi
    mov (%rdi, %rax, 8), %rdi
    sub $FRAME_BYTES, %rdi
    COPY_FRAME
    mov %rdx, %rsp
    mov %rdx, %rdi
    call ul_gate_found
    mov %rsp, %rsi
    mov %r12, %rdi
    COPY_FRAME
    mov %rdx, %rsp
    mov %rbx, %cr3
    RESTORE_AND_RETURN

    .section .note.GNU-stack, "", @progbits
