/* Layer 2, what mem/frame.c needs of palloc: ties. A tied page's word is mem/frame.c's; mem/palloc.c has the theory. */
#include <base/check.h>
#include <mem/palloc_single.h>
#include <mem/palloc_trace.h>

void palloc_lock(void) {
    lock_take(&palloc_tables.lock);
}

void palloc_unlock(void) {
    lock_release(&palloc_tables.lock);
}

union palloc_word *palloc_word(pfn_t pfn) {
    invariant(palloc_tables_has(pfn));
    return &palloc_tables.words[pfn];
}

void palloc_tie(pfn_t pfn) {
    invariant(lock_is_held(&palloc_tables.lock));
    require(drop_one(pfn), "page 0x%x was freed while another processor mapped or pinned it", pfn);
    tag_set(pfn, TAG_HELD_TIED);
    palloc_tables.tied++;
}

void palloc_untie(pfn_t pfn, uintptr_t place) {
    uint8_t tag = tag_get(pfn);
    invariant(lock_is_held(&palloc_tables.lock) && tag_is_tied(tag));
    palloc_tables.tied--;
    if (tag == TAG_HELD_TIED) { /* by its bit from now on: it may be one of a run that is given back as one */
        tag_set(pfn, TAG_NONE);
        require(bitmap_set_run(palloc_tables.held, pfn, 1), "page 0x%x is tied, but its held bit is set", pfn);
        return;
    }
    if (CONFIG_DEBUG)
        trace_give(pfn, 1, place);
    cache_give(pfn);
}

void palloc_drop_hold(pfn_t pfn) {
    invariant(lock_is_held(&palloc_tables.lock) && tag_get(pfn) == TAG_HELD_TIED);
    tag_set(pfn, TAG_TIED);
}
