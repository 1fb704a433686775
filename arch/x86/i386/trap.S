/* Entry and exit of all 256 vectors but the double fault, whose gate changes tasks.
 *
 *     ring 3, task's tables          ring 0, task's tables            ring 0, kernel's tables
 *     ---------------------------------------------------------------------------------------------------------------
 *     trap, int 0x80 -> entry stack (TSS) -> save, segments, CR3      -> frame copied to the task's kernel stack,
 *     IRET           <- entry stack       <- CR3 = task's, segments   <- ul_gate_user; frame copied back
 *
 *     trap in ring 0                                                -> saved on the stack in use, ul_gate_kernel
 *     NMI, machine check, debug in ring 0:
 *       the stack in use -> save, segments, note CR3, CR3 = kernel's  -> frame copied to the vector's kernel stack,
 *                                                                        ul_gate_found, copied back, CR3 as noted
 *
 * This file is in the window, at one address in both worlds, and reaches only the window and the gates.
 *
 *   W1  With a task's tables loaded, nothing but the window is read or written in ring 0.
 *   W2  A trap from ring 3 finds the entry stack empty: interrupts are off from entry to exit, and nothing here
 *       faults. The exit can't either: whoever calls window_leave has seen to it that cs, ss and the data segments can
 *       be loaded.
 *   W3  The three vectors that come in spite of W2 push on the stack in use, which is always valid: ring 3 has no way
 *       in that leaves its stack pointer (no SYSENTER), the entry stack has room for them, and the kernel's tables map
 *       it too. If they came in ring 0 they restore exactly the CR3 that they found: CS says nothing about the tables
 *       loaded.
 *   W4  C runs on stacks that no task maps.
 *
 * The data segments are loaded before the first access by them (a task may have DS=0); pushes go by SS, which the
 * processor loaded from the TSS. Segment registers are pushed as 4 bytes of which a processor may write only 2, so
 * readers look at the low half. FS and GS stay the task's, the kernel doesn't use them.
 *
 * Flags: the gate cleared IF and TF; the popf clears DF, which C counts on, NT, which IRET would choke on, and AC,
 * which ring 3 may set and which would void SMAP.
 *
 * The interrupted stack pointer: from ring 3 the processor pushed it, else it is what comes behind the frame. PUSHA's
 * slot for ESP, which POPA ignores, takes it. */
#include <layout.h>
#include <arch/x86/window_offsets.h>

#define FRAME_SP      28
#define FRAME_VECTOR  48
#define FRAME_CS      60
#define FRAME_USER_SP 68
#define FRAME_WORDS   19
#define FRAME_BYTES   (FRAME_WORDS * 4)
/* Without the two words that ring 3's frames have more; who copies a whole frame finds room for them nevertheless. */
#define RING0_WORDS   17

    .macro SAVE
    pusha
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    mov $LAYOUT_DATA_SELECTOR, %eax
    mov %eax, %ds
    mov %eax, %es
    pushl $2
    popf
    .endm

    .macro RESTORE_AND_RETURN
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popa
    add $8, %esp
    iret
    .endm

    /* From ESI to EDI, which is kept in EDX. */
    .macro COPY_FRAME words
    mov %edi, %edx
    mov $\words, %ecx
    rep movsl
    .endm

    .section ul_visible_text, "ax"
    .balign 16
    .global trap_entries
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if !(((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
    pushl $0
    .endif
    pushl $vector
    .if (vector == 1) || (vector == 2) || (vector == 18)
    jmp found
    .else
    jmp trap
    .endif
    vector = vector + 1
    .endr

    .balign 16
trap:
    SAVE
    testb $3, FRAME_CS(%esp)
    jnz from_user
    lea FRAME_USER_SP(%esp), %eax
    mov %eax, FRAME_SP(%esp)
    mov %esp, %eax
    pushl %eax
    call ul_gate_kernel
    add $4, %esp
    RESTORE_AND_RETURN

from_user:
    mov FRAME_USER_SP(%esp), %eax
    mov %eax, FRAME_SP(%esp)
    mov window_processor + WINDOW_KERNEL_ROOT, %eax
    mov %eax, %cr3
    mov %esp, %esi
    mov window_processor + WINDOW_KERNEL_STACK, %edi
    sub $FRAME_BYTES, %edi
    COPY_FRAME FRAME_WORDS
    mov %edx, %esp
    xor %ebp, %ebp
    pushl %edx
    call ul_gate_user
    add $4, %esp

    .global window_leave
window_leave:
    mov %esp, %esi
    mov $window_processor + WINDOW_ENTRY_STACK_TOP - FRAME_BYTES, %edi
    COPY_FRAME FRAME_WORDS
    mov %edx, %esp
    mov window_processor + WINDOW_TASK_ROOT, %eax
    mov %eax, %cr3
    RESTORE_AND_RETURN

found:
    SAVE
    testb $3, FRAME_CS(%esp)
    jnz from_user
    lea FRAME_USER_SP(%esp), %eax
    mov %eax, FRAME_SP(%esp)
    mov %cr3, %ebx
    mov window_processor + WINDOW_KERNEL_ROOT, %eax
    mov %eax, %cr3
    mov %esp, %esi
    mov %esp, %ebp
    mov FRAME_VECTOR(%esp), %eax
    mov window_processor + WINDOW_FOUND_STACKS(, %eax, 8), %edi
    sub $FRAME_BYTES, %edi
    COPY_FRAME RING0_WORDS
    mov %edx, %esp
    pushl %edx
    call ul_gate_found
    add $4, %esp
    mov %esp, %esi
    mov %ebp, %edi
    COPY_FRAME RING0_WORDS
    mov %edx, %esp
    mov %ebx, %cr3
    RESTORE_AND_RETURN

    /* The double fault's own task starts here, on the kernel's tables and a stack of its own. */
    .text
    .balign 16
    .global trap_double_fault_entry
trap_double_fault_entry:
    call descriptors_double_fault
    ud2

    .section .note.GNU-stack, "", @progbits
