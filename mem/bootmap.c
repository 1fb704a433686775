/* Layer 1: painting the firmware's map.
 *
 *     entries as they come      [--------- free ---------)
 *                                      [- reserved -)      [-- free --)
 *                                                  [- loader -)
 *     ranges after painting     [ free )[- reserved -)[ldr)[-- free --)
 *
 * Invariants, after every call:
 *   B1  ranges are sorted by their first byte and disjoint.
 *   B2  two ranges that touch have different types, and none is BOOTMAP_NONE.
 *   B3  the type of a byte is the highest type of all entries painted over it. Order of painting doesn't matter.
 *   B4  a finished map's bounds are page bounds; a page is FREE only if each of its bytes is, and it isn't page 0.
 *
 * Painting is a merge of the old list with one entry. To need no second list, the old ranges move to the end of the
 * array first, and the merge reads there while it writes at the front. Below any byte the new list has at most as many
 * ranges as there are bounds of entries below it, so the writer never meets the reader if the room is 2k + 1 for k
 * entries; whether it would is found by the same merge without writing, before anything moves.
 *
 * Cost: one entry is linear in the ranges so far, so a map of k entries is quadratic in k: 4000 entries take some ten
 * milliseconds, and real maps have a hundred.
 *
 * Not done: nothing is asked of the machine itself. A page that the firmware calls RAM and that is none is found by a
 * memory test or by the first fault. */
#include <base/bits.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/bootmap.h>

#define PAGE_MASK ((uint64_t)PAGE_SIZE - 1)

const char *bootmap_type_name(enum bootmap_type type) {
    switch (type) {
    case BOOTMAP_NONE:
        return "none";
    case BOOTMAP_FREE:
        return "free";
    case BOOTMAP_LOADER:
        return "loader data";
    case BOOTMAP_METADATA:
        return "metadata";
    case BOOTMAP_KERNEL:
        return "kernel image";
    case BOOTMAP_ACPI:
        return "ACPI tables";
    case BOOTMAP_NVS:
        return "ACPI NVS";
    case BOOTMAP_RESERVED:
        return "reserved";
    case BOOTMAP_BAD:
        return "bad RAM";
    }
    return "unknown";
}

void bootmap_init(struct bootmap *map, struct bootmap_range *ranges, size_t capacity) {
    require(ranges != NULL && capacity > 0, "bootmap_init: no room for ranges (%zu)", capacity);
    *map = (struct bootmap){ .ranges = ranges, .capacity = capacity };
}

/* --- Painting ---------------------------------------------------------------------------------------------------- */

/* Where the merge writes. Without `out` it only counts. `last` is the newest range, which may still grow. */
struct writer {
    struct bootmap_range *out;
    size_t count;
    struct bootmap_range last;
};

static void write_range(struct writer *to, uint64_t first, uint64_t last, enum bootmap_type type) {
    bool joins = to->count > 0 && to->last.type == type && to->last.last + 1 == first;
    if (joins) {
        to->last.last = last;
    } else {
        to->last = (struct bootmap_range){ first, last, type };
        to->count++;
    }
    if (to->out != NULL)
        to->out[to->count - 1] = to->last;
}

static enum bootmap_type stronger(enum bootmap_type a, enum bootmap_type b) {
    return a > b ? a : b;
}

/* Writes one old range and what of the entry lies before or inside it. *at is the entry's first byte not yet written;
 * returns false once the entry is written to its end. */
static bool write_merged(struct writer *to, struct bootmap_range old, struct bootmap_range entry, uint64_t *at) {
    if (old.last < *at) {
        write_range(to, old.first, old.last, old.type);
        return true;
    }
    if (old.first < *at)
        write_range(to, old.first, *at - 1, old.type);
    if (old.first > *at) {
        uint64_t gap_last = old.first - 1 < entry.last ? old.first - 1 : entry.last;
        write_range(to, *at, gap_last, entry.type);
        *at = gap_last + 1;
    }
    uint64_t inside = old.first > *at ? old.first : *at;
    if (inside > entry.last || *at > entry.last) {
        write_range(to, inside, old.last, old.type);
        return false;
    }
    uint64_t last = old.last < entry.last ? old.last : entry.last;
    write_range(to, inside, last, stronger(old.type, entry.type));
    if (last < old.last)
        write_range(to, last + 1, old.last, old.type);
    *at = last + 1; /* 0 past the last byte of all: then last == entry.last too, and the caller stops */
    return last < entry.last;
}

