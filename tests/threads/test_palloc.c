/* palloc on several processors at once. */
#include <tests/threads/judge.h>
#include <tests/threads/threads.h>
#include <base/check.h>
#include <mem/audit.h>
#include <mem/port.h>

enum { HELD_MAX = 48, OPERATIONS = 3000, BUDGET_MS = 600 };

/* --- Random traffic ----------------------------------------------------------------------------------------------- */

struct holdings {
    struct run runs[HELD_MAX];
    unsigned count;
};

static struct run take(const struct palloc_request *request) {
    return (struct run){ palloc_with(request), request->pages };
}

static uint32_t some_length(struct test_random *random) {
    static const uint32_t most[] = { 1, 1, 1, 1, 2, 4, 8, 16, 64, 600 };
    return 1 + test_random_below(random, most[test_random_below(random, sizeof(most) / sizeof(most[0]))]);
}

static struct palloc_request some_request(struct test_random *random) {
    struct palloc_request request = { .pages = some_length(random) };
    if (test_random_below(random, 8) == 0)
        request.align = 1u << test_random_below(random, 7);
    if (test_random_below(random, 8) == 0)
        request.limit = 1u << (10 + test_random_below(random, 11));
    if (test_random_below(random, 8) == 0)
        request.boundary = 1u << test_random_below(random, 11);
    request.exact = test_random_below(random, 8) == 0;
    if (request.exact)
        request.at = test_random_below(random, palloc_end());
    return request;
}

static void check_place(struct run run, const struct palloc_request *request) {
    bool aligned = request->align == 0 || run.first % request->align == 0;
    bool below = request->limit == 0 || run.first + run.pages <= request->limit;
    pfn_t crossed = run.first ^ (run.first + run.pages - 1);
    bool inside = request->boundary == 0 || crossed < request->boundary;
    bool there = !request->exact || run.first == request->at;
    require(aligned && below && inside && there,
            "palloc_with(%u pages, align 0x%x, limit 0x%x, boundary 0x%x, exact %u at 0x%x) gave page 0x%x",
            request->pages, request->align, request->limit, request->boundary, request->exact, request->at, run.first);
}

static void take_some(struct holdings *mine, struct worker *worker) {
    if (mine->count == HELD_MAX)
        return;
    struct palloc_request request = some_request(&worker->random);
    struct run run = take(&request);
    if (run.first == PFN_NONE)
        return;
    check_place(run, &request);
    judge_take(run, JUDGE_WORKER + worker->number);
    mine->runs[mine->count++] = run;
}

static void give(struct run run, unsigned who) {
    judge_give(run, who);
    pfree(run.first, run.pages);
}

/* All of a run, or any part of it; what remains, before and behind, stays held. */
static void give_some(struct holdings *mine, struct worker *worker) {
    if (mine->count == 0)
        return;
    unsigned index = test_random_below(&worker->random, mine->count);
    struct run run = mine->runs[index];
    mine->runs[index] = mine->runs[--mine->count];
    struct run part = run;
    if (run.pages > 1 && mine->count + 2 <= HELD_MAX && test_random_below(&worker->random, 3) == 0) {
        uint32_t skipped = test_random_below(&worker->random, run.pages);
        part = (struct run){ run.first + skipped, 1 + test_random_below(&worker->random, run.pages - skipped) };
    }
    give(part, JUDGE_WORKER + worker->number);
    uint32_t before = part.first - run.first, behind = run.pages - before - part.pages;
    if (before > 0)
        mine->runs[mine->count++] = (struct run){ run.first, before };
    if (behind > 0)
        mine->runs[mine->count++] = (struct run){ part.first + part.pages, behind };
}

static void traffic(struct worker *worker) {
    struct holdings mine = { .count = 0 };
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (test_random_below(&worker->random, 2) == 0)
            take_some(&mine, worker);
        else
            give_some(&mine, worker);
    }
    while (mine.count > 0)
        give(mine.runs[--mine.count], JUDGE_WORKER + worker->number);
}

/* Frees what an earlier interrupt took, on whatever processor that was, and takes anew. */
static void interrupt(struct worker *worker) {
    for (unsigned i = 0; i < INTERRUPT_KEEPS; i++) {
        struct run kept = { (pfn_t)worker->kept[i].at, (uint32_t)worker->kept[i].size };
        bool wanted = worker->ending || test_random_below(&worker->interrupt_random, INTERRUPT_KEEPS) == 0;
        if (!wanted)
            continue;
        if (kept.pages > 0)
            give(kept, JUDGE_INTERRUPT + worker->number);
        struct palloc_request request = { .pages = test_random_below(&worker->interrupt_random, 4) == 0 ? 3 : 1 };
        struct run run = worker->ending ? (struct run){ PFN_NONE, 0 } : take(&request);
        if (run.first == PFN_NONE)
            run.pages = 0;
        if (run.pages > 0)
            judge_take(run, JUDGE_INTERRUPT + worker->number);
        worker->kept[i] = (struct kept){ run.first, run.pages };
    }
}

