/* kernel/tour_steps.h - the tour's steps, for kernel/tour.c alone. */
#ifndef KERNEL_TOUR_STEPS_H
#define KERNEL_TOUR_STEPS_H

#include <base/types.h>

/* False, and the tour fails, if the condition is. */
bool tour_good(bool condition, const char *what);

void tour_heap(void);
void tour_canary(void);
void tour_preemption(void);
void tour_lease(void);
void tour_spy(void);

#endif