/* Merges `old`, `count` ranges, with one entry. Returns false when the writer needs more than `capacity` at some point,
 * the ranges still to be read included. */
static bool merge(struct writer *to, const struct bootmap_range *old, size_t count, struct bootmap_range entry,
                  size_t capacity) {
    uint64_t at = entry.first;
    bool open = true;
    for (size_t i = 0; i < count; i++) {
        struct bootmap_range next = old[i]; /* a copy: the writer may reach its place now */
        if (open)
            open = write_merged(to, next, entry, &at);
        else
            write_range(to, next.first, next.last, next.type);
        if (to->count + (count - i - 1) > capacity)
            return false;
    }
    if (open)
        write_range(to, at, entry.last, entry.type);
    return to->count <= capacity;
}

static int paint(struct bootmap *map, struct bootmap_range entry) {
    struct writer counter = { .out = NULL };
    if (!merge(&counter, map->ranges, map->count, entry, map->capacity))
        return ERR_NO_SPACE;

    struct bootmap_range *moved = map->ranges + (map->capacity - map->count);
    memmove(moved, map->ranges, map->count * sizeof(*moved));
    struct writer writer = { .out = map->ranges };
    bool fits = merge(&writer, moved, map->count, entry, map->capacity);
    invariant(fits && writer.count == counter.count);
    (void)fits;
    map->count = writer.count;
    return 0;
}

int bootmap_add(struct bootmap *map, uint64_t first_byte, uint64_t bytes, enum bootmap_type type) {
    require(!map->finished, "bootmap_add(0x%llx, 0x%llx): the map is finished", (unsigned long long)first_byte,
            (unsigned long long)bytes);
    if (type <= BOOTMAP_NONE || type > BOOTMAP_BAD)
        return ERR_INVALID;
    if (bytes == 0) {
        map->ignored++;
        return 0;
    }
    uint64_t room = UINT64_MAX - first_byte; /* bytes after the first */
    bool wraps = bytes - 1 > room;
    uint64_t last = wraps ? UINT64_MAX : first_byte + (bytes - 1);
    int error = paint(map, (struct bootmap_range){ first_byte, last, type });
    if (error == 0 && wraps)
        map->ignored++;
    return error;
}

/* --- Finishing --------------------------------------------------------------------------------------------------- */

/* Pages that palloc describes. */
static bool is_ours(enum bootmap_type type) {
    return type == BOOTMAP_FREE || type == BOOTMAP_LOADER || type == BOOTMAP_METADATA || type == BOOTMAP_KERNEL;
}

/* False when nothing is left of it. */
static bool round_range(struct bootmap_range *range) {
    if (range->type != BOOTMAP_FREE) {
        range->first &= ~PAGE_MASK;
        range->last |= PAGE_MASK;
        return true;
    }
    uint64_t end = range->last + 1; /* 0 for 2^64, which is aligned */
    uint64_t cut = end & PAGE_MASK;
    if (range->first > UINT64_MAX - PAGE_MASK || range->last < cut)
        return false;
    range->first = round_up(range->first, PAGE_SIZE);
    range->last -= cut;
    return range->first <= range->last;
}

/* Cuts what palloc may not have: page 0, so that NULL is never an address of its; and pages from `limit` on. */
static bool clip_range(struct bootmap_range *range, pfn_t limit) {
    if (!is_ours(range->type))
        return true;
    uint64_t last_allowed = pfn_to_phys(limit) - 1;
    if (range->first < PAGE_SIZE)
        range->first = PAGE_SIZE;
    if (range->last > last_allowed)
        range->last = last_allowed;
    return range->first <= range->last;
}

/* Writes a rounded range behind the others. Rounding outward lets it share one page with the one before, and never
 * with a FREE one: then the higher type has the page. */
static void write_rounded(struct writer *to, struct bootmap_range range) {
    bool shares = to->count > 0 && to->last.last >= range.first;
    if (shares && to->last.type >= range.type) {
        if (to->last.last >= range.last)
            return;
        range.first = to->last.last + 1;
    } else if (shares) {
        to->last.last = range.first - 1;
        bool empty = to->last.last + 1 == to->last.first;
        if (empty)
            to->count--;
        else
            to->out[to->count - 1] = to->last;
        if (empty && to->count > 0)
            to->last = to->out[to->count - 1];
    }
    write_range(to, range.first, range.last, range.type);
}

