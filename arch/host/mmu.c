/* The host process's own page tables serve as the pretend processor's TLB.
 *
 *     load or store in the pretend kernel space
 *       ├─ page is shown: the TLB holds a translation; the access goes through, stale or not
 *       └─ SIGSEGV: a TLB miss; walk the very tables that mem/paging.c built, show the page with the rights found
 *       there, retry
 *
 * A page stays shown until arch_flush() or arch_root_load() hides it, whatever becomes of the tables meanwhile, as on a
 * real processor that happens to keep everything. So a missed flush fails the same way every time: by wrong data, by
 * mmu_audit(), which compares all that is cached with the tables, or by an access after unmap that goes through.
 *
 * One processor, supervisor mode, no global pages kept over a root load: more than one and the user's side come with
 * the complete MMU. Physical page 0 is never RAM here, so a zero entry can't be followed by accident. */
#include <arch/host/mmu.h>
#include <arch/host/ram.h>
#include <base/bits.h>
#include <base/check.h>

/* Pages of kernel space, and how many translations the TLB holds at most: when it is full it forgets all. */
enum { SPACE_PAGES_MAX = 1 << 22, CACHED_MAX = 1 << 16 };

struct cached {
    pfn_t pfn;
    bool valid, writable;
};

static struct {
    pfn_t root;
    size_t space_pages;
    struct cached tlb[SPACE_PAGES_MAX]; /* indexed by page of the space */
    size_t list[CACHED_MAX], count;     /* every valid index is listed; a listed one may have become invalid */
    uintptr_t slots;
    unsigned depth;
    pfn_t open[ARCH_VIEW_DEPTH];
} cpu;

struct mmu_counts mmu_counts;
arch_entry_t arch_no_execute = PTE_NO_EXECUTE;

static arch_entry_t read_entry(pfn_t table, unsigned index) {
    arch_entry_t entry;
    ram_read(pfn_to_phys(table) + index * sizeof(entry), &entry, sizeof(entry));
    return entry;
}

/* PAE's top entries: only P, PWT, PCD and the address may be set; bits 1, 2, 5 to 8 and 63 are reserved (SDM table
 * 4-8). */
#define PAE_TOP_RESERVED (PTE_WRITE | PTE_USER | 0x1e0 | PTE_NO_EXECUTE)

struct mmu_walk mmu_walk(pfn_t root, uintptr_t address) {
    struct mmu_walk walk = { .writable = true, .user = true, .executable = true };
    pfn_t table = root;
    for (unsigned level = GEOMETRY_LEVELS; level-- > 0;) {
        unsigned shift = 12 + 9 * level, bits = level == GEOMETRY_LEVELS - 1 ? GEOMETRY_TOP_BITS : 9;
        arch_entry_t entry = read_entry(table, (unsigned)(address >> shift) & ((1u << bits) - 1));
        walk.levels++;
        if (!(entry & 1))
            return walk;
        bool top_of_pae = GEOMETRY_LEVELS == 3 && level == 2;
        if (top_of_pae)
            require((entry & PAE_TOP_RESERVED) == 0, "pretend MMU: PAE top entry %llx has reserved bits",
                    (unsigned long long)entry);
        else {
            walk.writable = walk.writable && (entry & 2) != 0;
            walk.user = walk.user && (entry & 4) != 0;
            walk.executable = walk.executable && (entry >> 63) == 0;
        }
        table = (pfn_t)((entry >> 12) & UINT32_MAX);
        bool large = level == 1 || (level == 2 && GEOMETRY_LEVELS == 4);
        if (level == 0 || (large && (entry & 0x80) != 0)) {
            pfn_t inside = (pfn_t)(address >> 12) & ((1u << (9 * level)) - 1);
            require((table & ((1u << (9 * level)) - 1)) == 0, "pretend MMU: large page %x isn't aligned", table);
            walk.pfn = table + inside;
            walk.global = (entry & 0x100) != 0;
            walk.present = true;
            return walk;
        }
    }
    return walk;
}

static size_t space_page(uintptr_t address) {
    return (address - ram_space_first()) >> PAGE_SHIFT;
}

static void forget(size_t index) {
    if (!cpu.tlb[index].valid)
        return;
    cpu.tlb[index].valid = false;
    ram_hide(ram_space_first() + (index << PAGE_SHIFT), 1);
}

static void forget_all(void) {
    for (size_t i = 0; i < cpu.count; i++)
        forget(cpu.list[i]);
    cpu.count = 0;
}

static bool miss(uintptr_t address, bool write) {
    uintptr_t page = address & ~(uintptr_t)(PAGE_SIZE - 1);
    if (cpu.root == PFN_NONE)
        return false;
    struct mmu_walk walk = mmu_walk(cpu.root, page);
    if (!walk.present || (write && !walk.writable))
        return false;
    mmu_counts.misses++;
    if (cpu.count == CACHED_MAX)
        forget_all();
    ram_show(page, walk.pfn, walk.writable);
    cpu.tlb[space_page(page)] = (struct cached){ walk.pfn, true, walk.writable };
    cpu.list[cpu.count++] = space_page(page);
    return true;
}

