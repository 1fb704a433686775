/*     first                                        + region_pages
 *     |  run  | run |guard|  run  |        ...         | gap |  owners: one pointer for each page of the region  |
 *     |<------------- indexed ------------>|                 |<--- index_pages --->|      nothing behind       |
 *
 * The array is reserved for the whole region, and backed as far as runs reach: runs take the lowest place that fits, so
 * what must be backed is a prefix, and "is there an element for this page" is one comparison, the same that tells an
 * address of the region from any other. One page of the array speaks for 2 MiB of heap (4 MiB on i386): the heap grows
 * in such chunks of address space, and page by page in memory. An unmapped page keeps a run at the region's end from
 * the array.
 *
 * Invariants, checked by heap_pages_audit():
 *   H1  each page of a run, and of the array's backed part, is shown writable and not executable by one mapping, of a
 *       page that FRAME_HEAP owns; nothing else in the region is mapped; FRAME_HEAP owns no other page.
 *   H2  a page of the array's backed part that is in no run of blocks has no owner there.
 *
 * With a shadow (mem/shadow.h) the pages of runs are backed there, from before they are mapped until after they are
 * not. Of runs of records every byte is allowed; of the others none, until mem/dress.h says so. The array lies outside
 * the shadow's region: it is far behind the last run, and the shadow would have to reach there.
 *
 * Locking: the caller's. Page tables have their own lock; the kernel's context needn't be locked, since the whole
 * region is one of its ranges from the init on.
 * Not done: growing a run in place; large pages behind large runs. */
#include <mem/heap_pages.h>
#include <base/check.h>
#include <mem/context.h>
#include <mem/frame.h>
#include <mem/nodes.h>
#include <mem/shadow.h>

/* Pages are taken and mapped in batches of this many, noted on the stack. */
enum {
    BATCH = 64,
    REGION_MIN_PAGES = 256,
    REGION_ALIGN_PAGES = 512,
    OWNERS_A_PAGE = 4096 / sizeof(struct slab *),
};

struct heap_pages heap_pages;

static struct paging *tables(void) {
    return &context_kernel()->tables;
}

/* --- Pages behind addresses --------------------------------------------------------------------------------------- */

static int map_batch(uintptr_t address, size_t count) {
    pfn_t list[BATCH];
    if (!palloc_bulk(list, count))
        return ERR_NO_MEMORY;
    frame_own_list(list, count, FRAME_HEAP);
    int error = paging_map_list(tables(), address, list, count, PAGE_WRITE);
    if (error != 0)
        frame_disown_list(list, count, FRAME_HEAP);
    return error;
}

/* The pages are let go only after no translation shows them any more. */
static void unmap_batch(uintptr_t address, size_t count) {
    pfn_t list[BATCH];
    for (size_t i = 0; i < count; i++) {
        struct paging_entry entry;
        bool mapped = paging_find(tables(), address + (i << PAGE_SHIFT), &entry);
        require(mapped, "heap: page %#zx lost its translation", (size_t)(address + (i << PAGE_SHIFT)));
        list[i] = entry.pfn;
    }
    paging_unmap(tables(), address, count);
    frame_disown_list(list, count, FRAME_HEAP);
}

static void unmap(uintptr_t address, size_t pages) {
    for (size_t done = 0; done < pages;) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        unmap_batch(address + (done << PAGE_SHIFT), count);
        done += count;
    }
}

static int map(uintptr_t address, size_t pages) {
    for (size_t done = 0; done < pages;) {
        size_t count = pages - done < BATCH ? pages - done : BATCH;
        int error = map_batch(address + (done << PAGE_SHIFT), count);
        if (error != 0) {
            unmap(address, done);
            return error;
        }
        done += count;
    }
    return 0;
}

/* --- The array ---------------------------------------------------------------------------------------------------- */

static size_t index_pages_for(size_t pages) {
    return (pages + OWNERS_A_PAGE - 1) / OWNERS_A_PAGE;
}

static void set_index_pages(size_t pages) {
    size_t reach = pages * OWNERS_A_PAGE;
    heap_pages.index_pages = pages;
    if (reach > heap_pages.region_pages)
        reach = heap_pages.region_pages;
    __atomic_store_n(&heap_pages.indexed, reach, __ATOMIC_RELEASE);
}