int bootmap_finish(struct bootmap *map, pfn_t limit) {
    require(!map->finished, "bootmap_finish: the map is finished already");
    if (limit == 0)
        limit = PFN_NONE;

    struct writer writer = { .out = map->ranges };
    for (size_t i = 0; i < map->count; i++) {
        struct bootmap_range range = map->ranges[i];
        if (round_range(&range))
            write_rounded(&writer, range);
    }
    map->count = writer.count;

    writer = (struct writer){ .out = map->ranges };
    for (size_t i = 0; i < map->count; i++) {
        struct bootmap_range range = map->ranges[i];
        if (clip_range(&range, limit))
            write_range(&writer, range.first, range.last, range.type);
    }
    map->count = writer.count;
    map->finished = true;
    return bootmap_pages(map, BOOTMAP_FREE) > 0 ? 0 : ERR_NO_MEMORY;
}

/* --- On a finished map ------------------------------------------------------------------------------------------- */

static void require_finished(const struct bootmap *map, const char *who) {
    require(map->finished, "%s: bootmap_finish() has not been called", who);
}

/* False when it lies past the last page number. Only types that aren't ours can. */
static bool to_extent(const struct bootmap_range *range, struct extent *extent) {
    uint64_t first = range->first >> PAGE_SHIFT, end = (range->last >> PAGE_SHIFT) + 1;
    if (first >= PFN_NONE)
        return false;
    extent->first = (pfn_t)first;
    extent->end = end > PFN_NONE ? PFN_NONE : (pfn_t)end;
    return true;
}

bool bootmap_next(const struct bootmap *map, size_t *index, enum bootmap_type type, struct extent *extent) {
    require_finished(map, "bootmap_next");
    while (*index < map->count) {
        const struct bootmap_range *range = &map->ranges[(*index)++];
        if (range->type == type && to_extent(range, extent))
            return true;
    }
    return false;
}

bool bootmap_next_ram(const struct bootmap *map, size_t *index, struct extent *extent) {
    require_finished(map, "bootmap_next_ram");
    bool found = false;
    for (; *index < map->count; (*index)++) {
        const struct bootmap_range *range = &map->ranges[*index];
        struct extent next;
        bool ours = is_ours(range->type) && to_extent(range, &next);
        if (found && !(ours && next.first == extent->end))
            return true;
        if (ours)
            *extent = found ? (struct extent){ extent->first, next.end } : next;
        found = found || ours;
    }
    return found;
}

size_t bootmap_pages(const struct bootmap *map, enum bootmap_type type) {
    size_t pages = 0, index = 0;
    struct extent extent;
    while (bootmap_next(map, &index, type, &extent))
        pages += extent.end - extent.first;
    return pages;
}

pfn_t bootmap_end(const struct bootmap *map) {
    require_finished(map, "bootmap_end");
    struct extent extent;
    for (size_t i = map->count; i-- > 0;)
        if (is_ours(map->ranges[i].type) && to_extent(&map->ranges[i], &extent))
            return extent.end;
    return 0;
}

pfn_t bootmap_carve(struct bootmap *map, size_t pages, pfn_t limit) {
    require_finished(map, "bootmap_carve");
    require(pages > 0, "bootmap_carve: 0 pages");
    if (limit == 0)
        limit = PFN_NONE;
    /* The highest place is never below 16 MiB while there is one above. */
    for (size_t i = map->count; i-- > 0;) {
        struct extent extent;
        if (map->ranges[i].type != BOOTMAP_FREE || !to_extent(&map->ranges[i], &extent) || extent.first >= limit)
            continue;
        pfn_t end = extent.end < limit ? extent.end : limit;
        if (end - extent.first < pages)
            continue;
        pfn_t first = end - (pfn_t)pages;
        struct bootmap_range entry = { pfn_to_phys(first), pfn_to_phys(end) - 1, BOOTMAP_METADATA };
        return paint(map, entry) == 0 ? first : PFN_NONE;
    }
    return PFN_NONE;
}
