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

/* 1: words before and after each block of the heap, checked when it is freed; a record of where it was asked for. */
#ifndef CONFIG_KMALLOC_CANARY
#define CONFIG_KMALLOC_CANARY 0
#endif

#endif
