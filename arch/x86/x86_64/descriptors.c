/* GDT:  null | code | data | TSS (two entries) | ring 3's data | ring 3's code
 *
 * Base and limit mean nothing for code and data in 64-bit mode. The TSS names the stack for entries from ring 3, and a
 * stack each (IST) for NMI, machine check, double fault and debug, which can come when the stack in use is bad or not
 * yet the kernel's. The others stay on the stack in use (SDM volume 3A, 6.14.5 and 7.7). All these stacks are in the
 * window.
 *
 * GDT, IDT and TSS are in the window too, read-only once the final tables are loaded: all is written before that, the
 * busy mark of the TSS by the processor and the accessed bits of segments, which are set from the start, by nobody.
 *
 * SYSCALL reads none of them but takes its entry from registers (SDM volume 3A, 5.8.8). */
#include <arch/x86/cpu.h>
#include <arch/x86/descriptors.h>
#include <arch/x86/stacks.h>
#include <arch/x86/trap.h>
#include <arch/x86/window.h>
#include <base/ul_visible.h>

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

enum { SELECTOR_TASK = 0x18, GATE_INTERRUPT = 0x8e, GATE_RING3 = 0x60 };

#define SEGMENT_CODE      0x00af9b000000ffffu
#define SEGMENT_DATA      0x00cf93000000ffffu
#define SEGMENT_TASK      0x0000890000000000u
#define SEGMENT_USER_DATA 0x00cff3000000ffffu
#define SEGMENT_USER_CODE 0x00affb000000ffffu

/* What SYSCALL clears of the flags: IF, TF, DF, IOPL, NT, AC. */
#define SYSCALL_FLAGS 0x47700u

UL_VISIBLE("rodata")
static struct {
    uint64_t gdt[7];
    struct task_state task;
    struct gate gates[DESCRIPTORS_GATES] __attribute__((aligned(16)));
} state = { .gdt = { 0, SEGMENT_CODE, SEGMENT_DATA, SEGMENT_TASK, 0, SEGMENT_USER_DATA, SEGMENT_USER_CODE } };

void window_syscall(void);

static void set_halves(uint32_t halves[2], uintptr_t address) {
    halves[0] = (uint32_t)address;
    halves[1] = (uint32_t)(address >> 32);
}

/* The entry goes by the window's stack of that number, the handler runs on the kernel's own. */
static void set_stack(unsigned vector, unsigned ist, enum stack_use use) {
    set_halves(state.task.stack[ist - 1], window_entry_stack(ist));
    window_processor.found_stacks[vector] = stack_top(use);
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

static void start_syscall(void) {
    cpu_set_msr(MSR_EFER, cpu_msr(MSR_EFER) | EFER_SYSCALL);
    cpu_set_msr(MSR_STAR, (uint64_t)LAYOUT_CODE_SELECTOR << 32);
    cpu_set_msr(MSR_LSTAR, (uintptr_t)window_syscall);
    cpu_set_msr(MSR_SFMASK, SYSCALL_FLAGS);
}

void descriptors_start(void) {
    window_processor.kernel_root = cpu_cr3();
    set_halves(state.task.rsp[0], window_entry_stack(0));
    set_stack(TRAP_DOUBLE_FAULT, 1, STACK_DOUBLE_FAULT);
    set_stack(TRAP_NMI, 2, STACK_NMI);
    set_stack(TRAP_MACHINE_CHECK, 3, STACK_MACHINE_CHECK);
    set_stack(TRAP_DEBUG, 4, STACK_DEBUG);
    state.task.io_map = sizeof(state.task);
    set_task_segment();
    cpu_load_gdt(state.gdt, sizeof(state.gdt));
    load_code_segment();
    cpu_load_data_segments(LAYOUT_DATA_SELECTOR);
    cpu_load_task(SELECTOR_TASK);
    cpu_load_idt(state.gates, sizeof(state.gates));
    start_syscall();
}

/* INT3 and INTO are instructions of ring 3's too. */
static bool is_for_ring3(unsigned vector) {
    return vector == TRAP_BREAKPOINT || vector == TRAP_OVERFLOW;
}

void descriptors_gate(unsigned vector, uintptr_t entry) {
    state.gates[vector] = (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = LAYOUT_CODE_SELECTOR,
        .stack = (uint8_t)stack_of(vector),
        .type = is_for_ring3(vector) ? GATE_INTERRUPT | GATE_RING3 : GATE_INTERRUPT,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

/* No gate changes tasks in 64-bit mode. */
void descriptors_root(pfn_t root) {
    window_kernel(root);
}
