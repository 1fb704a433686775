/* Layer 2, debug builds: traces.
 *
 * Each page of RAM has the places that took it last and freed it last, and a bit that says that it is filled with the
 * pattern. A page is filled while it is still its old holder's, and checked when it is already its new holder's and
 * nobody else knows of it: so neither needs the lock, and a page that was never handed out is never touched.
 *
 * Not done: whole pages of long runs. Filling is 4 KiB a page; a test that takes all memory would touch all of it. */
#include <arch/arch.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/palloc_tables.h>
#include <mem/palloc_trace.h>

enum { FILL_ENDS = 32 };
static const uint32_t PATTERN = 0xf4eef4ee;

static bool watching;

void palloc_watch(void) {
    watching = CONFIG_DEBUG;
}

static bool is_at_an_end(uint32_t i, uint32_t pages) {
    return i < FILL_ENDS || pages - i <= FILL_ENDS;
}

static void fill(pfn_t pfn) {
    uint32_t *view = (uint32_t *)arch_frame_open(pfn);
    for (size_t i = 0; i < PAGE_SIZE / sizeof(*view); i++)
        view[i] = PATTERN;
    arch_frame_close(view);
    __atomic_fetch_or(&palloc_tables.filled[pfn / BITMAP_BITS], bitmap_bit(pfn), __ATOMIC_RELAXED);
}

void trace_give(pfn_t first, uint32_t pages, uintptr_t place) {
    for (uint32_t i = 0; i < pages; i++) {
        __atomic_store_n(&palloc_tables.traces[first + i].freed, (uint32_t)place, __ATOMIC_RELAXED);
        if (watching && is_at_an_end(i, pages))
            fill(first + i);
    }
}

/* The words of a page that aren't the pattern: how many, and the first. The view is closed again before a report. */
struct change {
    size_t words, first;
    uint32_t is;
};

static struct change compare(pfn_t pfn) {
    struct change change = { 0, 0, PATTERN };
    const uint32_t *view = (const uint32_t *)arch_frame_open(pfn);
    for (size_t i = 0; i < PAGE_SIZE / sizeof(*view); i++) {
        if (view[i] == PATTERN)
            continue;
        if (change.words++ == 0)
            change = (struct change){ 1, i, view[i] };
    }
    arch_frame_close((void *)(uintptr_t)view);
    return change;
}

static void check(pfn_t pfn) {
    char who[80];
    __atomic_fetch_and(&palloc_tables.filled[pfn / BITMAP_BITS], ~bitmap_bit(pfn), __ATOMIC_RELAXED);
    struct change change = compare(pfn);
    if (change.words == 0)
        return;
    trace_describe(pfn, who, sizeof(who));
    panic("palloc: page 0x%x was written to after it was freed: %zu words changed, the first at offset 0x%zx from 0x%x "
          "to "
          "0x%x%s",
          pfn, change.words, change.first * sizeof(uint32_t), PATTERN, change.is, who);
}

void trace_take(pfn_t first, uint32_t pages, uintptr_t place) {
    for (pfn_t at = first; (at = bitmap_find(palloc_tables.filled, true, at, first + pages)) < first + pages; at++)
        check(at);
    for (uint32_t i = 0; i < pages; i++)
        __atomic_store_n(&palloc_tables.traces[first + i].had, (uint32_t)place, __ATOMIC_RELAXED);
}

void trace_describe(pfn_t pfn, char *out, size_t bytes) {
    struct palloc_trace trace = { 0, 0 };
    out[0] = '\0';
    if (CONFIG_DEBUG && tag_is_ready(pfn) && palloc_tables_has(pfn)) {
        trace.had = __atomic_load_n(&palloc_tables.traces[pfn].had, __ATOMIC_RELAXED);
        trace.freed = __atomic_load_n(&palloc_tables.traces[pfn].freed, __ATOMIC_RELAXED);
    }
    if (trace.had != 0 && trace.freed != 0)
        fmt(out, bytes, " (last taken by 0x%x, last freed by 0x%x)", trace.had, trace.freed);
    else if (trace.had != 0)
        fmt(out, bytes, " (taken by 0x%x)", trace.had);
}

/* --- Places ------------------------------------------------------------------------------------------------------- */

static void add_place(struct palloc_place *table, size_t *count, size_t room, uint32_t place, size_t *others) {
    for (size_t i = 0; i < *count; i++)
        if (table[i].place == place) {
            table[i].pages++;
            return;
        }
    if (*count == room) {
        ++*others;
        return;
    }
    table[(*count)++] = (struct palloc_place){ place, 1 };
}

size_t palloc_places(struct palloc_place *table, size_t room, size_t *others) {
    size_t count = 0;
    *others = 0;
    for (size_t i = 0; CONFIG_DEBUG && i < palloc_tables.ram_count; i++) {
        pfn_t end = palloc_tables.ram[i].end;
        for (pfn_t at = palloc_tables.ram[i].first; (at = palloc_next_taken(at, end)) < end; at++)
            if (palloc_state(at) == PALLOC_HELD)
                add_place(table, &count, room, palloc_tables.traces[at].had, others);
    }
    return count;
}
