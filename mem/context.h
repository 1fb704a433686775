/* mem/context.h - layer 5: address spaces.
 *
 * A context is a set of page tables and the ranges handed out in it. The kernel has one of its own; a task's context
 * holds the task's memory and nothing of the kernel's.
 *
 * Context: any but an NMI. Functions that are given a context take its lock (rank CONTEXT). */
#ifndef MEM_CONTEXT_H
#define MEM_CONTEXT_H

#include <mem/paging.h>
#include <mem/vspace.h>

#ifdef __cplusplus
extern "C" {
#endif

struct context {
    struct lock lock;
    struct vspace ranges; /* guarded by lock */
    struct paging tables; /* has a lock of its own */
    const char *name;
    uint32_t number; /* 0 is the kernel's; never used twice */
    bool task;
    struct {
        size_t open, pages, limit; /* limit in pages; 0: none but the default */
    } leases;                      /* of its memory; guarded by the list of leases' lock (mem/lease.h) */
    struct context *next;          /* all contexts, the kernel's first; guarded by the list's lock */
};

/* The kernel's own. */
struct context *context_kernel(void);

/* An empty context for a task. `name` is kept, not copied. NULL when memory is short. */
struct context *context_create(const char *name);

/* Removes all that is mapped in it, and the context. It must not be loaded. */
void context_destroy(struct context *context);

/* Called by context_destroy() for a context with leases open, before anything of it goes. Set once, by lease_init(). */
void context_set_end(void (*ended)(struct context *context));

/* The context with this number, or NULL; and the number of the next one above it (UINT32_MAX past the last). */
struct context *context_by_number(uint32_t number);
uint32_t context_next_number(uint32_t number);

/* What the attributes of a range say: why it exists. */
enum context_range {
    CONTEXT_RANGE_EMPTY = 1,  /* valloc */
    CONTEXT_RANGE_PAGES = 2,  /* pvalloc */
    CONTEXT_RANGE_IO = 3,     /* io_map */
    CONTEXT_RANGE_AREA = 4,   /* a task's own: mem/area.h */
    CONTEXT_RANGE_HEAP = 5,   /* kmalloc_init: the heap's region */
    CONTEXT_RANGE_LEASE = 6,  /* lease_open: a window */
    CONTEXT_RANGE_SHADOW = 7, /* shadow_init: what the heap's bytes are checked by */
    CONTEXT_RANGE_SHORT = 8,  /* the stretch of mem/range_cache.h, whose ranges are EMPTY or PAGES */
    CONTEXT_RANGE_KIND = 15,  /* the bits of the above */
};
const char *context_range_name(unsigned attributes);

/* What a page of a context's addresses belongs to: the range, copied; short ones of the kernel's are found too. The
 * context's lock is held. */
enum context_part { CONTEXT_NO_RANGE, CONTEXT_IN_RANGE, CONTEXT_IN_GUARD };
enum context_part context_find_range(struct context *context, uintptr_t page, struct vspace_range *range);

/* Gives back spare pages of the pools that contexts use. */
void context_trim(void);

/* Once, by mem_init(): the kernel's tables are made, its ranges lie between the two addresses. */
void context_init(uintptr_t first, uintptr_t end);

/* Checks a context's ranges (V1 to V4) and that everything mapped in it lies in a range (C1 in mem/context.c), and
 * audits the pools. */
void context_audit(struct context *context);

#ifdef __cplusplus
}
#endif
#endif