/* `pages` of the region must have elements. */
static int grow_index(size_t pages) {
    size_t have = heap_pages.index_pages, need = index_pages_for(pages);
    if (need <= have)
        return 0;
    uintptr_t at = (uintptr_t)heap_pages.owners + (have << PAGE_SHIFT);
    int error = map(at, need - have);
    if (error != 0)
        return error;
    for (size_t i = have * OWNERS_A_PAGE; i < need * OWNERS_A_PAGE; i++)
        heap_pages.owners[i] = &slab_none;
    set_index_pages(need);
    return 0;
}

static void shrink_index(size_t need) {
    size_t have = heap_pages.index_pages;
    if (need >= have)
        return;
    set_index_pages(need);
    unmap((uintptr_t)heap_pages.owners + (need << PAGE_SHIFT), have - need);
}

/* --- Use ---------------------------------------------------------------------------------------------------------- */

/* A range of a kind of its own, so that vfree() and pvfree() refuse it. */
static int reserve_region(size_t pages) {
    const struct vspace_request request = { .pages = pages + 1 + index_pages_for(pages),
                                            .align = REGION_ALIGN_PAGES,
                                            .attributes = CONTEXT_RANGE_HEAP,
                                            .guard_after = 1 };
    struct context *kernel = context_kernel();
    uintptr_t first;
    lock_take(&kernel->lock);
    int error = vspace_take(&kernel->ranges, &request, &first);
    lock_release(&kernel->lock);
    if (error != 0)
        return error;
    heap_pages.first = page_address(first);
    heap_pages.region_pages = pages;
    heap_pages.owners = (struct slab **)page_address(first + pages + 1);
    return 0;
}

static void give_region(void) {
    struct context *kernel = context_kernel();
    size_t pages = heap_pages.region_pages;
    lock_take(&kernel->lock);
    int error = vspace_give(&kernel->ranges, page_number(heap_pages.first), pages + 1 + index_pages_for(pages));
    lock_release(&kernel->lock);
    require(error == 0, "heap: the region at %#zx can't be given back", (size_t)heap_pages.first);
    heap_pages = (struct heap_pages){ .first = 0 };
}

int heap_pages_init(void) {
    const struct vspace *ranges = &context_kernel()->ranges;
    size_t pages = (ranges->end - ranges->first) / 2;
    if (pages > HEAP_REGION_MAX_PAGES)
        pages = HEAP_REGION_MAX_PAGES;
    int error = ERR_NO_SPACE;
    while (pages >= REGION_MIN_PAGES && (error = reserve_region(pages)) == ERR_NO_SPACE)
        pages /= 2;
    if (error != 0)
        return error;
    error = shadow_init(heap_pages.first, pages);
    if (error != 0) {
        give_region();
        return error;
    }
    pool_init(&heap_pages.nodes, "heap runs", VSPACE_NODE_BYTES, &nodes_source);
    uintptr_t first = page_number(heap_pages.first);
    vspace_init(&heap_pages.runs, first, first + pages, &heap_pages.nodes);
    return 0;
}

static int back_run(uintptr_t first, size_t pages) {
    size_t before = heap_pages.index_pages;
    int error = grow_index(first + pages - page_number(heap_pages.first));
    if (error != 0)
        return error;
    error = shadow_back(page_address(first), pages);
    if (error == 0) {
        error = map(page_address(first), pages);
        if (error != 0)
            shadow_unback(page_address(first), pages);
    }
    if (error != 0)
        shrink_index(before);
    return error;
}

static void unback(uintptr_t address, size_t pages) {
    unmap(address, pages);
    shadow_unback(address, pages);
    heap_pages.pages -= pages;
}

uintptr_t heap_pages_take(size_t pages, size_t align, enum heap_run kind, bool guard) {
    const struct vspace_request request = {
        .pages = pages,
        .align = align,
        .attributes = (uint16_t)kind,
        .guard_before = guard && CONFIG_KMALLOC_GUARD,
        .guard_after = guard,
    };
    uintptr_t first;
    if (vspace_take(&heap_pages.runs, &request, &first) != 0)
        return 0;
    if (back_run(first, pages) != 0) {
        vspace_give(&heap_pages.runs, first, pages); /* a whole range: needs no node, can't fail */
        return 0;
    }
    if (kind == HEAP_RUN_RECORDS)
        shadow_allow((void *)page_address(first), pages << PAGE_SHIFT);
    heap_pages.pages += pages;
    return page_address(first);
}

