/* base/types.h - the units of this project.
 *
 * A physical page is a number (pfn_t), a virtual page number is a uintptr_t, and a pointer can be dereferenced in the
 * current context. Ranges are half open: first, end. A size is in pages unless its name ends in _bytes. */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For C and C++ alike, which have different keywords for it. */
#define NORETURN __attribute__((noreturn))

enum { PAGE_SHIFT = 12 };
#define PAGE_SIZE ((size_t)1 << PAGE_SHIFT)

/* Number of a physical page. 32 bits reach 16 TiB; the last number means "none", so page 2^32 - 2 is the highest. */
typedef uint32_t pfn_t;
#define PFN_NONE UINT32_MAX

/* A run of physical pages. */
struct extent {
    pfn_t first, end;
};

static inline uint64_t pfn_to_phys(pfn_t pfn) {
    return (uint64_t)pfn << PAGE_SHIFT;
}

static inline uintptr_t page_address(uintptr_t page_number) {
    return page_number << PAGE_SHIFT;
}

static inline uintptr_t page_number(uintptr_t address) {
    return address >> PAGE_SHIFT;
}

/* Answers to a request that can't be met. The values are Linux' errno numbers, negated, so that a system call can pass
 * them on; the names are ours, so that <errno.h> can be included beside them. */
enum {
    ERR_NO_MEMORY = -12, /* physical pages, or pages for tables and nodes, are short */
    ERR_FAULT = -14,     /* an address that the context doesn't map so */
    ERR_EXISTS = -17,    /* the place is taken */
    ERR_INVALID = -22,   /* the request makes no sense: zero, misaligned, wrapping, contradictory */
    ERR_NO_SPACE = -28,  /* no virtual range, or no room in a table of the caller's */
    ERR_LIMIT = -34,     /* a counter is full */
    ERR_REFUSED = -13,   /* rights that may not be combined */
};

#endif
