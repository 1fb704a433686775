/* tests/threads/judge.h - who has which page, apart from what the allocator believes.
 *
 * Taking writes marks into the pages by plain stores, and giving checks them: so the sanitizer also sees whether the
 * last use of a page by one thread comes before the first use by the next one. */
#ifndef TESTS_THREADS_JUDGE_H
#define TESTS_THREADS_JUDGE_H

#include <mem/palloc.h>

struct run {
    pfn_t first;
    uint32_t pages;
};

/* Whoever has pages is a number from 1 on: a worker's, or that of its interrupts. */
enum { JUDGE_WORKER = 1, JUDGE_INTERRUPT = 101, JUDGE_MAIN = 201 };

/* The pages were nobody's until now. */
void judge_take(struct run run, unsigned who);

/* The pages are `who`'s, hold what was written when he took them, and are nobody's from here on: before the allocator
 * is told. */
void judge_give(struct run run, unsigned who);

/* They become another's. */
void judge_hand(struct run run, unsigned from, unsigned to);

#endif
