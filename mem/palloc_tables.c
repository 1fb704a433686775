/* Layer 2, the descriptors' place.
 *
 * All carving, the map function's own included, is done before anybody reads the map's free extents: what is carved
 * later would be owned twice. The RAM extents are the union of free and carved pages and the image, which carving
 * doesn't change, so they can be noted in between.
 *
 * The words of an extent lie in descriptor pages, each for 512 pages of RAM. Two extents less than that apart may
 * share one, which is then mapped for the first of them. Contiguous pages are preferred, since few mappings describe
 * them; on a map in pieces each refusal halves the size that is asked for, down to single pages.
 *
 * Not done: the bitmaps are not sparse. A map with RAM at 1 TiB needs 96 MiB of them, whatever lies between. */
#include <base/bits.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/bitmap.h>
#include <mem/palloc_tables.h>

enum { WORDS_IN_PAGE = 4096 / sizeof(union palloc_word) };

struct layout {
    uint64_t words_bytes, bitmap_bytes, total_bytes;
    size_t ram_count;
};

static struct layout layout_of(const struct bootmap *map) {
    struct layout layout = { .ram_count = 0 };
    struct extent extent;
    for (size_t index = 0; bootmap_next_ram(map, &index, &extent);)
        layout.ram_count++;
    uint64_t end = bootmap_end(map);
    layout.words_bytes = round_up(end * sizeof(union palloc_word), PAGE_SIZE);
    layout.bitmap_bytes = bitmap_words(end) * sizeof(uintptr_t);
    uint64_t tables_bytes = 3 * layout.bitmap_bytes + layout.ram_count * sizeof(struct extent);
    layout.total_bytes = layout.words_bytes + round_up(tables_bytes, PAGE_SIZE);
    return layout;
}

size_t palloc_metadata_bytes(const struct bootmap *map) {
    uint64_t bytes = layout_of(map).total_bytes;
    return bytes <= SIZE_MAX ? (size_t)bytes : (size_t)round_down(SIZE_MAX, PAGE_SIZE);
}

struct builder {
    struct bootmap *map;
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

static int back_words(struct builder *builder, const struct palloc_tables *tables) {
    size_t backed = 0; /* descriptor pages below this one are */
    for (size_t i = 0; i < tables->ram_count; i++) {
        size_t first = tables->ram[i].first / WORDS_IN_PAGE, end = (tables->ram[i].end - 1) / WORDS_IN_PAGE + 1;
        if (first < backed)
            first = backed;
        if (first >= end)
            continue;
        int error = back(builder, (uintptr_t)tables->words + (first << PAGE_SHIFT), end - first);
        if (error != 0)
            return error;
        backed = end;
    }
    return 0;
}

static void write_start(struct palloc_tables *tables, const struct bootmap *map, const struct layout *layout) {
    memset(tables->free_map, 0, (size_t)layout->bitmap_bytes);
    memset(tables->held, 0, (size_t)layout->bitmap_bytes);
    memset(tables->tied, 0xff, (size_t)layout->bitmap_bytes);
    size_t index = 0;
    while (bootmap_next_ram(map, &index, &tables->ram[tables->ram_count])) {
        const struct extent *extent = &tables->ram[tables->ram_count++];
        tables->ram_pages += extent->end - extent->first;
    }
    invariant(tables->ram_count == layout->ram_count);
}

int palloc_tables_make(struct palloc_tables *tables, struct bootmap *map, uintptr_t address,
                       palloc_map_function *map_pages, void *argument) {
    const struct layout layout = layout_of(map);
    require(address % PAGE_SIZE == 0, "palloc_init: address 0x%zx isn't page-aligned", (size_t)address);
    if (layout.total_bytes > UINTPTR_MAX - address)
        return ERR_NO_MEMORY;

    uintptr_t bits = address + (uintptr_t)layout.words_bytes, step = (uintptr_t)layout.bitmap_bytes;
    *tables = (struct palloc_tables){
        .end = bootmap_end(map),
        .words = (union palloc_word *)address,
        .free_map = (uintptr_t *)bits,
        .held = (uintptr_t *)(bits + step),
        .tied = (uintptr_t *)(bits + 2 * step),
        .ram = (struct extent *)(bits + 3 * step),
    };
    struct builder builder = { map, map_pages, argument, 0 };
    size_t table_pages = (size_t)((layout.total_bytes - layout.words_bytes) >> PAGE_SHIFT);
    int error = back(&builder, bits, table_pages);
    if (error != 0)
        return error;
    write_start(tables, map, &layout);
    error = back_words(&builder, tables);
    tables->carved_bytes = builder.carved_pages << PAGE_SHIFT;
    return error;
}

bool palloc_tables_has(const struct palloc_tables *tables, pfn_t pfn) {
    size_t low = 0,
           high = tables->ram_count; /* extents before `low` end at or before the page; from `high` on after it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tables->ram[middle].end <= pfn)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tables->ram_count && tables->ram[low].first <= pfn;
}

/* --- Audit ------------------------------------------------------------------------------------------------------- */

/* Without the compiler's own, which may call a library that a kernel doesn't link. */
static size_t count_bits(uintptr_t word) {
    size_t bits = 0;
    for (; word != 0; word &= word - 1)
        bits++;
    return bits;
}

static void audit_ram(const struct palloc_tables *tables, const struct extent *extent, struct palloc_counts *counts) {
    for (pfn_t at = extent->first, next; at < extent->end; at = next) {
        uintptr_t mask = bitmap_mask(at, extent->end, &next);
        uintptr_t in_run = tables->free_map[at / BITMAP_BITS] & mask;
        uintptr_t held = tables->held[at / BITMAP_BITS] & mask, tied = tables->tied[at / BITMAP_BITS] & mask;
        require((in_run & (held | tied)) == 0, "palloc P1: pages 0x%x to 0x%x: free 0x%zx held 0x%zx tied 0x%zx", at,
                next - 1, (size_t)in_run, (size_t)held, (size_t)tied);
        counts->held += count_bits(held & ~tied);
        counts->tied += count_bits(tied);
        counts->none += count_bits(mask & ~(in_run | held | tied));
    }
}

static void audit_hole(const struct palloc_tables *tables, pfn_t first, pfn_t end) {
    bool untouched = bitmap_find(tables->free_map, NULL, true, first, end) == end &&
                     bitmap_find(tables->held, NULL, true, first, end) == end &&
                     bitmap_find(tables->tied, NULL, false, first, end) == end;
    require(untouched, "palloc P1: a page from 0x%x to 0x%x, which are never ours, is free, held or not tied", first,
            end - 1);
}

void palloc_tables_audit(const struct palloc_tables *tables, struct palloc_counts *counts) {
    *counts = (struct palloc_counts){ 0, 0, 0 };
    pfn_t hole = 0;
    for (size_t i = 0; i < tables->ram_count; i++) {
        const struct extent *extent = &tables->ram[i];
        audit_hole(tables, hole, extent->first);
        audit_ram(tables, extent, counts);
        hole = extent->end;
    }
}
