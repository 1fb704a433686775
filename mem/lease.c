/* The order, and why:
 *
 *     open   look at all pages once, so that nonsense costs nothing       task's lock
 *            take the description and the window                           kernel's lock, for the range alone
 *            for each page: look again, pin; map a batch in the window     task's lock
 *     close  unlink; then, a batch at a time: unmap and flush, unpin; give the window back
 *
 * Between looking and mapping the task may change its memory, so the second look is the one that counts: from it to
 * the pin nothing changes, since the context's lock is held. The window is known to nobody else by then, and mapping
 * in it takes the lock of the kernel's tables alone (rank PAGING): two contexts are never locked at once.
 *
 * The pin keeps a page from being freed; the mapping in the window counts like any other, so W^X holds over it. Which
 * pages a lease has stands in the kernel's tables and nowhere else.
 *
 * Invariants, checked by lease_audit():
 *   Z1  each page of an open lease's window shows a page with at least one pin, with the lease's rights.
 *   Z2  the list is in the order of numbers, newest first; open and pages count it.
 *
 * Locking: the list has a lock (rank CONTEXTS), held while a batch is unmapped and not while pages are mapped.
 * A page that is shown and not leased has as many mappings as contexts show it: who must tell (mem/area.h) takes
 * mappings less pins. So a window's mapping and pin come and go together: here the list's lock keeps others from
 * looking in between, which is enough while there is one processor.
 *
 * Not done: faulting pages in and breaking copy-on-write (mem/area_lease.h does both first); stable reads; charging. */
#include <mem/lease.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <mem/nodes.h>

/* Pages are pinned and mapped in batches of this many, noted on the stack. */
enum { BATCH = 64 };

static struct {
    struct lock lock;
    struct pool pool;
    struct lease *newest; /* guarded by lock, as all below */
    struct lease_stats stats;
} leases = { .lock = LOCK_INIT("leases", LOCK_RANK_CONTEXTS) };

void lease_init(void) {
    pool_init(&leases.pool, "leases", sizeof(struct lease), &nodes_source);
}

static struct paging *kernel_tables(void) {
    return &context_kernel()->tables;
}

/* Virtual pages that bytes from an address on touch. */
static size_t pages_of(uintptr_t address, size_t bytes) {
    return page_number(address + bytes - 1) - page_number(address) + 1;
}

static uintptr_t window_of(const struct lease_info *info) {
    return (uintptr_t)info->pointer & ~(uintptr_t)(PAGE_SIZE - 1);
}

/* --- The task's side ---------------------------------------------------------------------------------------------- */

/* The page behind a page of the task's, if it may be used so. The context's lock is held. */
static int look(struct context *context, uintptr_t page, enum lease_access access, pfn_t *pfn) {
    struct paging_entry entry;
    if (vspace_find(&context->ranges, page) == NULL || !paging_find(&context->tables, page_address(page), &entry) ||
        !(entry.attributes & PAGE_USER))
        return ERR_FAULT;
    if (access == LEASE_WRITE && !(entry.attributes & PAGE_WRITE))
        return (entry.attributes & PAGE_EXECUTE) ? ERR_REFUSED : ERR_FAULT;
    *pfn = entry.pfn;
    return 0;
}

static int look_at_all(struct context *context, uintptr_t address, size_t bytes, enum lease_access access) {
    uintptr_t first = page_number(address), end = first + pages_of(address, bytes);
    int error = 0;
    pfn_t pfn;
    lock_take(&context->lock);
    for (uintptr_t page = first; error == 0 && page < end; page++)
        error = look(context, page, access, &pfn);
    lock_release(&context->lock);
    return error;
}

/* --- The window --------------------------------------------------------------------------------------------------- */

static void unpin(const pfn_t *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        frame_unpin(list[i]);
}

static int pin(pfn_t pfn) {
    return fail_here() ? ERR_LIMIT : frame_pin(pfn);
}

/* Pins and maps `count` pages from page `done` of the lease on. The context's lock is held. */
static int show_batch(struct context *context, const struct lease_info *info, size_t done, size_t count) {
    pfn_t list[BATCH];
    for (size_t i = 0; i < count; i++) {
        int error = look(context, page_number(info->address) + done + i, info->access, &list[i]);
        if (error == 0)
            error = pin(list[i]);
        if (error != 0) {
            unpin(list, i);
            return error;
        }
    }
    uintptr_t at = window_of(info) + (done << PAGE_SHIFT);
    int error = paging_map_list(kernel_tables(), at, list, count, info->access == LEASE_WRITE ? PAGE_WRITE : 0);
    if (error != 0)
        unpin(list, count);
    return error;
}

static void hide_batch(uintptr_t at, size_t count) {
    pfn_t list[BATCH];
    for (size_t i = 0; i < count; i++) {
        struct paging_entry entry;
        bool mapped = paging_find(kernel_tables(), at + (i << PAGE_SHIFT), &entry);
        require(mapped, "lease: page %#zx of a window lost its translation", (size_t)(at + (i << PAGE_SHIFT)));
        list[i] = entry.pfn;
    }
    lock_take(&leases.lock);
    paging_unmap(kernel_tables(), at, count);
    unpin(list, count);
    lock_release(&leases.lock);
}

static void hide(uintptr_t window, size_t pages) {
    for (size_t done = 0; done < pages;) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        hide_batch(window + (done << PAGE_SHIFT), count);
        done += count;
    }
}

static int show(struct context *context, const struct lease_info *info) {
    size_t pages = pages_of(info->address, info->bytes), done = 0;
    int error = 0;
    lock_take(&context->lock);
    while (error == 0 && done < pages) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        error = show_batch(context, info, done, count);
        done += error == 0 ? count : 0;
    }
    lock_release(&context->lock);
    if (error != 0)
        hide(window_of(info), done);
    return error;
}

