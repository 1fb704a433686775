/* Each layer is asked in turn, from ranges down to frames. Locks are taken one at a time and given back before the text
 * is printed, since the printer may be slow. */
#include <mem/explain.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <mem/kmalloc.h>
#include <mem/lease.h>
#include <mem/paging_levels.h>
#include <mem/palloc_trace.h>

static const char *area_of(uintptr_t address) {
    const struct mem_layout *layout = &mem_layout;
    if (address < PAGE_SIZE)
        return "the null page";
    if (address >= layout->view && address < layout->view_end)
        return "the frame view";
    if (address >= layout->metadata && address < layout->metadata_end)
        return "the descriptors of physical pages";
    if (address >= layout->nodes && address < layout->nodes_end)
        return "the node pages";
    if (address >= layout->ranges && address < layout->ranges_end)
        return "the kernel's ranges";
    return "the kernel's image, or nothing of the memory manager's";
}

struct found {
    struct vspace_range range;
    bool in_range, in_guard, has_next;
    uintptr_t next_first;
};

static struct found find_range(struct context *context, uintptr_t page) {
    struct found found = { .in_range = false };
    lock_take(&context->lock);
    enum context_part part = context_find_range(context, page, &found.range);
    found.in_range = part == CONTEXT_IN_RANGE;
    found.in_guard = part == CONTEXT_IN_GUARD;
    const struct vspace_range *next = vspace_next(&context->ranges, page);
    found.has_next = next != NULL;
    if (next != NULL)
        found.next_first = next->first;
    lock_release(&context->lock);
    return found;
}

static void print_range(const struct found *found, uintptr_t page, explain_print *print) {
    const struct vspace_range *range = &found->range;
    if (found->in_range || found->in_guard)
        print("  range: %#zx to %#zx (%zu pages, %s)%s\n", (size_t)page_address(range->first),
              (size_t)page_address(range->end), (size_t)(range->end - range->first),
              context_range_name(range->attributes), found->in_guard ? ", its guard page" : "");
    else if (found->has_next)
        print("  range: none; the next one begins %zu pages higher\n", (size_t)(found->next_first - page));
    else
        print("  range: none, and none above\n");
    if (found->in_guard)
        print("  likely mistake: access past the %s of the range\n", page < range->first ? "beginning" : "end");
}

/* Each level's entry: where a translation ends, and what the processor reads there. */
static void print_levels(struct context *context, uintptr_t address, explain_print *print) {
    struct paging_level list[GEOMETRY_LEVELS];
    unsigned count = paging_levels(&context->tables, address, list);
    for (unsigned i = 0; i < count; i++)
        print("  level %u: entry %u of the table in page %#x is %#llx%s\n", list[i].level, list[i].index, list[i].table,
              (unsigned long long)list[i].entry, arch_entry_present(list[i].entry) ? "" : ", not present");
}

static void print_attributes(const struct paging_entry *entry, explain_print *print) {
    unsigned attributes = entry->attributes;
    print("  translation: page %#x, %zu KiB, read%s%s%s%s%s%s\n", entry->pfn, entry->bytes >> 10,
          attributes & PAGE_WRITE ? " write" : "", attributes & PAGE_EXECUTE ? " execute" : "",
          attributes & PAGE_USER ? " user" : "", attributes & PAGE_GLOBAL ? " global" : "",
          attributes & PAGE_UNCACHED ? " uncached" : "", attributes & PAGE_WRITE_COMBINING ? " write-combining" : "");
}

static void print_object(uintptr_t address, const struct kmalloc_object *object, explain_print *print) {
    bool before = address < object->address;
    print("  heap: %zu bytes %s the start of a block of %zu bytes at %#zx, %s%s\n",
          (size_t)(before ? object->address - address : address - object->address), before ? "before" : "after",
          object->bytes, (size_t)object->address, object->in_use ? "in use" : "free",
          object->intact ? "" : ", its canaries overwritten");
    if (object->cache != NULL)
        print("  heap: an object of the cache %s\n", object->cache);
    if (object->place != 0)
        print("  heap: allocated at %#zx\n", (size_t)object->place);
    if (object->freed_place != 0)
        print("  heap: freed at %#zx\n", (size_t)object->freed_place);
    if (!object->in_use && object->freed_place != 0)
        print("  likely mistake: use after free\n");
    else if (object->in_use && (before || address - object->address >= object->bytes))
        print("  likely mistake: access past the %s of the block\n", before ? "beginning" : "end");
}

