#include <arch/arch.h>
#include <mem/context.h>
#include <mem/frame.h>
#include <mem/init.h>
#include <tests/test.h>

/* Tables of our own, never loaded: what they say is looked at with paging_find() here, and by a walk of their entries
 * that shares no code with mem/paging.c below. */
static struct paging tables;

#define AT ((uintptr_t)0x40000000)

static void set_up(void) {
    tables = (struct paging){ .root = PFN_NONE };
    expect_equal(paging_create(&tables), 0);
}

static pfn_t take(uint32_t pages) {
    struct palloc_request request = { .pages = pages };
    pfn_t first = palloc_with(&request);
    expect(first != PFN_NONE);
    return first;
}

/* Reads an entry as the manual numbers its bits, level by level (SDM volume 3A, figures 4-7 and 4-8). */
static uint64_t entry_at(pfn_t table, unsigned index) {
    uint64_t *entries = arch_frame_open(table);
    uint64_t entry = entries[index];
    arch_frame_close(entries);
    return entry;
}

static uint64_t walk(uintptr_t address) {
    pfn_t table = tables.root;
    if (sizeof(uintptr_t) == 8) {
        table = (pfn_t)(entry_at(table, (unsigned)((uint64_t)address >> 39) & 511) >> 12);
        if (table == 0)
            return 0;
    }
    unsigned top = (unsigned)(address >> 30) & (sizeof(uintptr_t) == 8 ? 511 : 3);
    uint64_t entry = entry_at(table, top);
    if (!(entry & 1))
        return 0;
    entry = entry_at((pfn_t)(entry >> 12 & UINT32_MAX), (unsigned)(address >> 21) & 511);
    if (!(entry & 1))
        return 0;
    uint64_t leaf = entry_at((pfn_t)(entry >> 12 & UINT32_MAX), (unsigned)(address >> 12) & 511);
    return leaf & ~(uint64_t)0xe00; /* bits 9 to 11 mean nothing to the processor */
}

TEST(paging_maps_what_a_walk_by_the_manual_finds) {
    set_up();
    pfn_t first = take(3);
    expect_equal(paging_map(&tables, AT, first, 2, PAGE_WRITE | PAGE_USER), 0);
    expect_equal(paging_map(&tables, AT + 2 * PAGE_SIZE, first + 2, 1, PAGE_EXECUTE), 0);
    uint64_t no_execute = arch_no_execute;
    expect_equal(walk(AT), ((uint64_t)first << 12) | 7 | no_execute);
    expect_equal(walk(AT + PAGE_SIZE), ((uint64_t)(first + 1) << 12) | 7 | no_execute);
    expect_equal(walk(AT + 2 * PAGE_SIZE), ((uint64_t)(first + 2) << 12) | 1);
    expect_equal(walk(AT + 3 * PAGE_SIZE), 0);
    expect_equal(walk(AT - PAGE_SIZE), 0);
    struct paging_entry entry;
    expect(paging_find(&tables, AT + PAGE_SIZE + 5, &entry));
    expect_equal(entry.pfn, first + 1);
    expect_equal(entry.attributes & ~(unsigned)PAGE_EXECUTE, PAGE_WRITE | PAGE_USER);
    expect_equal(entry.bytes, PAGE_SIZE);
    expect(!paging_find(&tables, AT + 3 * PAGE_SIZE, &entry));
    expect_equal(paging_unmap(&tables, AT, 3), 3);
    expect_equal(walk(AT), 0);
    pfree(first, 3);
    paging_destroy(&tables);
}

TEST(paging_gives_back_tables_that_became_empty) {
    set_up();
    size_t tables_before = tables.tables;
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, page, 1, 0), 0);
    expect(tables.tables > tables_before);
    expect_equal(paging_unmap(&tables, AT - 16 * PAGE_SIZE, 32), 1);
    expect_equal(tables.tables, tables_before);
    pfree(page, 1);
    paging_destroy(&tables);
}

