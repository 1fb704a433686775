/* Layer 2, the descriptors' place.
 *
 * All carving, the map function's own included, is done before anybody reads the map's free extents: what is carved
 * later would be owned twice. The RAM extents are the union of free and carved pages and the image, which carving
 * doesn't change, so they can be noted in between.
 *
 * Of each array, the pages of descriptors that have something to say of RAM are backed. Two extents near to one another
 * may share one, which is then mapped for the first of them. Tags and held bits reach one page further on both sides,
 * for the neighbours that are looked at. Contiguous pages are preferred, since few mappings describe them; on a map in
 * pieces each refusal halves the size that is asked for, down to single pages.
 *
 * Nothing but the ready bytes and the list of extents is written here: a machine's set-up costs the same whatever
 * memory it has, but for 1 byte in 16 MiB of addresses and what the descriptors' own pages need (mem/palloc.c). */
#include <base/bits.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/palloc_tables.h>
#include <mem/palloc_trace.h>

struct palloc_tables palloc_tables = { .lock = LOCK_INIT("palloc", LOCK_RANK_PALLOC) };
size_t palloc_step_count;

/* An array with `bits` bits for each page; `border` pages more on both sides of RAM. */
struct array {
    uint64_t offset, bytes;
    unsigned bits, border;
};

struct layout {
    struct array words, tags, held, traces, filled;
    uint64_t whole_offset, whole_bytes, total_bytes;
    uint32_t chunks;
    size_t ram_count;
};

static void add_array(struct layout *layout, struct array *array, uint64_t pages, unsigned bits, unsigned border) {
    uint64_t bytes = round_up((pages * bits + 7) / 8, PAGE_SIZE);
    *array = (struct array){ .offset = layout->total_bytes, .bytes = bytes, .bits = bits, .border = border };
    layout->total_bytes += bytes;
}

static struct layout layout_of(const struct bootmap *map) {
    struct layout layout = { .ram_count = 0 };
    struct extent extent;
    for (size_t index = 0; bootmap_next_ram(map, &index, &extent);)
        layout.ram_count++;
    pfn_t end = bootmap_end(map);
    layout.chunks = (end >> CHUNK_SHIFT) + 1;
    uint64_t pages = (uint64_t)layout.chunks << CHUNK_SHIFT;
    add_array(&layout, &layout.words, end, 64, 0);
    add_array(&layout, &layout.tags, pages, 8, 1);
    add_array(&layout, &layout.held, pages, 1, 1);
    if (CONFIG_DEBUG) {
        add_array(&layout, &layout.traces, end, 8 * sizeof(struct palloc_trace), 0);
        add_array(&layout, &layout.filled, pages, 1, 1);
    }
    layout.whole_offset = layout.total_bytes;
    layout.whole_bytes = round_up(layout.chunks, sizeof(struct extent)) + layout.ram_count * sizeof(struct extent);
    layout.whole_bytes = round_up(layout.whole_bytes, PAGE_SIZE);
    layout.total_bytes += layout.whole_bytes;
    return layout;
}

size_t palloc_metadata_bytes(const struct bootmap *map) {
    uint64_t bytes = layout_of(map).total_bytes;
    return bytes <= SIZE_MAX ? (size_t)bytes : (size_t)round_down(SIZE_MAX, PAGE_SIZE);
}

/* --- Backing ------------------------------------------------------------------------------------------------------ */

struct builder {
    struct bootmap *map;
    uintptr_t address;
    palloc_map_function *map_pages;
    void *argument;
    size_t carved_pages;
};

static int back(struct builder *builder, uintptr_t address, size_t pages) {
    for (size_t piece = pages; pages > 0;) {
        if (piece > pages)
            piece = pages;
        pfn_t first = bootmap_carve(builder->map, piece, 0);
        if (first == PFN_NONE && piece == 1)
            return ERR_NO_MEMORY;
        if (first == PFN_NONE) {
            piece /= 2;
            continue;
        }
        int error = builder->map_pages(builder->argument, address, first, piece);
        if (error != 0)
            return error;
        address += piece << PAGE_SHIFT;
        pages -= piece;
        builder->carved_pages += piece;
    }
    return 0;
}

static int back_array(struct builder *builder, const struct array *array) {
    uint64_t backed = 0; /* descriptor pages below this one are */
    for (size_t i = 0; i < palloc_tables.ram_count; i++) {
        const struct extent *ram = &palloc_tables.ram[i];
        uint64_t low = (uint64_t)ram->first - array->border, high = (uint64_t)ram->end - 1 + array->border;
        uint64_t first = low * array->bits / 8 >> PAGE_SHIFT, end = (high * array->bits / 8 >> PAGE_SHIFT) + 1;
        if (first < backed)
            first = backed;
        if (first >= end)
            continue;
        uintptr_t at = builder->address + (uintptr_t)array->offset + (uintptr_t)(first << PAGE_SHIFT);
        int error = back(builder, at, (size_t)(end - first));
        if (error != 0)
            return error;
        backed = end;
    }
    return 0;
}

