/* Descriptions, windows and the list of leases; mem/lease_pages.c shows the pages.
 *
 *     open   take a description with its window, enter it in the list: limit and counts are settled  list's lock
 *            show the pages                                                              mem/lease_pages.c
 *     close  mark it closing; hide the pages
 *            take it off the list, keep it for the next lease                                        list's lock
 *
 * A window's range has a power of two of pages, and stays with its description when the lease is closed: a few of each
 * size are kept, with its tables, so that most leases are opened without a look at ranges or tables. The
 * pages of a window behind the lease's own are unmapped, as is the guard behind the window. Windows of stable leases
 * wear a mark in the range's attributes and aren't kept. What is kept is given back by lease_trim(): before a request
 * is refused, and by whoever compares states.
 *
 * A description's `state` is its own address, scrambled, while the lease is open: so a second close, a pointer to
 * something else, and a copy of a description are told from an open lease without a search.
 *
 * Invariants, checked by lease_audit():
 *   Z1  each page of an open lease's window shows a page with the lease's rights; with a pin, if it isn't stable.
 *   Z2  the list is in the order of numbers, newest first, linked both ways; `open`, `pages` and `ended` count it, and
 *       each living owner's own counts sum to it.
 *   Z3  a page of a stable lease can be written nowhere.
 *   Z4  windows that are kept show nothing, and are as many as noted.
 *
 * Locking: the list has a lock (rank CONTEXTS), never held while pages are shown or hidden. Opening and closing leases
 * are in the list but not in state `open`, and audits and listings pass them by.
 *
 * Not done: charging leases to anybody; windows kept for each processor. */
#include <mem/lease.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/area_pages.h>
#include <mem/lease_pages.h>
#include <mem/nodes.h>

/* Windows of 2^class pages are kept: so many of each class below, and fewer of the large ones. */
enum { CLASSES = 10, CLASS_SMALL = 5, KEPT_SMALL = 8, KEPT_LARGE = 2 };

static struct {
    struct lock lock;
    struct pool pool;
    struct lease *newest; /* guarded by lock, as all below */
    struct lease *kept[CLASSES];
    unsigned kept_count[CLASSES];
    struct lease_stats stats;
} leases = { .lock = LOCK_INIT("leases", LOCK_RANK_CONTEXTS) };

/* --- State -------------------------------------------------------------------------------------------------------- */

static uintptr_t open_state(const struct lease *lease) {
    return (uintptr_t)lease ^ (uintptr_t)0x6c656173;
}

static bool is_open(const struct lease *lease) {
    return __atomic_load_n(&lease->state, __ATOMIC_ACQUIRE) == open_state(lease);
}

/* --- Windows ------------------------------------------------------------------------------------------------------ */

static unsigned class_of(size_t pages) {
    return pages <= 1 ? 0 : (unsigned)(sizeof(size_t) * 8) - (unsigned)__builtin_clzl((unsigned long)(pages - 1));
}

/* A whole range: needs no node, can't fail. */
static void give_range(uintptr_t first, size_t pages) {
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    int error = vspace_give(&kernel->ranges, first, pages);
    lock_release(&kernel->lock);
    require(error == 0, "lease: the window at %#zx (%zu pages) is no range of the kernel's any more",
            (size_t)page_address(first), pages);
}

/* The window's range is of a kind of its own, so that vfree() refuses it. */
static int take_window(struct lease *lease, unsigned mark) {
    struct vspace_request request = { .pages = (uintptr_t)1 << lease->size_class,
                                      .attributes = (uint16_t)(CONTEXT_RANGE_LEASE | mark),
                                      .guard_after = 1 };
    struct context *kernel = context_kernel();
    uintptr_t first;
    lock_take(&kernel->lock);
    int error = vspace_take(&kernel->ranges, &request, &first);
    lock_release(&kernel->lock);
    if (error != 0)
        return error;
    error = paging_window_make(&lease->window, &kernel->tables, page_address(first), request.pages);
    if (error != 0)
        give_range(first, request.pages);
    return error;
}

static void give_window(const struct lease *lease) {
    paging_window_end(&lease->window);
    give_range(lease->window.first, lease->window.pages);
}

static void discard(struct lease *lease) {
    give_window(lease);
    pool_give(&leases.pool, lease);
}

/* A description with a window of the class, made new. */
static int make(unsigned class, unsigned mark, struct lease **made) {
    struct lease *lease = (struct lease *)pool_take(&leases.pool);
    if (lease == NULL)
        return ERR_NO_MEMORY;
    lease->state = 0;
    lease->info.context_name[0] = '\0';
    lease->size_class = class;
    int error = take_window(lease, mark);
    if (error != 0)
        pool_give(&leases.pool, lease);
    else
        *made = lease;
    return error;
}