static void look_at_leaf(void *count, uintptr_t page, pfn_t pfn, unsigned attributes) {
    (void)page;
    (void)pfn;
    (void)attributes;
    ++*(size_t *)count;
}

/* A pinned table stays though its last entry goes, and nothing of that entry may stay in it. */
TEST(paging_buries_what_it_removes_from_a_table_that_is_pinned) {
    size_t leaves = 0;
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, page, 1, 0), 0);
    pfn_t table = paging_table_of(&tables, AT);
    expect_equal(frame_pin(table), 0);
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    paging_audit(&tables, AT, 1, look_at_leaf, &leaves);
    expect(leaves == 0 && paging_table_of(&tables, AT) == table);
    expect_equal(frame_get(page).mappings, 0);
    frame_unpin(table);
    paging_unmap(&tables, AT, 1);
    pfree(page, 1);
    paging_destroy(&tables);
}

static void write_entry_at(pfn_t table, unsigned index, uint64_t entry) {
    uint64_t *entries = arch_frame_open(table);
    entries[index] = entry;
    arch_frame_close(entries);
}

static void audit_page(void) {
    size_t leaves = 0;
    paging_audit(&tables, AT, 1, look_at_leaf, &leaves);
}

/* One page mapped in a table of its own; the table, and what is in its first entry. */
static pfn_t set_up_page(pfn_t *page, uint64_t *entry) {
    set_up();
    *page = take(1);
    expect_equal(paging_map(&tables, AT, *page, 1, PAGE_WRITE), 0);
    pfn_t table = paging_table_of(&tables, AT);
    *entry = entry_at(table, 0);
    return table;
}

static void end_page(pfn_t page) {
    audit_page();
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    pfree(page, 1);
    paging_destroy(&tables);
}

TEST(paging_audit_finds_a_broken_t1) {
    pfn_t page;
    uint64_t entry;
    pfn_t table = set_up_page(&page, &entry);
    write_entry_at(table, 0, entry & ~(uint64_t)1);
    expect_panic("paging: T1 broken: entry 0 of table *", audit_page());
    write_entry_at(table, 0, entry);
    end_page(page);
}

TEST(paging_audit_finds_a_broken_t2) {
    pfn_t page;
    uint64_t entry;
    pfn_t table = set_up_page(&page, &entry);
    frame_table_entries(table, +1);
    expect_panic("paging: T2 broken: table * has 1 entries, 2 noted", audit_page());
    frame_table_entries(table, -1);
    end_page(page);
}

TEST(paging_audit_finds_a_broken_t3) {
    pfn_t page, other;
    uint64_t entry;
    pfn_t table = set_up_page(&page, &entry);
    other = take(1);
    pfree(other, 1);
    write_entry_at(table, 0, (entry & ~((uint64_t)page << 12)) | (uint64_t)other << 12);
    expect_panic("paging: T3 broken: page * shows free page *", audit_page());
    write_entry_at(table, 0, entry);
    end_page(page);
}

TEST(paging_audit_finds_a_broken_t4) {
    pfn_t page;
    uint64_t entry;
    pfn_t table = set_up_page(&page, &entry);
    expect_equal(tables.hot_table, table);
    tables.hot_table = page;
    expect_panic("paging: T4 broken: table * is remembered for page *", audit_page());
    tables.hot_table = table;
    end_page(page);
}

TEST(paging_maps_across_table_borders) {
    set_up();
    pfn_t first = take(600);
    uintptr_t at = AT - 50 * PAGE_SIZE;
    expect_equal(paging_map(&tables, at, first, 600, PAGE_WRITE), 0);
    for (uintptr_t i = 0; i < 600; i++)
        expect_equal(walk(at + i * PAGE_SIZE) >> 12 & UINT32_MAX, first + i);
    expect_equal(paging_count(&tables, at - PAGE_SIZE, 700), 600);
    expect_equal(paging_unmap(&tables, at + 10 * PAGE_SIZE, 580), 580);
    expect_equal(paging_count(&tables, at, 600), 20);
    expect_equal(paging_unmap(&tables, at, 600), 20);
    pfree(first, 600);
    paging_destroy(&tables);
}

