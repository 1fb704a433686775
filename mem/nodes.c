/* Which pages of the area are in use stands in a bitmap: pages that aren't mapped can't hold a list of themselves. The
 * search for a free one starts where the last one was found; full words are passed by 64 at a time.
 *
 * Order: the bit is taken first and given back last, so that an address is never used twice at a time. */
#include <mem/nodes.h>
#include <base/check.h>
#include <mem/frame.h>

static struct {
    struct lock lock;
    struct paging *tables;
    uintptr_t first;
    size_t hint;                     /* word that had room last; guarded by lock */
    uint64_t used[NODES_PAGES / 64]; /* guarded by lock */
} nodes = { .lock = LOCK_INIT("node pages", LOCK_RANK_POOL_PAGES) };

void nodes_init(struct paging *tables, uintptr_t first) {
    nodes.tables = tables;
    nodes.first = first;
    nodes.hint = 0;
    for (size_t i = 0; i < NODES_PAGES / 64; i++)
        nodes.used[i] = 0;
}

/* NODES_PAGES when all are in use. */
static size_t take_index(void) {
    size_t words = NODES_PAGES / 64, index = NODES_PAGES;
    lock_take(&nodes.lock);
    for (size_t i = 0; i < words && index == NODES_PAGES; i++) {
        size_t word = (nodes.hint + i) % words;
        if (nodes.used[word] == UINT64_MAX)
            continue;
        unsigned bit = (unsigned)__builtin_ctzll(~nodes.used[word]);
        nodes.used[word] |= (uint64_t)1 << bit;
        nodes.hint = word;
        index = word * 64 + bit;
    }
    lock_release(&nodes.lock);
    return index;
}

static void give_index(size_t index) {
    lock_take(&nodes.lock);
    uint64_t bit = (uint64_t)1 << (index % 64);
    require(nodes.used[index / 64] & bit, "nodes: page %zu given back twice", index);
    nodes.used[index / 64] &= ~bit;
    nodes.hint = index / 64;
    lock_release(&nodes.lock);
}

static void *take(void) {
    struct palloc_request one = { .pages = 1 };
    pfn_t pfn = palloc_with(&one);
    if (pfn == PFN_NONE)
        return NULL;
    size_t index = take_index();
    if (index == NODES_PAGES) {
        pfree(pfn, 1);
        return NULL;
    }
    uintptr_t address = nodes.first + (index << PAGE_SHIFT);
    frame_own(pfn, FRAME_POOL);
    if (paging_map(nodes.tables, address, pfn, 1, PAGE_WRITE) != 0) {
        frame_disown(pfn, FRAME_POOL);
        give_index(index);
        return NULL;
    }
    return (void *)address;
}

static void give(void *page) {
    uintptr_t address = (uintptr_t)page;
    struct paging_entry entry;
    bool mapped = paging_find(nodes.tables, address, &entry);
    require(mapped && address >= nodes.first && address - nodes.first < NODES_PAGES << PAGE_SHIFT,
            "nodes: %p is no page of ours", page);
    paging_unmap(nodes.tables, address, 1);
    frame_disown(entry.pfn, FRAME_POOL);
    give_index((address - nodes.first) >> PAGE_SHIFT);
}

const struct pool_source nodes_source = { take, give };
