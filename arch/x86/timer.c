#include <arch/x86/cpu.h>
#include <arch/x86/pic.h>
#include <arch/x86/timer.h>
#include <arch/x86/trap.h>

enum { CLOCK_HZ = 1193182, LINE = 0, PORT_COUNTER_0 = 0x40, PORT_MODE = 0x43, MODE_RATE = 0x34 };

static uint32_t ticks;

static void tick(struct trap_frame *frame) {
    (void)frame;
    __atomic_store_n(&ticks, ticks + 1, __ATOMIC_RELAXED);
}

void timer_start(void) {
    unsigned divisor = (CLOCK_HZ + TIMER_HZ / 2) / TIMER_HZ;
    cpu_out8(PORT_MODE, MODE_RATE);
    cpu_out8(PORT_COUNTER_0, (uint8_t)divisor);
    cpu_out8(PORT_COUNTER_0, (uint8_t)(divisor >> 8));
    trap_set_handler(TRAP_IRQ + LINE, tick);
    pic_enable(LINE);
}

uint32_t timer_ticks(void) {
    return __atomic_load_n(&ticks, __ATOMIC_RELAXED);
}