TEST(paging_refuses_a_place_that_is_taken_and_changes_nothing) {
    set_up();
    pfn_t first = take(4);
    expect_equal(paging_map(&tables, AT + 2 * PAGE_SIZE, first, 1, 0), 0);
    expect_equal(paging_map(&tables, AT, first + 1, 3, 0), ERR_EXISTS);
    expect_equal(walk(AT), 0);
    expect_equal(frame_get(first + 1).mappings, 0);
    expect_equal(paging_unmap(&tables, AT + 2 * PAGE_SIZE, 1), 1);
    pfree(first, 4);
    paging_destroy(&tables);
}

TEST(paging_refuses_write_with_execute_over_all_aliases) {
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE | PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE), 0);
    expect_equal(paging_map(&tables, AT + PAGE_SIZE, page, 1, PAGE_EXECUTE), ERR_REFUSED);
    expect_equal(paging_protect(&tables, AT, 1, PAGE_EXECUTE), 0);
    expect_equal(paging_map(&tables, AT + PAGE_SIZE, page, 1, PAGE_WRITE), ERR_REFUSED);
    expect_equal(paging_map(&tables, AT + PAGE_SIZE, page, 1, PAGE_EXECUTE), 0);
    expect_equal(paging_protect(&tables, AT, 2, PAGE_WRITE), ERR_REFUSED);
    expect_equal(frame_get(page).executable, 2);
    expect_equal(paging_unmap(&tables, AT, 2), 2);
    pfree(page, 1);
    paging_destroy(&tables);
}

TEST(paging_changes_rights_of_all_pages_or_of_none) {
    set_up();
    pfn_t first = take(4);
    expect_equal(paging_map(&tables, AT, first, 3, PAGE_WRITE), 0);
    expect_equal(paging_protect(&tables, AT, 4, 0), ERR_FAULT);
    struct paging_entry entry;
    expect(paging_find(&tables, AT, &entry) && (entry.attributes & PAGE_WRITE));
    expect_equal(frame_get(first).writable, 1);
    expect_equal(paging_protect(&tables, AT, 3, 0), 0);
    expect(paging_find(&tables, AT, &entry) && !(entry.attributes & PAGE_WRITE));
    expect_equal(frame_get(first).writable, 0);
    paging_unmap(&tables, AT, 3);
    pfree(first, 4);
    paging_destroy(&tables);
}

TEST(paging_refuses_to_show_tables_and_free_pages) {
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, tables.root, 1, PAGE_USER), ERR_REFUSED);
    expect_equal(paging_reserve(&tables, AT, 1), 0); /* so that no table is made of the page once it is free */
    pfree(page, 1);
    expect_equal(paging_map(&tables, AT, page, 1, 0), ERR_FAULT);
    expect_equal(walk(AT), 0);
    paging_unmap(&tables, AT, 1);
    paging_destroy(&tables);
}

TEST(paging_refuses_addresses_that_are_misaligned_wrap_or_are_not_canonical) {
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT + 1, page, 1, 0), ERR_INVALID);
    expect_equal(paging_map(&tables, AT, page, 0, 0), ERR_INVALID);
    expect_equal(paging_map(&tables, AT, page, SIZE_MAX, 0), ERR_INVALID);
    expect_equal(paging_map(&tables, ~(uintptr_t)0 << PAGE_SHIFT, page, 2, 0), ERR_INVALID);
    expect_equal(paging_unmap(&tables, AT + 1, 1), 0);
    if (sizeof(uintptr_t) == 8) {
        uintptr_t high = (uintptr_t)((uint64_t)1 << 47);
        expect_equal(paging_map(&tables, high, page, 1, 0), ERR_INVALID);
        expect_equal(paging_map(&tables, high - PAGE_SIZE, page, 2, 0), ERR_INVALID);
        struct paging_entry entry;
        expect(!paging_find(&tables, high, &entry));
    }
    pfree(page, 1);
    paging_destroy(&tables);
}

