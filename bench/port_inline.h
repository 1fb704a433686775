/* bench/port_inline.h - the inline part of mem/port.h for a program under callgrind.
 *
 * One processor whose interrupts are never on, so that what a kernel pays for turning them off (some seven
 * instructions a pair) is missing here; the lock is a real exchange. */
#ifndef BENCH_PORT_INLINE_H
#define BENCH_PORT_INLINE_H

#include <base/types.h>

struct port_lock {
    uint32_t word; /* 0: free */
};

static inline unsigned port_processor(void) {
    return 0;
}

static inline uintptr_t port_interrupts_off(void) {
    return 0;
}

static inline void port_interrupts_restore(uintptr_t saved) {
    (void)saved;
}

static inline void port_lock(struct port_lock *lock) {
    while (__atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE) != 0)
        continue;
}

static inline void port_unlock(struct port_lock *lock) {
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

#endif
