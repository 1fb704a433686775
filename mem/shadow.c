/*     region   first |  page  |  page  | (none) |  ...   | 8 pages of the region ...      | ... nothing behind
 *                    |        |        |        |        |<---------- reach ------------->|
 *     shadow   bytes | 512 B  | 512 B  | 512 B  |  ...   | one page: private if any of its 8 groups is backed,
 *                    |<----------- a page -------------->| else the page `nothing`, shown read-only
 *
 * A shadow byte is 0 (its 8 bytes are allowed), 1 to 7 (so many of them are, from the first on) or one of enum
 * shadow_why. Since what is allowed of 8 bytes always begins with the first, an access within them is good if its last
 * byte is.
 *
 * The region is far larger than what is ever backed, and even a table for all of its shadow would be too much memory.
 * So the shadow is mapped as far as backed pages reach: the heap takes the lowest place that fits, and a check needs
 * one comparison to know that there is a byte to read. Holes below that end show the page `nothing`, full of
 * SHADOW_NO_PAGE, so that an access to a hole is reported like any other. No page is counted: a shadow page is private
 * as long as one of its groups isn't SHADOW_NO_PAGE.
 *
 * Invariants, checked by shadow_audit():
 *   S1  each page of the shadow up to the reach is mapped: to `nothing`, read-only, if no group of it is backed,
 *       else to a page of its own, writable; none behind the reach is.
 *   S2  the last page up to the reach has a backed group.
 *   S3  a group is SHADOW_NO_PAGE throughout, or no byte of it is; no byte has a value without a meaning.
 *
 * Locking: the caller's, as the header says. A check on another processor may read a byte while it is changed or its
 * page is exchanged: it sees the one or the other, and neither matters to an access that isn't itself a race.
 * Not done: growing a shadow; large pages. */
#include <mem/shadow.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/context.h>
#include <mem/frame.h>

enum {
    GRANULE = 8,
    GROUP = 4096 / GRANULE, /* shadow bytes of a page of the region */
    GROUPS = 4096 / GROUP,  /* in a page of the shadow */
    BATCH = 64,
};
#define PAGE_REACH (PAGE_SIZE * GROUPS) /* bytes of the region that a page of the shadow speaks for */

struct shadow shadow_heap = { .nothing = PFN_NONE };
void (*shadow_mirror)(uintptr_t address, size_t bytes, bool allowed);

const char *shadow_why_name(enum shadow_why why) {
    switch (why) {
    case SHADOW_UNUSED:
        return "memory that is in no block";
    case SHADOW_RED_ZONE:
        return "the red zone of a block";
    case SHADOW_FREED:
        return "a freed block";
    case SHADOW_NO_PAGE:
        return "a page that the heap doesn't have";
    }
    return "unknown";
}

static struct paging *tables(void) {
    return &context_kernel()->tables;
}

static void mirror(uintptr_t address, size_t bytes, bool allowed) {
    if (shadow_mirror != NULL)
        shadow_mirror(address, bytes, allowed);
}

/* --- Pages of the shadow, by number -------------------------------------------------------------------------------
 * */

static uintptr_t page_at(const struct shadow *shadow, size_t page) {
    return (uintptr_t)shadow->bytes + (page << PAGE_SHIFT);
}

static size_t pages_for(size_t region_pages) {
    return (region_pages + GROUPS - 1) / GROUPS;
}

static size_t mapped_pages(const struct shadow *shadow) {
    return shadow->reach / PAGE_REACH;
}

static uint8_t *group_at(const struct shadow *shadow, size_t region_page) {
    return shadow->bytes + region_page * GROUP;
}

static bool is_backed(const struct shadow *shadow, size_t region_page) {
    return region_page * PAGE_SIZE < shadow->reach && *group_at(shadow, region_page) != SHADOW_NO_PAGE;
}

static bool is_private(const struct shadow *shadow, size_t page) {
    for (size_t i = 0; i < GROUPS; i++)
        if (is_backed(shadow, page * GROUPS + i))
            return true;
    return false;
}

static pfn_t take_page(void) {
    const struct palloc_request one = { .pages = 1 };
    pfn_t pfn = palloc_with(&one);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    void *view = arch_frame_open(pfn);
    memset(view, SHADOW_NO_PAGE, PAGE_SIZE);
    arch_frame_close(view);
    return pfn;
}

