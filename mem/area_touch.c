/* What happens when a page of an area is touched, by the task (a fault) or by the kernel on its behalf.
 *
 *     no area, or not these rights      ERR_FAULT
 *     no page yet                       a zeroed one, from the reserve if the area is promised
 *     written, and shown by others too  a copy, from the reserve
 *     written, and shown by nobody else it may be written from now on
 *
 * Cost: one walk of the tables a page, and what a new page costs. */
#include <base/string.h>
#include <mem/area.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

unsigned area_entry_attributes(unsigned attributes, pfn_t pfn) {
    unsigned rights = area_rights(attributes);
    if (rights == 0)
        return 0;
    bool alone = area_showing(pfn) <= 1;
    unsigned entry = PAGE_USER;
    if ((rights & AREA_WRITE) && (alone || (attributes & AREA_SHARED)))
        entry |= PAGE_WRITE;
    if (rights & AREA_EXECUTE)
        entry |= PAGE_EXECUTE;
    return entry;
}

/* --- New pages ---------------------------------------------------------------------------------------------------- */

static pfn_t take_page(unsigned attributes) {
    struct palloc_request one = { .pages = 1 };
    pfn_t pfn = attributes & AREA_PROMISED ? reserve_take() : PFN_NONE;
    return pfn != PFN_NONE ? pfn : palloc_with(&one);
}

void area_give_page(pfn_t pfn, unsigned attributes) {
    if (attributes & AREA_PROMISED)
        reserve_return(pfn);
    else
        pfree(pfn, 1);
}

int area_add_page(struct context *context, uintptr_t page, unsigned attributes) {
    pfn_t pfn = take_page(attributes);
    if (pfn == PFN_NONE)
        return ERR_NO_MEMORY;
    void *view = arch_frame_open(pfn);
    memset(view, 0, PAGE_SIZE);
    arch_frame_close(view);
    int error = paging_map(&context->tables, page_address(page), pfn, 1, area_entry_attributes(attributes, pfn));
    if (error != 0)
        area_give_page(pfn, attributes);
    else
        frame_hand_over(pfn);
    return error;
}

pfn_t area_take_copy(unsigned attributes, pfn_t from) {
    pfn_t pfn = take_page(attributes);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    void *source = arch_frame_open(from), *copy = arch_frame_open(pfn);
    memcpy(copy, source, PAGE_SIZE);
    arch_frame_close(copy);
    arch_frame_close(source);
    return pfn;
}

/* The page is there and may not be written yet. */
static int own_page(struct context *context, uintptr_t page, unsigned attributes, pfn_t old) {
    if (area_showing(old) == 1)
        return paging_protect(&context->tables, page_address(page), 1, area_entry_attributes(attributes, old));
    pfn_t pfn = area_take_copy(attributes, old);
    if (pfn == PFN_NONE)
        return ERR_NO_MEMORY;
    int error = paging_replace(&context->tables, page_address(page), pfn, area_entry_attributes(attributes, pfn));
    if (error != 0)
        area_give_page(pfn, attributes);
    else
        frame_hand_over(pfn);
    return error;
}

/* --- Touching ----------------------------------------------------------------------------------------------------- */

static bool entry_allows(const struct paging_entry *entry, unsigned access) {
    return (entry->attributes & PAGE_USER) != 0 && (!(access & AREA_WRITE) || (entry->attributes & PAGE_WRITE)) &&
           (!(access & AREA_EXECUTE) || (entry->attributes & PAGE_EXECUTE));
}

int area_touch(struct context *context, uintptr_t page, unsigned access, struct paging_entry *entry) {
    const struct vspace_range *range = vspace_find(&context->ranges, page);
    unsigned rights = is_area(range) ? area_rights(range->attributes) : 0;
    if (rights == 0 || (access & ~(rights | AREA_READ)) != 0)
        return ERR_FAULT;
    bool present = paging_find(&context->tables, page_address(page), entry);
    if (present && entry_allows(entry, access))
        return 0;
    int error = present ? own_page(context, page, range->attributes, entry->pfn)
                        : area_add_page(context, page, range->attributes);
    if (error == 0)
        paging_find(&context->tables, page_address(page), entry);
    return error;
}

int area_fault(struct context *context, uintptr_t address, unsigned access) {
    struct paging_entry entry;
    lock_take(&context->lock);
    int error = area_touch(context, page_number(address), access, &entry);
    lock_release(&context->lock);
    return error;
}
