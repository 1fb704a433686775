/* An area is a range without guards in the context's tree, its rights and kind in the attributes; what is behind it
 * stands in the page tables and the frames' counts.
 *
 *     a private page:   absent --touch--> its own --area_copy--> one for several --write--> a copy of its own;
 *                                                                                     the last writer keeps it
 *
 * Promises. A private area that can be touched is "promised": for each of its pages there is either a page of its own
 * or one in the reserve. An absent page owes one; of n areas that show one page all but one owe one, since at worst
 * all but one need a copy. So taking a mapping away gives one page back to the reserve unless the page itself becomes
 * free, whoever goes first.
 *
 *   A1  areas have no guards, and only areas have attributes with CONTEXT_RANGE_AREA.
 *   A2  an area that isn't promised and not shared is unreserved, or has had no rights from the start and holds no
 *       page.
 *   A3  the reserve holds as many pages as promised areas owe: one for each absent page, n - 1 for each that n show.
 *
 * Check, reserve, commit: protecting splits ranges, promises pages and tries the entries first, each step undone in
 * the reverse order if a later one fails; only then attributes change and neighbours are joined.
 *
 * Locking: the context's lock over each call. area_copy() locks the old and then the new context, never both: the new
 * one is nobody else's yet.
 * Cost: O(log ranges), plus one walk of the tables for each page in the run.
 * Not done: files behind areas; taking pages away under pressure; large pages. */
#include <mem/area.h>
#include <base/check.h>
#include <mem/area_pages.h>
#include <mem/reserve.h>

enum { TABLE_PAGES = 1 << GEOMETRY_INDEX_BITS }; /* that one table translates */

static bool rights_are_bad(unsigned rights) {
    return (rights & ~(unsigned)(AREA_READ | AREA_WRITE | AREA_EXECUTE)) != 0;
}

static bool breaks_wx(unsigned rights) {
    return (rights & AREA_WRITE) != 0 && (rights & AREA_EXECUTE) != 0;
}

bool area_run_is_bad(const struct context *context, uintptr_t address, size_t pages) {
    uintptr_t first = page_number(address), end = context->ranges.end;
    return (address & (PAGE_SIZE - 1)) != 0 || pages == 0 || first < context->ranges.first || first >= end ||
           pages > end - first;
}

/* --- Promises ----------------------------------------------------------------------------------------------------- */

bool area_page_is_owed(struct context *context, uintptr_t page) {
    struct paging_entry entry;
    return !paging_find(&context->tables, page_address(page), &entry) || area_showing(entry.pfn) > 1;
}

size_t area_owed(struct context *context, uintptr_t first, uintptr_t end) {
    if (paging_count(&context->tables, page_address(first), end - first) == 0)
        return end - first;
    size_t owed = 0;
    for (uintptr_t page = first; page < end; page++)
        owed += area_page_is_owed(context, page);
    return owed;
}

static unsigned attributes_of(const struct area_request *request) {
    unsigned attributes = CONTEXT_RANGE_AREA | VSPACE_MERGE | request->rights << AREA_RIGHTS_SHIFT;
    if (request->shared)
        return attributes | AREA_SHARED;
    if (request->stack)
        attributes |= AREA_STACK;
    if (request->unreserved)
        return attributes | AREA_UNRESERVED;
    return request->rights != 0 ? attributes | AREA_PROMISED : attributes;
}

/* --- Removing ----------------------------------------------------------------------------------------------------- */

/* A table goes with its last entry, also one that was made for a neighbour that promises pages not touched yet: it is
 * made again at once, from the page that has just become free. (Once there are several processors another may take that
 * page first: then a later fault finds no page for the table.) */
static void remake_table(struct context *context, uintptr_t page) {
    uintptr_t first = page & ~(uintptr_t)(TABLE_PAGES - 1), end = first + TABLE_PAGES;
    const struct vspace_range *range = vspace_next(&context->ranges, first);
    while (range != NULL && range->first < end && !(is_area(range) && (range->attributes & AREA_PROMISED)))
        range = vspace_next(&context->ranges, range->end);
    if (range == NULL || range->first >= end)
        return;
    uintptr_t inside = range->first > first ? range->first : first;
    (void)paging_reserve(&context->tables, page_address(inside), 1);
}

void area_unmap_pages(struct context *context, uintptr_t first, uintptr_t end) {
    paging_unmap(&context->tables, page_address(first), end - first);
    remake_table(context, first);
    remake_table(context, end - 1);
}

/* A part of one range. Only giving the range's middle can fail, and then nothing has changed. */
static int remove_part(struct context *context, const struct vspace_range *range, uintptr_t first, uintptr_t end) {
    bool promised = (range->attributes & AREA_PROMISED) != 0;
    int error = vspace_give(&context->ranges, first, end - first);
    if (error != 0)
        return error;
    size_t owed = promised ? area_owed(context, first, end) : 0;
    area_unmap_pages(context, first, end);
    reserve_drop(owed);
    return 0;
}