/* --- Opening and closing ------------------------------------------------------------------------------------------ */

static void link(struct lease *lease) {
    lock_take(&leases.lock);
    lease->info.number = ++leases.stats.opened;
    lease->next = leases.newest;
    leases.newest = lease;
    leases.stats.open++;
    leases.stats.pages += pages_of(lease->info.address, lease->info.bytes);
    lock_release(&leases.lock);
}

static void unlink(struct lease *lease) {
    lock_take(&leases.lock);
    struct lease **at = &leases.newest;
    while (*at != NULL && *at != lease)
        at = &(*at)->next;
    bool open = *at == lease;
    if (open) {
        *at = lease->next;
        leases.stats.open--;
        leases.stats.pages -= pages_of(lease->info.address, lease->info.bytes);
    }
    lock_release(&leases.lock);
    require(open, "lease_close(%#zx): no lease is open there: closed already, or never opened",
            (size_t)(uintptr_t)lease);
}

/* The window's range is of a kind of its own, so that vfree() refuses it. */
static int take_window(size_t pages, uintptr_t *window) {
    const struct vspace_request request = { .pages = pages, .attributes = CONTEXT_RANGE_LEASE, .guard_after = 1 };
    struct context *kernel = context_kernel();
    uintptr_t first;
    lock_take(&kernel->lock);
    int error = vspace_take(&kernel->ranges, &request, &first);
    lock_release(&kernel->lock);
    if (error == 0)
        *window = page_address(first);
    return error;
}

/* A whole range: needs no node, can't fail. */
static void give_window(uintptr_t window, size_t pages) {
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    int error = vspace_give(&kernel->ranges, page_number(window), pages);
    lock_release(&kernel->lock);
    require(error == 0, "lease: the window at %#zx (%zu pages) is no range of the kernel's any more", (size_t)window,
            pages);
}

/* Window and pages for a lease whose other fields stand. */
static int fill(struct context *context, struct lease_info *info) {
    size_t pages = pages_of(info->address, info->bytes);
    uintptr_t window;
    int error = take_window(pages, &window);
    if (error != 0)
        return error;
    info->pointer = (void *)(window + (info->address & (PAGE_SIZE - 1)));
    error = show(context, info);
    if (error != 0)
        give_window(window, pages);
    return error;
}

int lease_open(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **opened) {
    if (bytes == 0 || address + bytes - 1 < address)
        return ERR_INVALID;
    int error = look_at_all(context, address, bytes, access);
    if (error != 0)
        return error;
    struct lease *lease = (struct lease *)pool_take(&leases.pool);
    if (lease == NULL)
        return ERR_NO_MEMORY;
    *lease = (struct lease){ .info = { .address = address,
                                       .bytes = bytes,
                                       .access = access,
                                       .place = (uintptr_t)__builtin_return_address(0),
                                       .context_number = context->number } };
    fmt(lease->info.context_name, sizeof(lease->info.context_name), "%s", context->name);
    error = fill(context, &lease->info);
    if (error != 0) {
        pool_give(&leases.pool, lease);
        return error;
    }
    link(lease);
    *opened = lease;
    return 0;
}

void lease_close(struct lease *lease) {
    unlink(lease);
    size_t pages = pages_of(lease->info.address, lease->info.bytes);
    uintptr_t window = window_of(&lease->info);
    hide(window, pages);
    give_window(window, pages);
    pool_give(&leases.pool, lease);
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

void lease_stats(struct lease_stats *stats) {
    lock_take(&leases.lock);
    *stats = leases.stats;
    lock_release(&leases.lock);
}

bool lease_next(uint64_t number, struct lease_info *info) {
    bool found = false;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL && lease->info.number > number; lease = lease->next) {
        *info = lease->info;
        found = true;
    }
    lock_release(&leases.lock);
    return found;
}

bool lease_find(uintptr_t address, struct lease_info *info) {
    bool found = false;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL && !found; lease = lease->next) {
        *info = lease->info;
        found = (address - window_of(info)) >> PAGE_SHIFT < pages_of(info->address, info->bytes);
    }
    lock_release(&leases.lock);
    return found;
}

void lease_trim(void) {
    pool_trim(&leases.pool);
}

static void audit_window(const struct lease_info *info) {
    unsigned attributes = info->access == LEASE_WRITE ? PAGE_WRITE : 0;
    size_t pages = pages_of(info->address, info->bytes);
    for (size_t i = 0; i < pages; i++) {
        uintptr_t at = window_of(info) + (i << PAGE_SHIFT);
        struct paging_entry entry;
        bool mapped = paging_find(kernel_tables(), at, &entry);
        require(mapped && (entry.attributes & (PAGE_WRITE | PAGE_USER)) == attributes && frame_get(entry.pfn).pins > 0,
                "lease: Z1 broken: page %zu of the window at %#zx is %s", i, (size_t)window_of(info),
                mapped ? "not pinned, or has other rights" : "not mapped");
    }
}

void lease_audit(void) {
    size_t open = 0, pages = 0;
    uint64_t above = UINT64_MAX;
    lock_take(&leases.lock);
    for (const struct lease *lease = leases.newest; lease != NULL; lease = lease->next) {
        require(lease->info.number < above, "lease: Z2 broken: number %u is not in order",
                (unsigned)lease->info.number);
        above = lease->info.number;
        audit_window(&lease->info);
        open++;
        pages += pages_of(lease->info.address, lease->info.bytes);
    }
    require(open == leases.stats.open && pages == leases.stats.pages,
            "lease: Z2 broken: %zu leases with %zu pages, noted %zu with %zu", open, pages, leases.stats.open,
            leases.stats.pages);
    lock_release(&leases.lock);
    pool_audit(&leases.pool);
}
