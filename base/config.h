/* base/config.h - the build's options as constants.
 *
 * Layer: the lowest. config.mk sets them and gives each one sentence; the values here are what a file gets that is
 * compiled without it. Code tests them in an ordinary `if`, so that both branches always compile. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

/* 1: check our own invariants, lock ranks and the pairing of frame views as we go, and allow forced failures. */
#ifndef CONFIG_DEBUG
#define CONFIG_DEBUG 0
#endif

/* The most processors that per-processor data has room for. */
#ifndef CONFIG_PROCESSORS
#define CONFIG_PROCESSORS 16
#endif

/* How much the heap checks. NONE: what costs O(1). CANARY: words before and after each block, checked when it is freed,
 * and a record of where it was asked for. GUARD: more, and slower. ASAN: each access, by the compiler's help. */
#define KMALLOC_CHECK_NONE   0
#define KMALLOC_CHECK_CANARY 1
#define KMALLOC_CHECK_GUARD  2
#define KMALLOC_CHECK_ASAN   3
#ifndef CONFIG_KMALLOC_CHECK
#define CONFIG_KMALLOC_CHECK KMALLOC_CHECK_NONE
#endif
#define CONFIG_KMALLOC_CANARY (CONFIG_KMALLOC_CHECK >= KMALLOC_CHECK_CANARY)
#define CONFIG_KMALLOC_GUARD  (CONFIG_KMALLOC_CHECK >= KMALLOC_CHECK_GUARD)

/* GUARD gives one block in so many a page of its own between unmapped ones; a power of two. */
#ifndef CONFIG_KMALLOC_SAMPLE
#define CONFIG_KMALLOC_SAMPLE 64
#endif

#endif
