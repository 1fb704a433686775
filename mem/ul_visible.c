/* Each task's tables map the window's pages anew, so the pages count one mapping a task, as any other page would.
 *
 * Invariant, checked by ul_visible_audit() over a task's whole upper part:
 *   U1  beyond the end of the task's own addresses its tables hold the window, each part with its rights, and nothing
 *       else.
 *
 * Not done: one page table for all tasks on i386, where the window fills the last entry of its directory. */
#include <mem/ul_visible.h>
#include <base/check.h>

static struct {
    const struct ul_visible_part *parts;
    size_t count;
} window;

void ul_visible_set(const struct ul_visible_part *parts, size_t count) {
    window.parts = parts;
    window.count = count;
}

static void unmap_first(struct paging *tables, size_t count) {
    for (size_t i = 0; i < count; i++)
        paging_unmap(tables, window.parts[i].address, window.parts[i].pages);
}

int ul_visible_map(struct paging *tables) {
    for (size_t i = 0; i < window.count; i++) {
        const struct ul_visible_part *part = &window.parts[i];
        int error = paging_map(tables, part->address, part->first, part->pages, part->attributes);
        if (error != 0) {
            unmap_first(tables, i);
            return error;
        }
    }
    return 0;
}

void ul_visible_unmap(struct paging *tables) {
    unmap_first(tables, window.count);
}

struct check {
    size_t pages;
    void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes);
    void *to;
};

static const struct ul_visible_part *part_of(uintptr_t page) {
    for (size_t i = 0; i < window.count; i++)
        if (page - page_number(window.parts[i].address) < window.parts[i].pages)
            return &window.parts[i];
    return NULL;
}

static void check_leaf(void *to, uintptr_t page, pfn_t pfn, unsigned attributes) {
    struct check *check = (struct check *)to;
    const struct ul_visible_part *part = part_of(page);
    require(part != NULL, "ul_visible: U1 broken: a task's tables show page %#x at %#zx, outside the window", pfn,
            (size_t)page_address(page));
    uintptr_t inside = page - page_number(part->address);
    unsigned rights = arch_no_execute != 0 ? attributes : attributes & ~(unsigned)PAGE_EXECUTE;
    unsigned should = arch_no_execute != 0 ? part->attributes : part->attributes & ~(unsigned)PAGE_EXECUTE;
    require(pfn == part->first + inside && rights == should, "ul_visible: U1 broken: page %#x with rights %#x at %#zx",
            pfn, attributes, (size_t)page_address(page));
    check->pages++;
    check->leaf(check->to, page, pfn, attributes);
}

void ul_visible_audit(struct paging *tables, void (*leaf)(void *to, uintptr_t page, pfn_t pfn, unsigned attributes),
                      void *to) {
    struct check check = { 0, leaf, to };
    size_t pages = 0;
    for (size_t i = 0; i < window.count; i++)
        pages += window.parts[i].pages;
    if (GEOMETRY_TASK_END != GEOMETRY_UPPER_FIRST)
        paging_audit(tables, GEOMETRY_TASK_END, 1, check_leaf, &check);
    paging_audit(tables, GEOMETRY_UPPER_FIRST, ((uintptr_t)0 - GEOMETRY_UPPER_FIRST) >> PAGE_SHIFT, check_leaf, &check);
    require(check.pages == pages, "ul_visible: U1 broken: a task's tables hold %zu pages of the window, not %zu",
            check.pages, pages);
}