void mmu_reset(void) {
    cpu.space_pages = (ram_space_end() - ram_space_first()) >> PAGE_SHIFT;
    require(cpu.space_pages <= SPACE_PAGES_MAX, "pretend MMU: a space of %zu pages is too large", cpu.space_pages);
    for (size_t i = 0; i < cpu.count; i++)
        cpu.tlb[cpu.list[i]].valid = false;
    cpu.count = 0;
    cpu.root = PFN_NONE;
    cpu.depth = 0;
    cpu.slots = ram_reserve_view(ARCH_VIEW_DEPTH);
    mmu_counts = (struct mmu_counts){ 0 };
    ram_on_fault(miss);
}

void arch_root_load(pfn_t root) {
    mmu_counts.root_loads++;
    forget_all();
    cpu.root = root;
}

pfn_t arch_root(void) {
    return cpu.root;
}

void arch_flush(pfn_t root, uintptr_t address, size_t pages) {
    if (root != cpu.root)
        return;
    if (pages > ARCH_FLUSH_SINGLE) {
        mmu_counts.full_flushes++;
        forget_all();
        return;
    }
    mmu_counts.flushed_pages += pages;
    for (; pages > 0; pages--, address += PAGE_SIZE)
        if (address >= ram_space_first() && address < ram_space_end())
            forget(space_page(address));
}

void mmu_audit(void) {
    for (size_t i = 0; i < cpu.count; i++) {
        const struct cached *cached = &cpu.tlb[cpu.list[i]];
        if (!cached->valid)
            continue;
        uintptr_t address = ram_space_first() + (cpu.list[i] << PAGE_SHIFT);
        struct mmu_walk walk = mmu_walk(cpu.root, address);
        if (!walk.present || walk.pfn != cached->pfn || (cached->writable && !walk.writable))
            panic("pretend MMU: stale translation of %#zx to page %#x: a flush was missed", (size_t)address,
                  cached->pfn);
    }
}

/* --- The frame view: a slot for each depth, strict about order and range ------------------------------------------ */

void *arch_frame_open(pfn_t pfn) {
    require(pfn != 0 && pfn < ram_end(), "frame view: page %#x is not in RAM", pfn);
    require(cpu.depth < ARCH_VIEW_DEPTH, "frame view: %u views are open already", cpu.depth);
    mmu_counts.views++;
    cpu.open[cpu.depth] = pfn;
    uintptr_t slot = cpu.slots + ((uintptr_t)cpu.depth++ << PAGE_SHIFT);
    ram_show(slot, pfn, true);
    return (void *)slot;
}

void arch_frame_close(void *view) {
    require(cpu.depth > 0, "frame view: closed, but none is open");
    uintptr_t slot = cpu.slots + ((uintptr_t)(cpu.depth - 1) << PAGE_SHIFT);
    uintptr_t page = (uintptr_t)view & ~(uintptr_t)(PAGE_SIZE - 1);
    require(page == slot, "frame view: closed out of order: page %#x was opened last", cpu.open[cpu.depth - 1]);
    cpu.depth--;
    ram_hide(slot, 1);
}

unsigned mmu_open_views(void) {
    return cpu.depth;
}

void arch_view_early(uintptr_t base, pfn_t end) {
    (void)base;
    (void)end;
}

size_t arch_view_bytes(pfn_t end) {
    return GEOMETRY_VIEW_PERMANENT ? (size_t)round_up(pfn_to_phys(end), ARCH_VIEW_ALIGN) : ARCH_VIEW_ALIGN;
}

size_t arch_view_slots(void) {
    return GEOMETRY_VIEW_PERMANENT ? 0 : ARCH_VIEW_DEPTH;
}

void arch_view_start(uintptr_t base, pfn_t slot_table) {
    (void)base;
    (void)slot_table;
}

/* --- A program's accesses ----------------------------------------------------------------------------------------- */

static bool access_bytes(pfn_t root, uintptr_t address, void *bytes, size_t count, bool write, bool user) {
    for (uint8_t *at = bytes; count > 0;) {
        struct mmu_walk walk = mmu_walk(root, address);
        if (!walk.present || (write && !walk.writable) || (user && !walk.user))
            return false;
        size_t offset = address & (PAGE_SIZE - 1), part = PAGE_SIZE - offset;
        if (part > count)
            part = count;
        if (write)
            ram_write(pfn_to_phys(walk.pfn) + offset, at, part);
        else
            ram_read(pfn_to_phys(walk.pfn) + offset, at, part);
        at += part;
        address += part;
        count -= part;
    }
    return true;
}

bool mmu_read(pfn_t root, uintptr_t address, void *to, size_t bytes, bool user) {
    return access_bytes(root, address, to, bytes, false, user);
}

bool mmu_write(pfn_t root, uintptr_t address, const void *from, size_t bytes, bool user) {
    return access_bytes(root, address, (void *)(uintptr_t)from, bytes, true, user);
}
