/* examples/own-boot/machine.h - what differs between the two widths; each has a folder with boot.S and machine.c. */
#ifndef EXAMPLE_MACHINE_H
#define EXAMPLE_MACHINE_H

#include <mem/bootmap.h>

/* The loader's memory map, painted onto `map`: 0, or a negative error when it has none or it has too many entries. */
int machine_read_map(uintptr_t loader_data, struct bootmap *map);

/* Loads an interrupt table whose 32 gates end in trap(). */
void machine_traps_start(void);

/* From boot.S: the live tables, and the 32 entries, 16 bytes apart; from kernel.ld: the image, its tables last. */
extern uint64_t boot_root[];
extern const char trap_entries[];
extern const char image_first[], image_tables[], image_end[];

static inline void port_out(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_in(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* In port.c: a line of text, and the end with a status that QEMU passes on (16 is success). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
NORETURN void power_off(uint8_t status);

#endif
