/* boot/boot.h - what a kernel finds when its main starts (libxelixboot.a).
 *
 * By then: the loader's data was read, the console speaks, descriptors and traps are in place, the processor's
 * protections are on (WP, NX, SMEP, SMAP, UMIP where present), memory is up on the kernel's own tables, interrupts are
 * off. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include <base/types.h>
#include <mem/bootmap.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BOOT_MODULES_MAX = 16, BOOT_ENTRIES_MAX = 1024, BOOT_TEXT_MAX = 256 };

struct boot_module {
    uint64_t first_byte, bytes; /* physical; BOOTMAP_LOADER pages */
    char name[64];              /* its command line, cut */
};

struct boot_entry {
    uint64_t first_byte, bytes;
    enum bootmap_type type;
    uint32_t firmware_type; /* as the loader said it */
};

struct boot_framebuffer {
    uint64_t first_byte;
    uint32_t pitch_bytes, width, height;
    uint8_t bits, red_shift, green_shift, blue_shift;
    bool present;
};

struct boot_info {
    const char *protocol; /* "Multiboot 1", "Multiboot 2", "PVH" */
    char loader[64];      /* the loader's name, or "" */
    char command_line[BOOT_TEXT_MAX];
    size_t entry_count, entries_dropped, module_count, modules_dropped;
    struct boot_entry entries[BOOT_ENTRIES_MAX]; /* the firmware's map as it came */
    struct boot_module modules[BOOT_MODULES_MAX];
    struct boot_framebuffer framebuffer;
    const struct bootmap *map; /* what became of it */
};

/* The kernel's own: called once, on a stack with a guard page below it. If it returns, the machine powers off with
 * what it returned (boot_power_off()). */
int kernel_main(const struct boot_info *info);

/* `word` is one of the space-separated words of the command line. */
bool boot_has_word(const struct boot_info *info, const char *word);

/* Copies what follows "word=", up to the next space, cut to the room. False, and an empty text, if there is no such
 * word. */
bool boot_option(const struct boot_info *info, const char *word, char *out, size_t bytes);

/* Ends the machine with a status that QEMU's isa-debug-exit passes on (its exit code is status * 2 + 1); elsewhere
 * tries ACPI's usual ports and then halts. 0 is passed as 16, so that success is QEMU's exit code 33 and can't be
 * mistaken for QEMU's own errors. */
NORETURN void boot_power_off(unsigned status);

/* --- Console: the serial line (COM1), and the framebuffer where the loader gave one ------------------------------- */
void console_write(const char *text, size_t bytes);
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
int console_read(void);      /* the next byte typed, or -1 at once if there is none */
int console_read_wait(void); /* the next byte typed; sleeps in hlt, with interrupts on, until there is one */

/* --- Panics ------------------------------------------------------------------------------------------------------- */

/* If set, port_panic() calls it first; a test that expects a panic leaves it by a long jump. Otherwise the panic prints
 * the text and a stack trace with symbols and powers off with status 2. */
extern void (*boot_panic_hook)(const char *text);

/* The function that an address lies in: "name+0x12", or "?" ; from the symbols that the second link put into the
 * image. */
void boot_symbol(uintptr_t address, char *out, size_t bytes);

/* Prints the return addresses from this frame pointer up, stopping at the first that isn't in a kernel stack. */
void boot_stack_trace(uintptr_t frame_pointer);

#ifdef __cplusplus
}
#endif
#endif
