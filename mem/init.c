/* The order, and why:
 *
 *     1 bootmap    finished: from here on its free pages may be carved
 *     2 tables     new ones with the kernel's image, or the live ones; carved below the end of the early view,
 *                  which shows them
 *     3 view       x86_64: all RAM but the kernel's image is mapped; i386: the table of the slots maps itself
 *     4 switch     the new tables are loaded; the early view ends, the final one begins
 *     5 palloc     its descriptors are mapped through the final view, then written at their final address
 *     6 frame      pages taken in 2, 3 and 5 get their owners, those of the image their first mapping; from here on
 *                  tables come from palloc and mappings count
 *     7 nodes, contexts, leases, heap
 *
 * The kernel's text is left out of the view, so that it is writable nowhere. */
#include <mem/init.h>
#include <base/bits.h>
#include <mem/asan.h>
#include <mem/context.h>
#include <mem/frame.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>
#include <mem/nodes.h>

struct mem_layout mem_layout;

static struct {
    struct bootmap *map;
    pfn_t table_limit; /* boot tables are carved below it */
} boot;

static pfn_t carve_table(void) {
    return bootmap_carve(boot.map, 1, boot.table_limit);
}

static uintptr_t space_first(const struct mem_boot *request) {
    return (uintptr_t)round_up(request->space_first, ARCH_VIEW_ALIGN);
}

/* A view of all RAM comes first. Slots come last, far from what large pages map: an emulator that remembers large pages
 * as one stretch of addresses forgets all translations when a page amid them is invalidated, and slots are at every
 * use. */
static int lay_out(const struct mem_boot *request, const char **why) {
    pfn_t end = bootmap_end(request->map);
    struct mem_layout *layout = &mem_layout;
    uintptr_t first = space_first(request), last = request->space_end;
    bool slots = arch_view_slots() != 0;
    *why = "the kernel address space given is too small for this machine's RAM";
    layout->view = slots ? (last - arch_view_bytes(end)) & ~(ARCH_VIEW_ALIGN - 1) : first;
    layout->view_end = layout->view + arch_view_bytes(end);
    layout->metadata = slots ? first : layout->view_end;
    layout->metadata_end = layout->metadata + palloc_metadata_bytes(request->map);
    layout->nodes = layout->metadata_end;
    layout->nodes_end = layout->nodes + (NODES_PAGES << PAGE_SHIFT);
    layout->ranges = layout->nodes_end;
    layout->ranges_end = slots ? layout->view : last;
    /* The sums may have wrapped: they must not only end but also begin in the given space. */
    bool grows = request->space_first <= first && first <= layout->view && layout->view <= layout->view_end &&
                 layout->view_end <= last && first <= layout->metadata && layout->metadata <= layout->metadata_end &&
                 layout->metadata_end <= layout->nodes_end;
    if (!grows || layout->nodes_end >= layout->ranges_end)
        return ERR_NO_SPACE;
    *why = NULL;
    return 0;
}

static int make_tables(const struct mem_boot *request, const char **why) {
    struct paging *tables = &context_kernel()->tables;
    if (request->root != PFN_NONE) {
        paging_adopt(tables, request->root);
        tables->boot_tables = carve_table;
        *why = "the live tables map something in the kernel address space given";
        if (paging_count(tables, space_first(request), (request->space_end - space_first(request)) >> PAGE_SHIFT) != 0)
            return ERR_EXISTS;
        *why = "no memory for the top level of the live tables";
        return paging_fill_top(tables);
    }
    tables->boot_tables = carve_table;
    int error = paging_create(tables);
    *why = "no memory for the kernel's page tables below the early view's end";
    for (size_t i = 0; error == 0 && i < request->segment_count; i++) {
        const struct mem_segment *segment = &request->segments[i];
        *why = "a segment of the kernel's image can't be mapped";
        error = paging_map_boot(tables, segment->address, segment->first, segment->pages, segment->attributes);
    }
    return error;
}

static bool is_viewed(enum bootmap_type type) {
    return type == BOOTMAP_FREE || type == BOOTMAP_LOADER || type == BOOTMAP_METADATA;
}

/* The first run at or after page `from` of types that the view shows. Carving moves pages between those types, so the
 * runs stay the same while tables are made. */
