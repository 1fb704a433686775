/* mem/area.h - layer 5: a task's memory.
 *
 * An area is a range of a task's context with rights; its pages appear when they are touched, zeroed. All that a task
 * can ask for (mmap, munmap, mprotect, brk, fork) is done with these few calls, and what the
 * kernel itself reads and writes there goes through mem/task_copy.h and mem/lease.h.
 *
 * Addresses are page-aligned and sizes pages where not said otherwise. W^X holds for every page over all its mappings:
 * rights to write and execute together are refused, as is execution while another mapping can write.
 *
 * Context: a task's or the kernel's thread, not an interrupt's; takes the context's lock. A shortage is ERR_NO_MEMORY,
 * with nothing changed. */
#ifndef MEM_AREA_H
#define MEM_AREA_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No bit: the area keeps its addresses and nothing can be touched. Writing and executing imply reading. */
enum { AREA_READ = 1 << 0, AREA_WRITE = 1 << 1, AREA_EXECUTE = 1 << 2 };

struct area_request {
    size_t pages;
    unsigned rights;
    uintptr_t address;   /* with `fixed` the place, else a hint; 0: none */
    uintptr_t low, high; /* bounds for a place that isn't fixed; 0: the context's */
    bool fixed;
    bool replace;    /* with `fixed`: what was there is unmapped first */
    bool shared;     /* pages stay one with those of a copy of the context; they are all there from the start */
    bool unreserved; /* pages aren't promised: touching them may fail when memory is short */
    bool stack;      /* grows down by area_grow() */
};

/* 0 with *address set; ERR_INVALID, ERR_EXISTS (a fixed place is taken), ERR_NO_SPACE, ERR_NO_MEMORY, ERR_REFUSED
 *   (W^X). Every
 * page that may ever be needed is promised now (mem/reserve.h), and every table made. With `replace`, what was there
 * may be gone after ERR_NO_MEMORY. */
int area_map(struct context *context, const struct area_request *request, uintptr_t *address);

/* Removes whatever areas there are in the run, whole or in part. ERR_NO_MEMORY when an area's middle goes and there is
 * no node for the second part; ERR_INVALID. Cost: O(pages in areas). */
int area_unmap(struct context *context, uintptr_t address, size_t pages);

/* Changes the rights of the run, which areas must cover. ERR_NO_MEMORY: they don't, or no node or no page to promise;
 * ERR_REFUSED: W^X. Nothing has changed then. */
int area_protect(struct context *context, uintptr_t address, size_t pages, unsigned rights);

struct area_move {
    uintptr_t old; /* what is there now, */
    size_t old_pages;
    size_t pages;  /* and how much there shall be */
    bool may_move; /* to a free place in [low, high) (0: the context's), if it can't grow where it is */
    bool fixed;    /* to `address` in any case, whatever is there now being unmapped first */
    uintptr_t address, low, high;
};

/* Shrinks, grows or moves an area or a part of one; bytes go with it and no page is copied. *address is where it is
 * then. ERR_INVALID: bad or overlapping runs; ERR_FAULT: the old run isn't within one area (when it shrinks, its first
 * page is in none); ERR_NO_SPACE: there is no room, or it may not move; ERR_NO_MEMORY; ERR_LIMIT from frame_map().
 * Nothing has changed then, but that with `fixed` the place may be empty and a tail to be cut off gone. */
int area_move(struct context *context, const struct area_move *wish, uintptr_t *address);

/* Every page of the run lies in an area. */
bool area_covers(struct context *context, uintptr_t address, size_t pages);

/* Private pages of the run are zero when they are touched next; shared ones stay. ERR_NO_SPACE: done, but pages of no
 * area were among them; ERR_NO_MEMORY: leased or executable pages need a promise, nothing has changed; ERR_INVALID. */
int area_discard(struct context *context, uintptr_t address, size_t pages);

/* Tells of each page whether it is there: 1 or 0. ERR_NO_SPACE: a page is in no area; ERR_INVALID. */
int area_resident(struct context *context, uintptr_t address, size_t pages, uint8_t *resident);

/* Touches all pages of the run as their rights allow, so that no access to them faults. ERR_NO_SPACE: a page is in no
 * area; ERR_FAULT: in one without rights; ERR_NO_MEMORY; ERR_INVALID. Pages before the one that failed are there. */
int area_populate(struct context *context, uintptr_t address, size_t pages);

/* The same for all areas that have rights; what is short is left to be faulted in later. */
void area_populate_all(struct context *context);

/* Gives an empty context the areas of another: shared pages shown by both, private ones copied when one of them
 * writes. On failure the new context is empty again. */
int area_copy(struct context *from, struct context *to);

/* Shows pages of one task in another: the run from `source` on, which shared areas cover, becomes a shared area of
 * `to`, placed as the request says (pages, rights, address, fixed, low, high; no `replace`). Each may unmap its own or
 * end; the pages are freed with the last. The two contexts may be the same.
 * ERR_INVALID also for a source that isn't all shared; ERR_REFUSED more rights than the source has, or W^X; ERR_LIMIT a
 * page that is mapped too often; else as area_map(). Nothing has changed then. */
int area_share(struct context *from, uintptr_t source, struct context *to, const struct area_request *request,
               uintptr_t *address);

/* Removes all areas: before context_destroy(). */
void area_clear(struct context *context);

/* --- Touching ----------------------------------------------------------------------------------------------------- */

/* Makes one access (AREA_READ, AREA_WRITE or AREA_EXECUTE) possible that the tables don't allow yet: gives a page, or
 * a copy of its own. `address` may be any. ERR_FAULT: it isn't allowed there; ERR_NO_MEMORY. */
int area_fault(struct context *context, uintptr_t address, unsigned access);

/* Lets a stack area grow down to the page of `address`, if that lies at most `most` pages below the area's end and a
 * free page stays below it. ERR_FAULT: no such area; ERR_NO_MEMORY. */
int area_grow(struct context *context, uintptr_t address, size_t most);

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

/* "read write", "none" and so on, for a range's attributes. */
const char *area_rights_name(unsigned attributes);

/* Checks A1 to A3 of mem/area.c over all contexts; panics with the first contradiction. Cost: linear in areas' pages.
 * */
void area_audit(void);

#ifdef __cplusplus
}
#endif
#endif
