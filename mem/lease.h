/* mem/lease.h - layer 5: a task's memory seen by the kernel without a copy.
 *
 *     task      |....xxxx|xxxxxxxx|xx......|        the pages, wherever they are in physical memory
 *                    \        |       \
 *     kernel    |....xxxx|xxxxxxxx|xx......|guard|  the same pages, adjacent; an unaligned start keeps its offset
 *                    ^pointer
 *
 * What is leased may be any of a task's memory: pages that weren't touched yet are made, as the task's own access would
 * make them, and a page that a fork left to several is copied first if the lease is to write. While a lease is open its
 * pages live, whatever the task does. What each sees then:
 *
 *     the task       LEASE_READ, LEASE_WRITE                         LEASE_STABLE
 *     writes         the kernel sees it (not if the page was one     the kernel goes on to see what was there at the
 *                    for several after a fork: the task gets its     opening; the task gets a copy, reserved since
 *                    own copy)                                       then
 *     unmaps, ends,  the kernel keeps the pages; the task's part is   the same
 *     execs          gone for it alone; the pages are freed by the
 *                    close
 *     maps anew      new pages; the lease shows the old ones          the same
 *     mprotects      the task's rights change alone. Execution is     the same; execution is allowed
 *                    refused under a write lease (W^X)
 *     forks          the child gets a copy made at once; parent and   parent, child and lease share until one of the
 *                    lease stay with the page                         two writes
 *
 * A stable lease reads no byte twice with different values: its pages can be written nowhere. A page that somebody else
 * might write (shared memory, another lease that writes, memory that isn't promised) is copied at the opening instead,
 * and info.copied says how many were.
 *
 * Lease or copy: copy_from_task() and copy_to_task() of mem/task_copy.h copy; their crossover is told there.
 *
 * Context: any but an NMI; takes the list's lock, then that of the task's context, and under it those of both's tables
 * in turn. The task's context must not be destroyed during lease_open().
 * Errors: ERR_INVALID no bytes, or the run wraps; ERR_FAULT a page that the task doesn't have or may not use so;
 * ERR_REFUSED a write lease on an executable page; ERR_LIMIT more pages than the task may have leased at a time, or a
 * page that is pinned or mapped too often; ERR_NO_SPACE, ERR_NO_MEMORY. */
#ifndef MEM_LEASE_H
#define MEM_LEASE_H

#include <mem/context.h>
#include <mem/paging_window.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lease_access {
    LEASE_READ,
    LEASE_WRITE,
    LEASE_STABLE, /* to read, and nobody can change it meanwhile */
};

/* What can be told of a lease. */
struct lease_info {
    void *pointer;     /* the first byte, in the kernel's context */
    uintptr_t address; /* the same byte in the task's */
    size_t bytes;
    enum lease_access access;
    uint32_t copied;         /* pages of a stable lease that are copies */
    uint64_t number;         /* 1, 2, 3... in the order of opening, never used twice */
    uint64_t age;            /* leases opened since */
    uintptr_t place;         /* the return address of lease_open() */
    uint32_t context_number; /* of the owner */
    bool owner_ended;        /* which is gone by now: whoever opened this forgot it, or is late */
    char context_name[24];   /* the owner's, cut */
};

/* One open lease; `info.age` and `info.context_name` aren't kept up to date here, but told by lease_next(). */
struct lease {
    struct lease_info info;
    struct lease *next, *previous; /* guarded by the list's lock, as the owner */
    struct context *owner;         /* NULL once it is destroyed */
    uintptr_t state;               /* whether it is open; see mem/lease.c */
    struct paging_window window;
    unsigned size_class; /* the window has a power of two of pages */
};

/* Pages of one task that may be leased at a time, if lease_set_limit() says nothing else: 256 MiB. */
#define LEASE_LIMIT ((size_t)65536)

/* Once, after the kernel's context is up. */
void lease_init(void);

/* Makes the task's bytes visible at (*lease)->info.pointer, read-only but for LEASE_WRITE; all or nothing, but that
 * pages may have come into being which the task was promised anyway. Cost, with lease_close(), of 1, 16 and 256 pages
 * that are there: 918, 2,090, 20,316 instructions on x86_64, 1,381, 3,739, 41,289 on i386. A stable lease takes pages
 * one by one, with several locks each. */
int lease_open(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **lease);

/* Ends it: the pages are unmapped here, flushed, and only then unpinned. One that isn't open is a broken contract.
 * Cost: O(pages). */
void lease_close(struct lease *lease);

/* How many pages of this context may be leased at a time; 0: LEASE_LIMIT. What is open stays. */
void lease_set_limit(struct context *context, size_t pages);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

struct lease_stats {
    size_t open, pages; /* now */
    size_t ended;       /* of the open ones, those whose task has ended */
    uint64_t opened;    /* since the start */
    size_t windows;     /* kept for the next leases */
};
void lease_stats(struct lease_stats *stats);

/* The oldest open lease with a number above this one; false if there is none. A walk starts from 0. */
bool lease_next(uint64_t number, struct lease_info *info);

/* The lease in whose window an address of the kernel's lies. */
bool lease_find(uintptr_t address, struct lease_info *info);

/* Gives back the windows that are kept, and spare pages of the pool. True if there was a window. */
bool lease_trim(void);

/* Checks every open lease (Z1 to Z4 in mem/lease.c); panics with the first contradiction. Cost: linear in their
 * pages, and quadratic in the leases. */
void lease_audit(void);

#ifdef __cplusplus
}
#endif
#endif
