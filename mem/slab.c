/*     slab_classes[n].partial -> slab <-> slab <-> ...         descriptions, from a pool
 *                                |
 *     run:    | block | block | block | ... | block | tail |    at most 16 pages, at least 8 blocks if they fit
 *     in_use:     1       0       1             0              one bit a block, in the description
 *
 * An address leads to its slab by one load (mem/heap_pages.h), to its block by one multiplication, and the block's bit
 * says whether it is in use: that is all it takes to answer a wrong free. A large block is a slab with one block,
 * reached the same way: its reciprocal is 0, so that every address in it belongs to block 0.
 *
 * Sizes: 16 to 128 in steps of 16, then eight in each doubling: a block is at most 12.5 % or 15 bytes longer than what
 * was asked for. The multiples of the page size up to 32 KiB are sizes of their own, and their blocks are
 * page-aligned. Above, a request takes whole pages, followed by an unmapped one.
 *
 * A slab lies on its class' list while it has both free and used blocks; full ones are found by their addresses alone.
 * Policy for those wholly free: each class keeps one, so that a block taken and given again and again costs no page;
 * all others go back at once, and the kept ones when memory is short or slab_trim() is called. The spare is used last.
 *
 * Invariants, checked by slab_audit():
 *   H3  the owner of each page of a run of blocks is its one slab, and the slab's numbers are its class' numbers.
 *   H4  used = bits set in in_use; none is set past the last block, nor is one free in a word before the hint.
 *   H5  partial links exactly the slabs of the class with 0 < used < blocks, once, with good links both ways; spare
 *       has no used block; every other slab is full.
 *   H6  slabs, used and run_pages of a class are the sums over its slabs; no run is anything else's, no description
 *       lost.
 *
 * Locking: one lock for the whole heap, taken by mem/kmalloc.c. Cost: O(1); finding a free bit passes at most the
 * words of in_use.
 * Not done: a cache of free blocks for each processor. */
#include <mem/slab.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/nodes.h>

enum { BLOCKS_WANTED = 8, WORDS = SLAB_BLOCKS_MAX / SLAB_WORD_BITS };

_Static_assert(sizeof(struct slab) <= 1024, "a pool's object");

struct slab_class slab_classes[SLAB_CLASSES + 1];
static struct pool descriptions;
static struct lock heap_lock = LOCK_INIT("heap", LOCK_RANK_HEAP);

void slab_lock(void) {
    lock_take(&heap_lock);
}

void slab_unlock(void) {
    lock_release(&heap_lock);
}

/* --- Classes ------------------------------------------------------------------------------------------------------ */

static uint32_t bytes_of_class(unsigned size_class) {
    if (size_class < 16)
        return (size_class + 1) * 16;
    return (size_class % 8 + 9) * 16 << (size_class / 8 - 1);
}

/* The fewest pages with at least BLOCKS_WANTED blocks and at most 1/16 of tail; if there are none, those with the
 * least tail. */
static unsigned pages_of_class(uint32_t block_bytes) {
    unsigned best = SLAB_PAGES_MAX;
    for (unsigned pages = 1; pages <= SLAB_PAGES_MAX; pages++) {
        uint32_t bytes = pages * (uint32_t)PAGE_SIZE, tail = bytes % block_bytes;
        if (bytes < block_bytes)
            continue;
        if (bytes / block_bytes >= BLOCKS_WANTED && tail * 16 <= bytes)
            return pages;
        if (tail * best < best * (uint32_t)PAGE_SIZE % block_bytes * pages)
            best = pages;
    }
    return best;
}

void slab_init(void) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        uint32_t bytes = bytes_of_class(i);
        unsigned pages = pages_of_class(bytes);
        slab_classes[i] = (struct slab_class){
            .block_bytes = bytes,
            .reciprocal = UINT32_MAX / bytes + 1, /* 2^32 / bytes, rounded up, in 32 bits */
            .pages = (uint16_t)pages,
            .blocks = (uint16_t)(pages * PAGE_SIZE / bytes),
        };
    }
    slab_classes[SLAB_LARGE] = (struct slab_class){ .blocks = 1 };
    pool_init(&descriptions, "slabs", sizeof(struct slab), &nodes_source);
}

