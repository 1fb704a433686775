/* Master with lines 0 to 7, slave with 8 to 15 on the master's line 2.
 *
 * A line that falls before the processor asks which one it was comes as 7 of its controller, with nothing in service
 * (8259A data sheet, "spurious interrupt"). Such an interrupt isn't ended on that controller, or the end would strike
 * whatever else is in service; a spurious 15 is real for the master, which did see its line 2. */
#include <arch/x86/cpu.h>
#include <arch/x86/pic.h>

enum {
    MASTER = 0x20,
    SLAVE = 0xa0,
    DATA = 1,                /* offset of the mask register */
    START_WITH_MODE = 0x11,  /* ICW1: edge triggered, cascade, ICW4 follows */
    MODE_8086 = 0x01,        /* ICW4 */
    READ_IN_SERVICE = 0x0b,  /* OCW3 */
    END_OF_INTERRUPT = 0x20, /* OCW2, not specific */
    CASCADE_LINE = 2,
    LINES = 8,
};

static uint16_t mask = 0xffff;

/* The controllers want a moment between two writes; port 0x80 takes one and does nothing. */
static void write(unsigned port, unsigned value) {
    cpu_out8((uint16_t)port, (uint8_t)value);
    cpu_out8(0x80, 0);
}

static void write_mask(void) {
    write(MASTER + DATA, mask & 0xff);
    write(SLAVE + DATA, mask >> 8);
}

void pic_start(unsigned first_vector) {
    write(MASTER, START_WITH_MODE);
    write(SLAVE, START_WITH_MODE);
    write(MASTER + DATA, first_vector);
    write(SLAVE + DATA, first_vector + LINES);
    write(MASTER + DATA, 1 << CASCADE_LINE);
    write(SLAVE + DATA, CASCADE_LINE);
    write(MASTER + DATA, MODE_8086);
    write(SLAVE + DATA, MODE_8086);
    mask = (uint16_t) ~(1u << CASCADE_LINE);
    write_mask();
}

void pic_enable(unsigned line) {
    mask = (uint16_t)(mask & ~(1u << line));
    write_mask();
}

static bool in_service(uint16_t controller, unsigned line) {
    cpu_out8(controller, READ_IN_SERVICE);
    return (cpu_in8(controller) >> line & 1) != 0;
}

bool pic_begin(unsigned line) {
    if (line == LINES - 1)
        return in_service(MASTER, line);
    if (line != 2 * LINES - 1 || in_service(SLAVE, LINES - 1))
        return true;
    cpu_out8(MASTER, END_OF_INTERRUPT);
    return false;
}

void pic_end(unsigned line) {
    if (line >= LINES)
        cpu_out8(SLAVE, END_OF_INTERRUPT);
    cpu_out8(MASTER, END_OF_INTERRUPT);
}
