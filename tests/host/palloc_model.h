/* tests/host/palloc_model.h - a judge for palloc and frame: one owner byte and four counts a page, and nothing shared
 * with what it judges.
 *
 * A source of numbers (random ones, or a fuzzer's bytes) becomes operations; each runs on the real thing and on the
 * model, and a difference is a panic. Operations that break the contract must panic with the right page named.
 *
 * The machine has no MMU: descriptors live in a buffer of the host, filled with rubbish as it is mapped. */
#ifndef TESTS_HOST_PALLOC_MODEL_H
#define TESTS_HOST_PALLOC_MODEL_H

#include <arch/arch.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/frame.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL_NOTHING = 'x', /* not RAM */
    MODEL_FREE = '.',
    MODEL_HELD = 'h',
    MODEL_MAPPED = 'm', /* kept by mappings and pins alone */
    MODEL_TABLE = 't',
    MODEL_HEAP = 'o',
    MODEL_LOADER = 'l',
    MODEL_KERNEL = 'k',
    MODEL_METADATA = 'd',
    MODEL_LOW = 1 << 12,
    MODEL_DMA32 = 1 << 20,
};

struct model_page {
    uint8_t owner;
    uint8_t readable, writable, executable, pins;
};

struct model {
    struct model_page *pages; /* by page number, one more than there are */
    uint32_t end;
    uint32_t *ram; /* the numbers of RAM pages, in order */
    uint32_t ram_count;
    uint32_t (*number)(void *source, uint32_t below); /* where operations come from */
    void *source;
    /* Makes the call and demands a panic that begins with the text; returns after it. */
    void (*must_panic)(const char *begin, void (*call)(void *argument), void *argument);
};

struct model_entry {
    uint32_t first, pages;
    enum bootmap_type type;
};

#define model_demand(condition, ...)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            panic("model: " __VA_ARGS__);                                                                              \
    } while (0)

/* --- The machine ------------------------------------------------------------------------------------------------- */

static int model_map_pages(void *argument, uintptr_t address, pfn_t first, size_t pages) {
    (void)argument;
    (void)first;
    memset((void *)address, 0xa5, pages << PAGE_SHIFT);
    return 0;
}

static uint8_t model_owner_of(enum bootmap_type type) {
    if (type == BOOTMAP_FREE)
        return MODEL_FREE;
    if (type == BOOTMAP_LOADER)
        return MODEL_LOADER;
    if (type == BOOTMAP_KERNEL)
        return MODEL_KERNEL;
    return type == BOOTMAP_METADATA ? MODEL_METADATA : MODEL_NOTHING;
}

static void model_read_map(struct model *model, const struct bootmap *map) {
    model->end = bootmap_end(map);
    model->pages = malloc((model->end + 1) * sizeof(*model->pages));
    model->ram = malloc((model->end + 1) * sizeof(*model->ram));
    model->ram_count = 0;
    memset(model->pages, 0, (model->end + 1) * sizeof(*model->pages));
    for (uint32_t page = 0; page <= model->end; page++)
        model->pages[page].owner = MODEL_NOTHING;
    for (size_t i = 0; i < map->count; i++) {
        uint8_t owner = model_owner_of(map->ranges[i].type);
        for (uint64_t byte = map->ranges[i].first; owner != MODEL_NOTHING && byte <= map->ranges[i].last;
             byte += PAGE_SIZE)
            model->pages[byte >> PAGE_SHIFT].owner = owner;
    }
    for (uint32_t page = 0; page < model->end; page++)
        if (model->pages[page].owner != MODEL_NOTHING)
            model->ram[model->ram_count++] = page;
}

/* Boots palloc and frame alone: 0, or palloc_init()'s error, and then there is no model. The buffer of an earlier
 * machine is given up. */
