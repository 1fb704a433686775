/* In debug builds each processor keeps a list of the locks that it holds, in the order in which it took them. The list
 * is touched with interrupts off only and by its own processor only. Cost without it: the port's lock and one flag
 * word. */
#include <base/check.h>
#include <base/lock.h>
#include <base/percpu.h>

enum { HELD_MAX = 8 };

struct held {
    unsigned count;
    struct lock *lock[HELD_MAX];
};

static struct held held[CONFIG_PROCESSORS];

void lock_init(struct lock *lock, const char *name, enum lock_rank rank) {
    *lock = (struct lock)LOCK_INIT(name, rank);
}

static void note_taken(struct lock *lock) {
    struct held *mine = percpu_this(held);
    for (unsigned i = 0; i < mine->count; i++)
        if (mine->lock[i]->rank <= lock->rank)
            panic("lock %s (rank %d) taken while %s (rank %d) is held: locks are taken downward only", lock->name,
                  (int)lock->rank, mine->lock[i]->name, (int)mine->lock[i]->rank);
    require(mine->count < HELD_MAX, "lock %s: this processor holds %u locks already", lock->name, mine->count);
    mine->lock[mine->count++] = lock;
}

static void note_released(const struct lock *lock) {
    struct held *mine = percpu_this(held);
    require(mine->count > 0, "lock %s released, but this processor holds none", lock->name);
    const struct lock *last = mine->lock[mine->count - 1];
    require(last == lock, "lock %s released, but the last one taken is %s", lock->name, last->name);
    mine->count--;
}

void lock_take(struct lock *lock) {
    uintptr_t saved = port_interrupts_off();
    if (CONFIG_DEBUG)
        note_taken(lock);
    port_lock(&lock->port);
    lock->saved = saved;
}

void lock_release(struct lock *lock) {
    if (CONFIG_DEBUG)
        note_released(lock);
    uintptr_t saved = lock->saved;
    port_unlock(&lock->port);
    port_interrupts_restore(saved);
}

bool lock_is_held(const struct lock *lock) {
    if (!CONFIG_DEBUG)
        return true;
    const struct held *mine = percpu_this(held);
    for (unsigned i = 0; i < mine->count; i++)
        if (mine->lock[i] == lock)
            return true;
    return false;
}

void lock_release_all(void) {
    struct held *mine = percpu_this(held);
    while (mine->count > 0)
        lock_release(mine->lock[mine->count - 1]);
}