static int back_debug(struct builder *builder, const struct layout *layout) {
    size_t before = builder->carved_pages;
    int error = back_array(builder, &layout->traces);
    if (error == 0)
        error = back_array(builder, &layout->filled);
    palloc_tables.debug_bytes = (builder->carved_pages - before) << PAGE_SHIFT;
    return error;
}

static void note_ram(const struct bootmap *map, const struct layout *layout) {
    memset(palloc_tables.ready, 0, layout->chunks);
    size_t index = 0;
    while (bootmap_next_ram(map, &index, &palloc_tables.ram[palloc_tables.ram_count])) {
        const struct extent *extent = &palloc_tables.ram[palloc_tables.ram_count++];
        palloc_tables.ram_pages += extent->end - extent->first;
    }
    invariant(palloc_tables.ram_count == layout->ram_count);
}

static void place(const struct bootmap *map, uintptr_t address, const struct layout *layout) {
    uintptr_t whole = address + (uintptr_t)layout->whole_offset;
    palloc_tables = (struct palloc_tables){
        .lock = LOCK_INIT("palloc", LOCK_RANK_PALLOC),
        .tags = (uint8_t *)(address + (uintptr_t)layout->tags.offset),
        .words = (union palloc_word *)(address + (uintptr_t)layout->words.offset),
        .held = (uintptr_t *)(address + (uintptr_t)layout->held.offset),
        .ready = (uint8_t *)whole,
        .chunks = layout->chunks,
        .end = bootmap_end(map),
        .ram = (struct extent *)(whole + (uintptr_t)round_up(layout->chunks, sizeof(struct extent))),
    };
    if (CONFIG_DEBUG) {
        palloc_tables.traces = (struct palloc_trace *)(address + (uintptr_t)layout->traces.offset);
        palloc_tables.filled = (uintptr_t *)(address + (uintptr_t)layout->filled.offset);
    }
}

int palloc_tables_make(struct bootmap *map, uintptr_t address, palloc_map_function *map_pages, void *argument) {
    const struct layout layout = layout_of(map);
    require(address % PAGE_SIZE == 0, "palloc_init: address 0x%zx isn't page-aligned", (size_t)address);
    if (layout.total_bytes > UINTPTR_MAX - address)
        return ERR_NO_MEMORY;
    place(map, address, &layout);
    struct builder builder = { map, address, map_pages, argument, 0 };
    int error = back(&builder, (uintptr_t)palloc_tables.ready, (size_t)(layout.whole_bytes >> PAGE_SHIFT));
    if (error != 0)
        return error;
    note_ram(map, &layout);
    error = back_array(&builder, &layout.words);
    if (error == 0)
        error = back_array(&builder, &layout.tags);
    if (error == 0)
        error = back_array(&builder, &layout.held);
    palloc_tables.carved_bytes = builder.carved_pages << PAGE_SHIFT;
    return error == 0 && CONFIG_DEBUG ? back_debug(&builder, &layout) : error;
}

/* --- Extents and chunks ------------------------------------------------------------------------------------------- */

size_t palloc_tables_extent(pfn_t pfn) {
    const struct extent *ram = palloc_tables.ram;
    size_t low = 0,
           high = palloc_tables.ram_count; /* those before `low` end at or before the page; from `high` after */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ram[middle].end <= pfn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool palloc_tables_has(pfn_t pfn) {
    size_t index = palloc_tables_extent(pfn);
    return index < palloc_tables.ram_count && palloc_tables.ram[index].first <= pfn;
}

static void clear_traces(pfn_t first, pfn_t end) {
    for (size_t i = palloc_tables_extent(first); i < palloc_tables.ram_count; i++) {
        pfn_t low = palloc_tables.ram[i].first, high = palloc_tables.ram[i].end;
        if (low >= end)
            return;
        low = low > first ? low : first;
        high = high < end ? high : end;
        memset(&palloc_tables.traces[low], 0, (high - low) * sizeof(struct palloc_trace));
    }
}

void palloc_tables_clear(pfn_t first, pfn_t last) {
    enum { BITS_BYTES = CHUNK_PAGES / 8 };
    for (uint32_t chunk = first >> CHUNK_SHIFT; chunk <= last >> CHUNK_SHIFT; chunk++) {
        if (palloc_tables.ready[chunk])
            continue;
        memset(&palloc_tables.tags[(size_t)chunk << CHUNK_SHIFT], 0, CHUNK_PAGES);
        memset((uint8_t *)palloc_tables.held + (size_t)chunk * BITS_BYTES, 0, BITS_BYTES);
        if (CONFIG_DEBUG) {
            memset((uint8_t *)palloc_tables.filled + (size_t)chunk * BITS_BYTES, 0, BITS_BYTES);
            pfn_t begin = chunk << CHUNK_SHIFT;
            clear_traces(begin, begin + CHUNK_PAGES > begin ? begin + CHUNK_PAGES : PFN_NONE);
        }
        __atomic_store_n(&palloc_tables.ready[chunk], 1, __ATOMIC_RELEASE);
    }
}
