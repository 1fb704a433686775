/* mem/lease.h - layer 5: user memory seen by the kernel without a copy.
 *
 *     task      |....xxxx|xxxxxxxx|xx......|        the pages, wherever they are in physical memory
 *                    \        |       \
 *     kernel    |....xxxx|xxxxxxxx|xx......|guard|  the same pages, adjacent; an unaligned start keeps its offset
 *                    ^pointer
 *
 * While a lease is open its pages live, whatever the task does: it may unmap them or end. What the task's own tables
 * show then is the task's matter alone; the kernel goes on to see the pages that it leased.
 *
 * Context: any but an NMI; takes the lock of the task's context, then that of the kernel's, never both. The task's
 * context must not be destroyed during lease_open().
 * Errors: ERR_INVALID no bytes, or the run wraps; ERR_FAULT a page that the task doesn't have or may not use so;
 * ERR_REFUSED a write lease on an executable page; ERR_LIMIT a page that is pinned or mapped too often; ERR_NO_SPACE,
 * ERR_NO_MEMORY. */
#ifndef MEM_LEASE_H
#define MEM_LEASE_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lease_access {
    LEASE_READ,
    LEASE_WRITE,
};

/* What can be told of a lease. */
struct lease_info {
    void *pointer;     /* the first byte, in the kernel's context */
    uintptr_t address; /* the same byte in the task's */
    size_t bytes;
    enum lease_access access;
    uint64_t number;         /* 1, 2, 3... in the order of opening, never used twice: the age of a lease */
    uintptr_t place;         /* the return address of lease_open() */
    uint32_t context_number; /* of the owner, which may be gone by now */
    char context_name[24];   /* its name, cut */
};

struct lease {
    struct lease_info info;
    struct lease *next; /* guarded by the list's lock */
};

/* Once, after the kernel's context is up. */
void lease_init(void);

/* Makes the task's bytes visible at (*lease)->info.pointer, read-only for LEASE_READ; all or nothing. Cost:
 * O(pages). */
int lease_open(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **lease);

/* Ends it: the pages are unmapped here, flushed, and only then unpinned. One that isn't open is a broken contract.
 * Cost: O(pages), and the leases opened later that are open still. */
void lease_close(struct lease *lease);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

/* Leases open now, and given out since the start. */
struct lease_stats {
    size_t open, pages;
    uint64_t opened;
};
void lease_stats(struct lease_stats *stats);

/* The oldest open lease with a number above this one; false if there is none. A walk starts from 0. */
bool lease_next(uint64_t number, struct lease_info *info);

/* The lease in whose window an address of the kernel's lies. */
bool lease_find(uintptr_t address, struct lease_info *info);

/* Gives back spare pages of the pool. */
void lease_trim(void);

/* Checks every open lease (Z1 and Z2 in mem/lease.c); panics with the first contradiction. Cost: linear in their
 * pages. */
void lease_audit(void);

#ifdef __cplusplus
}
#endif
#endif
