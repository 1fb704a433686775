#include <kernel/show.h>
#include <arch/x86/processor.h>
#include <mem/context.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>

#define FULL_WIDTH ((int)sizeof(uintptr_t) * 2)

void show_machine(const struct boot_info *info) {
    const struct arch_features *features = &arch_features;
    console_print("loader     %s%s%s, command line \"%s\"\n", info->protocol, info->loader[0] != '\0' ? ", " : "",
                  info->loader, info->command_line);
    console_print("processor  %s: %s%s%s%s%s%s\n", features->brand[0] != '\0' ? features->brand : "x86",
                  features->no_execute ? "NX " : "(no NX) ", features->smep ? "SMEP " : "",
                  features->smap ? "SMAP " : "", features->umip ? "UMIP " : "", features->global_pages ? "PGE " : "",
                  features->pat ? "PAT" : "");
    for (size_t i = 0; i < info->module_count; i++)
        console_print("module     %s: %llu bytes at %#llx\n", info->modules[i].name,
                      (unsigned long long)info->modules[i].bytes, (unsigned long long)info->modules[i].first_byte);
}

static void print_bytes(uint64_t bytes) {
    if (bytes >> 30 >= 10)
        console_print("%6llu GiB", (unsigned long long)(bytes >> 30));
    else if (bytes >> 20 >= 10)
        console_print("%6llu MiB", (unsigned long long)(bytes >> 20));
    else
        console_print("%6llu KiB", (unsigned long long)(bytes >> 10));
}

void show_map(const struct boot_info *info) {
    console_print("the firmware said (%zu entries%s):\n", info->entry_count,
                  info->entries_dropped > 0 ? ", more were dropped" : "");
    for (size_t i = 0; i < info->entry_count; i++) {
        const struct boot_entry *entry = &info->entries[i];
        console_print("  %016llx ", (unsigned long long)entry->first_byte);
        print_bytes(entry->bytes);
        console_print("  type %u, %s\n", entry->firmware_type, bootmap_type_name(entry->type));
    }
    console_print("what became of it:\n");
    for (size_t i = 0; i < info->map->count; i++) {
        const struct bootmap_range *range = &info->map->ranges[i];
        console_print("  %016llx ", (unsigned long long)range->first);
        print_bytes(range->last - range->first + 1);
        console_print("  %s\n", bootmap_type_name(range->type));
    }
}

static void print_total(const char *what, size_t pages, const char *meaning) {
    console_print("  %-10s %9zu pages ", what, pages);
    print_bytes((uint64_t)pages << PAGE_SHIFT);
    console_print("  %s\n", meaning);
}

void show_memory(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    print_total("total", stats.total, "RAM that palloc describes");
    print_total("free", stats.free, "in free runs");
    print_total("cached", stats.cached, "free, in processors' caches");
    print_total("held", stats.held, "by palloc's callers");
    print_total("tied", stats.tied, "mapped, or of another owner (see frames)");
    print_total("largest", stats.largest, "longest free run");
    print_total("below 16M", stats.free_low, "free, spent last");
    print_total("below 4G", stats.free_dma32, "free, spent before that");
    console_print("  %zu free runs; descriptors take %zu KiB, %zu.%02zu bytes a page\n", stats.runs,
                  stats.metadata_bytes >> 10, stats.metadata_bytes / stats.total,
                  stats.metadata_bytes * 100 / stats.total % 100);
}

void show_frames(void) {
    size_t pages[FRAME_OWNERS], sum = 0;
    frame_count(pages);
    for (unsigned owner = 0; owner < FRAME_OWNERS; owner++) {
        if (pages[owner] == 0)
            continue;
        console_print("  %-12s %9zu pages ", frame_owner_name((enum frame_owner)owner), pages[owner]);
        print_bytes((uint64_t)pages[owner] << PAGE_SHIFT);
        console_print("\n");
        sum += pages[owner];
    }
    console_print("  %-12s %9zu pages\n", "sum", sum);
}

static void print_area(uintptr_t first, uintptr_t end, const char *what) {
    console_print("  %0*zx - %0*zx ", FULL_WIDTH, (size_t)first, FULL_WIDTH, (size_t)(end - 1));
    print_bytes(end - first);
    console_print("  %s\n", what);
}

void show_layout(void) {
    const struct mem_layout *layout = &mem_layout;
    print_area(layout->view, layout->view_end,
               arch_view_slots() == 0 ? "frame view: all RAM but the kernel's code, no-execute"
                                      : "frame view: a few slots for each processor");
    print_area(layout->metadata, layout->metadata_end, "descriptors of physical pages, where there is RAM");
    print_area(layout->nodes, layout->nodes_end, "nodes of ranges and contexts");
    print_area(layout->ranges, layout->ranges_end, "ranges: valloc, pvalloc, io_map");
    struct paging_entry entry;
    uintptr_t code = (uintptr_t)show_layout;
    bool found = paging_find(&context_kernel()->tables, code, &entry);
    console_print("  %0*zx is the kernel's code, at physical %#llx, %s\n", FULL_WIDTH, (size_t)code,
                  found ? (unsigned long long)pfn_to_phys(entry.pfn) : 0,
                  found && !(entry.attributes & PAGE_WRITE) ? "not writable" : "WRITABLE");
}

