/* tests/sweep.h - all or nothing, shown: a call whose inner requests fail, each in turn.
 *
 * For n = 1, 2, 3... the n-th request for anything that may run out (base/fail.h) fails, until the call succeeds and
 * made fewer than n. A call that fails leaves all audits content and audit_hash() as it was. How many requests were
 * made to fail is logged, "failures | CALL | N |", and tools/failures-table compares the lines with the table in
 * docs/failures.md. What the memory manager keeps spare is given back before each attempt, so that N is the most there
 * can be.
 */
#ifndef TESTS_SWEEP_H
#define TESTS_SWEEP_H

#include <tests/test.h>

struct sweep {
    const char *call;  /* as the table has it */
    bool (*run)(void); /* true: it succeeded */
    void (*undo)(void);
    unsigned least; /* fewer points than this: the sweep misses something */
    bool moves;     /* after `undo` all is well, but not in the same place: audit_hash() is another one */
};

/* Skips the test in release builds, where nothing fails on request. */
void sweep_need_debug(void);

void sweep_run(const struct sweep *sweep);

#endif
