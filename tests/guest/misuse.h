/* tests/guest/misuse.h - the table of heap misuse: what each level of checking (base/config.h) makes of it.
 *
 *     MISUSE(overrun_by_one, "a byte written behind the block",
 *            NOT_FOUND, "when freed: 1 byte changed", "when freed: 1 byte changed", "at once: write of 1 byte") {
 *         write_byte(take(24), 24);
 *     }
 *
 * A case's body commits the misuse, and nothing else has to notice it: it then frees what it took, has the heap give
 * back all that it keeps, and audits it. A cell says at which of these steps the report comes, and words that stand in
 * it; the case fails if its level's cell isn't true to the letter, NOT_FOUND included. Each case logs its row, and
 * tools/misuse-table compares the rows with the table in docs/heap.md, so that neither can say what isn't so. */
#ifndef TESTS_GUEST_MISUSE_H
#define TESTS_GUEST_MISUSE_H

#include <mem/kmalloc.h>
#include <tests/test.h>

enum { MISUSE_LEVELS = 4 };

struct misuse {
    const char *text;
    bool alone;
    void (*commit)(void);
    const char *cells[MISUSE_LEVELS];
};

#define NOT_FOUND        "-"
#define EVERYWHERE(cell) cell, cell, cell, cell

/* Then four cells: none, canary, guard, asan. */
#define MISUSE(name_, text_, ...) MISUSE_IN(false, name_, text_, __VA_ARGS__)
/* The same, its blocks being those that the two upper levels put between unmapped pages, one in some. */
#define MISUSE_ALONE(name_, text_, ...) MISUSE_IN(true, name_, text_, __VA_ARGS__)

#define MISUSE_IN(alone_, name_, text_, ...)                                                                           \
    static void name_##_commit(void);                                                                                  \
    TEST(misuse_##name_) {                                                                                             \
        static const struct misuse misuse = { text_, alone_, name_##_commit, { __VA_ARGS__ } };                        \
        misuse_run(&misuse);                                                                                           \
    }                                                                                                                  \
    static void name_##_commit(void)

void misuse_run(const struct misuse *misuse);

/* --- For bodies --------------------------------------------------------------------------------------------------- */

/* A block, freed at the end if it is still in use. */
char *misuse_take(size_t bytes);
/* The lower one of two: with heap above, and so with a shadow, at the level that has one. */
char *misuse_take_low(size_t bytes);
void *misuse_keep(void *block); /* the same for one that was got by another call */

/* Called when the case has ended, however: for what isn't the heap's. */
void misuse_after(void (*undo)(void));

/* A byte at an offset from a block, read, or changed. What was changed is as it was again when the case has ended. */
void misuse_read(const char *block, intptr_t offset);
void misuse_write(char *block, intptr_t offset);
void misuse_put(char *block, intptr_t offset, char byte); /* to a value of the case's choice */

/* Another function is about to change these bytes of the block. */
void misuse_note(char *block, intptr_t offset, size_t bytes);

#endif
