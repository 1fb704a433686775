/* tests/host/machine.h - pretend machines for tests that need one of their own. */
#ifndef TESTS_HOST_MACHINE_H
#define TESTS_HOST_MACHINE_H

#include <mem/bootmap.h>

struct machine_entry {
    uint64_t first_byte, bytes;
    enum bootmap_type type;
};

struct machine {
    const char *name;
    const struct machine_entry *entries;
    size_t count;
};

/* New RAM, a new processor, and the memory manager brought up on them: 0, or mem_init()'s error with *why. */
int machine_try(const struct machine_entry *entries, size_t count, const char **why);

/* The same, failing the test if it can't. */
void machine_boot(const struct machine_entry *entries, size_t count);

/* Machines on which every test of tests/mem runs. */
extern const struct machine machine_list[];
extern const size_t machine_count;

/* Called, if it isn't NULL, after each release of a lock: to see an order of steps that the end doesn't show. */
extern void (*machine_on_unlock)(void);

#endif
