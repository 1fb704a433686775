/* Mappings, pins and owners of pages, counted by several processors at once. */
#include <arch/arch.h>
#include <base/check.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <tests/threads/judge.h>
#include <tests/threads/threads.h>

enum { OPERATIONS = 1500, BUDGET_MS = 600, SHARED = 4, TIMES_MAX = 5 };

/* Held by the test's own thread while workers map and pin them. */
static pfn_t shared[SHARED];

static void check_counts(pfn_t pfn, uint32_t mappings, uint32_t pins) {
    struct frame frame = frame_get(pfn);
    require(frame.mappings == mappings && frame.writable == mappings && frame.pins == pins,
            "page 0x%x: %u mappings (%u writable), %u pins, not %u and %u", pfn, frame.mappings, frame.writable,
            frame.pins, mappings, pins);
}

static void own_and_disown(struct run run, struct worker *worker) {
    static const enum frame_owner kinds[] = { FRAME_TABLE, FRAME_POOL, FRAME_HEAP };
    enum frame_owner kind = kinds[test_random_below(&worker->random, 3)];
    frame_own(run.first, kind);
    for (uint32_t i = 1; kind == FRAME_TABLE && i <= TIMES_MAX; i++)
        require(frame_table_entries(run.first, 1) == i, "page 0x%x: not entry %u", run.first, i);
    if (kind == FRAME_TABLE)
        frame_table_entries(run.first, -TIMES_MAX);
    judge_give(run, JUDGE_WORKER + worker->number);
    frame_disown(run.first, kind);
}

static void free_too_early(uintptr_t pfn) {
    pfree((uint32_t)pfn, 1);
}

static void map_and_pin(struct run run, struct worker *worker) {
    uint32_t mappings = 1 + test_random_below(&worker->random, TIMES_MAX);
    uint32_t pins = test_random_below(&worker->random, TIMES_MAX);
    for (uint32_t i = 0; i < mappings; i++)
        require(frame_map(run.first, PAGE_WRITE) == 0, "page 0x%x can't be mapped", run.first);
    for (uint32_t i = 0; i < pins; i++)
        require(frame_pin(run.first) == 0, "page 0x%x can't be pinned", run.first);
    check_counts(run.first, mappings, pins);
    bool hands_over = test_random_below(&worker->random, 2) == 0;
    if (hands_over)
        frame_hand_over(run.first);
    else if (test_random_below(&worker->random, 8) == 0)
        require(threads_panic(free_too_early, run.first) != NULL, "page 0x%x was freed while mapped", run.first);
    for (uint32_t i = 0; i < pins; i++)
        frame_unpin(run.first);
    for (uint32_t i = 1; i < mappings; i++)
        frame_unmap(run.first, PAGE_WRITE);
    check_counts(run.first, 1, 0);
    if (hands_over)
        judge_give(run, JUDGE_WORKER + worker->number);
    frame_unmap(run.first, PAGE_WRITE);
    if (hands_over)
        return;
    judge_give(run, JUDGE_WORKER + worker->number);
    pfree(run.first, 1);
}

static void use_shared(struct worker *worker) {
    pfn_t pfn = shared[test_random_below(&worker->random, SHARED)];
    for (unsigned i = 0; i < TIMES_MAX; i++) {
        require(frame_map(pfn, PAGE_WRITE) == 0, "shared page 0x%x can't be mapped", pfn);
        require(frame_pin(pfn) == 0, "shared page 0x%x can't be pinned", pfn);
    }
    require(frame_map(pfn, PAGE_EXECUTE) == ERR_REFUSED, "shared page 0x%x is writable and executable", pfn);
    struct frame frame = frame_get(pfn);
    require(frame.mappings >= TIMES_MAX && frame.pins >= TIMES_MAX && frame.held,
            "shared page 0x%x: %u mappings, %u pins", pfn, frame.mappings, frame.pins);
    for (unsigned i = 0; i < TIMES_MAX; i++) {
        frame_unpin(pfn);
        frame_unmap(pfn, PAGE_WRITE);
    }
}