static int make_or_trim(unsigned class, unsigned mark, struct lease **made) {
    int error = make(class, mark, made);
    return error != 0 && lease_trim() ? make(class, mark, made) : error;
}

/* --- The list ----------------------------------------------------------------------------------------------------- */

/* A kept window of the class, or NULL. The lock is held, as below. */
static struct lease *take_kept(unsigned class) {
    struct lease *lease = class < CLASSES ? leases.kept[class] : NULL;
    if (lease != NULL) {
        leases.kept[class] = lease->next;
        leases.kept_count[class]--;
        leases.stats.windows--;
    }
    return lease;
}

static bool keep(struct lease *lease) {
    unsigned class = lease->size_class;
    if (class >= CLASSES || leases.kept_count[class] >= (class < CLASS_SMALL ? KEPT_SMALL : KEPT_LARGE))
        return false;
    lease->next = leases.kept[class];
    leases.kept[class] = lease;
    leases.kept_count[class]++;
    leases.stats.windows++;
    return true;
}

static bool is_within_limit(const struct context *context, size_t pages) {
    size_t limit = context->leases.limit > 0 ? context->leases.limit : LEASE_LIMIT;
    return context->leases.pages <= limit && pages <= limit - context->leases.pages;
}

static void link(struct lease *lease, struct context *context, size_t pages) {
    lease->info.number = ++leases.stats.opened;
    lease->owner = context;
    lease->previous = NULL;
    lease->next = leases.newest;
    if (lease->next != NULL)
        lease->next->previous = lease;
    leases.newest = lease;
    leases.stats.open++;
    leases.stats.pages += pages;
    context->leases.open++;
    context->leases.pages += pages;
}

static void unlink(struct lease *lease) {
    size_t pages = lease_pages_of(lease->info.address, lease->info.bytes);
    if (lease->previous != NULL)
        lease->previous->next = lease->next;
    else
        leases.newest = lease->next;
    if (lease->next != NULL)
        lease->next->previous = lease->previous;
    leases.stats.open--;
    leases.stats.pages -= pages;
    if (lease->owner != NULL) {
        lease->owner->leases.open--;
        lease->owner->leases.pages -= pages;
    } else {
        leases.stats.ended--;
    }
}

/* Takes a lease that shows nothing off the list, and keeps it with its window or gives both back. */
static void retire(struct lease *lease) {
    bool stable = lease->info.access == LEASE_STABLE;
    lock_take(&leases.lock);
    unlink(lease);
    bool kept = !stable && keep(lease);
    lock_release(&leases.lock);
    if (!kept)
        discard(lease);
}

static void copy_name(struct lease_info *info, const struct context *owner) {
    fmt(info->context_name, sizeof(info->context_name), "%s", owner->name);
}

/* The owner is about to be destroyed: its leases outlive it. */
static void owner_ended(struct context *context) {
    lock_take(&leases.lock);
    for (struct lease *lease = leases.newest; lease != NULL; lease = lease->next) {
        if (lease->owner != context)
            continue;
        copy_name(&lease->info, context);
        lease->info.owner_ended = true;
        lease->owner = NULL;
        leases.stats.ended++;
    }
    lock_release(&leases.lock);
}

void lease_init(void) {
    pool_init(&leases.pool, "leases", sizeof(struct lease), &nodes_source);
    context_set_end(owner_ended);
}

void lease_set_limit(struct context *context, size_t pages) {
    lock_take(&leases.lock);
    context->leases.limit = pages;
    lock_release(&leases.lock);
}

/* --- Opening and closing ------------------------------------------------------------------------------------------ */

/* A lease in the list, with a window and the limit kept, that shows nothing yet. */
static int enter(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
                 struct lease **entered) {
    size_t pages = lease_pages_of(address, bytes);
    unsigned class = class_of(pages), mark = access == LEASE_STABLE ? AREA_PROMISED : 0;
    struct lease *lease = NULL;
    for (bool again = false;; again = true) {
        lock_take(&leases.lock);
        bool allowed = is_within_limit(context, pages);
        if (allowed && lease == NULL && mark == 0)
            lease = take_kept(class);
        if (allowed && lease != NULL) {
            lease->info.address = address;
            lease->info.bytes = bytes;
            lease->info.access = access;
            link(lease, context, pages);
        }
        lock_release(&leases.lock);
        if (allowed && lease != NULL) {
            *entered = lease;
            return 0;
        }
        if (!allowed) {
            if (again)
                discard(lease);
            return ERR_LIMIT;
        }
        int error = make_or_trim(class, mark, &lease);
        if (error != 0)
            return error;
    }
}

