/* Entry and exit of all 256 vectors but the double fault, whose gate changes tasks.
 *
 * A stub makes every frame look the same: the processor pushes an error code for some exceptions only (SDM volume 3A,
 * table 6-1), for the others it pushes 0; then the vector. The common part saves the whole interrupted state as struct
 * trap_frame has it, and loads the data segments before anything is read through them. Segment registers are pushed as
 * 4 bytes of which a processor may write only 2, so the readers look at the low half.
 *
 * The interrupted stack pointer: from ring 3 the processor pushed it, else it is what comes behind the frame. PUSHA's
 * slot for ESP, which POPA ignores, takes it.
 *
 * Flags: the gate cleared IF and TF; the popf clears DF, which C counts on, NT, which IRET would choke on, and AC,
 * which ring 3 may set and which would void SMAP. */
#include <layout.h>

#define FRAME_SP      28
#define FRAME_CS      60
#define FRAME_USER_SP 68

    .section .text, "ax"
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
    jmp trap_common
    vector = vector + 1
    .endr

    .balign 16
trap_common:
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
    lea FRAME_USER_SP(%esp), %eax
    testb $3, FRAME_CS(%esp)
    jz 1f
    mov (%eax), %eax
1:  mov %eax, FRAME_SP(%esp)
    mov %esp, %eax
    pushl %eax
    call trap_dispatch
    add $4, %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popa
    add $8, %esp
    iret

    .balign 16
    .global trap_double_fault_entry
trap_double_fault_entry:
    call descriptors_double_fault
    ud2

    .section .note.GNU-stack, "", @progbits
