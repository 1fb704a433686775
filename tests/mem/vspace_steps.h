/* tests/mem/vspace_steps.h - what requests and frees of ranges look at (struct vspace's `steps`), however many live.
 *
 * The live ranges are of one and two pages, each with a guard; a random fifth of what was taken is given back, so there
 * are holes, and most of them are too small. Then each kind of request is made and undone STEPS_ROUNDS times at random
 * places, and the worst is held to STEPS_PER_BIT for each bit of the number of ranges, and STEPS_MORE. */
#ifndef TESTS_MEM_VSPACE_STEPS_H
#define TESTS_MEM_VSPACE_STEPS_H

#include <base/bits.h>
#include <mem/vspace.h>
#include <tests/test.h>

/* A path is at most 1.44 nodes a bit. The longest operation is a request for a place between bounds that merges with
 * both neighbours: two paths along the bounds and one to the gap, each with a look aside at every node, two paths to
 * the neighbours, two removals and an insertion. */
enum { STEPS_PER_BIT = 6, STEPS_MORE = 12, STEPS_ROUNDS = 200, STEPS_FIRST = 16 };

struct steps_run {
    struct vspace *space;
    struct test_random random;
    unsigned long before, most; /* of one operation */
};

static inline int steps_take(struct steps_run *run, const struct vspace_request *request, uintptr_t *first) {
    run->before = run->space->steps;
    int error = vspace_take(run->space, request, first);
    unsigned long steps = run->space->steps - run->before;
    run->most = steps > run->most ? steps : run->most;
    return error;
}

static inline void steps_give(struct steps_run *run, uintptr_t first, uintptr_t pages) {
    run->before = run->space->steps;
    expect_equal(vspace_give(run->space, first, pages), 0);
    unsigned long steps = run->space->steps - run->before;
    run->most = steps > run->most ? steps : run->most;
}

/* A range at or above a random page, or the lowest one. */
static inline const struct vspace_range *steps_some(struct steps_run *run) {
    struct vspace *space = run->space;
    uintptr_t used = space->root->high - space->first;
    const struct vspace_range *range =
        vspace_next(space, space->first + test_random_below(&run->random, (uint32_t)used));
    return range != NULL ? range : vspace_next(space, space->first);
}

/* False when there is no node for so many. */
static inline bool steps_fill(struct steps_run *run, size_t live) {
    uintptr_t first;
    while (run->space->ranges < live + live / 4) {
        const struct vspace_request request = { .pages = 1 + test_random_below(&run->random, 2), .guard_after = 1 };
        if (steps_take(run, &request, &first) != 0)
            return false;
    }
    while (run->space->ranges > live) {
        const struct vspace_range *range = steps_some(run);
        steps_give(run, range->first, range->end - range->first);
    }
    return true;
}

/* Takes and gives the whole back. */
static inline void steps_pair(struct steps_run *run, const struct vspace_request *request) {
    uintptr_t first;
    expect_equal(steps_take(run, request, &first), 0);
    steps_give(run, first, request->pages);
}

/* First fit, guards on both sides, aligned, between bounds, and a hint that is taken. */
static inline void steps_places(struct steps_run *run) {
    static const uintptr_t lengths[] = { 1, 2, 5, 16, 256 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uintptr_t pages = lengths[i], place = steps_some(run)->first;
        steps_pair(run, &(struct vspace_request){ .pages = pages, .guard_after = 1 });
        steps_pair(run, &(struct vspace_request){ .pages = pages, .guard_before = 3, .guard_after = 2 });
        steps_pair(run, &(struct vspace_request){ .pages = pages, .align = 64, .guard_after = 1 });
        steps_pair(run, &(struct vspace_request){ .pages = pages, .low = place, .guard_after = 1 });
        steps_pair(run, &(struct vspace_request){ .pages = pages, .at = place, .guard_after = 1 });
    }
}

/* Refused: a fixed place that is taken, bounds with nothing free between them, and more than there is. */
static inline void steps_refusals(struct steps_run *run) {
    uintptr_t place = steps_some(run)->first, first;
    const struct vspace_request fixed = { .pages = 1, .at = place, .fixed = true };
    expect_equal(steps_take(run, &fixed, &first), ERR_EXISTS);
    const struct vspace_request bounds = { .pages = 1, .low = place, .high = place + 1 };
    expect_equal(steps_take(run, &bounds, &first), ERR_NO_SPACE);
    const struct vspace_request large = { .pages = run->space->end - run->space->first };
    expect_equal(steps_take(run, &large, &first), ERR_NO_SPACE);
}

/* A range loses its head, its tail and a part from its middle, then the two that are left. */
static inline void steps_parts(struct steps_run *run) {
    const struct vspace_request request = { .pages = 9, .low = steps_some(run)->first, .guard_after = 1 };
    uintptr_t first;
    expect_equal(steps_take(run, &request, &first), 0);
    steps_give(run, first, 1);
    steps_give(run, first + 8, 1);
    steps_give(run, first + 4, 1);
    steps_give(run, first + 1, 3);
    steps_give(run, first + 5, 3);
}

/* Two ranges with one page between them that the third fills: all three become one. */
static inline void steps_merge(struct steps_run *run) {
    const struct vspace_request room = { .pages = 7, .low = steps_some(run)->first };
    struct vspace_request part = { .pages = 3, .attributes = VSPACE_MERGE, .fixed = true };
    uintptr_t first, at;
    expect_equal(steps_take(run, &room, &first), 0);
    steps_give(run, first, 7);
    size_t ranges = run->space->ranges;
    part.at = first;
    expect_equal(steps_take(run, &part, &at), 0);
    part.at = first + 4;
    expect_equal(steps_take(run, &part, &at), 0);
    part.at = first + 3;
    part.pages = 1;
    expect_equal(steps_take(run, &part, &at), 0);
    expect_equal(run->space->ranges, ranges + 1);
    steps_give(run, first, 7);
}

/* Holds each count of live ranges, from 10 to `most` in tens, to the bound. Returns the last for which there were
 * nodes. The space is empty before, and after. */
static inline size_t steps_hold(struct vspace *space, size_t most) {
    size_t reached = 0;
    for (size_t live = 10; live <= most; live *= 10) {
        struct steps_run run = { .space = space, .random = { live } };
        bool filled = steps_fill(&run, live);
        for (unsigned i = 0; filled && i < STEPS_ROUNDS; i++) {
            steps_places(&run);
            steps_refusals(&run);
            steps_parts(&run);
            steps_merge(&run);
        }
        unsigned bits = 0;
        for (size_t n = live + live / 4; n > 0; n /= 2)
            bits++;
        if (run.most > STEPS_PER_BIT * bits + STEPS_MORE)
            test_fail(__FILE__, __LINE__, "%lu nodes looked at for one request among %zu ranges, not at most %u",
                      run.most, live, STEPS_PER_BIT * bits + STEPS_MORE);
        vspace_audit(space);
        vspace_clear(space);
        if (!filled)
            break;
        reached = live;
    }
    return reached;
}

#endif