/* Copies of ranges, a few at a time: the console is too slow to print with the context locked. */
enum { AT_A_TIME = 16 };

static size_t copy_ranges(struct context *context, uintptr_t from, struct vspace_range *copies) {
    size_t count = 0;
    lock_take(&context->lock);
    const struct vspace_range *range = vspace_next(&context->ranges, from);
    for (; range != NULL && count < AT_A_TIME; range = vspace_next(&context->ranges, range->end))
        copies[count++] = *range;
    lock_release(&context->lock);
    return count;
}

static void show_ranges_in(struct context *context) {
    struct vspace_range copies[AT_A_TIME];
    size_t count, total = 0;
    console_print("context %u, %s:\n", context->number, context->name);
    for (uintptr_t from = 0; (count = copy_ranges(context, from, copies)) > 0; from = copies[count - 1].end) {
        for (size_t i = 0; i < count; i++) {
            uintptr_t first = page_address(copies[i].first), pages = copies[i].end - copies[i].first;
            console_print("  %0*zx %7zu pages, %zu mapped, %s%s\n", FULL_WIDTH, (size_t)first, (size_t)pages,
                          paging_count(&context->tables, first, pages), context_range_name(copies[i].attributes),
                          copies[i].guard_after > 0 ? ", guard" : "");
        }
        total += count;
    }
    console_print("  %zu ranges\n", total);
}

void show_ranges(void) {
    for (uint32_t number = 0; number != UINT32_MAX; number = context_next_number(number))
        show_ranges_in(context_by_number(number));
}

void show_ranges_of(uint32_t number) {
    struct context *context = context_by_number(number);
    if (context != NULL)
        show_ranges_in(context);
    else
        console_print("there is no context %u; ranges alone shows them all\n", number);
}

/* --- Heap and leases ---------------------------------------------------------------------------------------------- */

enum { PLACES_MAX = 16 };

static void show_places(void) {
    struct kmalloc_place places[PLACES_MAX], others;
    size_t count = kmalloc_places(places, PLACES_MAX, &others);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        boot_symbol(places[i].place, name, sizeof(name));
        console_print("  %zu blocks, %zu bytes, asked for at %s, %zu to %zu requests ago\n", places[i].blocks,
                      places[i].bytes, name, places[i].youngest, places[i].oldest);
    }
    if (others.blocks > 0)
        console_print("  %zu blocks, %zu bytes, from other places\n", others.blocks, others.bytes);
}

void show_heap(void) {
    struct kmalloc_stats stats;
    struct kmalloc_class_stats class;
    kmalloc_stats(&stats);
    console_print("  %zu blocks in use, %zu bytes, %zu of them large; %zu pages in %zu slabs (%zu spare, %zu pages)\n",
                  stats.blocks, stats.bytes, stats.large_blocks, stats.pages, stats.slabs, stats.spares,
                  stats.spare_pages);
    console_print("  %zu free blocks at hand, %zu in quarantine; %zu pages in reserve; %zu requests so far\n",
                  stats.cached, stats.quarantined, stats.reserve_pages, stats.requests);
    for (unsigned i = 0; kmalloc_class_stats(i, &class); i++)
        if (class.slabs > 0)
            console_print("  blocks of %5zu bytes: %zu of %zu in use\n", class.block_bytes, class.used, class.blocks);
    show_places();
}

void show_leases(void) {
    static const char *const uses[] = {
        [LEASE_READ] = "read", [LEASE_WRITE] = "write", [LEASE_STABLE] = "read, stable"
    };
    struct lease_info info = { .number = 0 };
    struct lease_stats stats;
    lease_stats(&stats);
    console_print("  %zu open, %llu were opened since the start\n", stats.open, (unsigned long long)stats.opened);
    while (lease_next(info.number, &info)) {
        char name[64];
        boot_symbol(info.place, name, sizeof(name));
        console_print("  number %llu: %zu bytes at %#zx of context %u (%s), seen at %p, to %s, opened at %s\n",
                      (unsigned long long)info.number, info.bytes, (size_t)info.address, info.context_number,
                      info.context_name, info.pointer, uses[info.access], name);
        if (info.copied > 0)
            console_print("    %u of its pages are copies\n", info.copied);
        if (info.owner_ended)
            console_print("    its task has ended: whoever opened it forgot it, or is late\n");
    }
}