static inline int model_boot(struct model *model, const struct model_entry *entries, size_t count) {
    static struct bootmap_range ranges[512];
    static void *memory;
    struct bootmap map;
    bootmap_init(&map, ranges, sizeof(ranges) / sizeof(ranges[0]));
    for (size_t i = 0; i < count; i++)
        bootmap_add(&map, pfn_to_phys(entries[i].first), pfn_to_phys(entries[i].pages), entries[i].type);
    int error = bootmap_finish(&map, 0);
    if (error != 0)
        return error;
    free(memory);
    memory = malloc(palloc_metadata_bytes(&map) + PAGE_SIZE);
    uintptr_t address = ((uintptr_t)memory + PAGE_SIZE - 1) & ~((uintptr_t)PAGE_SIZE - 1);
    error = palloc_init(&map, address, model_map_pages, NULL);
    if (error != 0)
        return error;
    frame_init(&map);
    model_read_map(model, &map);
    return 0;
}

static inline void model_free(struct model *model) {
    free(model->pages);
    free(model->ram);
}

/* --- Judging ----------------------------------------------------------------------------------------------------- */

static uint32_t model_zone_start(uint32_t page) {
    return page >= MODEL_DMA32 ? MODEL_DMA32 : page >= MODEL_LOW ? MODEL_LOW : 0;
}

/* The run may begin here: aligned, and over no multiple of the boundary. */
static bool model_allows(uint64_t first, uint32_t pages, uint32_t align, uint32_t boundary) {
    return first % align == 0 && (boundary == 0 || first / boundary == (first + pages - 1) / boundary);
}

/* Some place in free pages is allowed and ends before the limit: each one is tried. */
static bool model_fits_somewhere(const struct model *model, const struct palloc_request *request) {
    uint64_t limit = request->limit == 0 ? UINT64_MAX : request->limit, row = 0, last = UINT64_MAX;
    uint32_t align = request->align == 0 ? 1 : request->align;
    for (uint32_t i = 0; i < model->ram_count && request->pages > 0; i++) {
        uint64_t page = model->ram[i];
        row = model->pages[page].owner != MODEL_FREE || page >= limit ? 0 : page == last + 1 ? row + 1 : 1;
        last = page;
        uint64_t first = page + 1 - request->pages;
        if (row >= request->pages && model_allows(first, request->pages, align, request->boundary) &&
            (!request->exact || first == request->at))
            return true;
    }
    return false;
}

/* Some free run fits, from page `floor` on. */
static bool model_fits(const struct model *model, uint32_t pages, uint32_t align, uint64_t limit, uint32_t floor) {
    uint64_t start = 0, end = 0; /* the row of free pages that ends with the page looked at */
    for (uint32_t i = 0; i < model->ram_count; i++) {
        uint32_t page = model->ram[i];
        if (page < floor || page >= limit || model->pages[page].owner != MODEL_FREE)
            continue;
        if (page != end)
            start = page;
        end = (uint64_t)page + 1;
        uint64_t first = (start + align - 1) / align * align;
        if (first + pages <= end)
            return true;
    }
    return false;
}

static void model_judge_page(const struct model *model, uint32_t page) {
    const struct model_page *is = &model->pages[page];
    uint32_t mappings = (uint32_t)is->readable + is->writable + is->executable;
    bool tied = mappings > 0 || is->pins > 0;
    enum palloc_state found = palloc_state(page);
    struct frame frame = frame_get(page);
    bool right = true;
    switch (is->owner) {
    case MODEL_NOTHING:
        right = found == PALLOC_NOT_RAM && frame.owner == FRAME_NOT_RAM;
        break;
    case MODEL_FREE:
        right = (found == PALLOC_FREE || found == PALLOC_CACHED) && frame.owner == FRAME_FREE && !tied;
        break;
    case MODEL_HELD:
        right = found == (tied ? PALLOC_HELD_TIED : PALLOC_HELD) && frame.owner == FRAME_CALLER && frame.held;
        break;
    case MODEL_MAPPED:
        right = found == PALLOC_TIED && frame.owner == FRAME_MAPPED && tied;
        break;
    case MODEL_TABLE:
        right = found == PALLOC_TIED && frame.owner == FRAME_TABLE;
        break;
    case MODEL_HEAP:
        right = found == PALLOC_TIED && frame.owner == FRAME_HEAP;
        break;
    case MODEL_LOADER:
        right = found == PALLOC_TIED && frame.owner == FRAME_LOADER;
        break;
    case MODEL_KERNEL:
        right = found == PALLOC_TIED && frame.owner == FRAME_KERNEL;
        break;
    default:
        right = found == PALLOC_TIED && frame.owner == FRAME_METADATA;
    }
    right = right && frame.mappings == mappings && frame.writable == is->writable &&
            frame.executable == is->executable && frame.pins == is->pins;
    model_demand(right, "page 0x%x should be '%c' with %u mappings and %u pins, and is state %d, owner %s, %u, %u",
                 page, is->owner, mappings, is->pins, (int)found, frame_owner_name(frame.owner), frame.mappings,
                 frame.pins);
}

