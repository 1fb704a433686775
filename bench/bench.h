/* bench/bench.h - what is measured, and what a place supplies to measure it.
 *
 * A place is a processor that can count its own instructions: a program of the host under callgrind (bench/host.c), a
 * kernel under QEMU (bench/guest.c). It supplies the first group. Context: one processor, memory up, nobody else using
 * it.
 *
 * Allocators are measured in a loop that calls them through a table (bench/allocators.h), many times between an opening
 * and a closing. The same loop runs with an allocator that only returns, and whoever reads the samples subtracts that:
 * what is left is what the allocator itself does. */
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

/* A figure that needs no counting: `amount` for each of so many; its unit is "bytes" or "ratio". */
void bench_figure(const char *name, const char *who, const char *unit, size_t amount, size_t each);

/* The most live ranges that cases make. */
extern const uint32_t bench_ranges_most;

/* --- Supplied by the program -------------------------------------------------------------------------------------- */

/* Room for `bytes` bytes, which bench_release() takes back; panics when there is none. */
void *bench_memory(size_t bytes);
void bench_release(void *memory, size_t bytes);

/* --- For the cases ------------------------------------------------------------------------------------------------ */

/* Sets the filter and shows what the meter itself takes, which comes before all cases. */
void bench_begin(const char *filter);

/* `name` is wanted: it contains the filter, which "" makes all. */
bool bench_wanted(const char *name);

/* The same sequence on every run and machine, from bench_random_restart() on. */
void bench_random_restart(void);
uint32_t bench_random_below(uint32_t end);

/* --- The cases ---------------------------------------------------------------------------------------------------- */

/* Runs the library's cases. The state of memory is afterwards what it was before. */
void bench_library(const char *filter);

/* Who the library is in the table: "xelix-mm", or with the heap's level behind it where that isn't `none`. */
const char *bench_ours(void);

void bench_pages(void);  /* palloc and the yardsticks */
void bench_ranges(void); /* valloc, pvalloc, mappings */
void bench_tasks(void);  /* leases, areas */
void bench_copies(void); /* clearing and copying a page */

struct heap_allocator;
void bench_heap(const struct heap_allocator *who);
void bench_heap_peak(const struct heap_allocator *who);

/* An object cache in the place of a heap: take() gives objects of CACHE_BYTES bytes. */
enum { CACHE_BYTES = 64 };
void bench_heap_cache(const struct heap_allocator *objects);

#endif
