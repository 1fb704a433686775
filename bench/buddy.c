/* A buddy as textbooks have it: blocks of 2^order pages, aligned to their size, in one doubly linked list for each
 * order. A request is rounded up to a power of two; a larger block is halved until it fits, and a freed one is joined
 * with its buddy (the block whose number differs in one bit) for as long as that is free and whole.
 *
 *     state of page p:   order of the free block that begins here, or NOT_FREE
 *
 * Single pages go through a stack of 64 that moves half of itself when it is empty or full, with interrupts off and
 * without the lock, as palloc's does. Not done, as textbooks don't: checks of what is freed, other zones, giving back
 * the tail that rounding took. */
#include <bench/allocators.h>
#include <base/lock.h>

enum { ORDERS = 11, NOT_FREE = 0xff, STACK_MAX = 64, STACK_BATCH = 32 };
#define NONE UINT32_MAX

static struct {
    struct lock lock;
    uint32_t pages;
    uint32_t *next, *previous;
    uint8_t *state;
    uint32_t lists[ORDERS];
    uint32_t stacked, stack[STACK_MAX];
} heap = { .lock = LOCK_INIT("buddy", LOCK_RANK_PALLOC) };

static size_t bytes_for(uint32_t pages) {
    return pages * (2 * sizeof(uint32_t) + sizeof(uint8_t));
}

static void insert(uint32_t block, unsigned order) {
    uint32_t next = heap.lists[order];
    heap.next[block] = next;
    heap.previous[block] = NONE;
    if (next != NONE)
        heap.previous[next] = block;
    heap.lists[order] = block;
    heap.state[block] = (uint8_t)order;
}

static void remove(uint32_t block, unsigned order) {
    uint32_t next = heap.next[block], previous = heap.previous[block];
    if (next != NONE)
        heap.previous[next] = previous;
    if (previous != NONE)
        heap.next[previous] = next;
    else
        heap.lists[order] = next;
    heap.state[block] = NOT_FREE;
}

static uint32_t take_block(unsigned wanted) {
    unsigned order = wanted;
    while (order < ORDERS && heap.lists[order] == NONE)
        order++;
    if (order == ORDERS)
        return NONE;
    uint32_t block = heap.lists[order];
    remove(block, order);
    while (order > wanted) {
        order--;
        insert(block + (1u << order), order);
    }
    return block;
}

static void give_block(uint32_t block, unsigned order) {
    while (order < ORDERS - 1) {
        uint32_t other = block ^ (1u << order);
        if (other >= heap.pages || heap.state[other] != order)
            break;
        remove(other, order);
        block &= ~(1u << order);
        order++;
    }
    insert(block, order);
}

static void init(void *memory, uint32_t pages) {
    heap.pages = pages;
    heap.next = (uint32_t *)memory;
    heap.previous = heap.next + pages;
    heap.state = (uint8_t *)(heap.previous + pages);
    heap.stacked = 0;
    for (unsigned order = 0; order < ORDERS; order++)
        heap.lists[order] = NONE;
    for (uint32_t page = 0; page < pages; page++)
        heap.state[page] = NOT_FREE;
    for (uint32_t page = 0; page < pages; page++)
        give_block(page, 0);
}

static unsigned order_of(uint32_t pages) {
    return pages == 1 ? 0 : 32u - (unsigned)__builtin_clz(pages - 1);
}

/* --- The stack --------------------------------------------------------------------------------------------------- */

static uint32_t take_single(void) {
    uintptr_t saved = port_interrupts_off();
    if (heap.stacked == 0) {
        lock_take(&heap.lock);
        uint32_t page;
        while (heap.stacked < STACK_BATCH && (page = take_block(0)) != NONE)
            heap.stack[heap.stacked++] = page;
        lock_release(&heap.lock);
    }
    uint32_t page = heap.stacked > 0 ? heap.stack[--heap.stacked] : NONE;
    port_interrupts_restore(saved);
    return page;
}

static void give_single(uint32_t page) {
    uintptr_t saved = port_interrupts_off();
    if (heap.stacked == STACK_MAX) {
        lock_take(&heap.lock);
        while (heap.stacked > STACK_MAX - STACK_BATCH)
            give_block(heap.stack[--heap.stacked], 0);
        lock_release(&heap.lock);
    }
    heap.stack[heap.stacked++] = page;
    port_interrupts_restore(saved);
}

/* --- Use --------------------------------------------------------------------------------------------------------- */

static uint32_t take_many(uint32_t pages) {
    lock_take(&heap.lock);
    uint32_t block = take_block(order_of(pages));
    lock_release(&heap.lock);
    return block;
}

static void *take(uint32_t pages) {
    uint32_t block = pages == 1 ? take_single() : take_many(pages);
    return block == NONE ? NULL : (void *)((uintptr_t)(YARDSTICKS_FIRST + block) << PAGE_SHIFT);
}

static void give(uint32_t first, uint32_t pages) {
    uint32_t block = first - YARDSTICKS_FIRST;
    if (pages == 1) {
        give_single(block);
        return;
    }
    lock_take(&heap.lock);
    give_block(block, order_of(pages));
    lock_release(&heap.lock);
}

const struct page_allocator buddy = {
    .name = "buddy", .pages_max = 1 << (ORDERS - 1), .take = take, .give = give, .bytes = bytes_for, .init = init
};