/* All pages, all counts, and after a drain the free runs. */
static inline void model_judge_all(const struct model *model) {
    size_t free_pages = 0, held = 0, runs = 0, largest = 0, row = 0;
    for (uint32_t i = 0; i < model->ram_count; i++) {
        uint32_t page = model->ram[i];
        const struct model_page *is = &model->pages[page];
        model_judge_page(model, page);
        bool is_free = is->owner == MODEL_FREE, goes_on = i > 0 && model->ram[i - 1] == page - 1;
        row = is_free ? (goes_on ? row + 1 : 1) : 0;
        runs += row == 1;
        largest = row > largest ? row : largest;
        free_pages += is_free;
        held += is->owner == MODEL_HELD && is->readable + is->writable + is->executable + is->pins == 0;
    }
    palloc_audit();
    frame_audit();
    palloc_drain();
    palloc_audit();
    struct palloc_stats stats;
    palloc_stats(&stats);
    model_demand(
        stats.total == model->ram_count && stats.free == free_pages && stats.held == held && stats.cached == 0 &&
            stats.tied == model->ram_count - free_pages - held && stats.runs == runs && stats.largest == largest,
        "%zu pages, %zu free in %zu runs up to %zu, %zu held; but palloc counts %zu, %zu in %zu up to %zu, %zu",
        (size_t)model->ram_count, free_pages, runs, largest, held, stats.total, stats.free, stats.runs, stats.largest,
        stats.held);
}

static void model_judge_taken(struct model *model, uint32_t first, uint32_t pages, uint32_t align, uint32_t limit,
                              bool caches_were_empty) {
    uint64_t end = limit == 0 ? UINT64_MAX : limit;
    if (first == PFN_NONE) {
        model_demand(pages == 0 || !model_fits(model, pages, align, end, 0),
                     "a request for %u pages, align %u, limit 0x%x was refused, but a run for it is free", pages, align,
                     limit);
        return;
    }
    model_demand(pages > 0 && first % align == 0 && (uint64_t)first + pages <= end,
                 "a request for %u pages, align %u, limit 0x%x got page 0x%x", pages, align, limit, first);
    bool by_cache = pages == 1 && align == 1 && (limit == 0 || limit == MODEL_DMA32);
    uint32_t above = first < MODEL_LOW ? MODEL_LOW : MODEL_DMA32;
    if ((by_cache || caches_were_empty) && model_zone_start(first) < MODEL_DMA32)
        model_demand(!model_fits(model, pages, align, end, above),
                     "a request for %u pages, align %u, limit 0x%x got page 0x%x, but a run is free from page 0x%x on",
                     pages, align, limit, first, above);
    for (uint32_t page = first; page < first + pages; page++) {
        model_demand(page < model->end && model->pages[page].owner == MODEL_FREE,
                     "a request for %u pages got 0x%x, but page 0x%x isn't free", pages, first, page);
        model->pages[page].owner = MODEL_HELD;
        model_judge_page(model, page);
    }
}

#endif