/* In rounds; after each, all that is known must agree. */
static void in_rounds(unsigned threads, void (*body)(struct worker *worker), void (*handler)(struct worker *worker)) {
    threads_on_interrupt(handler);
    while (threads_time_left(BUDGET_MS)) {
        threads_run(threads, body);
        audit_all();
    }
}

TEST(two_processors_never_have_one_page) {
    in_rounds(2, traffic, interrupt);
}

TEST(four_processors_never_have_one_page) {
    in_rounds(4, traffic, interrupt);
}

TEST(eight_processors_never_have_one_page) {
    in_rounds(8, traffic, interrupt);
}

/* --- Lists of pages ----------------------------------------------------------------------------------------------- */

/* More than a processor's stack holds, so that they are taken from both the stack and the runs. */
enum { LIST_MAX = 100, LISTS = 600 };

static void judge_list(void (*judge)(struct run run, unsigned who), const pfn_t *list, size_t count, unsigned who) {
    for (size_t i = 0; i < count; i++)
        judge((struct run){ list[i], 1 }, who);
}

/* Some of a list go one by one, the others together. */
static void pass_list(size_t count, size_t alone, unsigned who) {
    pfn_t list[LIST_MAX];
    if (!palloc_bulk(list, count))
        return;
    judge_list(judge_take, list, count, who);
    for (size_t i = 0; i < alone; i++)
        give((struct run){ list[i], 1 }, who);
    judge_list(judge_give, list + alone, count - alone, who);
    pfree_bulk(list + alone, count - alone);
}

/* A run's pages, held by its bits, go as a list, from the last to the first. */
static void pass_run(uint32_t pages, unsigned who) {
    const struct palloc_request request = { .pages = pages };
    struct run run = take(&request);
    pfn_t list[LIST_MAX];
    if (run.first == PFN_NONE)
        return;
    judge_take(run, who);
    for (uint32_t i = 0; i < pages; i++)
        list[i] = run.first + pages - 1 - i;
    judge_give(run, who);
    pfree_bulk(list, pages);
}

static void pass_lists(struct worker *worker) {
    for (unsigned i = 0; i < LISTS; i++) {
        uint32_t count = 1 + test_random_below(&worker->random, LIST_MAX);
        if (test_random_below(&worker->random, 4) == 0)
            pass_run(count, JUDGE_WORKER + worker->number);
        else
            pass_list(count, test_random_below(&worker->random, count + 1), JUDGE_WORKER + worker->number);
    }
}

static void interrupt_with_lists(struct worker *worker) {
    pass_list(1 + test_random_below(&worker->interrupt_random, 8), worker->number % 2,
              JUDGE_INTERRUPT + worker->number);
}

TEST(lists_of_pages_are_taken_and_freed_by_all_processors_at_once) {
    in_rounds(4, pass_lists, interrupt_with_lists);
}

/* --- Freed by another --------------------------------------------------------------------------------------------- */

enum { BOXES = 64, LETTERS = 6000, LETTER_SHIFT = 6, LETTER_PAGES_MAX = (1 << LETTER_SHIFT) - 1 };

/* Atomic: a run, its length in the lowest LETTER_SHIFT bits, or 0. Who empties a box sees all that its filler did. */
static uintptr_t boxes[BOXES];

static uintptr_t seal(struct run run) {
    return (uintptr_t)run.first << LETTER_SHIFT | run.pages;
}

static void open_letter(uintptr_t letter) {
    if (letter != 0)
        give((struct run){ (pfn_t)(letter >> LETTER_SHIFT), letter & LETTER_PAGES_MAX }, JUDGE_MAIN);
}