static bool next_viewed(const struct bootmap *map, pfn_t from, struct extent *run) {
    run->first = run->end = PFN_NONE;
    for (size_t i = 0; i < map->count; i++) {
        const struct bootmap_range *range = &map->ranges[i];
        pfn_t first = (pfn_t)(range->first >> PAGE_SHIFT), end = (pfn_t)(range->last >> PAGE_SHIFT) + 1;
        if (!is_viewed(range->type) || end <= from)
            continue;
        if (run->first == PFN_NONE)
            run->first = first > from ? first : from;
        else if (first != run->end)
            break;
        run->end = end;
    }
    return run->first != PFN_NONE;
}

static int map_all_ram(struct paging *tables, const struct bootmap *map) {
    struct extent run = { 0, 0 };
    while (next_viewed(map, run.end, &run)) {
        uintptr_t address = mem_layout.view + ((uintptr_t)run.first << PAGE_SHIFT);
        int error = paging_map_boot(tables, address, run.first, run.end - run.first, PAGE_WRITE);
        if (error != 0)
            return error;
    }
    return 0;
}

static int map_slots(struct paging *tables, pfn_t *slot_table) {
    uintptr_t table_at = mem_layout.view + (arch_view_slots() << PAGE_SHIFT);
    int error = paging_reserve(tables, mem_layout.view, 1);
    if (error != 0)
        return error;
    *slot_table = paging_table_of(tables, mem_layout.view);
    return paging_map_boot(tables, table_at, *slot_table, 1, PAGE_WRITE);
}

static int start_view(struct paging *tables, const struct bootmap *map, const char **why) {
    pfn_t slot_table = PFN_NONE;
    int error = arch_view_slots() == 0 ? map_all_ram(tables, map) : map_slots(tables, &slot_table);
    *why = "no memory for the page tables of the frame view";
    if (error != 0)
        return error;
    arch_root_load(tables->root);
    arch_view_start(mem_layout.view, slot_table);
    boot.table_limit = 0;
    return 0;
}

static int map_metadata(void *tables, uintptr_t address, pfn_t first, size_t pages) {
    return paging_map_boot((struct paging *)tables, address, first, pages, PAGE_WRITE);
}

/* The image was mapped before pages had counts. Counted now, its code can't be made writable under another address, nor
 * its data executable. */
static int count_segment(const struct mem_segment *segment) {
    for (size_t i = 0; i < segment->pages; i++) {
        pfn_t pfn = segment->first + (pfn_t)i;
        int error = palloc_state(pfn) == PALLOC_NOT_RAM ? 0 : frame_map(pfn, segment->attributes);
        if (error != 0)
            return error;
    }
    return 0;
}

static int count_image(const struct mem_boot *request, const char **why) {
    *why = "the kernel's segments give one page of RAM rights that may not be combined";
    int error = 0;
    for (size_t i = 0; error == 0 && request->root == PFN_NONE && i < request->segment_count; i++)
        error = count_segment(&request->segments[i]);
    return error;
}

int mem_init(const struct mem_boot *request, const char **why) {
    boot.map = request->map;
    boot.table_limit = request->early_end;
    *why = "the memory map has no usable page";
    int error = bootmap_finish(request->map, GEOMETRY_PFN_LIMIT);
    if (error != 0)
        return error;
    error = lay_out(request, why);
    if (error != 0)
        return error;
    arch_view_early(request->early_base, request->early_end);
    struct paging *tables = &context_kernel()->tables;
    error = make_tables(request, why);
    if (error == 0)
        error = start_view(tables, request->map, why);
    if (error != 0)
        return error;
    *why = "no memory for the descriptors of the pages";
    error = palloc_init(request->map, mem_layout.metadata, map_metadata, tables);
    if (error != 0)
        return error;
    frame_init(request->map);
    palloc_watch();
    error = count_image(request, why);
    if (error != 0)
        return error;
    tables->boot_tables = NULL;
    nodes_init(tables, mem_layout.nodes);
    context_init(mem_layout.ranges, mem_layout.ranges_end);
    lease_init();
    *why = "no memory or kernel address space for the heap";
    error = kmalloc_init(request->random);
    asan_start(kmalloc_describe);
    if (error == 0)
        *why = NULL;
    return error;
}
