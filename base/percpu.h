/* base/percpu.h - the one accessor for per-processor data.
 *
 * Per-processor data is an array with CONFIG_PROCESSORS elements; percpu_this() is the running processor's element.
 * Context: interrupts off from before the call until the pointer's last use, or the processor may change under it. */
#ifndef BASE_PERCPU_H
#define BASE_PERCPU_H

#include <base/config.h>
#include <mem/port.h>

#define percpu_this(array) (&(array)[port_processor()])

/* One cache line for each element, so that no two processors write the same line. */
#define PERCPU_ALIGNED __attribute__((aligned(64)))

#endif
