#include <tests/threads/judge.h>
#include <arch/arch.h>
#include <base/check.h>

enum { PAGES_MAX = (1 << 20) + (1 << 14), MARKS = 2 };

static uint32_t owners[PAGES_MAX]; /* atomic, relaxed: 0 is nobody */

static void change(struct run run, uint32_t from, uint32_t to) {
    require(run.first < PAGES_MAX && run.pages <= PAGES_MAX - run.first, "judge: pages 0x%x, %u: no such RAM",
            run.first, run.pages);
    for (pfn_t pfn = run.first; pfn < run.first + run.pages; pfn++) {
        uint32_t found = __atomic_exchange_n(&owners[pfn], to, __ATOMIC_RELAXED);
        require(found == from, "judge: page 0x%x of 0x%x, %u pages, goes from %u to %u, but %u has it", pfn, run.first,
                run.pages, from, to, found);
    }
}

static uint64_t mark(pfn_t pfn, unsigned who, unsigned index) {
    return ((uint64_t)pfn << 20 | (uint64_t)who << 4 | index) * 0x9e3779b97f4a7c15;
}

/* The first word and the last. */
static uint64_t *place(char *view, unsigned index) {
    return (uint64_t *)(void *)(view + (index == 0 ? 0 : PAGE_SIZE - sizeof(uint64_t)));
}

static void write_marks(struct run run, unsigned who) {
    for (pfn_t pfn = run.first; pfn < run.first + run.pages; pfn++) {
        char *view = (char *)arch_frame_open(pfn);
        for (unsigned i = 0; i < MARKS; i++)
            *place(view, i) = mark(pfn, who, i);
        arch_frame_close(view);
    }
}

static void check_marks(struct run run, unsigned who) {
    for (pfn_t pfn = run.first; pfn < run.first + run.pages; pfn++) {
        char *view = (char *)arch_frame_open(pfn);
        for (unsigned i = 0; i < MARKS; i++)
            require(*place(view, i) == mark(pfn, who, i), "judge: page 0x%x of %u was written to by another", pfn, who);
        arch_frame_close(view);
    }
}

void judge_take(struct run run, unsigned who) {
    change(run, 0, who);
    write_marks(run, who);
}

void judge_give(struct run run, unsigned who) {
    check_marks(run, who);
    change(run, who, 0);
}

void judge_hand(struct run run, unsigned from, unsigned to) {
    check_marks(run, from);
    change(run, from, to);
    write_marks(run, to);
}
