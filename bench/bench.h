/* bench/bench.h - what is measured, and what a place supplies to measure it.
 *
 * A place is a processor that can count its own instructions: bench/host.c under callgrind, bench/guest.c under QEMU.
 * It supplies the first group; bench_run() is the same everywhere. Context: one processor, memory up, nobody else
 * using it. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <base/types.h>

/* --- Supplied by the place ---------------------------------------------------------------------------------------- */

/* Counting goes on between these two. A pair of calls costs the same few instructions each time: meter-empty shows
 * them, and whoever reads the samples subtracts them. */
void bench_open(void);
void bench_close(void);

/* Ends a sample: a line with what was counted since the last one ended, over so many operations. */
void bench_sample(const char *name, const char *who, unsigned operations);

/* Forgets what was counted since the last sample ended. */
void bench_discard(void);

/* A figure that needs no counting: `amount` for each of so many; its unit is "bytes" or "ratio". */
void bench_figure(const char *name, const char *who, const char *unit, size_t amount, size_t each);

/* --- The cases ---------------------------------------------------------------------------------------------------- */

/* Runs the cases whose name contains `filter`; "" is all. The state of memory is afterwards what it was before. */
void bench_run(const char *filter);

void bench_pages(void);  /* palloc and its peers */
void bench_ranges(void); /* valloc, pvalloc, mappings */
void bench_heap(void);   /* kmalloc, leases, areas */

/* `name` is wanted by the filter. */
bool bench_wanted(const char *name);

/* The name of our own side. */
#define BENCH_OURS "xelix-mm"

/* Room for `bytes` bytes, which bench_release() takes back; panics when there is none. */
void *bench_memory(size_t bytes);
void bench_release(void *memory, size_t bytes);

/* The same sequence on every run and machine, from bench_random_restart() on. */
void bench_random_restart(void);
uint32_t bench_random_below(uint32_t end);

#endif
