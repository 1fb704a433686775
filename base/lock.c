/* Debug builds: each processor has a chain of the locks that it holds, the last one taken first, through the locks
 * themselves. Ranks fall along the way, so the top of the chain is all that a new lock has to be compared with. The
 * chain is touched with interrupts off only and by its own processor only. Release builds have the port's lock alone,
 * inline. */
#include <base/check.h>
#include <base/lock.h>
#include <base/percpu.h>

static struct lock *held[CONFIG_PROCESSORS];

void lock_init(struct lock *lock, const char *name, enum lock_rank rank) {
    *lock = (struct lock)LOCK_INIT(name, rank);
}

void lock_take_checked(struct lock *lock) {
    uintptr_t saved = port_interrupts_off();
    struct lock **mine = percpu_this(held), *last = *mine;
    if (last != NULL && last->rank <= lock->rank)
        panic("lock %s (rank %d) taken while %s (rank %d) is held: locks are taken downward only", lock->name,
              (int)lock->rank, last->name, (int)last->rank);
    port_lock(&lock->port);
    lock->saved = saved;
    lock->below = last;
    *mine = lock;
}

void lock_release_checked(struct lock *lock) {
    struct lock **mine = percpu_this(held), *last = *mine;
    require(last != NULL, "lock %s released, but this processor holds none", lock->name);
    require(last == lock, "lock %s released, but the last one taken is %s", lock->name, last->name);
    uintptr_t saved = lock->saved;
    *mine = lock->below;
    port_unlock(&lock->port);
    port_interrupts_restore(saved);
}

bool lock_is_held(const struct lock *lock) {
    uintptr_t saved = port_interrupts_off();
    const struct lock *at = *percpu_this(held);
    while (at != NULL && at != lock)
        at = at->below;
    port_interrupts_restore(saved);
    return !CONFIG_DEBUG || at != NULL;
}

void lock_release_all(void) {
    uintptr_t saved = port_interrupts_off();
    for (struct lock *last; (last = *percpu_this(held)) != NULL;)
        lock_release(last);
    port_interrupts_restore(saved);
}
