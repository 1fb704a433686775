/* Showing a task's pages in a window, a batch at a time:
 *
 *     with the context's lock    read a batch of entries from the task's tables            its tables' lock
 *                                touch the first page that isn't ready, read on
 *                                count a mapping and a pin for each page, show them        no lock of tables
 *
 * From the read to the pin nothing changes, since the context's lock is held. Between batches the task may change its
 * memory; each batch is looked at when its turn comes, and counts on nothing seen before. The window is known to nobody
 * else, and of the two contexts only the task's is locked.
 *
 * The pin keeps a page from being freed, and tells mem/area.h that this mapping is no task's. The mapping in the window
 * counts like any other, so W^X holds over it. Which pages a lease has stands in the kernel's tables and nowhere else.
 *
 * A stable lease takes a share of a private page as a forked child would, so that everything that keeps a child's view
 * apart from its parent's keeps the lease's: the window has a mapping and no pin, the task's entry loses the right to
 * write, and whoever writes takes a copy from the reserve, to which the opening added a page. So of n areas and windows
 * that show one page all but one owe one (A3 in mem/area.c), and closing gives a promise back unless the window was the
 * last to show the page. The window's range wears AREA_PROMISED, by which area_audit() finds it. What can't be shared
 * like this is copied: the copy has the window as its only mapping, and so owes nothing and is freed with it.
 *
 * Cost: for pages that are there, a load and a store each in both tables and two of the count; a stable lease takes a
 * walk and four locks a page.
 * Not done: stable leases by batches. */
#include <mem/lease_pages.h>
#include <base/check.h>
#include <base/fail.h>
#include <mem/area_pages.h>
#include <mem/paging_window.h>
#include <mem/reserve.h>

enum { BATCH = 128 };

static struct paging *kernel_tables(void) {
    return &context_kernel()->tables;
}

static size_t pages_of(const struct lease *lease) {
    return lease_pages_of(lease->info.address, lease->info.bytes);
}

/* --- Looking ------------------------------------------------------------------------------------------------------ */

/* The run lies in ranges of the context, so a length that makes no sense costs nothing. The lock is held. */
static int look(struct context *context, uintptr_t page, size_t pages) {
    for (uintptr_t end = page + pages; page < end;) {
        const struct vspace_range *range = vspace_find(&context->ranges, page);
        if (range == NULL)
            return ERR_FAULT;
        page = range->end;
    }
    return 0;
}

/* Why a page can't be leased. The context's lock is held. */
static int refusal(struct context *context, uintptr_t page, enum lease_access access) {
    struct paging_entry entry;
    bool executable = paging_find(&context->tables, page_address(page), &entry) && (entry.attributes & PAGE_USER) &&
                      (entry.attributes & PAGE_EXECUTE);
    return access == LEASE_WRITE && executable ? ERR_REFUSED : ERR_FAULT;
}

/* Makes a page of an area ready. */
static int prepare(struct context *context, uintptr_t page, enum lease_access access, struct paging_entry *entry) {
    if (!is_area(vspace_find(&context->ranges, page)))
        return refusal(context, page, access);
    return area_touch(context, page, access == LEASE_WRITE ? AREA_WRITE : AREA_READ, entry);
}

/* The first `count` pages of a run of `rest`. The context's lock is held. */
static int read_batch(struct context *context, uintptr_t page, size_t count, size_t rest, enum lease_access access,
                      pfn_t *list) {
    unsigned rights = access == LEASE_WRITE ? PAGE_USER | PAGE_WRITE : PAGE_USER;
    for (size_t done = 0;;) {
        done += paging_read(&context->tables, page_address(page + done), count - done, rights, list + done);
        if (done == count)
            return 0;
        int error = look(context, page + done, rest - done); /* before anything is made, however long the run */
        if (error != 0)
            return error;
        struct paging_entry entry;
        error = prepare(context, page + done, access, &entry);
        if (error != 0)
            return error;
        list[done++] = entry.pfn;
        if (done == count)
            return 0;
    }
}

int lease_look(struct context *context, uintptr_t address, size_t bytes) {
    lock_take(&context->lock);
    int error = look(context, page_number(address), lease_pages_of(address, bytes));
    lock_release(&context->lock);
    return error;
}

/* --- Plain leases ------------------------------------------------------------------------------------------------- */

static unsigned window_rights(const struct lease *lease) {
    return lease->info.access == LEASE_WRITE ? PAGE_WRITE : 0;
}

static int show_batch(struct context *context, const struct lease *lease, size_t done, size_t count) {
    pfn_t list[BATCH];
    uintptr_t page = page_number(lease->info.address) + done;
    lock_take(&context->lock);
    int error = read_batch(context, page, count, pages_of(lease) - done, lease->info.access, list);
    if (error == 0)
        error = paging_show(&lease->window, done, list, count, window_rights(lease));
    lock_release(&context->lock);
    return error;
}

static int show_plain(struct context *context, const struct lease *lease) {
    size_t pages = pages_of(lease);
    for (size_t done = 0; done < pages;) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        int error = show_batch(context, lease, done, count);
        if (error != 0) {
            if (done > 0)
                paging_hide(&lease->window, done, window_rights(lease));
            return error;
        }
        done += count;
    }
    return 0;
}

/* --- Stable leases ------------------------------------------------------------------------------------------------ */

