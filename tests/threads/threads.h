/* tests/threads/threads.h - threads of the host stand in for processors.
 *
 * A thread runs on one processor at a time, and only it runs there. Whenever its interrupts are on, an interrupt may
 * come, and the thread may go on on another processor: what a scheduler does. Both happen at random, an interrupt also
 * between any two instructions (under ThreadSanitizer: at atomic operations), so that a pointer to a processor's data
 * that is used too long is a race that the sanitizer sees.
 *
 * Judges order nothing: what they note is noted by relaxed atomics, or the sanitizer would take a judge's order for the
 * order of what is judged.
 *
 * Claims in a worker are made with require() (base/check.h): a panic in any thread fails the test. expect() is for the
 * test's own thread, while no worker runs. */
#ifndef TESTS_THREADS_THREADS_H
#define TESTS_THREADS_THREADS_H

#include <base/types.h>
#include <tests/test.h>

enum { THREADS_MAX = 8, INTERRUPT_KEEPS = 8 };

struct worker {
    unsigned number;                     /* of the thread, not of its processor */
    struct test_random random;           /* the body's */
    struct test_random interrupt_random; /* this and the rest: the handler's */
    unsigned interrupts;                 /* that came */
    bool ending;                         /* the body has returned, and this is the last one */
    struct kept {
        uintptr_t at, size;
    } kept[INTERRUPT_KEEPS]; /* whatever the handler keeps until a later interrupt */
};

/* Runs body on so many threads at once and returns when all have ended: then nobody else is at work, and what is in
 * processors' caches stays there. The test's own thread keeps processor 0 all the time. */
void threads_run(unsigned count, void (*body)(struct worker *worker));

/* Called in interrupts of workers, with interrupts off, and once more for each worker when its body has returned; NULL:
 * interrupts do nothing. While no worker runs. */
void threads_on_interrupt(void (*handler)(struct worker *worker));

/* Threads move from processor to processor, as at the start, or stay where they begin. While no worker runs. */
void threads_move(bool may);

/* Waits until all `count` workers of the run are here; at most once a run for each point. */
struct meeting {
    unsigned here;
};
void threads_meet(struct meeting *meeting, unsigned count);

/* False once the test has run for so long; true at the first call of a test. */
bool threads_time_left(unsigned milliseconds);

/* The text that call(argument) panics with, or NULL if it returns. No lock may be held at the panic. The text lasts
 * until the thread's next panic. */
const char *threads_panic(void (*call)(uintptr_t argument), uintptr_t argument);

/* Ends the test as passed at once, from any thread: where a mistake made on purpose leaves nothing to go on with. */
NORETURN void threads_pass(void);

/* ThreadSanitizer is at work: it also reports races that a test makes on purpose. */
bool threads_sanitized(void);

#endif