/* Leaves a run in a box and frees what another left there. */
static void send_letters(struct worker *worker) {
    for (unsigned i = 0; i < LETTERS; i++) {
        uint32_t most = i % 4 == 0 ? LETTER_PAGES_MAX : 2;
        struct palloc_request request = { .pages = 1 + test_random_below(&worker->random, most) };
        struct run sent = take(&request);
        if (sent.first != PFN_NONE) {
            judge_take(sent, JUDGE_WORKER + worker->number);
            judge_hand(sent, JUDGE_WORKER + worker->number, JUDGE_MAIN);
        }
        uintptr_t letter = sent.first != PFN_NONE ? seal(sent) : 0;
        uintptr_t *box = &boxes[test_random_below(&worker->random, BOXES)];
        open_letter(__atomic_exchange_n(box, letter, __ATOMIC_ACQ_REL));
    }
}

TEST(pages_may_be_freed_by_another_processor_than_took_them) {
    in_rounds(4, send_letters, interrupt);
    for (unsigned i = 0; i < BOXES; i++)
        open_letter(boxes[i]);
}

/* --- Exhaustion --------------------------------------------------------------------------------------------------- */

enum { SHARE_MAX = 1 << 14 };

static pfn_t shares[THREADS_MAX + 1][SHARE_MAX];
static unsigned taken[THREADS_MAX + 1];

static void take_all_as(unsigned number) {
    const struct palloc_request one = { .pages = 1 };
    struct run run = take(&one);
    for (; run.first != PFN_NONE && taken[number] < SHARE_MAX; run = take(&one)) {
        judge_take(run, JUDGE_WORKER + number);
        shares[number][taken[number]++] = run.first;
    }
    require(run.first == PFN_NONE, "worker %u got over %u pages", number, SHARE_MAX);
}

static void give_all_as(unsigned number) {
    while (taken[number] > 0)
        give((struct run){ shares[number][--taken[number]], 1 }, JUDGE_WORKER + number);
}

static void take_all(struct worker *worker) {
    take_all_as(worker->number);
}

static void give_all(struct worker *worker) {
    give_all_as(worker->number);
}

static size_t free_pages(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats.free + stats.cached;
}

TEST(processors_that_only_take_get_every_page_between_them) {
    size_t there = free_pages();
    for (unsigned threads = 2; threads <= THREADS_MAX; threads *= 2) {
        threads_run(threads, take_all);
        size_t sum = 0;
        for (unsigned i = 0; i < threads; i++)
            sum += taken[i];
        expect_equal(sum, there);
        expect_equal(free_pages(), 0);
        audit_all();
        threads_run(threads, give_all);
        expect_equal(free_pages(), there);
        audit_all();
    }
}

/* A list that can't be had whole is refused, and what was taken of it goes back, whoever needs it by then. */
static void take_all_by_lists(struct worker *worker) {
    pfn_t list[LIST_MAX];
    unsigned *count = &taken[worker->number];
    for (size_t size = LIST_MAX; size > 0;) {
        require(*count + size <= SHARE_MAX, "worker %u got over %u pages", worker->number, SHARE_MAX);
        if (!palloc_bulk(list, size)) {
            size /= 2;
            continue;
        }
        judge_list(judge_take, list, size, JUDGE_WORKER + worker->number);
        for (size_t i = 0; i < size; i++)
            shares[worker->number][(*count)++] = list[i];
    }
}

static void give_all_by_lists(struct worker *worker) {
    unsigned *count = &taken[worker->number];
    judge_list(judge_give, shares[worker->number], *count, JUDGE_WORKER + worker->number);
    pfree_bulk(shares[worker->number], *count);
    *count = 0;
}

TEST(a_list_that_is_refused_leaves_every_page_to_be_had) {
    size_t there = free_pages();
    for (unsigned threads = 2; threads <= THREADS_MAX; threads *= 2) {
        threads_run(threads, take_all_by_lists);
        take_all_as(THREADS_MAX); /* what one was refused while another had it in vain */
        size_t sum = taken[THREADS_MAX];
        for (unsigned i = 0; i < threads; i++)
            sum += taken[i];
        expect_equal(sum, there);
        audit_all();
        threads_run(threads, give_all_by_lists);
        give_all_as(THREADS_MAX);
        expect_equal(free_pages(), there);
        audit_all();
    }
}

/* Takes and gives, so that the processor's cache is left with something of each length. */
static void fill_cache(struct worker *worker) {
    static const uint32_t lengths[] = { 1, 1, 1, 2, 4, 8, 16, 32, 64 };
    enum { EACH = 24 };
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct palloc_request request = { .pages = lengths[i] };
        struct run runs[EACH];
        for (unsigned n = 0; n < EACH; n++)
            runs[n] = take(&request);
        for (unsigned n = 0; n < EACH; n++)
            if (runs[n].first != PFN_NONE)
                pfree(runs[n].first, runs[n].pages);
    }
    (void)worker;
}

