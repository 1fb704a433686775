/* user/check.h - what the programs of ring 3 share: claims, children, and touching memory that should not be
 * touched.
 *
 * A program prints a line for each claim, `ok NAME` or `FAILED NAME: why`, and ends with claims_end(). All of it is
 * plain C for any Linux libc, and runs on Linux itself with the same lines. Output goes by write(2) at once, so that
 * a fork never copies a buffer. */
#ifndef USER_CHECK_H
#define USER_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096 };

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* --- Claims ------------------------------------------------------------------------------------------------------- */

void claim(const char *name, bool holds);

/* FAILED says both values. */
void claim_value(const char *name, long found, long wanted);

/* The result of a library's call that must fail with this error. */
void claim_error(const char *name, long result, int wanted);

/* main's result. */
int claims_end(void);

/* --- Children ----------------------------------------------------------------------------------------------------- */

/* Forks; the child runs this and ends with its result. Gives the child's number; a fork that fails ends the program. */
int child_start(int (*run)(void *argument), void *argument);

/* Waits for this child: its exit code, or -N if signal N killed it. */
int child_end(int child);

/* Both. */
int child_run(int (*run)(void *argument), void *argument);

/* --- Touching ----------------------------------------------------------------------------------------------------- */

enum touch { TOUCH_READ, TOUCH_WRITE, TOUCH_EXECUTE };

extern const char *const touch_names[];

/* What becomes of a child that touches this address: as child_end(), 0 when it survives. */
int touch(uintptr_t address, enum touch how);

/* Claims that each of the three kills a child by SIGSEGV. */
void claim_untouchable(const char *name, uintptr_t address);

/* --- Memory ------------------------------------------------------------------------------------------------------- */

/* New zeroed pages to read and write; the program ends if there are none. */
unsigned char *pages(size_t count);

/* The same, which children share with their parent. */
void *pages_shared(size_t count);

#endif