static void print_lease(const struct lease_info *lease, explain_print *print) {
    print("  lease: number %u, %zu bytes at %#zx of context %u (%s), seen at %#zx, to %s, opened at %#zx\n",
          (unsigned)lease->number, lease->bytes, (size_t)lease->address, (unsigned)lease->context_number,
          lease->context_name, (size_t)(uintptr_t)lease->pointer, lease->access == LEASE_WRITE ? "write" : "read",
          (size_t)lease->place);
}

/* What the heap and the leases know of an address in the kernel's context. */
static void print_block(uintptr_t address, explain_print *print) {
    struct kmalloc_object object;
    struct lease_info lease;
    if (kmalloc_find(address, &object) || kmalloc_find_beside(address, &object))
        print_object(address, &object, print);
    if (lease_find(address, &lease))
        print_lease(&lease, print);
}

/* The leases on a page of a task's. The task may have unmapped it since they were opened. */
static void print_leases_on(const struct context *context, uintptr_t page, explain_print *print) {
    struct lease_info lease = { .number = 0 };
    while (lease_next(lease.number, &lease))
        if (lease.context_number == context->number && page >= page_number(lease.address) &&
            page <= page_number(lease.address + lease.bytes - 1))
            print_lease(&lease, print);
}

/* The pieces of RAM that a page lies between. */
static void print_no_ram(pfn_t pfn, explain_print *print) {
    struct extent extent;
    size_t i = 0;
    pfn_t below = 0;
    while (palloc_ram(i, &extent) && extent.end <= pfn) {
        below = extent.end;
        i++;
    }
    if (palloc_ram(i, &extent))
        print("  frame: page %#x, not RAM that was given to us: that ends at page %#x, and begins again at %#x\n", pfn,
              below, extent.first);
    else
        print("  frame: page %#x, not RAM that was given to us: that ends at page %#x\n", pfn, below);
}

void explain_frame(pfn_t pfn, explain_print *print) {
    struct frame frame = frame_get(pfn);
    char who[64];
    if (frame.owner == FRAME_NOT_RAM) {
        print_no_ram(pfn, print);
        return;
    }
    trace_describe(pfn, who, sizeof(who));
    if (frame.owner == FRAME_TABLE)
        print("  frame: page %#x, %s, %u entries in use%s\n", pfn, frame_owner_name(frame.owner), frame.mappings, who);
    else
        print("  frame: page %#x, %s%s, %u mappings (%u writable, %u executable), %u pins%s\n", pfn,
              frame_owner_name(frame.owner), frame.held ? ", held by palloc's caller" : "", frame.mappings,
              frame.writable, frame.executable, frame.pins, who);
}

void explain_in(struct context *context, uintptr_t address, explain_print *print) {
    if (!geometry_canonical(address)) {
        print("%#zx in context %s: not a canonical address: the upper bits must all equal bit 47\n", (size_t)address,
              context->name);
        return;
    }
    const char *area = context->task ? "a task's memory" : area_of(address);
    print("%#zx in context %s: in %s\n", (size_t)address, context->name, area);
    uintptr_t page = page_number(address);
    if (page >= context->ranges.first && page < context->ranges.end) {
        struct found found = find_range(context, page);
        print_range(&found, page, print);
    }
    if (context->task)
        print_leases_on(context, page, print);
    else
        print_block(address, print);
    print_levels(context, address, print);
    struct paging_entry entry;
    if (!paging_find(&context->tables, address, &entry)) {
        print("  translation: none\n");
        if (address < PAGE_SIZE)
            print("  likely mistake: a null pointer, or a member of what it points to\n");
        return;
    }
    print_attributes(&entry, print);
    explain_frame(entry.pfn, print);
}

void explain_address(uintptr_t address, explain_print *print) {
    explain_in(context_kernel(), address, print);
}