int lease_open(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **opened) {
    if (bytes == 0 || address + bytes - 1 < address)
        return ERR_INVALID;
    if (!context->task || page_number(address + bytes - 1) >= context->ranges.end)
        return ERR_FAULT;
    struct lease *lease;
    int error = enter(context, address, bytes, access, &lease);
    if (error != 0) /* a run that the task doesn't have is that first of all, however long */
        return lease_look(context, address, bytes) != 0 ? ERR_FAULT : error;
    lease->info.pointer = (void *)(lease_window(lease) + (address & (PAGE_SIZE - 1)));
    lease->info.copied = 0;
    lease->info.place = (uintptr_t)__builtin_return_address(0);
    lease->info.context_number = context->number;
    lease->info.owner_ended = false;
    error = lease_show(context, lease);
    if (error != 0) {
        retire(lease);
        return error;
    }
    __atomic_store_n(&lease->state, open_state(lease), __ATOMIC_RELEASE);
    *opened = lease;
    return 0;
}

void lease_close(struct lease *lease) {
    uintptr_t state = __atomic_exchange_n(&lease->state, 0, __ATOMIC_ACQ_REL);
    require(state == open_state(lease), "lease_close(%#zx): no lease is open there: closed already, or never opened",
            (size_t)(uintptr_t)lease);
    lease_hide(lease);
    retire(lease);
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

void lease_stats(struct lease_stats *stats) {
    lock_take(&leases.lock);
    *stats = leases.stats;
    lock_release(&leases.lock);
}

/* The lock is held. */
static void tell(const struct lease *lease, struct lease_info *info) {
    *info = lease->info;
    info->age = leases.stats.opened - info->number;
    if (lease->owner != NULL)
        copy_name(info, lease->owner);
}

bool lease_next(uint64_t number, struct lease_info *info) {
    const struct lease *found = NULL;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL && lease->info.number > number; lease = lease->next)
        found = is_open(lease) ? lease : found;
    if (found != NULL)
        tell(found, info);
    lock_release(&leases.lock);
    return found != NULL;
}

bool lease_find(uintptr_t address, struct lease_info *info) {
    const struct lease *found = NULL;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL && found == NULL; lease = lease->next)
        if (is_open(lease) &&
            (address - lease_window(lease)) >> PAGE_SHIFT < lease_pages_of(lease->info.address, lease->info.bytes))
            found = lease;
    if (found != NULL)
        tell(found, info);
    lock_release(&leases.lock);
    return found != NULL;
}

bool lease_trim(void) {
    bool any = false;
    for (unsigned class = 0; class < CLASSES;) {
        lock_take(&leases.lock);
        struct lease *lease = take_kept(class);
        lock_release(&leases.lock);
        if (lease != NULL)
            discard(lease);
        else
            class ++;
        any = any || lease != NULL;
    }
    pool_trim(&leases.pool);
    return any;
}

/* The owner's counts are right if no lease makes them wrong and they sum to all. */
static void audit_owner(const struct lease *of) {
    size_t open = 0, pages = 0;
    for (const struct lease *lease = leases.newest; lease != NULL; lease = lease->next)
        if (lease->owner == of->owner) {
            open++;
            pages += lease_pages_of(lease->info.address, lease->info.bytes);
        }
    require(of->owner == NULL ? open == leases.stats.ended
                              : open == of->owner->leases.open && pages == of->owner->leases.pages,
            "lease: Z2 broken: context %u has %zu leases with %zu pages, and other counts", of->info.context_number,
            open, pages);
}

static void audit_kept(void) {
    size_t windows = 0;
    for (unsigned class = 0; class < CLASSES; class ++)
        for (const struct lease *lease = leases.kept[class]; lease != NULL; lease = lease->next) {
            size_t shown = paging_count(&context_kernel()->tables, lease_window(lease), (size_t)1 << class);
            require(shown == 0 && lease->size_class == class && !is_open(lease),
                    "lease: Z4 broken: the window at %#zx is kept and shows %zu pages", (size_t)lease_window(lease),
                    shown);
            windows++;
        }
    require(windows == leases.stats.windows, "lease: Z4 broken: %zu windows are kept, noted %zu", windows,
            leases.stats.windows);
}

void lease_audit(void) {
    size_t open = 0, pages = 0;
    uint64_t above = UINT64_MAX;
    const struct lease *previous = NULL;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL; previous = lease, lease = lease->next) {
        require(lease->info.number < above && lease->previous == previous,
                "lease: Z2 broken: number %u is not in order", (unsigned)lease->info.number);
        above = lease->info.number;
        if (is_open(lease))
            lease_audit_pages(lease);
        audit_owner(lease);
        open++;
        pages += lease_pages_of(lease->info.address, lease->info.bytes);
    }
    require(open == leases.stats.open && pages == leases.stats.pages,
            "lease: Z2 broken: %zu leases with %zu pages, noted %zu with %zu", open, pages, leases.stats.open,
            leases.stats.pages);
    audit_kept();
    lock_release(&leases.lock);
    pool_audit(&leases.pool);
}
