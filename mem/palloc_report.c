/* Layer 2, what is said of a wrong free.
 *
 * A report names the call as it was made, the first page that spoils it, and that page's state; the guess at the
 * mistake is only a guess and ends the line. Nothing here changes anything. What a tied page's word means is
 * mem/frame.c's knowledge, one layer up, so it is asked through functions that it sets.
 *
 * Locking: a word is read under palloc's lock, since it changes as a whole under it and i386 reads its halves one after
 * the other. The report is made with the lock released: what it says of the page, and the guess, are of two moments. */
#include <base/check.h>
#include <base/fmt.h>
#include <mem/palloc_report.h>
#include <mem/palloc_trace.h>

static const struct palloc_frame_hooks *hooks; /* written once, at boot */

void palloc_set_hooks(const struct palloc_frame_hooks *frame_hooks) {
    hooks = frame_hooks;
}

void palloc_report_overlap(pfn_t first, uint32_t pages) {
    panic("palloc: pages 0x%x to 0x%x were free, but some are held: two processors freed them at once", first,
          first + pages - 1);
}

bool palloc_may_reclaim(pfn_t pfn) {
    require(hooks != NULL, "palloc_reclaim(page 0x%x): before frame_init()", pfn);
    return hooks->may_reclaim(pfn);
}

void palloc_reclaimed(pfn_t first, size_t pages) {
    hooks->reclaimed(first, pages);
}

void palloc_describe_locked(pfn_t pfn, char *out, size_t bytes) {
    static const char *const texts[] = {
        [PALLOC_NOT_RAM] = "never ours (no RAM, reserved, or past the end)",
        [PALLOC_FREE] = "free",
        [PALLOC_CACHED] = "free (in a processor's cache)",
        [PALLOC_HELD] = "held by palloc's caller",
        [PALLOC_TIED] = "tied",
        [PALLOC_HELD_TIED] = "held by palloc's caller and tied",
    };
    enum palloc_state found = palloc_state(pfn);
    if (hooks != NULL && (found == PALLOC_TIED || found == PALLOC_HELD_TIED))
        hooks->describe(pfn, out, bytes);
    else
        fmt(out, bytes, "%s", texts[found]);
}

void palloc_describe(pfn_t pfn, char *out, size_t bytes) {
    palloc_lock();
    palloc_describe_locked(pfn, out, bytes);
    palloc_unlock();
}

/* What the caller probably did. */
static void guess_mistake(uint32_t page_id, pfn_t wrong, char *out, size_t bytes) {
    switch (palloc_state(wrong)) {
    case PALLOC_FREE:
    case PALLOC_CACHED:
        fmt(out, bytes, "freed twice?");
        return;
    case PALLOC_HELD_TIED:
        fmt(out, bytes, "unmap and unpin it first, or hand it over to its mappings");
        return;
    case PALLOC_TIED:
        fmt(out, bytes, "palloc's caller doesn't hold it, or doesn't any more");
        return;
    case PALLOC_NOT_RAM:
    case PALLOC_HELD:
        break;
    }
    if (page_id % PAGE_SIZE == 0 && palloc_state(page_id >> PAGE_SHIFT) == PALLOC_HELD)
        fmt(out, bytes, "0x%x looks like a physical address; pass the page number, address >> 12, which is 0x%x",
            page_id, page_id >> PAGE_SHIFT);
    else
        fmt(out, bytes, "palloc never gave it");
}

static NORETURN void report(const char *call, uint32_t page_id, pfn_t wrong) {
    char what[160], mistake[128], who[80];
    palloc_describe(wrong, what, sizeof(what));
    guess_mistake(page_id, wrong, mistake, sizeof(mistake));
    trace_describe(wrong, who, sizeof(who));
    panic("%s: page 0x%x is %s: %s%s", call, wrong, what, mistake, who);
}

void palloc_report_wrong_free(uint32_t page_id, uint32_t num_pages, pfn_t wrong) {
    char call[64];
    fmt(call, sizeof(call), "pfree(page 0x%x, %u pages)", page_id, num_pages);
    report(call, page_id, wrong);
}

void palloc_report_wrong_bulk(size_t count, size_t index, pfn_t wrong) {
    char call[64];
    fmt(call, sizeof(call), "pfree_bulk(%zu pages), entry %zu", count, index);
    report(call, wrong, wrong);
}