/* --- Lists -------------------------------------------------------------------------------------------------------- */

static void list(struct slab_class *of, struct slab *slab) {
    slab->previous = NULL;
    slab->next = of->partial;
    if (slab->next != NULL)
        slab->next->previous = slab;
    of->partial = slab;
}

static void unlist(struct slab_class *of, struct slab *slab) {
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        of->partial = slab->next;
}

/* --- Slabs -------------------------------------------------------------------------------------------------------- */

static size_t record_pages(const struct slab *slab) {
    return (slab->blocks * sizeof(struct canary_record) + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* Records lie between unmapped pages, so that no overrun reaches them. All zero: never in use. */
static bool take_records(struct slab *slab) {
    if (!CONFIG_KMALLOC_CANARY)
        return true;
    if (slab->size_class == SLAB_LARGE) {
        slab->records = &slab->large;
        return true;
    }
    slab->records = (struct canary_record *)heap_pages_take(record_pages(slab), HEAP_RUN_RECORDS, true);
    if (slab->records == NULL)
        return false;
    memset(slab->records, 0, record_pages(slab) << PAGE_SHIFT);
    return true;
}

static void destroy(struct slab *slab) {
    if (CONFIG_KMALLOC_CANARY && slab->size_class != SLAB_LARGE)
        heap_pages_give((uintptr_t)slab->records, record_pages(slab));
    heap_pages_give(slab->first, slab->pages);
    slab_classes[slab->size_class].slabs--;
    slab_classes[slab->size_class].run_pages -= slab->pages;
    pool_give(&descriptions, slab);
}

/* A slab with no block in use and on no list, or NULL. */
static struct slab *create(unsigned size_class, size_t pages) {
    struct slab_class *of = &slab_classes[size_class];
    bool large = size_class == SLAB_LARGE;
    require(heap_pages.region_pages > 0, "kmalloc: used before kmalloc_init()");
    struct slab *slab = (struct slab *)pool_take(&descriptions);
    if (slab == NULL)
        return NULL;
    *slab = (struct slab){ .block_bytes = large ? pages << PAGE_SHIFT : of->block_bytes,
                           .reciprocal = of->reciprocal,
                           .blocks = of->blocks,
                           .size_class = (uint16_t)size_class,
                           .pages = pages };
    slab->first = heap_pages_take(pages, HEAP_RUN_BLOCKS, large || CONFIG_KMALLOC_CANARY);
    if (slab->first == 0 || !take_records(slab)) {
        if (slab->first != 0)
            heap_pages_give(slab->first, pages);
        pool_give(&descriptions, slab);
        return NULL;
    }
    heap_pages_set_owner(slab->first, pages, slab);
    of->slabs++;
    of->run_pages += pages;
    return slab;
}

void slab_trim(void) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab *spare = slab_classes[i].spare;
        slab_classes[i].spare = NULL;
        if (spare != NULL)
            destroy(spare);
    }
    pool_trim(&descriptions);
}

static bool has_spares(void) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        if (slab_classes[i].spare != NULL)
            return true;
    return false;
}