TEST(what_idle_processors_cache_is_found_by_who_needs_it) {
    size_t there = free_pages();
    palloc_drain();
    for (unsigned round = 0; round < 8; round++) {
        threads_run(THREADS_MAX, fill_cache);
        take_all_as(THREADS_MAX);
        expect_equal(taken[THREADS_MAX], there);
        give_all_as(THREADS_MAX);
    }
}

TEST(what_idle_processors_cache_is_found_for_a_long_run) {
    struct palloc_stats stats;
    palloc_drain();
    palloc_stats(&stats);
    struct palloc_request all = { .pages = (uint32_t)stats.largest };
    for (unsigned round = 0; round < 8; round++) {
        threads_run(THREADS_MAX, fill_cache);
        struct run run = take(&all);
        expect(run.first != PFN_NONE);
        pfree(run.first, run.pages);
    }
}

/* The first worker takes all there is and gives it back, again and again, out of the others' caches; they must never
 * see a page that it has. */
static void rob(struct worker *worker) {
    for (unsigned i = 0; worker->number == 0 && i < 4; i++) {
        take_all_as(0);
        give_all_as(0);
    }
    for (unsigned i = 0; worker->number > 0 && i < LETTERS; i++) {
        struct palloc_request request = { .pages = i % 16 == 0 ? 4 : 1 };
        struct run run = take(&request);
        if (run.first == PFN_NONE)
            continue;
        judge_take(run, JUDGE_WORKER + worker->number);
        give(run, JUDGE_WORKER + worker->number);
    }
}

TEST(caches_are_emptied_under_their_owners_hands) {
    in_rounds(4, rob, interrupt);
}

/* --- Looking on --------------------------------------------------------------------------------------------------- */

static void look_once(struct test_random *random) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    require(stats.free <= stats.total && stats.cached <= stats.total && stats.held <= stats.total &&
                stats.tied <= stats.total && stats.largest <= stats.total,
            "palloc_stats: %zu free, %zu cached, %zu held, %zu tied, %zu in the longest run, of %zu", stats.free,
            stats.cached, stats.held, stats.tied, stats.largest, stats.total);
    pfn_t pfn = test_random_below(random, palloc_end());
    char text[160];
    palloc_state(pfn);
    palloc_next_taken(pfn, pfn + 100);
    palloc_describe(pfn, text, sizeof(text));
    if (test_random_below(random, 16) == 0)
        palloc_drain();
}

static void look_on(struct worker *worker) {
    if (worker->number > 0)
        traffic(worker);
    for (unsigned i = 0; worker->number == 0 && i < 300; i++)
        look_once(&worker->random);
}

TEST(statistics_and_drains_may_come_at_any_time) {
    in_rounds(3, look_on, interrupt);
}

/* --- A page freed twice ------------------------------------------------------------------------------------------- */

enum { TAKES = 100 };

static struct meeting before_free, after_free, between_takes;
static pfn_t contested;
static unsigned reports; /* atomic */

static void free_contested(uintptr_t pfn) {
    pfree((uint32_t)pfn, 1);
}

static void take_many(uintptr_t unused) {
    (void)unused;
    for (unsigned i = 0; i < TAKES; i++)
        palloc(1);
}

/* Both frees went through: it lies in two caches, and who takes it out second is told. */
static void take_in_turn(struct worker *worker) {
    if (worker->number == 0 && threads_panic(take_many, 0) != NULL)
        threads_pass();
    threads_meet(&between_takes, 2);
    if (worker->number == 0)
        return;
    require(threads_panic(take_many, 0) != NULL, "a page was freed by two, and handed out to both");
    threads_pass();
}

static void free_at_once(struct worker *worker) {
    threads_meet(&before_free, 2);
    if (threads_panic(free_contested, (uintptr_t)contested) != NULL)
        __atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED);
    threads_meet(&after_free, 2);
    if (__atomic_load_n(&reports, __ATOMIC_RELAXED) == 0)
        take_in_turn(worker);
}

TEST(of_two_processors_that_free_a_page_at_once_one_is_told_or_who_takes_it_next) {
    if (CONFIG_DEBUG && threads_sanitized())
        test_skip("debug builds write into what is freed: a race that the test makes");
    threads_on_interrupt(NULL);
    threads_move(false);
    while (threads_time_left(BUDGET_MS)) {
        before_free.here = after_free.here = between_takes.here = reports = 0;
        contested = palloc_pfn(palloc(1));
        threads_run(2, free_at_once);
        expect_equal(reports, 1);
    }
}
