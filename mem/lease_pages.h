/* mem/lease_pages.h - the pages of leases, for mem/lease*.c alone. */
#ifndef MEM_LEASE_PAGES_H
#define MEM_LEASE_PAGES_H

#include <mem/lease.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Virtual pages that bytes from an address on touch. */
static inline size_t lease_pages_of(uintptr_t address, size_t bytes) {
    return page_number(address + bytes - 1) - page_number(address) + 1;
}

static inline uintptr_t lease_window(const struct lease *lease) {
    return page_address(lease->window.first);
}

/* ERR_FAULT if a page of the run is in no range of the context. */
int lease_look(struct context *context, uintptr_t address, size_t bytes);

/* Shows the task's pages in the lease's window, which is empty: all or nothing. Takes the locks of the context and of
 * both tables, and keeps none. For a stable lease counts info.copied. */
int lease_show(struct context *context, struct lease *lease);

/* The reverse; the task may be gone. */
void lease_hide(const struct lease *lease);

/* The window's pages are what Z1 and Z3 of mem/lease.c say. */
void lease_audit_pages(const struct lease *lease);

#ifdef __cplusplus
}
#endif
#endif