void heap_pages_set_owner(uintptr_t address, size_t pages, struct slab *owner) {
    size_t first = (address - heap_pages.first) >> PAGE_SHIFT;
    invariant(first + pages <= heap_pages.indexed);
    for (size_t i = first; i < first + pages; i++)
        __atomic_store_n(&heap_pages.owners[i], owner, __ATOMIC_RELAXED);
}

static void give_range(uintptr_t address, size_t pages) {
    heap_pages_set_owner(address, pages, &slab_none);
    int error = vspace_give(&heap_pages.runs, page_number(address), pages);
    require(error == 0, "heap: %#zx (%zu pages) is not an end of a run", (size_t)address, pages);
}

void heap_pages_give(uintptr_t address, size_t pages) {
    unback(address, pages);
    give_range(address, pages);
}

void heap_pages_hide(uintptr_t address, size_t pages) {
    unback(address, pages);
    heap_pages.hidden_pages += pages;
    vspace_set_attributes(&heap_pages.runs, page_number(address), HEAP_RUN_HIDDEN);
}

void heap_pages_give_hidden(uintptr_t address, size_t pages) {
    heap_pages.hidden_pages -= pages;
    give_range(address, pages);
}

void heap_pages_trim(void) {
    const struct vspace_range *root = heap_pages.runs.root;
    size_t used = root == NULL ? 0 : root->high - heap_pages.runs.first;
    shrink_index(index_pages_for(used < heap_pages.region_pages ? used : heap_pages.region_pages));
    pool_trim(&heap_pages.nodes);
}

bool heap_pages_contain(uintptr_t address) {
    size_t pages = heap_pages.region_pages + 1 + index_pages_for(heap_pages.region_pages);
    return heap_pages.region_pages > 0 && (address - heap_pages.first) >> PAGE_SHIFT < pages;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

static void audit_leaf(void *to, uintptr_t page, pfn_t pfn, unsigned attributes) {
    const struct vspace_range *run = vspace_find(&heap_pages.runs, page);
    struct frame frame = frame_get(pfn);
    uintptr_t index_first = page_number((uintptr_t)heap_pages.owners);
    bool in_index = page >= index_first && page < index_first + heap_pages.index_pages;
    require((run != NULL && run->attributes != HEAP_RUN_HIDDEN) || in_index,
            "heap: H1 broken: page %#zx is mapped, and in no run", (size_t)page);
    require(frame.owner == FRAME_HEAP && frame.mappings == 1 && attributes == PAGE_WRITE,
            "heap: H1 broken: page %#zx shows page %#x with rights %#x, owned by %s, mapped %u times", (size_t)page,
            pfn, attributes, frame_owner_name(frame.owner), frame.mappings);
    ++*(size_t *)to;
}

static void audit_owners(void) {
    for (size_t i = 0; i < heap_pages.indexed; i++) {
        if (heap_pages.owners[i] == &slab_none)
            continue;
        const struct vspace_range *run = vspace_find(&heap_pages.runs, heap_pages.runs.first + i);
        require(run != NULL && run->attributes != HEAP_RUN_RECORDS, "heap: H2 broken: page %#zx has owner %p, but %s",
                (size_t)(heap_pages.runs.first + i), (void *)heap_pages.owners[i],
                run == NULL ? "is in no run" : "holds records");
    }
}

void heap_pages_audit(void) {
    size_t mapped = 0, owned[FRAME_OWNERS];
    vspace_audit(&heap_pages.runs);
    pool_audit(&heap_pages.nodes);
    size_t pages = heap_pages.region_pages + 1 + index_pages_for(heap_pages.region_pages);
    paging_audit(tables(), heap_pages.first, pages, audit_leaf, &mapped);
    require(mapped == heap_pages.pages + heap_pages.index_pages &&
                heap_pages.pages + heap_pages.hidden_pages == heap_pages.runs.pages,
            "heap: H1 broken: %zu pages mapped, %zu in runs, %zu in the array", mapped, heap_pages.pages,
            heap_pages.index_pages);
    frame_count(owned);
    require(owned[FRAME_HEAP] == mapped, "heap: H1 broken: %zu pages mapped, %zu owned", mapped, owned[FRAME_HEAP]);
    audit_owners();
}