/* A page that nobody but this entry can write, in an area that has promised copies. */
static bool can_share(const struct vspace_range *range, const struct paging_entry *entry) {
    if (!is_area(range) || (range->attributes & (AREA_PROMISED | AREA_SHARED)) != AREA_PROMISED)
        return false;
    return frame_get(entry->pfn).writable == ((entry->attributes & PAGE_WRITE) ? 1 : 0);
}

static void allow_again(struct context *context, uintptr_t page, const struct vspace_range *range, pfn_t pfn) {
    unsigned rights = area_entry_attributes(range->attributes, pfn);
    int error = paging_protect(&context->tables, page_address(page), 1, rights);
    require(error == 0, "lease: page %#x refuses the rights that it had", pfn);
}

/* The context's lock is held. */
static int share_page(struct context *context, uintptr_t page, const struct paging_entry *entry, uintptr_t at) {
    const struct vspace_range *range = vspace_find(&context->ranges, page);
    int error = reserve_add(1);
    if (error != 0)
        return error;
    bool written = (entry->attributes & PAGE_WRITE) != 0;
    if (written)
        error = paging_protect(&context->tables, page_address(page), 1, entry->attributes & ~(unsigned)PAGE_WRITE);
    if (error == 0) {
        error = paging_map(kernel_tables(), at, entry->pfn, 1, 0);
        if (error != 0 && written)
            allow_again(context, page, range, entry->pfn);
    }
    if (error != 0)
        reserve_drop(1);
    return error;
}

static int copy_page(pfn_t pfn, uintptr_t at) {
    pfn_t copy = area_take_copy(0, pfn);
    if (copy == PFN_NONE)
        return ERR_NO_MEMORY;
    int error = paging_map(kernel_tables(), at, copy, 1, 0);
    if (error != 0)
        area_give_page(copy, 0);
    else
        frame_hand_over(copy);
    return error;
}

static int show_stable_page(struct context *context, struct lease *lease, size_t index) {
    uintptr_t page = page_number(lease->info.address) + index, at = lease_window(lease) + (index << PAGE_SHIFT);
    struct paging_entry entry;
    int error = index == 0 ? look(context, page, pages_of(lease)) : 0;
    if (error == 0 && is_area(vspace_find(&context->ranges, page)))
        error = area_touch(context, page, AREA_READ, &entry);
    else if (error == 0 &&
             !(paging_find(&context->tables, page_address(page), &entry) && (entry.attributes & PAGE_USER)))
        error = ERR_FAULT;
    if (error != 0)
        return error;
    if (can_share(vspace_find(&context->ranges, page), &entry))
        return share_page(context, page, &entry, at);
    error = copy_page(entry.pfn, at);
    lease->info.copied += error == 0;
    return error;
}

/* Takes the first pages of a window back: a page that others show too gives its promise back. */
static void hide_stable(uintptr_t window, size_t pages) {
    for (size_t i = 0; i < pages; i++) {
        uintptr_t at = window + (i << PAGE_SHIFT);
        struct paging_entry entry;
        bool mapped = paging_find(kernel_tables(), at, &entry);
        require(mapped, "lease: page %#zx of a window lost its translation", (size_t)at);
        bool owed = area_showing(entry.pfn) > 1;
        paging_unmap(kernel_tables(), at, 1);
        reserve_drop(owed ? 1 : 0);
    }
}

/* What a failed opening write-protected can be written again at once, and not after a fault. */
static void allow_all_again(struct context *context, const struct lease *lease, size_t pages) {
    lock_take(&context->lock);
    for (size_t i = 0; i < pages; i++) {
        uintptr_t page = page_number(lease->info.address) + i;
        const struct vspace_range *range = vspace_find(&context->ranges, page);
        struct paging_entry entry;
        if (is_area(range) && paging_find(&context->tables, page_address(page), &entry))
            allow_again(context, page, range, entry.pfn);
    }
    lock_release(&context->lock);
}

static int show_stable(struct context *context, struct lease *lease) {
    size_t pages = pages_of(lease);
    for (size_t done = 0; done < pages; done++) {
        lock_take(&context->lock);
        int error = show_stable_page(context, lease, done);
        lock_release(&context->lock);
        if (error != 0) {
            hide_stable(lease_window(lease), done);
            allow_all_again(context, lease, done);
            return error;
        }
    }
    return 0;
}

/* --- Both --------------------------------------------------------------------------------------------------------- */

int lease_show(struct context *context, struct lease *lease) {
    return lease->info.access == LEASE_STABLE ? show_stable(context, lease) : show_plain(context, lease);
}

void lease_hide(const struct lease *lease) {
    if (lease->info.access == LEASE_STABLE)
        hide_stable(lease_window(lease), pages_of(lease));
    else
        paging_hide(&lease->window, pages_of(lease), window_rights(lease));
}

void lease_audit_pages(const struct lease *lease) {
    bool stable = lease->info.access == LEASE_STABLE;
    for (size_t i = 0; i < pages_of(lease); i++) {
        struct paging_entry entry;
        bool mapped = paging_find(kernel_tables(), lease_window(lease) + (i << PAGE_SHIFT), &entry);
        bool rights = mapped && (entry.attributes & (PAGE_WRITE | PAGE_USER)) == window_rights(lease);
        require(rights && (stable || frame_get(entry.pfn).pins > 0),
                "lease: Z1 broken: page %zu of the window at %#zx is %s", i, (size_t)lease_window(lease),
                mapped ? "not pinned, or has other rights" : "not mapped");
        require(!stable || frame_get(entry.pfn).writable == 0,
                "lease: Z3 broken: page %zu of the stable window at %#zx can be written elsewhere", i,
                (size_t)lease_window(lease));
    }
}
