/* GDT:  null | code | data | TSS (two entries)
 *
 * Base and limit mean nothing for code and data in 64-bit mode. The TSS is there for its table of stacks (IST): NMI,
 * machine check, double fault and debug each have one, since they can come when the stack in use is bad or, later, not
 * yet the kernel's. The others stay on the stack in use (SDM volume 3A, 6.14.5 and 7.7).
 *
 * All of it is written before the first trap and by the processor only after that, which marks the TSS busy once. */
#include <arch/x86/cpu.h>
#include <arch/x86/descriptors.h>
#include <arch/x86/stacks.h>
#include <arch/x86/trap.h>

struct task_state {
    uint32_t reserved0;
    uint32_t rsp[3][2];
    uint32_t reserved1[2];
    uint32_t stack[7][2]; /* IST 1 to 7, low and high half: they aren't 8-byte aligned */
    uint32_t reserved2[2];
    uint16_t reserved3, io_map;
};
_Static_assert(sizeof(struct task_state) == 104, "SDM volume 3A, figure 7-11");

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

enum { SELECTOR_TASK = 0x18, GATE_INTERRUPT = 0x8e };

#define SEGMENT_CODE 0x00af9b000000ffffu
#define SEGMENT_DATA 0x00cf93000000ffffu
#define SEGMENT_TASK 0x0000890000000000u

static struct {
    uint64_t gdt[5];
    struct task_state task;
    struct gate gates[DESCRIPTORS_GATES] __attribute__((aligned(16)));
} state = { .gdt = { 0, SEGMENT_CODE, SEGMENT_DATA, SEGMENT_TASK, 0 } };

static void set_stack(unsigned ist, enum stack_use use) {
    state.task.stack[ist - 1][0] = (uint32_t)stack_top(use);
    state.task.stack[ist - 1][1] = (uint32_t)(stack_top(use) >> 32);
}

static unsigned stack_of(unsigned vector) {
    switch (vector) {
    case TRAP_DOUBLE_FAULT:
        return 1;
    case TRAP_NMI:
        return 2;
    case TRAP_MACHINE_CHECK:
        return 3;
    case TRAP_DEBUG:
        return 4;
    default:
        return 0;
    }
}

static void set_task_segment(void) {
    uint64_t base = (uintptr_t)&state.task, limit = sizeof(state.task) - 1;
    state.gdt[3] = SEGMENT_TASK | limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    state.gdt[4] = base >> 32;
}

/* CS can't be written but by a far transfer. */
static void load_code_segment(void) {
    __asm__ volatile("pushq %0\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:"
                     :
                     : "i"(LAYOUT_CODE_SELECTOR)
                     : "rax", "memory");
}

void descriptors_start(void) {
    set_stack(1, STACK_DOUBLE_FAULT);
    set_stack(2, STACK_NMI);
    set_stack(3, STACK_MACHINE_CHECK);
    set_stack(4, STACK_DEBUG);
    state.task.io_map = sizeof(state.task);
    set_task_segment();
    cpu_load_gdt(state.gdt, sizeof(state.gdt));
    load_code_segment();
    cpu_load_data_segments(LAYOUT_DATA_SELECTOR);
    cpu_load_task(SELECTOR_TASK);
    cpu_load_idt(state.gates, sizeof(state.gates));
}

void descriptors_gate(unsigned vector, uintptr_t entry) {
    state.gates[vector] = (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = LAYOUT_CODE_SELECTOR,
        .stack = (uint8_t)stack_of(vector),
        .type = GATE_INTERRUPT,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

/* No gate changes tasks in 64-bit mode. */
void descriptors_root(pfn_t root) {
    (void)root;
}
