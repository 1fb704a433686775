/* base/lock.h - locks with a rank.
 *
 * A lock's rank is its layer, and locks are taken downward only: while a processor holds a lock it may take only locks
 * of a lower rank. Debug builds assert that, and that locks are released in reverse order. Taking a lock turns
 * interrupts off on this processor until it is released, so whatever a lock guards may also be used in an interrupt.
 *
 * Locks are released in the reverse order of taking: the first one taken holds the interrupt state to restore.
 * Cost in release builds: one exchange and one store, some 12 instructions a pair on x86. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <base/config.h>
#include <mem/port.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lock_rank {
    LOCK_RANK_CONSOLE = 1,
    LOCK_RANK_PALLOC,
    LOCK_RANK_RESERVE,
    LOCK_RANK_POOL_PAGES,
    LOCK_RANK_PAGING,
    LOCK_RANK_POOL,
    LOCK_RANK_CONTEXT,
    LOCK_RANK_CONTEXTS,
    LOCK_RANK_HEAP,
    LOCK_RANK_KERNEL,
};

struct lock {
    struct port_lock port;
    uintptr_t saved;    /* interrupt state to restore; written by the holder only, as is the next */
    struct lock *below; /* debug: what this processor took before it and holds still */
    const char *name;
    enum lock_rank rank;
};

#define LOCK_INIT(name_, rank_)                                                                                        \
    { .name = (name_), .rank = (rank_) }

void lock_init(struct lock *lock, const char *name, enum lock_rank rank);

/* What lock_take() and lock_release() are in debug builds. */
void lock_take_checked(struct lock *lock);
void lock_release_checked(struct lock *lock);

static inline void lock_take(struct lock *lock) {
    if (CONFIG_DEBUG) {
        lock_take_checked(lock);
        return;
    }
    uintptr_t saved = port_interrupts_off();
    port_lock(&lock->port);
    lock->saved = saved;
}

static inline void lock_release(struct lock *lock) {
    if (CONFIG_DEBUG) {
        lock_release_checked(lock);
        return;
    }
    uintptr_t saved = lock->saved;
    port_unlock(&lock->port);
    port_interrupts_restore(saved);
}

/* For invariants: this processor holds the lock; always true in release builds, which don't know. Cost: linear in the
 * locks that it holds. */
bool lock_is_held(const struct lock *lock);

/* Releases all that this processor holds: for a test that survived an expected panic. Nothing in release builds, which
 * don't know; there it is the port's matter. */
void lock_release_all(void);

#ifdef __cplusplus
}
#endif
#endif
