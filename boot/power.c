/* There is no way out that every machine has, so all are tried: QEMU's isa-debug-exit, then the ACPI power register
 * where the usual emulators have it with the value for their soft-off state (reading the tables that tell a real
 * machine's needs an ACPI interpreter), then standing still. */
#include <arch/x86/cpu.h>
#include <boot/boot.h>
#include <boot/console.h>

enum { PORT_DEBUG_EXIT = 0xf4, STATUS_SUCCESS = 16 };

struct power_port {
    uint16_t port, value;
};

static const struct power_port ports[] = {
    { 0x604, 0x2000 },  /* QEMU */
    { 0xb004, 0x2000 }, /* bochs, QEMU before 1.5 */
    { 0x4004, 0x3400 }, /* VirtualBox */
};

void boot_power_off(unsigned status) {
    cpu_interrupts_off();
    console_flush();
    cpu_out32(PORT_DEBUG_EXIT, status != 0 ? status : STATUS_SUCCESS);
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        cpu_out16(ports[i].port, ports[i].value);
    console_print("\nThe machine may be switched off.\n");
    for (;;)
        cpu_halt();
}
