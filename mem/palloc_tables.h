/* mem/palloc_tables.h - palloc's descriptors: where they live, and what they say of a page.
 *
 * Layer: inside mem/palloc.
 *
 *     address                                                        palloc_metadata_bytes()
 *     | words, 8 bytes a page | tags, 1 | held, 1 bit | traces | filled | ready, 1 byte a chunk | RAM extents |
 *       backed where there is RAM, holes elsewhere      (debug builds)    backed whole
 *
 * A chunk is 4096 pages. Its tags and held bits are rubbish until they are cleared, when a page of it or beside it is
 * first needed; its ready byte says so. Invariants, checked by palloc_audit():
 *   T1  the chunk of every page that is held, tied, cached or an edge of a free run is ready, and so are those of the
 *       pages beside it, but for what is inside the edge's run. So whoever gives pages back reads both neighbours' tags
 *       without asking.
 *   T2  tags and held bits of pages outside RAM are 0 where they are ready.
 *
 * Cost: set-up writes the ready bytes (1 for each 16 MiB of addresses) and what belongs to a page taken or an edge. */
#ifndef MEM_PALLOC_TABLES_H
#define MEM_PALLOC_TABLES_H

#include <base/lock.h>
#include <mem/bitmap.h>
#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a tag says of its page. A page in a run that is held has 0, and its held bit set; no other page has that bit. */
enum {
    TAG_NONE,       /* inside a free or cached run, in a run that is held, or never ours */
    TAG_EDGE,       /* up to TAG_LONG: first or last page of a free run of that many pages; */
    TAG_LONG = 239, /* of that many or more, and then words say how many */
    TAG_TIED,       /* kept by mappings, pins or an owner: mem/frame.c has its word */
    TAG_HELD_TIED,  /* the same, and palloc's caller holds it */
    TAG_HELD_ONE,   /* palloc's caller holds it, and got it as a single page */
    TAG_CACHED,     /* a single page in a processor's stack */
    TAG_CACHED_RUN, /* plus k: first page of 2^k in a processor's stack, k from 1 */
    TAG_CACHED_RUN_LAST = TAG_CACHED_RUN + 9,
};
enum { CHUNK_SHIFT = 12, CHUNK_PAGES = 1 << CHUNK_SHIFT };

struct palloc_trace; /* mem/palloc_trace.h */

extern struct palloc_tables {
    struct lock lock; /* guards words, edges' and tied pages' tags, `tied`; the rest below never changes */
    uint8_t *tags;    /* also written without the lock by who holds the page or has it in its stack */
    union palloc_word *words;
    uintptr_t *held; /* shared, changed by locked instructions, whole words by who has all their pages */
    uint8_t *ready;
    uint32_t chunks; /* bytes of `ready`: the page after the last has one */
    pfn_t end;
    size_t tied;        /* pages; guarded by lock, as the next */
    size_t gives;       /* how often pages were entered into free runs: a search sees whether it missed some */
    struct extent *ram; /* sorted, never touching */
    size_t ram_count, ram_pages, carved_bytes;
    struct palloc_trace *traces; /* NULL in release builds, as the next */
    uintptr_t *filled;
    size_t debug_bytes;
} palloc_tables;

/* Carves and maps as palloc_init() says, and writes the start: nothing is ready. */
int palloc_tables_make(struct bootmap *map, uintptr_t address, palloc_map_function *map_pages, void *argument);

/* The page is RAM and has a word. Cost: the logarithm of the number of extents. */
bool palloc_tables_has(pfn_t pfn);

/* The first extent of RAM that ends after the page; ram_count if there is none. */
size_t palloc_tables_extent(pfn_t pfn);

/* Clears what isn't ready yet of the chunks of [first, last]. The lock is held. Cost: some 5 KiB written a chunk. */
void palloc_tables_clear(pfn_t first, pfn_t last);

/* The page's tag and held bit can be read. Any number. */
static inline bool tag_is_ready(pfn_t pfn) {
    uint32_t chunk = pfn >> CHUNK_SHIFT;
    return chunk < palloc_tables.chunks && __atomic_load_n(&palloc_tables.ready[chunk], __ATOMIC_ACQUIRE) != 0;
}

static inline uint8_t tag_get(pfn_t pfn) {
    return __atomic_load_n(&palloc_tables.tags[pfn], __ATOMIC_RELAXED);
}

static inline void tag_set(pfn_t pfn, unsigned tag) {
    __atomic_store_n(&palloc_tables.tags[pfn], (uint8_t)tag, __ATOMIC_RELAXED);
}

static inline bool tag_is_edge(uint8_t tag) {
    return (uint8_t)(tag - TAG_EDGE) < TAG_LONG;
}

static inline bool tag_is_tied(uint8_t tag) {
    return tag == TAG_TIED || tag == TAG_HELD_TIED;
}

static inline bool tag_is_cached_run(uint8_t tag) {
    return tag > TAG_CACHED_RUN && tag <= TAG_CACHED_RUN_LAST;
}

/* Ready, for T1: all but long runs and those at a chunk's border pass with one test. The chunk of `last` is. */
static inline void tag_make_ready(pfn_t first, pfn_t last) {
    if (__builtin_expect((first ^ last) >> CHUNK_SHIFT != 0, 0))
        palloc_tables_clear(first, last);
}

/* --- Steps, for tests of what things cost ------------------------------------------------------------------------- */

/* Debug builds count runs looked at, bins' words, words of held bits, and words of tags in searches; atomically, since
 * paths without the lock count too. */
extern size_t palloc_step_count;

static inline void palloc_step(size_t steps) {
    if (CONFIG_DEBUG)
        __atomic_fetch_add(&palloc_step_count, steps, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif
