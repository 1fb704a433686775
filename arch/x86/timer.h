/* arch/x86/timer.h - a tick a hundred times a second, from the 8254 on line 0.
 *
 * Layer: arch. Context: timer_start() once, after trap_start(), interrupts off; timer_ticks() any. */
#ifndef ARCH_X86_TIMER_H
#define ARCH_X86_TIMER_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TIMER_HZ = 100 };

void timer_start(void);

/* Since timer_start(); wraps after 497 days. Stands still while interrupts are off. */
uint32_t timer_ticks(void);

#ifdef __cplusplus
}
#endif
#endif
