/* A request that found nothing asks in this order:
 *
 *     0  free blocks in this processor's magazines, whole pages among the kept slabs; the other processors are asked
 *        for theirs, and waited for a little
 *     1  those who registered, one after the other, without any lock of ours
 *
 * and looks again after each. A callback may call the heap: its own requests go no further than step 0, and so does
 * a request in an interrupt that comes meanwhile to this processor.
 *
 * Who is called stays on the list until it returns: to take it off meanwhile is refused. The walk holds on to it by
 * `calls`, so the list may change elsewhere. */
#include <mem/kmalloc.h>
#include <base/check.h>
#include <mem/kmalloc_path.h>

static struct {
    struct kmalloc_reclaim *first; /* guarded by the heap's lock */
    bool busy[CONFIG_PROCESSORS];  /* a walk goes on; its processor's, with interrupts off */
} reclaim;

void kmalloc_reclaim_register(struct kmalloc_reclaim *who) {
    slab_lock();
    who->calls = 0;
    who->next = reclaim.first;
    reclaim.first = who;
    slab_unlock();
}

bool kmalloc_reclaim_unregister(struct kmalloc_reclaim *who) {
    slab_lock();
    struct kmalloc_reclaim **link = &reclaim.first;
    while (*link != NULL && *link != who)
        link = &(*link)->next;
    bool listed = *link == who, idle = listed && who->calls == 0;
    if (idle)
        *link = who->next;
    slab_unlock();
    require(listed, "kmalloc_reclaim_unregister(%p): it isn't registered", (void *)who);
    return idle;
}

static bool set_busy(bool value) {
    uintptr_t saved = port_interrupts_off();
    bool *busy = percpu_this(reclaim.busy), was = *busy;
    *busy = value;
    port_interrupts_restore(saved);
    return was;
}

/* The one after `at`, held; `at` is let go. NULL: the first one, or the end. */
static struct kmalloc_reclaim *next_of(struct kmalloc_reclaim *at) {
    slab_lock();
    struct kmalloc_reclaim *next = at == NULL ? reclaim.first : at->next;
    if (at != NULL)
        at->calls--;
    if (next != NULL)
        next->calls++;
    slab_unlock();
    return next;
}

static bool ask_all(size_t bytes) {
    bool any = false;
    if (set_busy(true))
        return false;
    for (struct kmalloc_reclaim *at = next_of(NULL); at != NULL; at = next_of(at))
        any |= at->give_back(at, bytes) > 0;
    set_busy(false);
    return any;
}

static bool collect(void) {
    slab_lock();
    bool any = guard_drain(), asked = magazine_ask();
    any |= magazine_flush(false);
    any |= slab_trim();
    slab_unlock();
    if (asked)
        magazine_wait();
    return any || asked;
}

/* What the callbacks freed went into magazines first. */
bool kmalloc_recover(unsigned step, size_t bytes) {
    if (step == 0)
        return collect() || kmalloc_recover(1, bytes);
    if (step > 1 || !ask_all(bytes))
        return false;
    collect();
    return true;
}

void kmalloc_trim(void) {
    slab_lock();
    guard_drain();
    magazine_flush(true);
    magazine_ask();
    slab_trim();
    heap_pages_trim();
    slab_unlock();
}

void kmalloc_idle(void) {
    slab_lock();
    magazine_flush(true);
    slab_unlock();
}

void kmalloc_sample(unsigned one_in) {
    slab_lock();
    guard_sample(one_in);
    slab_unlock();
}
