/* GDT:  null | code | data | TSS | TSS of the double fault | ring 3's data | ring 3's code | three of a task's
 *
 * Traps in ring 0 stay on the stack in use, those from ring 3 start on the entry stack that the TSS names. But for the
 * double fault: its gate changes tasks, so it starts with a stack and tables that are known to be good whatever became
 * of the others (SDM volume 3A, 6.15 interrupt 8, and 7.5). The processor then stores the state it interrupted in the
 * first TSS, from which the report is made. The fault's task never returns.
 *
 * All is in the window. The switch writes the busy bits of both TSS entries and the first TSS, so these are writable
 * there, the GDT in a page of its own; the IDT is read-only once the final tables are loaded. */
#include <arch/arch.h>
#include <arch/x86/cpu.h>
#include <arch/x86/descriptors.h>
#include <arch/x86/stacks.h>
#include <arch/x86/trap.h>
#include <arch/x86/window.h>
#include <base/check.h>
#include <base/string.h>
#include <base/ul_visible.h>

struct task_state {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2;
    uint32_t cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io_map;
};
_Static_assert(sizeof(struct task_state) == 104, "SDM volume 3A, figure 7-2");

enum { SELECTOR_TASK = 0x18, SELECTOR_FAULT_TASK = 0x20, GATE_INTERRUPT = 0x8e, GATE_TASK = 0x85, GATE_RING3 = 0x60 };
enum { GDT_OWN = 7 };

#define SEGMENT_CODE 0x00cf9b000000ffffu
#define SEGMENT_DATA 0x00cf93000000ffffu
#define SEGMENT_TASK 0x0000890000000000u

#define SEGMENT_USER_DATA 0x00cff3000000ffffu
#define SEGMENT_USER_CODE 0x00cffb000000ffffu

UL_VISIBLE("data")
static struct {
    uint64_t gdt[GDT_OWN + DESCRIPTORS_TASK_SEGMENTS];
} table __attribute__((aligned(4096))) = { { 0, SEGMENT_CODE, SEGMENT_DATA, SEGMENT_TASK, SEGMENT_TASK,
                                             SEGMENT_USER_DATA, SEGMENT_USER_CODE } };

UL_VISIBLE("data") static struct { struct task_state task, fault_task; } state __attribute__((aligned(4096)));

UL_VISIBLE("rodata") static uint64_t gates[DESCRIPTORS_GATES] __attribute__((aligned(16)));

void trap_double_fault_entry(void);
NORETURN void descriptors_double_fault(void);

static uint64_t task_segment(const struct task_state *task) {
    uint64_t base = (uintptr_t)task, limit = sizeof(*task) - 1;
    return SEGMENT_TASK | limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
}

static void prepare_fault_task(void) {
    struct task_state *task = &state.fault_task;
    task->cr3 = (uint32_t)cpu_cr3();
    task->eip = (uint32_t)(uintptr_t)trap_double_fault_entry;
    task->eflags = FLAGS_FIXED;
    task->esp = (uint32_t)stack_top(STACK_DOUBLE_FAULT);
    task->cs = LAYOUT_CODE_SELECTOR;
    task->es = task->ss = task->ds = task->fs = task->gs = LAYOUT_DATA_SELECTOR;
    task->io_map = sizeof(*task);
}

/* CS can't be written but by a far transfer. */
static void load_code_segment(void) {
    __asm__ volatile("ljmp %0, $1f\n1:" : : "i"(LAYOUT_CODE_SELECTOR) : "memory");
}

void descriptors_start(void) {
    window_processor.kernel_root = cpu_cr3();
    window_processor.found_stacks[TRAP_NMI] = stack_top(STACK_NMI);
    window_processor.found_stacks[TRAP_MACHINE_CHECK] = stack_top(STACK_MACHINE_CHECK);
    window_processor.found_stacks[TRAP_DEBUG] = stack_top(STACK_DEBUG);
    prepare_fault_task();
    state.task.esp0 = (uint32_t)window_entry_stack(0);
    state.task.ss0 = LAYOUT_DATA_SELECTOR;
    state.task.io_map = sizeof(state.task);
    table.gdt[3] = task_segment(&state.task);
    table.gdt[4] = task_segment(&state.fault_task);
    cpu_load_gdt(table.gdt, sizeof(table.gdt));
    load_code_segment();
    cpu_load_data_segments(LAYOUT_DATA_SELECTOR);
    cpu_load_task(SELECTOR_TASK);
    cpu_load_idt(gates, sizeof(gates));
}

static uint64_t make_gate(uint16_t selector, uint32_t offset, uint8_t type) {
    return (uint64_t)(offset & 0xffff0000u) << 32 | (uint64_t)type << 40 | (uint32_t)selector << 16 |
           (offset & 0xffffu);
}

/* INT3 and INTO are instructions of ring 3's too. */
static bool is_for_ring3(unsigned vector) {
    return vector == TRAP_BREAKPOINT || vector == TRAP_OVERFLOW || vector == LAYOUT_SYSCALL_VECTOR;
}

void descriptors_gate(unsigned vector, uintptr_t entry) {
    uint8_t type = is_for_ring3(vector) ? GATE_INTERRUPT | GATE_RING3 : GATE_INTERRUPT;
    if (vector == TRAP_DOUBLE_FAULT)
        gates[vector] = make_gate(SELECTOR_FAULT_TASK, 0, GATE_TASK);
    else
        gates[vector] = make_gate(LAYOUT_CODE_SELECTOR, (uint32_t)entry, type);
}

void descriptors_root(pfn_t root) {
    state.fault_task.cr3 = (uint32_t)pfn_to_phys(root);
    window_kernel(root);
}

/* The fault's task starts here, by way of trap.S; the first TSS holds what it interrupted. */
void descriptors_double_fault(void) {
    const struct task_state *was = &state.task;
    struct trap_frame frame = {
        .gs = was->gs,
        .fs = was->fs,
        .es = was->es,
        .ds = was->ds,
        .di = was->edi,
        .si = was->esi,
        .bp = was->ebp,
        .sp = was->esp,
        .bx = was->ebx,
        .dx = was->edx,
        .cx = was->ecx,
        .ax = was->eax,
        .vector = TRAP_DOUBLE_FAULT,
        .error = 0,
        .ip = was->eip,
        .cs = was->cs,
        .flags = was->eflags,
    };
    trap_dispatch(&frame);
    panic("the double fault at 0x%zx can't be returned from", (size_t)frame.ip);
}

void descriptors_task_segments(const uint64_t segments[DESCRIPTORS_TASK_SEGMENTS]) {
    memcpy(table.gdt + GDT_OWN, segments, DESCRIPTORS_TASK_SEGMENTS * sizeof(uint64_t));
}

bool descriptors_task_segment_is_present(unsigned index) {
    return table.gdt[GDT_OWN + index] != 0;
}
