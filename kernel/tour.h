/* kernel/tour.h - every published name once, with what it did. Layer: kernel. */
#ifndef KERNEL_TOUR_H
#define KERNEL_TOUR_H

#include <base/types.h>

/* True if every step did what it should and all counts at the end equal those at the start. */
bool tour_run(void);

#endif
