/* boot/console.h - starting the console; its use is in boot/boot.h. Layer: boot. Context: boot, interrupts off. */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include <boot/boot.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The serial line: before anything can go wrong. */
void console_start(void);

/* Typed bytes raise interrupts: once traps are in place. */
void console_start_input(void);

/* From here on nobody waits for the console's lock: its holder may be what was interrupted by the end of all. */
void console_last_words(void);
void console_flush(void);

#ifdef __cplusplus
}
#endif
#endif
