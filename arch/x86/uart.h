/* arch/x86/uart.h - the serial line COM1, 115200 bits a second, 8N1.
 *
 * Layer: arch. Context: one caller at a time, interrupts off. Where there is no such line, writing does nothing and
 * reading finds nothing. */
#ifndef ARCH_X86_UART_H
#define ARCH_X86_UART_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Usable at once; received bytes wait in the line's own 16 bytes. */
void uart_start(void);

/* From here on received bytes raise an interrupt and wait in 256 bytes. After trap_start(). */
void uart_receive_start(void);

void uart_write(uint8_t byte);

/* The next byte received, or -1. */
int uart_read(void);

/* Waits until all that was written is on its way. */
void uart_flush(void);

#ifdef __cplusplus
}
#endif
#endif