/* Lists longer than what one lock serves. */
static void own_list(struct worker *worker) {
    enum { LIST_MAX = 100 };
    pfn_t list[LIST_MAX];
    size_t count = 1 + test_random_below(&worker->random, LIST_MAX);
    enum frame_owner kind = test_random_below(&worker->random, 2) == 0 ? FRAME_HEAP : FRAME_POOL;
    if (!palloc_bulk(list, count))
        return;
    for (size_t i = 0; i < count; i++)
        judge_take((struct run){ list[i], 1 }, JUDGE_WORKER + worker->number);
    frame_own_list(list, count, kind);
    for (size_t i = 0; i < count; i++) {
        enum frame_owner owner = frame_get(list[i]).owner;
        require(owner == kind, "page 0x%x is the %s's", list[i], frame_owner_name(owner));
        judge_give((struct run){ list[i], 1 }, JUDGE_WORKER + worker->number);
    }
    frame_disown_list(list, count, kind);
}

static void use_frames(struct worker *worker) {
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (i % 16 == 0)
            own_list(worker);
        struct palloc_request one = { .pages = 1 };
        struct run run = { palloc_with(&one), 1 };
        require(run.first != PFN_NONE, "no page for worker %u", worker->number);
        judge_take(run, JUDGE_WORKER + worker->number);
        if (test_random_below(&worker->random, 2) == 0)
            own_and_disown(run, worker);
        else
            map_and_pin(run, worker);
        if (i % 4 == 0)
            use_shared(worker);
    }
}

/* A page taken, mapped and let go where an interrupt finds the processor. */
static void interrupt(struct worker *worker) {
    struct palloc_request one = { .pages = 1 };
    struct run run = { palloc_with(&one), 1 };
    if (run.first == PFN_NONE)
        return;
    judge_take(run, JUDGE_INTERRUPT + worker->number);
    require(frame_map(run.first, PAGE_WRITE) == 0, "page 0x%x can't be mapped in an interrupt", run.first);
    frame_hand_over(run.first);
    judge_give(run, JUDGE_INTERRUPT + worker->number);
    frame_unmap(run.first, PAGE_WRITE);
}

TEST(mappings_pins_and_owners_are_counted_by_all_processors) {
    for (unsigned i = 0; i < SHARED; i++)
        shared[i] = palloc_pfn(palloc(1));
    threads_on_interrupt(interrupt);
    for (unsigned threads = 2; threads_time_left(BUDGET_MS); threads = threads == THREADS_MAX ? 2 : threads * 2) {
        threads_run(threads, use_frames);
        for (unsigned i = 0; i < SHARED; i++)
            check_counts(shared[i], 0, 0);
        audit_all();
    }
    for (unsigned i = 0; i < SHARED; i++)
        pfree(shared[i], 1);
}

/* What is said of any page at any time may be old, but is never torn: it names an owner that there is, and counts that
 * are possible. */
static void describe_all(struct worker *worker) {
    if (worker->number > 0) {
        use_frames(worker);
        return;
    }
    for (unsigned i = 0; i < OPERATIONS; i++) {
        char text[160];
        pfn_t pfn = i % 2 == 0 ? shared[i / 2 % SHARED] : test_random_below(&worker->random, palloc_end());
        palloc_describe(pfn, text, sizeof(text));
        require(string_length(text) > 0, "page 0x%x isn't described", pfn);
        struct frame frame = frame_get(pfn);
        require(frame.writable <= frame.mappings && frame.mappings <= TIMES_MAX * THREADS_MAX + FRAME_OWNERS,
                "page 0x%x has %u mappings, %u writable", pfn, frame.mappings, frame.writable);
        size_t pages[FRAME_OWNERS];
        if (i % 256 == 0)
            frame_count(pages);
    }
}

TEST(pages_may_be_described_at_any_time) {
    for (unsigned i = 0; i < SHARED; i++)
        shared[i] = palloc_pfn(palloc(1));
    threads_on_interrupt(interrupt);
    while (threads_time_left(BUDGET_MS))
        threads_run(3, describe_all);
    for (unsigned i = 0; i < SHARED; i++)
        pfree(shared[i], 1);
}
