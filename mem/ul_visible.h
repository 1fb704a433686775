/* mem/ul_visible.h - layer 4: the window in every context.
 *
 * What base/ul_visible.h marks stands in some pages of the kernel's image, which every task's tables map at the same
 * address, for ring 0 only. A kernel that has none (an embedder with an entry path of its own) sets nothing, and
 * tasks' tables hold the task's memory alone.
 *
 * Context: as mem/paging.h. */
#ifndef MEM_UL_VISIBLE_H
#define MEM_UL_VISIBLE_H

#include <base/ul_visible.h>
#include <mem/paging.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pages of the image with one set of rights; PAGE_GLOBAL is one of them, as they are the same everywhere. */
struct ul_visible_part {
    uintptr_t address;
    pfn_t first;
    size_t pages;
    unsigned attributes;
};

/* Once, after mem_init(), before the first task's context: the window is these parts, which the kernel's tables map
 * already. The list is kept, not copied. */
void ul_visible_set(const struct ul_visible_part *parts, size_t count);

/* Into the tables of a new task. ERR_NO_MEMORY: nothing has changed. */
int ul_visible_map(struct paging *tables);

/* Out of them again. */
void ul_visible_unmap(struct paging *tables);

/* Calls `leaf` for each page of the window in a task's tables, as paging_audit() does, and checks U1 of
 * mem/ul_visible.c. */
void ul_visible_audit(struct paging *tables, void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes),
                      void *to);

#ifdef __cplusplus
}
#endif
#endif
