/* mem/shadow.h - layer 6: which bytes of a region may be touched.
 *
 * A shadow has one byte for each 8 of a region's. It is told which bytes are allowed; mem/asan.h asks it before each
 * access that the compiler was made to announce. Nothing outside the region is ever forbidden.
 *
 * The heap has one, shadow_heap, used by the short names below; they are empty but at the level `asan`
 * (CONFIG_KMALLOC_CHECK). A test may make its own, with the same functions ending in _in.
 *
 * Context: any but an NMI. Backing takes the locks of rank PALLOC to PAGING; create and destroy that of the kernel's
 * context. The caller excludes others from create, destroy, back and unback, and from allow and forbid of the same 8
 * bytes; asking needs no lock.
 * Cost: a page for 32 KiB of backed region; the calls are linear in their bytes / 8. */
#ifndef MEM_SHADOW_H
#define MEM_SHADOW_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a byte is forbidden. The values are what stands in the shadow, where 0 means that all 8 bytes are allowed and 1
 * to 7 that so many of them are. */
enum shadow_why {
    SHADOW_UNUSED = 0xf8,   /* backed, and never allowed since */
    SHADOW_RED_ZONE = 0xfa, /* around a block */
    SHADOW_FREED = 0xfd,    /* a block was there */
    SHADOW_NO_PAGE = 0xff,  /* not backed */
};
const char *shadow_why_name(enum shadow_why why);

struct shadow {
    uintptr_t first; /* address of the region */
    size_t reach;    /* bytes of the region, from its first on, that have their shadow bytes mapped */
    uint8_t *bytes;
    size_t pages;  /* of the region */
    pfn_t nothing; /* the page shown wherever nothing is backed; PFN_NONE: no region */
};

/* Address space for the shadow of `pages` pages from `first` on, a page of memory, and nothing backed. ERR_NO_MEMORY,
 * ERR_NO_SPACE; nothing has changed then. */
int shadow_create(struct shadow *shadow, uintptr_t first, size_t pages);

/* Gives all of it back. Nothing may be backed. */
void shadow_destroy(struct shadow *shadow);

/* Backs the shadow of these pages of the region, none of which may be backed: their bytes are SHADOW_UNUSED from here
 * on. For a page that has memory behind it, before the first access to it. ERR_NO_MEMORY; nothing has changed then. */
int shadow_back_in(struct shadow *shadow, uintptr_t address, size_t pages);

/* The reverse, for pages all of which are backed: SHADOW_NO_PAGE. */
void shadow_unback_in(struct shadow *shadow, uintptr_t address, size_t pages);

/* Allows `bytes` bytes from `address` on, which is a multiple of 8; the rest of the last 8 is forbidden. */
void shadow_allow_in(struct shadow *shadow, uintptr_t address, size_t bytes);

/* Forbids them. Within the last 8, nothing behind them may be allowed: that could not be written down. Both calls: all
 * bytes lie in backed pages. */
void shadow_forbid_in(struct shadow *shadow, uintptr_t address, size_t bytes, enum shadow_why why);

/* The first forbidden one of these bytes, any address allowed; false if there is none. Behind `reach` the processor is
 * left to find out that no page is there. */
bool shadow_first_bad_in(const struct shadow *shadow, uintptr_t address, size_t bytes, uintptr_t *bad,
                         enum shadow_why *why);

/* The first allowed one of these bytes, which must lie in backed pages; false if there is none. */
bool shadow_first_good_in(const struct shadow *shadow, uintptr_t address, size_t bytes, uintptr_t *good);

/* Checks S1 to S3 of mem/shadow.c; panics with the first contradiction. Cost: linear in the shadow. */
void shadow_audit(const struct shadow *shadow);

/* NULL, or told of whatever becomes allowed or forbidden: on the host, the compiler's own address checker. Pages that
 * are backed no more are told as allowed, since their addresses may become something else's. */
extern void (*shadow_mirror)(uintptr_t address, size_t bytes, bool allowed);

/* --- The heap's ----------------------------------------------------------------------------------------------------
 * */

extern struct shadow shadow_heap;

static inline bool shadow_is_used(void) {
    return CONFIG_KMALLOC_CHECK == KMALLOC_CHECK_ASAN;
}

static inline int shadow_init(uintptr_t first, size_t pages) {
    return shadow_is_used() ? shadow_create(&shadow_heap, first, pages) : 0;
}

static inline int shadow_back(uintptr_t address, size_t pages) {
    return shadow_is_used() ? shadow_back_in(&shadow_heap, address, pages) : 0;
}

static inline void shadow_unback(uintptr_t address, size_t pages) {
    if (shadow_is_used())
        shadow_unback_in(&shadow_heap, address, pages);
}

static inline void shadow_allow(const void *first, size_t bytes) {
    if (shadow_is_used())
        shadow_allow_in(&shadow_heap, (uintptr_t)first, bytes);
}

static inline void shadow_forbid(const void *first, size_t bytes, enum shadow_why why) {
    if (shadow_is_used())
        shadow_forbid_in(&shadow_heap, (uintptr_t)first, bytes, why);
}

static inline bool shadow_first_bad(uintptr_t address, size_t bytes, uintptr_t *bad, enum shadow_why *why) {
    return shadow_is_used() && shadow_first_bad_in(&shadow_heap, address, bytes, bad, why);
}

static inline bool shadow_first_good(uintptr_t address, size_t bytes, uintptr_t *good) {
    return shadow_is_used() && shadow_first_good_in(&shadow_heap, address, bytes, good);
}

#ifdef __cplusplus
}
#endif
#endif
