/* base/fail.h - failures on request.
 *
 * Everything that may run out asks fail_here() before it looks. In a debug build a test arms it, so that the n-th such
 * request fails whatever memory there is. Context: any; with several processors at work, "the n-th" is nobody's in
 * particular. */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The n-th request from now on fails, n = 1 being the next; 0 disarms. */
void fail_arm(unsigned n);

/* Requests seen since fail_arm(). */
unsigned fail_seen(void);

bool fail_count(void);

#ifdef __cplusplus
}
#endif

static inline bool fail_here(void) {
    return CONFIG_DEBUG && fail_count();
}

#endif