/* The other classes' spares may be all that is missing. */
static struct slab *create_or_trim(unsigned size_class, size_t pages) {
    struct slab *slab = create(size_class, pages);
    if (slab != NULL || !has_spares())
        return slab;
    slab_trim();
    return create(size_class, pages);
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

/* The slab has a free block; bits past the last one are clear too, but lie above every free one. */
static struct block take_lowest(struct slab *slab) {
    unsigned word = slab->hint;
    while (slab->in_use[word] == UINTPTR_MAX)
        word++;
    unsigned bit = (unsigned)__builtin_ctzl((unsigned long)~slab->in_use[word]);
    slab->in_use[word] |= (uintptr_t)1 << bit;
    slab->hint = (uint16_t)word;
    slab->used++;
    return (struct block){ slab, word * SLAB_WORD_BITS + bit };
}

static struct block take_large(size_t bytes) {
    size_t pages = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    struct slab *slab = create_or_trim(SLAB_LARGE, pages);
    if (slab == NULL)
        return (struct block){ NULL, 0 };
    slab_classes[SLAB_LARGE].used++;
    return take_lowest(slab);
}

/* The spare, or a new one, goes on the list. */
static struct slab *refill(unsigned size_class) {
    struct slab_class *of = &slab_classes[size_class];
    struct slab *slab = of->spare;
    of->spare = NULL;
    if (slab == NULL)
        slab = create_or_trim(size_class, of->pages);
    if (slab != NULL)
        list(of, slab);
    return slab;
}

struct block slab_take(size_t bytes) {
    unsigned size_class = slab_class_of(bytes);
    if (size_class == SLAB_LARGE)
        return take_large(bytes);
    struct slab_class *of = &slab_classes[size_class];
    struct slab *slab = of->partial != NULL ? of->partial : refill(size_class);
    if (slab == NULL)
        return (struct block){ NULL, 0 };
    of->used++;
    struct block block = take_lowest(slab);
    if (slab->used == slab->blocks)
        unlist(of, slab);
    return block;
}

static void retire(struct slab_class *of, struct slab *slab) {
    if (slab->size_class == SLAB_LARGE || of->spare != NULL)
        destroy(slab);
    else
        of->spare = slab;
}

void slab_give(struct block block) {
    struct slab *slab = block.slab;
    struct slab_class *of = &slab_classes[slab->size_class];
    unsigned word = block.index / SLAB_WORD_BITS;
    invariant(slab_in_use(block));
    slab->in_use[word] &= ~((uintptr_t)1 << (block.index % SLAB_WORD_BITS));
    if (word < slab->hint)
        slab->hint = (uint16_t)word;
    bool was_full = slab->used == slab->blocks;
    slab->used--;
    of->used--;
    if (slab->used == 0) {
        if (!was_full)
            unlist(of, slab);
        retire(of, slab);
    } else if (was_full) {
        list(of, slab);
    }
}

void slab_shrink(struct slab *slab, size_t bytes) {
    size_t pages = (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    invariant(slab->size_class == SLAB_LARGE && bytes > SLAB_BLOCK_MAX);
    if (pages >= slab->pages)
        return;
    heap_pages_give(slab->first + (pages << PAGE_SHIFT), slab->pages - pages);
    slab_classes[SLAB_LARGE].run_pages -= slab->pages - pages;
    slab->pages = pages;
    slab->block_bytes = pages << PAGE_SHIFT;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

struct slab *slab_next(uintptr_t address) {
    const struct vspace_range *run = vspace_next(&heap_pages.runs, page_number(address));
    while (run != NULL && run->attributes != HEAP_RUN_BLOCKS)
        run = vspace_next(&heap_pages.runs, run->end);
    return run != NULL ? heap_pages_owner(page_address(run->first)) : NULL;
}

static void audit_bits(const struct slab *slab) {
    unsigned used = 0;
    for (unsigned i = 0; i < SLAB_BLOCKS_MAX; i++) {
        bool in_use = (slab->in_use[i / SLAB_WORD_BITS] >> (i % SLAB_WORD_BITS) & 1) != 0;
        used += in_use;
        require(!in_use || i < slab->blocks, "heap: H4 broken: slab at %#zx: block %u of %u is in use",
                (size_t)slab->first, i, slab->blocks);
        require(in_use || i >= slab->blocks || i / SLAB_WORD_BITS >= slab->hint,
                "heap: H4 broken: slab at %#zx: block %u is free before the hint", (size_t)slab->first, i);
    }
    require(used == slab->used, "heap: H4 broken: slab at %#zx: %u blocks in use, %u noted", (size_t)slab->first, used,
            slab->used);
}

static void audit_slab(const struct slab *slab) {
    const struct slab_class *of = &slab_classes[slab->size_class];
    const struct vspace_range *run = vspace_find(&heap_pages.runs, page_number(slab->first));
    bool large = slab->size_class == SLAB_LARGE;
    require(run->first == page_number(slab->first) && run->end - run->first == slab->pages,
            "heap: H3 broken: slab at %#zx has %zu pages, its run %zu", (size_t)slab->first, slab->pages,
            (size_t)(run->end - run->first));
    for (size_t i = 0; i < slab->pages; i++)
        require(heap_pages_owner(slab->first + (i << PAGE_SHIFT)) == slab, "heap: H3 broken: page %zu of slab at %#zx",
                i, (size_t)slab->first);
    require(slab->blocks == of->blocks && slab->reciprocal == of->reciprocal &&
                (large ? slab->block_bytes == slab->pages << PAGE_SHIFT
                       : slab->block_bytes == of->block_bytes && slab->pages == of->pages),
            "heap: H3 broken: slab at %#zx has %u blocks of %zu bytes", (size_t)slab->first, slab->blocks,
            slab->block_bytes);
    require(slab->used == slab->blocks || !large, "heap: H5 broken: large block at %#zx isn't in use",
            (size_t)slab->first);
    audit_bits(slab);
}

static size_t audit_list(const struct slab_class *of) {
    size_t listed = 0;
    const struct slab *previous = NULL;
    for (const struct slab *slab = of->partial; slab != NULL; previous = slab, slab = slab->next) {
        require(slab->previous == previous && &slab_classes[slab->size_class] == of && slab->used > 0 &&
                    slab->used < slab->blocks && ++listed <= of->slabs,
                "heap: H5 broken: slab at %#zx with %u of %u blocks in use is on the list for %u bytes",
                (size_t)slab->first, slab->used, slab->blocks, of->block_bytes);
    }
    require(of->spare == NULL || of->spare->used == 0, "heap: H5 broken: the spare at %#zx has blocks in use",
            (size_t)of->spare->first);
    return listed;
}

struct sums {
    size_t slabs, used, full, pages;
};

static size_t sum_up(struct sums *sums) {
    size_t records = 0;
    for (const struct slab *slab = slab_next(0); slab != NULL;
         slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT))) {
        struct sums *sum = &sums[slab->size_class];
        audit_slab(slab);
        sum->slabs++;
        sum->used += slab->used;
        sum->full += slab->used == slab->blocks;
        sum->pages += slab->pages;
        records += CONFIG_KMALLOC_CANARY && slab->size_class != SLAB_LARGE ? record_pages(slab) : 0;
    }
    return records;
}

void slab_audit(void) {
    struct sums sums[SLAB_CLASSES + 1] = { { 0, 0, 0, 0 } };
    size_t pages = sum_up(sums), slabs = 0;
    for (unsigned i = 0; i <= SLAB_CLASSES; i++) {
        const struct slab_class *of = &slab_classes[i];
        size_t listed = audit_list(of);
        require(listed + sums[i].full + (of->spare != NULL) == sums[i].slabs,
                "heap: H5 broken: of %zu slabs for %u bytes %zu are listed and %zu full", sums[i].slabs,
                of->block_bytes, listed, sums[i].full);
        require(sums[i].slabs == of->slabs && sums[i].used == of->used && sums[i].pages == of->run_pages,
                "heap: H6 broken: %zu slabs with %zu blocks in use and %zu pages for %u bytes, noted %zu, %zu and %zu",
                sums[i].slabs, sums[i].used, sums[i].pages, of->block_bytes, of->slabs, of->used, of->run_pages);
        slabs += of->slabs;
        pages += of->run_pages;
    }
    require(pages == heap_pages.pages && slabs == descriptions.objects,
            "heap: H6 broken: slabs and their records have %zu pages, runs %zu; %zu slabs, %zu descriptions", pages,
            heap_pages.pages, slabs, descriptions.objects);
    pool_audit(&descriptions);
}