TEST(paging_frees_a_page_that_only_its_mapping_kept) {
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE), 0);
    expect_panic("pfree(*", pfree(page, 1));
    frame_hand_over(page);
    expect_equal(frame_get(page).owner, FRAME_MAPPED);
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    expect_equal(frame_get(page).owner, FRAME_FREE);
    paging_destroy(&tables);
}

TEST(paging_reserve_makes_mapping_free_of_shortage) {
    set_up();
    expect_equal(paging_reserve(&tables, AT, 1000), 0);
    size_t reserved = tables.tables;
    pfn_t first = take(1000);
    expect_equal(paging_map(&tables, AT, first, 1000, 0), 0);
    expect_equal(tables.tables, reserved);
    expect_equal(paging_unmap(&tables, AT, 1000), 1000);
    pfree(first, 1000);
    expect_equal(paging_reserve(&tables, AT, 1000), 0);
    expect_equal(paging_unmap(&tables, AT, 1000), 0);
    expect(tables.tables < reserved);
    paging_destroy(&tables);
}

TEST(paging_maps_pages_above_4_gib_and_finds_them_whole) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    if (stats.free == stats.free_dma32)
        test_skip("no memory above 4 GiB");
    set_up();
    pfn_t page = take(1);
    expect(page >= 1u << 20);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE), 0);
    struct paging_entry entry;
    expect(paging_find(&tables, AT, &entry));
    expect_equal(entry.pfn, page);
    paging_unmap(&tables, AT, 1);
    pfree(page, 1);
    paging_destroy(&tables);
}

/* Where the processor has no NX the entry itself can't tell what is to be executed; the counts still must. */
TEST(paging_uncounts_what_it_counted_on_a_processor_without_no_execute) {
    arch_entry_t real = arch_no_execute;
    set_up();
    pfn_t page = take(1);
    arch_no_execute = 0;
    struct paging_entry entry = { .attributes = 0 };
    int writable = paging_map(&tables, AT, page, 1, PAGE_WRITE);
    int alias = paging_map(&tables, AT + PAGE_SIZE, page, 1, PAGE_EXECUTE);
    int executable = paging_protect(&tables, AT, 1, PAGE_EXECUTE);
    bool found = paging_find(&tables, AT, &entry);
    pfn_t other = take(1);
    int replaced = paging_replace(&tables, AT, other, PAGE_WRITE);
    size_t removed = paging_unmap(&tables, AT, 1);
    arch_no_execute = real;
    expect_equal(writable, 0);
    expect_equal(alias, ERR_REFUSED);
    expect_equal(executable, 0);
    expect(found && entry.attributes == PAGE_EXECUTE);
    expect_equal(replaced, 0);
    expect_equal(removed, 1);
    pfree(page, 1);
    pfree(other, 1);
    paging_destroy(&tables);
}

TEST(paging_refuses_ram_with_another_cache_type_than_the_view_has) {
    set_up();
    pfn_t page = take(1);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE | PAGE_UNCACHED), ERR_REFUSED);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE_COMBINING), ERR_REFUSED);
    expect_equal(paging_map(&tables, AT, page, 1, PAGE_WRITE), 0);
    expect_equal(paging_protect(&tables, AT, 1, PAGE_WRITE | PAGE_UNCACHED), ERR_REFUSED);
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    pfree(page, 1);
    paging_destroy(&tables);
}

/* The tables made at boot belong to no FRAME_TABLE; they are no less tables. */
TEST(paging_refuses_to_show_the_tables_and_descriptors_made_at_boot) {
    set_up();
    pfn_t root = context_kernel()->tables.root;
    struct paging_entry entry;
    expect(paging_find(&context_kernel()->tables, mem_layout.metadata_end - 1, &entry));
    expect_equal(paging_map(&tables, AT, entry.pfn, 1, PAGE_WRITE), ERR_REFUSED);
    if (frame_get(root).owner == FRAME_METADATA) /* not if the embedder brought its own */
        expect_equal(paging_map(&tables, AT, root, 1, PAGE_WRITE), ERR_REFUSED);
    paging_destroy(&tables);
}

