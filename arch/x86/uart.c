/* A 16550 at COM1. Writing waits for room, reading takes from a ring that the interrupt fills. A full ring lets bytes
 * wait in the device and then be lost, as on any line without flow control.
 *
 * Waiting is bounded: a machine whose line never becomes ready loses text and goes on. A machine without the device is
 * found at the start, by a register that keeps what is written to it. */
#include <arch/x86/cpu.h>
#include <arch/x86/pic.h>
#include <arch/x86/trap.h>
#include <arch/x86/uart.h>

enum {
    COM1 = 0x3f8,
    LINE = 4,
    DATA = COM1 + 0,
    INTERRUPTS = COM1 + 1,
    FIFO = COM1 + 2,
    LINE_CONTROL = COM1 + 3,
    MODEM_CONTROL = COM1 + 4,
    LINE_STATUS = COM1 + 5,
    SCRATCH = COM1 + 7,

    DIVISOR_LATCH = 0x80,
    EIGHT_BITS = 0x03,
    FIFO_ON_AND_EMPTY = 0x07,
    READY_AND_INTERRUPTS_OUT = 0x0b, /* DTR, RTS, OUT2: the last connects the interrupt */
    INTERRUPT_ON_DATA = 0x01,
    DATA_READY = 0x01,
    ROOM = 0x20,
    ALL_SENT = 0x40,

    WAIT_ROUNDS = 1000000,
    RING_BYTES = 256,
};

static struct {
    bool present;
    uint8_t ring[RING_BYTES];
    unsigned first, end; /* counted without end; the ring's index is the remainder */
} state;

void uart_start(void) {
    cpu_out8(SCRATCH, 0x5a);
    state.present = cpu_in8(SCRATCH) == 0x5a;
    if (!state.present)
        return;
    cpu_out8(INTERRUPTS, 0);
    cpu_out8(LINE_CONTROL, DIVISOR_LATCH);
    cpu_out8(DATA, 1);
    cpu_out8(INTERRUPTS, 0);
    cpu_out8(LINE_CONTROL, EIGHT_BITS);
    cpu_out8(FIFO, FIFO_ON_AND_EMPTY);
    cpu_out8(MODEM_CONTROL, READY_AND_INTERRUPTS_OUT);
}

static void wait_for(uint8_t status) {
    for (unsigned i = 0; i < WAIT_ROUNDS && (cpu_in8(LINE_STATUS) & status) == 0; i++)
        cpu_pause();
}

void uart_write(uint8_t byte) {
    if (!state.present)
        return;
    wait_for(ROOM);
    cpu_out8(DATA, byte);
}

void uart_flush(void) {
    if (state.present)
        wait_for(ALL_SENT);
}

static void receive(void) {
    while (state.end - state.first < RING_BYTES && (cpu_in8(LINE_STATUS) & DATA_READY) != 0)
        state.ring[state.end++ % RING_BYTES] = cpu_in8(DATA);
}

int uart_read(void) {
    if (!state.present)
        return -1;
    receive();
    return state.first == state.end ? -1 : state.ring[state.first++ % RING_BYTES];
}

static void received(struct trap_frame *frame) {
    (void)frame;
    receive();
}

void uart_receive_start(void) {
    if (!state.present)
        return;
    trap_set_handler(TRAP_IRQ + LINE, received);
    pic_enable(LINE);
    cpu_out8(INTERRUPTS, INTERRUPT_ON_DATA);
}