int area_unmap_locked(struct context *context, uintptr_t first, uintptr_t end) {
    const struct vspace_range *range;
    while ((range = vspace_next(&context->ranges, first)) != NULL && range->first < end) {
        uintptr_t from = range->first > first ? range->first : first, to = range->end < end ? range->end : end;
        int error = is_area(range) ? remove_part(context, range, from, to) : 0;
        if (error != 0)
            return error;
        first = to;
    }
    return 0;
}

int area_unmap(struct context *context, uintptr_t address, size_t pages) {
    if (area_run_is_bad(context, address, pages))
        return ERR_INVALID;
    lock_take(&context->lock);
    int error = area_unmap_locked(context, page_number(address), page_number(address) + pages);
    lock_release(&context->lock);
    return error;
}

void area_clear(struct context *context) {
    lock_take(&context->lock);
    int error = area_unmap_locked(context, context->ranges.first, context->ranges.end);
    lock_release(&context->lock);
    require(error == 0, "area_clear(context %s): whole areas could not be removed", context->name);
}

/* --- Mapping ------------------------------------------------------------------------------------------------------ */

/* Everything but the range itself: promises and tables, or for a shared area all pages. */
int area_back(struct context *context, uintptr_t first, size_t pages, unsigned attributes) {
    if (attributes & AREA_PROMISED) {
        int error = reserve_add(pages);
        if (error != 0)
            return error;
        error = paging_reserve(&context->tables, page_address(first), pages);
        if (error != 0)
            reserve_drop(pages);
        return error;
    }
    int error = 0;
    for (size_t i = 0; error == 0 && (attributes & AREA_SHARED) && i < pages; i++)
        error = area_add_page(context, first + i, attributes);
    return error;
}

static void set_rights(struct context *context, uintptr_t first, unsigned attributes) {
    vspace_set_attributes(&context->ranges, first, (uint16_t)attributes);
    vspace_join(&context->ranges, first);
}

/* The range may be merged with its neighbours only once nothing can fail any more: giving it back would need a node
 * then. */
static int map_locked(struct context *context, const struct area_request *request, uintptr_t *first) {
    unsigned attributes = attributes_of(request);
    struct vspace_request place = {
        .pages = request->pages,
        .at = page_number(request->address),
        .low = page_number(request->low),
        .high = page_number(request->high),
        .attributes = (uint16_t)(attributes & ~(unsigned)VSPACE_MERGE),
        .fixed = request->fixed,
    };
    int error = 0;
    if (request->fixed && request->replace)
        error = area_unmap_locked(context, place.at, place.at + request->pages);
    if (error == 0)
        error = vspace_take(&context->ranges, &place, first);
    if (error != 0)
        return error;
    error = area_back(context, *first, request->pages, attributes);
    if (error != 0) {
        vspace_give(&context->ranges, *first, request->pages);
        area_unmap_pages(context, *first, *first + request->pages);
        return error;
    }
    set_rights(context, *first, attributes);
    vspace_join(&context->ranges, *first + request->pages);
    return 0;
}

int area_map(struct context *context, const struct area_request *request, uintptr_t *address) {
    if (rights_are_bad(request->rights) || request->pages == 0 || (request->address & (PAGE_SIZE - 1)) != 0)
        return ERR_INVALID;
    if (request->fixed && area_run_is_bad(context, request->address, request->pages))
        return ERR_INVALID;
    if (breaks_wx(request->rights))
        return ERR_REFUSED;
    uintptr_t first;
    lock_take(&context->lock);
    int error = map_locked(context, request, &first);
    lock_release(&context->lock);
    if (error == 0)
        *address = page_address(first);
    return error;
}

/* --- Changing rights ---------------------------------------------------------------------------------------------- */

static unsigned with_rights(unsigned attributes, unsigned rights) {
    attributes = (attributes & ~(unsigned)AREA_RIGHTS) | rights << AREA_RIGHTS_SHIFT;
    if (rights != 0 && !(attributes & (AREA_SHARED | AREA_UNRESERVED)))
        attributes |= AREA_PROMISED;
    return attributes;
}

static bool is_covered(struct context *context, uintptr_t first, uintptr_t end) {
    while (first < end) {
        const struct vspace_range *range = vspace_find(&context->ranges, first);
        if (!is_area(range))
            return false;
        first = range->end;
    }
    return true;
}

/* The run begins and ends with a range from here on. */
int area_split_ends(struct context *context, uintptr_t first, uintptr_t end) {
    int error = vspace_split(&context->ranges, first);
    if (error != 0)
        return error;
    error = vspace_split(&context->ranges, end);
    if (error != 0)
        vspace_join(&context->ranges, first);
    return error;
}

static void join_all(struct context *context, uintptr_t first, uintptr_t end) {
    while (first < end) {
        uintptr_t next = vspace_find(&context->ranges, first)->end;
        vspace_join(&context->ranges, first);
        first = next;
    }
    vspace_join(&context->ranges, end);
}

