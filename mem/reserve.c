/* A stack of pages, each holding the number of the next in its first bytes.
 *
 *     top ──> page 0x1234 ──> page 0x0777 ──> PFN_NONE
 *
 * Pages come from palloc() before the lock is taken and go back after it was released, so that the lock is held for a
 * few instructions. What is reserved is held: it counts as used.
 *
 *   S1  `pages` is the number of pages from `top` on. reserve_drop() and reserve_take() walk into PFN_NONE otherwise.
 *
 * Not done: returning promised pages to tasks in need elsewhere (reclaim); a promise is never broken here. */
#include <mem/reserve.h>
#include <arch/arch.h>
#include <base/check.h>
#include <base/lock.h>
#include <mem/palloc.h>

static struct {
    struct lock lock;
    pfn_t top; /* guarded by lock, as is pages */
    size_t pages;
} state = { .lock = LOCK_INIT("reserve", LOCK_RANK_RESERVE), .top = PFN_NONE };

static void push(pfn_t pfn) {
    lock_take(&state.lock);
    pfn_t *view = (pfn_t *)arch_frame_open(pfn);
    *view = state.top;
    arch_frame_close(view);
    state.top = pfn;
    state.pages++;
    lock_release(&state.lock);
}

pfn_t reserve_take(void) {
    lock_take(&state.lock);
    pfn_t pfn = state.top;
    if (pfn != PFN_NONE) {
        pfn_t *view = (pfn_t *)arch_frame_open(pfn);
        state.top = *view;
        arch_frame_close(view);
        state.pages--;
    }
    lock_release(&state.lock);
    return pfn;
}

void reserve_return(pfn_t pfn) {
    push(pfn);
}

void reserve_drop(size_t pages) {
    for (size_t i = 0; i < pages; i++) {
        pfn_t pfn = reserve_take();
        require(pfn != PFN_NONE, "reserve_drop(%zu): only %zu pages were promised", pages, i);
        pfree(pfn, 1);
    }
}

int reserve_add(size_t pages) {
    struct palloc_request one = { .pages = 1 };
    for (size_t i = 0; i < pages; i++) {
        pfn_t pfn = palloc_with(&one);
        if (pfn == PFN_NONE) {
            reserve_drop(i);
            return ERR_NO_MEMORY;
        }
        push(pfn);
    }
    return 0;
}

size_t reserve_pages(void) {
    return state.pages;
}
