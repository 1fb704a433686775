/* Layer 2, how pages come to the allocator: at boot, and later from the loader.
 *
 * At boot the tags of what is taken are written (the image, the loader's data, the descriptors themselves), and the
 * edges of the free runs. All else stays rubbish until it is needed (mem/palloc_tables.h). */
#include <base/check.h>
#include <base/string.h>
#include <mem/palloc_cache.h>
#include <mem/palloc_report.h>

static void enter_taken(const struct bootmap *map, enum bootmap_type type) {
    struct extent extent;
    for (size_t index = 0; bootmap_next(map, &index, type, &extent);) {
        palloc_tables_clear(extent.first - 1, extent.end);
        memset(&palloc_tables.tags[extent.first], TAG_TIED, extent.end - extent.first);
        palloc_tables.tied += extent.end - extent.first;
    }
}

/* The run's edges, and those that borders of zones make in it, with the pages beside them. */
static void make_edges_ready(pfn_t first, pfn_t end) {
    palloc_tables_clear(first - 1, first);
    palloc_tables_clear(end - 1, end);
    for (unsigned i = 1; i < RUNS_ZONES; i++) {
        pfn_t border = palloc_zones[i].first;
        if (border > first && border < end)
            palloc_tables_clear(border - 1, border);
    }
}

int palloc_init(struct bootmap *map, uintptr_t address, palloc_map_function *map_pages, void *argument) {
    int error = palloc_tables_make(map, address, map_pages, argument);
    if (error != 0)
        return error;
    runs_init();
    cache_init();
    palloc_lock();
    enter_taken(map, BOOTMAP_KERNEL);
    enter_taken(map, BOOTMAP_METADATA);
    enter_taken(map, BOOTMAP_LOADER);
    struct extent extent;
    for (size_t index = 0; bootmap_next(map, &index, BOOTMAP_FREE, &extent);) {
        make_edges_ready(extent.first, extent.end);
        runs_give(extent.first, extent.end - extent.first);
    }
    palloc_unlock();
    return palloc_tables.tied < palloc_tables.ram_pages ? 0 : ERR_NO_MEMORY;
}

void palloc_reclaim(pfn_t first, size_t pages) {
    char what[128];
    palloc_lock();
    for (size_t i = 0; i < pages; i++) {
        pfn_t pfn = first + (pfn_t)i;
        if (i <= PFN_NONE - first && palloc_state(pfn) == PALLOC_TIED && palloc_may_reclaim(pfn))
            continue;
        palloc_describe_locked(pfn, what, sizeof(what));
        palloc_unlock();
        panic("palloc_reclaim(page 0x%x, %zu pages): page 0x%x isn't the loader's: it is %s", first, pages, pfn, what);
    }
    if (pages > 0) {
        memset(&palloc_tables.tags[first], TAG_NONE, pages);
        palloc_tables.tied -= pages;
        palloc_reclaimed(first, pages);
        runs_give(first, (uint32_t)pages);
    }
    palloc_unlock();
}