TEST(paging_map_list_counts_no_page_when_a_later_one_is_refused) {
    set_up();
    pfn_t first = take(2), list[3] = { first, first + 1, tables.root };
    size_t tables_before = tables.tables;
    expect_equal(paging_map_list(&tables, AT, list, 3, PAGE_WRITE), ERR_REFUSED);
    expect_equal(frame_get(first).mappings, 0);
    expect_equal(frame_get(first + 1).mappings, 0);
    expect_equal(paging_count(&tables, AT, 3), 0);
    expect_equal(tables.tables, tables_before);
    pfree(first, 2);
    paging_destroy(&tables);
}

TEST(paging_protect_undoes_counts_of_pages_of_every_kind) {
    set_up();
    pfn_t first = take(130), alias = first + 129;
    expect_equal(paging_map(&tables, AT, first, 70, PAGE_WRITE), 0);
    expect_equal(paging_map(&tables, AT + 70 * PAGE_SIZE, first + 70, 60, 0), 0);
    expect_equal(paging_map(&tables, AT + 600 * PAGE_SIZE, alias, 1, PAGE_WRITE), 0);
    expect_equal(paging_protect(&tables, AT, 130, PAGE_EXECUTE), ERR_REFUSED); /* the last page's alias */
    for (pfn_t i = 0; i < 130; i++) {
        struct frame frame = frame_get(first + i);
        expect_equal(frame.writable, i < 70 || i == 129 ? 1 : 0);
        expect_equal(frame.executable, 0);
        expect_equal(frame.mappings, i == 129 ? 2 : 1);
    }
    expect_equal(paging_unmap(&tables, AT + 600 * PAGE_SIZE, 1), 1);
    expect_equal(paging_protect(&tables, AT, 130, PAGE_EXECUTE), 0);
    expect_equal(frame_get(first).executable + frame_get(alias).executable, 2);
    expect_equal(paging_unmap(&tables, AT, 130), 130);
    frame_audit();
    pfree(first, 130);
    paging_destroy(&tables);
}

/* Runs and single pages, in and out of order, with a page missing between them: each is let go exactly once. */
TEST(paging_lets_go_of_runs_and_of_scattered_pages) {
    pfn_t list[100];
    set_up();
    pfn_t first = take(100);
    for (pfn_t i = 0; i < 100; i++)
        list[i] = first + (i < 40 || i >= 80 ? i : i < 60 ? 99 - i : i ^ 1);
    expect_equal(paging_map_list(&tables, AT, list, 100, PAGE_WRITE), 0);
    expect_equal(paging_unmap(&tables, AT + 20 * PAGE_SIZE, 1), 1);
    expect_equal(frame_get(first + 20).mappings, 0);
    expect_equal(paging_unmap(&tables, AT, 100), 99);
    for (pfn_t i = 0; i < 100; i++)
        expect_equal(frame_get(first + i).mappings, 0);
    frame_audit();
    pfree(first, 100);
    paging_destroy(&tables);
}

TEST(paging_forgets_a_table_that_it_frees) {
    set_up();
    pfn_t pages = take(2);
    expect_equal(paging_map(&tables, AT, pages, 1, 0), 0);
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    expect_equal(tables.hot_table, PFN_NONE);
    expect_equal(paging_map(&tables, AT, pages, 2, 0), 0);
    expect_equal(paging_unmap(&tables, AT, 1), 1);
    expect(tables.hot_table != PFN_NONE);
    expect_equal(paging_protect(&tables, AT, 1, 0), ERR_FAULT);
    expect_equal(paging_unmap(&tables, AT, 2), 1);
    pfree(pages, 2);
    paging_destroy(&tables);
}
