/* base/check.h - how a mistake stops the machine.
 *
 * Three failures, three answers: a shortage is an ordinary return value; bad data from outside is an error; a broken
 * contract (double free, wrong unit, never ours) comes here. Context: any. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Formats the evidence as base/fmt.h says and hands it to port_panic(). */
NORETURN void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#ifdef __cplusplus
}
#endif

/* The caller's side of a contract: compiled in always. The text must name the arguments and the state found. */
#define require(condition, ...)                                                                                        \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            panic(__VA_ARGS__);                                                                                        \
    } while (0)

/* Our own side: what this code believes of itself. Checked in debug builds, compiled always. */
#define invariant(condition)                                                                                           \
    do {                                                                                                               \
        if (CONFIG_DEBUG && __builtin_expect(!(condition), 0))                                                         \
            panic("%s:%d: invariant broken: %s", __FILE__, __LINE__, #condition);                                      \
    } while (0)

#endif