/* Areas that get their first rights now: they hold no page yet. */
static int back_new(struct context *context, uintptr_t first, uintptr_t end, unsigned rights, size_t *promised) {
    *promised = 0;
    for (uintptr_t page = first; page < end;) {
        const struct vspace_range *range = vspace_find(&context->ranges, page);
        page = range->end;
        unsigned attributes = with_rights(range->attributes, rights);
        if (!((attributes ^ range->attributes) & AREA_PROMISED))
            continue;
        size_t pages = range->end - range->first;
        int error = reserve_add(pages);
        if (error == 0) {
            *promised += pages;
            error = paging_reserve(&context->tables, page_address(range->first), pages);
        }
        if (error != 0) {
            reserve_drop(*promised);
            return error;
        }
    }
    return 0;
}

static int protect_page(struct context *context, uintptr_t page, unsigned attributes) {
    struct paging_entry entry;
    if (!paging_find(&context->tables, page_address(page), &entry))
        return 0;
    return paging_protect(&context->tables, page_address(page), 1, area_entry_attributes(attributes, entry.pfn));
}

/* Entries of [first, end) as the ranges' own attributes want them. Rights that a page had can't be refused. */
static void protect_back(struct context *context, uintptr_t first, uintptr_t end) {
    for (uintptr_t page = first; page < end; page++) {
        int error = protect_page(context, page, vspace_find(&context->ranges, page)->attributes);
        require(error == 0, "area: page %#zx refuses the rights that it had", (size_t)page);
    }
}

static int protect_pages(struct context *context, uintptr_t first, uintptr_t end, unsigned rights) {
    for (uintptr_t page = first; page < end; page++) {
        unsigned attributes = with_rights(vspace_find(&context->ranges, page)->attributes, rights);
        int error = protect_page(context, page, attributes);
        if (error != 0) {
            protect_back(context, first, page);
            return error;
        }
    }
    return 0;
}

static int protect_locked(struct context *context, uintptr_t first, uintptr_t end, unsigned rights) {
    size_t promised;
    if (!is_covered(context, first, end))
        return ERR_NO_MEMORY;
    int error = area_split_ends(context, first, end);
    if (error != 0)
        return error;
    error = back_new(context, first, end, rights, &promised);
    if (error == 0) {
        error = protect_pages(context, first, end, rights);
        if (error != 0)
            reserve_drop(promised);
    }
    for (uintptr_t page = first; error == 0 && page < end;) {
        const struct vspace_range *range = vspace_find(&context->ranges, page);
        vspace_set_attributes(&context->ranges, page, (uint16_t)with_rights(range->attributes, rights));
        page = range->end;
    }
    join_all(context, first, end);
    return error;
}

int area_protect(struct context *context, uintptr_t address, size_t pages, unsigned rights) {
    if (rights_are_bad(rights) || area_run_is_bad(context, address, pages))
        return ERR_INVALID;
    if (breaks_wx(rights))
        return ERR_REFUSED;
    lock_take(&context->lock);
    int error = protect_locked(context, page_number(address), page_number(address) + pages, rights);
    lock_release(&context->lock);
    return error;
}

/* --- Growing ------------------------------------------------------------------------------------------------------ */

static int grow_locked(struct context *context, uintptr_t page, size_t most) {
    const struct vspace_range *range = vspace_next(&context->ranges, page);
    if (!is_area(range) || !(range->attributes & AREA_STACK) || page >= range->first || range->end - page > most)
        return ERR_FAULT;
    /* A page below stays free, so that running on ends in a fault and not in the next area. */
    if (page <= context->ranges.first || vspace_next(&context->ranges, page - 1)->first != range->first)
        return ERR_FAULT;
    size_t pages = range->first - page;
    struct area_request request = {
        .pages = pages,
        .rights = area_rights(range->attributes),
        .address = page_address(page),
        .fixed = true,
        .stack = true,
        .unreserved = (range->attributes & AREA_UNRESERVED) != 0,
    };
    uintptr_t first;
    return map_locked(context, &request, &first);
}

int area_grow(struct context *context, uintptr_t address, size_t most) {
    lock_take(&context->lock);
    int error = grow_locked(context, page_number(address), most);
    lock_release(&context->lock);
    return error;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

const char *area_rights_name(unsigned attributes) {
    unsigned rights = area_rights(attributes);
    if (rights & AREA_EXECUTE)
        return "read execute";
    if (rights & AREA_WRITE)
        return "read write";
    return rights != 0 ? "read" : "none";
}

bool area_covers(struct context *context, uintptr_t address, size_t pages) {
    if (area_run_is_bad(context, address, pages))
        return false;
    lock_take(&context->lock);
    bool covered = is_covered(context, page_number(address), page_number(address) + pages);
    lock_release(&context->lock);
    return covered;
}