static void set_reach(struct shadow *shadow, size_t pages) {
    __atomic_store_n(&shadow->reach, pages * PAGE_REACH, __ATOMIC_RELEASE);
}

/* The end of what is mapped goes back to the last private page. A check must not read where no page is, so the reach
 * shrinks first. */
static void shrink(struct shadow *shadow) {
    size_t have = mapped_pages(shadow), need = have;
    while (need > 0 && !is_private(shadow, need - 1))
        need--;
    if (need == have)
        return;
    set_reach(shadow, need);
    paging_unmap(tables(), page_at(shadow, need), have - need);
}

/* And here it grows last. */
static int grow(struct shadow *shadow, size_t need) {
    size_t have = mapped_pages(shadow), done = have;
    pfn_t list[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        list[i] = shadow->nothing;
    while (done < need) {
        size_t count = need - done < BATCH ? need - done : BATCH;
        int error = paging_map_list(tables(), page_at(shadow, done), list, count, 0);
        if (error != 0) {
            paging_unmap(tables(), page_at(shadow, have), done - have);
            return error;
        }
        done += count;
    }
    if (need > have)
        set_reach(shadow, need);
    return 0;
}

static int make_private(struct shadow *shadow, size_t page) {
    pfn_t pfn = take_page();
    if (pfn == PFN_NONE)
        return ERR_NO_MEMORY;
    int error = paging_replace(tables(), page_at(shadow, page), pfn, PAGE_WRITE);
    if (error == 0)
        frame_hand_over(pfn);
    else
        pfree(pfn, 1);
    return error;
}

/* Of a page without a backed group. It can't fail: `nothing` was shown there before, or as often elsewhere, and has
 * room for a mapping from each page of the largest shadow. */
static void make_nothing(struct shadow *shadow, size_t page) {
    int error = paging_replace(tables(), page_at(shadow, page), shadow->nothing, 0);
    require(error == 0, "shadow: page %#zx can't show the page of nothing again: %d", (size_t)page_at(shadow, page),
            error);
}

/* --- Life ---------------------------------------------------------------------------------------------------------
 * */

int shadow_create(struct shadow *shadow, uintptr_t first, size_t pages) {
    require(pages > 0 && pages / GROUPS < FRAME_MAPPINGS_MAX && (first & (PAGE_SIZE - 1)) == 0,
            "shadow_create(%#zx, %zu): no such run of pages", (size_t)first, pages);
    pfn_t nothing = take_page();
    if (nothing == PFN_NONE)
        return ERR_NO_MEMORY;
    const struct vspace_request request = { .pages = pages_for(pages),
                                            .attributes = CONTEXT_RANGE_SHADOW,
                                            .guard_after = 1 };
    struct context *kernel = context_kernel();
    uintptr_t at;
    lock_take(&kernel->lock);
    int error = vspace_take(&kernel->ranges, &request, &at);
    lock_release(&kernel->lock);
    if (error != 0) {
        pfree(nothing, 1);
        return error;
    }
    *shadow =
        (struct shadow){ .first = first, .bytes = (uint8_t *)page_address(at), .pages = pages, .nothing = nothing };
    return 0;
}

void shadow_destroy(struct shadow *shadow) {
    require(shadow->reach == 0, "shadow_destroy: the shadow of %#zx is backed yet, up to %#zx", (size_t)shadow->first,
            (size_t)(shadow->first + shadow->reach));
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    int error = vspace_give(&kernel->ranges, page_number((uintptr_t)shadow->bytes), pages_for(shadow->pages));
    lock_release(&kernel->lock);
    require(error == 0, "shadow_destroy: %p is no shadow's range", (void *)shadow->bytes);
    pfree(shadow->nothing, 1);
    *shadow = (struct shadow){ .nothing = PFN_NONE };
}

/* --- Backing ------------------------------------------------------------------------------------------------------
 * */

/* The number in the region of the first page. */
static size_t require_run(const char *who, const struct shadow *shadow, uintptr_t address, size_t pages, bool backed) {
    size_t first = (address - shadow->first) >> PAGE_SHIFT;
    require((address & (PAGE_SIZE - 1)) == 0 && first < shadow->pages && pages > 0 && pages <= shadow->pages - first,
            "%s(%#zx, %zu): not a run of pages of the region of %zu at %#zx", who, (size_t)address, pages,
            shadow->pages, (size_t)shadow->first);
    for (size_t i = first; i < first + pages; i++)
        require(is_backed(shadow, i) == backed, "%s(%#zx, %zu): page %#zx is %s", who, (size_t)address, pages,
                (size_t)(shadow->first + (i << PAGE_SHIFT)), backed ? "not backed" : "backed already");
    return first;
}

int shadow_back_in(struct shadow *shadow, uintptr_t address, size_t pages) {
    size_t first = require_run("shadow_back", shadow, address, pages, false);
    int error = grow(shadow, pages_for(first + pages));
    if (error != 0)
        return error;
    size_t begin = first / GROUPS, end = pages_for(first + pages), at = begin;
    bool first_was_private = is_private(shadow, begin), last_was_private = is_private(shadow, end - 1);
    for (; error == 0 && at < end; at++) {
        bool private = (at == begin && first_was_private) || (at == end - 1 && last_was_private);
        error = private ? 0 : make_private(shadow, at);
    }
    if (error != 0) {
        for (size_t i = begin; i < at - 1; i++)
            if (i != begin || !first_was_private)
                make_nothing(shadow, i);
        shrink(shadow);
        return error;
    }
    memset(group_at(shadow, first), SHADOW_UNUSED, pages * GROUP);
    mirror(address, pages << PAGE_SHIFT, false);
    return 0;
}

void shadow_unback_in(struct shadow *shadow, uintptr_t address, size_t pages) {
    size_t first = require_run("shadow_unback", shadow, address, pages, true);
    memset(group_at(shadow, first), SHADOW_NO_PAGE, pages * GROUP);
    for (size_t i = first / GROUPS; i < pages_for(first + pages); i++)
        if (!is_private(shadow, i))
            make_nothing(shadow, i);
    shrink(shadow);
    mirror(address, pages << PAGE_SHIFT, true);
}

/* --- Use ----------------------------------------------------------------------------------------------------------
 * */

/* The offset of the first byte. */
static size_t require_bytes(const char *who, const struct shadow *shadow, uintptr_t address, size_t bytes) {
    size_t offset = address - shadow->first;
    require(offset < shadow->reach && bytes <= shadow->reach - offset,
            "%s(%#zx, %zu): not in the backed part of the region at %#zx", who, (size_t)address, bytes,
            (size_t)shadow->first);
    require(is_backed(shadow, offset >> PAGE_SHIFT) && is_backed(shadow, (offset + bytes - 1) >> PAGE_SHIFT),
            "%s(%#zx, %zu): a page of it is not backed", who, (size_t)address, bytes);
    return offset;
}

void shadow_allow_in(struct shadow *shadow, uintptr_t address, size_t bytes) {
    if (bytes == 0)
        return;
    size_t offset = require_bytes("shadow_allow", shadow, address, bytes);
    require(offset % GRANULE == 0, "shadow_allow(%#zx, %zu): not at a multiple of 8", (size_t)address, bytes);
    uint8_t *at = shadow->bytes + offset / GRANULE;
    memset(at, 0, bytes / GRANULE);
    if (bytes % GRANULE != 0)
        at[bytes / GRANULE] = bytes % GRANULE;
    mirror(address, bytes, true);
    if (bytes % GRANULE != 0)
        mirror(address + bytes, GRANULE - bytes % GRANULE, false);
}

/* How many of a granule's bytes are allowed, from the first on. */
static unsigned allowed_of(uint8_t value) {
    return value == 0 ? GRANULE : value < GRANULE ? value : 0;
}

void shadow_forbid_in(struct shadow *shadow, uintptr_t address, size_t bytes, enum shadow_why why) {
    if (bytes == 0)
        return;
    size_t offset = require_bytes("shadow_forbid", shadow, address, bytes), end = offset + bytes;
    size_t begin_part = offset % GRANULE, end_part = end % GRANULE;
    uint8_t *first = shadow->bytes + offset / GRANULE, *last = shadow->bytes + (end - 1) / GRANULE;
    require(end_part == 0 || allowed_of(*last) <= end_part,
            "shadow_forbid(%#zx, %zu): bytes behind it, up to the next multiple of 8, are allowed", (size_t)address,
            bytes);
    if (begin_part != 0) {
        if (allowed_of(*first) > begin_part)
            *first = (uint8_t)begin_part;
        first++;
    }
    if (first <= last)
        memset(first, (int)why, (size_t)(last - first) + 1);
    mirror(address, bytes, false);
}

bool shadow_first_bad_in(const struct shadow *shadow, uintptr_t address, size_t bytes, uintptr_t *bad,
                         enum shadow_why *why) {
    if (bytes == 0)
        return false;
    uintptr_t final = address + bytes - 1 >= address ? address + bytes - 1 : UINTPTR_MAX;
    size_t reach = __atomic_load_n(&shadow->reach, __ATOMIC_ACQUIRE);
    if (reach == 0 || final < shadow->first || (address >= shadow->first && address - shadow->first >= reach))
        return false;
    size_t begin = address > shadow->first ? address - shadow->first : 0;
    size_t last = final - shadow->first < reach ? final - shadow->first : reach - 1;
    for (size_t i = begin / GRANULE; i <= last / GRANULE;) {
        const uint8_t *at = shadow->bytes + i;
        bool word = (uintptr_t)at % sizeof(uintptr_t) == 0 && i + sizeof(uintptr_t) <= last / GRANULE;
        if (word && *(const uintptr_t *)(const void *)at == 0) {
            i += sizeof(uintptr_t);
            continue;
        }
        /* The bytes of this granule that are asked for. */
        size_t from = i * GRANULE < begin ? begin % GRANULE : 0,
               to = i == last / GRANULE ? last % GRANULE + 1 : GRANULE;
        unsigned allowed = allowed_of(*at);
        if (to > allowed) {
            *bad = shadow->first + i * GRANULE + (from > allowed ? from : allowed);
            *why = allowed != 0 ? SHADOW_RED_ZONE : (enum shadow_why) * at;
            return true;
        }
        i++;
    }
    return false;
}

/* Allowed bytes begin their granule, so the first one is where the range begins or where a granule does. */
bool shadow_first_good_in(const struct shadow *shadow, uintptr_t address, size_t bytes, uintptr_t *good) {
    if (bytes == 0)
        return false;
    size_t begin = require_bytes("shadow_first_good", shadow, address, bytes), end = begin + bytes;
    for (size_t at = begin; at < end; at = (at / GRANULE + 1) * GRANULE)
        if (at % GRANULE < allowed_of(shadow->bytes[at / GRANULE])) {
            *good = shadow->first + at;
            return true;
        }
    return false;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------
 * */

static void audit_page(const struct shadow *shadow, size_t page) {
    struct paging_entry entry = { .pfn = PFN_NONE };
    bool mapped = paging_find(tables(), page_at(shadow, page), &entry);
    bool private = mapped && entry.pfn != shadow->nothing;
    require(mapped && entry.attributes == (private ? (unsigned)PAGE_WRITE : 0) && private == is_private(shadow, page),
            "shadow: S1 broken: page %#zx %s page %#x with rights %#x", (size_t)page_at(shadow, page),
            mapped ? "shows" : "is not mapped, but should show", entry.pfn, entry.attributes);
}

static void audit_group(const struct shadow *shadow, size_t region_page) {
    const uint8_t *group = group_at(shadow, region_page);
    bool backed = is_backed(shadow, region_page);
    for (size_t i = 0; i < GROUP; i++) {
        uint8_t value = group[i];
        bool known = value < GRANULE || value == SHADOW_UNUSED || value == SHADOW_RED_ZONE || value == SHADOW_FREED;
        require(backed ? known : value == SHADOW_NO_PAGE,
                "shadow: S3 broken: the shadow of %#zx is %#x in a page that is %s",
                (size_t)(shadow->first + (region_page << PAGE_SHIFT) + i * GRANULE), value,
                backed ? "backed" : "not backed");
    }
}

void shadow_audit(const struct shadow *shadow) {
    if (shadow->nothing == PFN_NONE)
        return;
    size_t pages = mapped_pages(shadow), all = pages_for(shadow->pages);
    require(pages == 0 || is_private(shadow, pages - 1),
            "shadow: S2 broken: nothing is backed at the reach's end, %#zx", (size_t)(shadow->first + shadow->reach));
    for (size_t i = 0; i < pages; i++)
        audit_page(shadow, i);
    size_t behind = paging_count(tables(), page_at(shadow, pages), all - pages);
    require(behind == 0, "shadow: S1 broken: %zu pages behind the reach are mapped", behind);
    for (size_t i = 0; i < pages * GROUPS; i++)
        audit_group(shadow, i);
}
