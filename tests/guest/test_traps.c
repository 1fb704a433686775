/* Traps as the processor delivers them. Inside the kernels alone.
 *
 * Each exception is raised on purpose, noted by the hook, and left behind the instruction that raised it. */
#include <arch/x86/cpu.h>
#include <arch/x86/stacks.h>
#include <arch/x86/timer.h>
#include <arch/x86/trap.h>
#include <base/string.h>
#include <boot/boot.h>
#include <mem/context.h>
#include <tests/test.h>

#define FLAGS_TRAP      ((uintptr_t)1 << 8)
#define FLAGS_DIRECTION ((uintptr_t)1 << 10)

static struct {
    struct trap_frame frame;
    uintptr_t skip, count, flags_inside;
} seen;

static bool note(struct trap_frame *frame) {
    seen.frame = *frame;
    seen.flags_inside = cpu_flags();
    seen.count++;
    frame->ip += seen.skip;
    frame->flags &= ~FLAGS_TRAP;
    return true;
}

static void begin(uintptr_t skip) {
    memset(&seen, 0, sizeof(seen));
    seen.skip = skip;
    trap_test_hook = note;
}

static void expect_trap(unsigned vector, uintptr_t error) {
    trap_test_hook = NULL;
    expect_equal(seen.count, 1);
    expect_equal(seen.frame.vector, vector);
    expect_equal(seen.frame.error, error);
}

TEST(divide_error_and_invalid_opcode_are_delivered) {
    uint32_t quotient = 1, rest = 0;
    begin(2);
    __asm__ volatile("divl %2" : "+a"(quotient), "+d"(rest) : "c"(0) : "cc");
    expect_trap(TRAP_DIVIDE, 0);
    begin(2);
    __asm__ volatile("ud2");
    expect_trap(TRAP_INVALID_OPCODE, 0);
}

TEST(general_protection_names_the_selector) {
    begin(2);
    __asm__ volatile("movl %0, %%ds" : : "c"(0x1230));
    expect_trap(TRAP_PROTECTION, 0x1230);
}

TEST(breakpoint_single_step_and_nmi_are_delivered_and_returned_from) {
    begin(0);
    __asm__ volatile("int3");
    expect_trap(TRAP_BREAKPOINT, 0);
    begin(0);
    __asm__ volatile("push %0; popf; nop" : : "r"(cpu_flags() | FLAGS_TRAP) : "cc", "memory");
    expect_trap(TRAP_DEBUG, 0);
    begin(0);
    __asm__ volatile("int $2");
    expect_trap(TRAP_NMI, 0);
}

TEST(trap_keeps_the_registers_and_clears_the_direction_flag_inside) {
    uintptr_t a = 0x11111111, c = 0x22222222, d = 0x33333333, s = 0x44444444, t = 0x55555555, direction;
    begin(2);
    __asm__ volatile("std; ud2; pushf; pop %5; cld"
                     : "+a"(a), "+c"(c), "+d"(d), "+S"(s), "+D"(t), "=&b"(direction)
                     :
                     : "cc", "memory");
    expect_trap(TRAP_INVALID_OPCODE, 0);
    expect(a == 0x11111111 && c == 0x22222222 && d == 0x33333333 && s == 0x44444444 && t == 0x55555555);
    expect(seen.frame.ax == a && seen.frame.cx == c && seen.frame.dx == d && seen.frame.si == s && seen.frame.di == t);
    expect((direction & FLAGS_DIRECTION) && (seen.frame.flags & FLAGS_DIRECTION));
    expect(!(seen.flags_inside & (FLAGS_DIRECTION | FLAGS_INTERRUPT)));
    expect(stack_holds(seen.frame.sp));
}

/* As the controllers raise them when a line has fallen again: nothing is in service, so nothing may be ended. */
TEST(spurious_interrupts_are_counted_and_the_timer_goes_on) {
    unsigned before = trap_spurious();
    __asm__ volatile("int $39");
    __asm__ volatile("int $47");
    expect_equal(trap_spurious() - before, 2);
    uintptr_t flags = cpu_flags();
    uint32_t start = timer_ticks();
    for (int i = 0; i < 1000 && timer_ticks() - start < 3; i++)
        cpu_sleep();
    expect(timer_ticks() - start >= 3);
    if (flags & FLAGS_INTERRUPT)
        cpu_interrupts_on();
}

TEST(every_kernel_stack_stands_above_an_unmapped_page) {
    struct paging *tables = &context_kernel()->tables;
    for (size_t i = 0; i < LAYOUT_STACKS; i++) {
        uintptr_t guard = (uintptr_t)kernel_stacks[i].guard, bytes = (uintptr_t)kernel_stacks[i].bytes;
        expect_equal(paging_count(tables, guard, 1), 0);
        expect_equal(paging_count(tables, bytes, LAYOUT_STACK_BYTES / PAGE_SIZE), LAYOUT_STACK_BYTES / PAGE_SIZE);
        expect(stack_guarded_by(guard) != NULL && stack_guarded_by(guard + PAGE_SIZE - 1) != NULL);
        expect(stack_guarded_by(bytes) == NULL && stack_holds(bytes) && !stack_holds(guard));
    }
    expect(stack_holds((uintptr_t)__builtin_frame_address(0)));
}

TEST(symbols_name_functions_and_nothing_outside_the_image) {
    char name[64];
    boot_symbol((uintptr_t)trap_dispatch + 1, name, sizeof(name));
    expect(string_equal(name, "trap_dispatch+0x1"));
    boot_symbol(0x1000, name, sizeof(name));
    expect(string_equal(name, "?"));
}
