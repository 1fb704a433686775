/* The heap, and kernel ranges with pages behind them, on several processors at once.
 *
 * Blocks carry their length and bytes that depend on it and on their address, so that two users of one byte are seen by
 * whoever gives his block back first; the sanitizer sees them at once. */
#include <base/check.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/kmalloc.h>
#include <mem/palloc.h>
#include <mem/valloc.h>
#include <tests/threads/threads.h>

enum { HELD_MAX = 40, OPERATIONS = 1500, BUDGET_MS = 600, SHOWN_MAX = 512 };

/* --- Blocks that show what they are ------------------------------------------------------------------------------- */

static uint8_t byte_at(const uint8_t *block, size_t bytes, size_t index) {
    return (uint8_t)(((uintptr_t)block >> 4) + bytes * 7 + index);
}

/* The first and last bytes of long blocks; all of short ones. */
static size_t next_shown(size_t index, size_t bytes) {
    return index == SHOWN_MAX && bytes > 2 * SHOWN_MAX ? bytes - SHOWN_MAX : index;
}

static void fill(uint8_t *block, size_t bytes) {
    for (size_t i = 0; i < bytes; i = next_shown(i + 1, bytes))
        block[i] = byte_at(block, bytes, i);
}

/* `as`: where the block was when it was filled; the first `shown` bytes are still there. */
static void check_moved(const uint8_t *block, const uint8_t *as, size_t bytes, size_t shown) {
    for (size_t i = 0; i < shown; i = next_shown(i + 1, bytes))
        require(block[i] == byte_at(as, bytes, i), "byte %zu of the block of %zu bytes at %p is 0x%02x, not 0x%02x", i,
                bytes, (const void *)block, block[i], byte_at(as, bytes, i));
}

static size_t some_bytes(struct test_random *random) {
    static const uint32_t most[] = { 32, 128, 128, 1024, 1024, 5000, 20000, 80000 };
    return 1 + test_random_below(random, most[test_random_below(random, sizeof(most) / sizeof(most[0]))]);
}

struct holding {
    uint8_t *block;
    size_t bytes;
};

static bool take(struct holding *holding, struct test_random *random) {
    holding->bytes = some_bytes(random);
    bool page_aligned = test_random_below(random, 16) == 0;
    holding->block = (uint8_t *)(page_aligned ? kmalloc_a(holding->bytes) : kmalloc(holding->bytes));
    if (holding->block == NULL)
        return false;
    require((uintptr_t)holding->block % (page_aligned ? PAGE_SIZE : 16) == 0, "the block at %p isn't aligned",
            (void *)holding->block);
    require(kmalloc_usable_size(holding->block) >= holding->bytes, "the block at %p has less than %zu bytes",
            (void *)holding->block, holding->bytes);
    fill(holding->block, holding->bytes);
    return true;
}

static void give(struct holding holding) {
    check_moved(holding.block, holding.block, holding.bytes, holding.bytes);
    kfree(holding.block);
}

static void resize(struct holding *holding, struct test_random *random) {
    size_t bytes = some_bytes(random);
    uint8_t *old = holding->block, *block = (uint8_t *)krealloc(old, bytes);
    if (block == NULL)
        return;
    check_moved(block, old, holding->bytes, holding->bytes < bytes ? holding->bytes : bytes);
    *holding = (struct holding){ block, bytes };
    fill(block, bytes);
}

/* --- Random traffic ----------------------------------------------------------------------------------------------- */

static void traffic(struct worker *worker) {
    struct holding mine[HELD_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        unsigned what = test_random_below(&worker->random, 10);
        unsigned at = count > 0 ? test_random_below(&worker->random, count) : 0;
        if (what < 5 && count < HELD_MAX) {
            count += take(&mine[count], &worker->random);
        } else if (what < 7 && count > 0) {
            resize(&mine[at], &worker->random);
        } else if (count > 0) {
            give(mine[at]);
            mine[at] = mine[--count];
        }
    }
    while (count > 0)
        give(mine[--count]);
}

static void interrupt(struct worker *worker) {
    unsigned at = test_random_below(&worker->interrupt_random, INTERRUPT_KEEPS);
    for (unsigned i = 0; i < INTERRUPT_KEEPS; i++) {
        struct kept *kept = &worker->kept[i];
        if (i != at && !worker->ending)
            continue;
        if (kept->at != 0)
            give((struct holding){ (uint8_t *)kept->at, kept->size });
        struct holding holding = { NULL, 0 };
        if (!worker->ending)
            take(&holding, &worker->interrupt_random);
        *kept = (struct kept){ (uintptr_t)holding.block, holding.bytes };
    }
}

static void in_rounds(unsigned threads, void (*body)(struct worker *worker)) {
    threads_on_interrupt(interrupt);
    while (threads_time_left(BUDGET_MS)) {
        threads_run(threads, body);
        audit_all();
    }
}

TEST(two_processors_never_have_one_block) {
    in_rounds(2, traffic);
}

TEST(four_processors_never_have_one_block) {
    in_rounds(4, traffic);
}

TEST(eight_processors_never_have_one_block) {
    in_rounds(8, traffic);
}

/* --- Freed by another --------------------------------------------------------------------------------------------- */

enum { BOXES = 64, LETTERS = 4000 };

static struct letter {
    size_t bytes;
    uint8_t shown[];
} * boxes[BOXES]; /* atomic: who empties a box sees all that its filler did */

static void open_letter(struct letter *letter) {
    if (letter == NULL)
        return;
    check_moved(letter->shown, letter->shown, letter->bytes, letter->bytes);
    kfree(letter);
}

static struct letter *write_letter(size_t bytes) {
    struct letter *letter = (struct letter *)kmalloc(sizeof(struct letter) + bytes);
    if (letter == NULL)
        return NULL;
    letter->bytes = bytes;
    fill(letter->shown, bytes);
    return letter;
}

static void send_letters(struct worker *worker) {
    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = write_letter(test_random_below(&worker->random, i % 8 == 0 ? 3000 : 200));
        unsigned at = test_random_below(&worker->random, BOXES);
        open_letter(__atomic_exchange_n(&boxes[at], letter, __ATOMIC_ACQ_REL));
    }
}

TEST(blocks_may_be_freed_by_another_processor_than_took_them) {
    in_rounds(4, send_letters);
    for (unsigned i = 0; i < BOXES; i++)
        open_letter(boxes[i]);
}

/* --- Exhaustion --------------------------------------------------------------------------------------------------- */

static struct link { struct link *next; } * chains[THREADS_MAX + 1];

static size_t take_all_as(unsigned number, size_t bytes) {
    size_t count = 0;
    for (struct link *link; (link = (struct link *)kmalloc(bytes)) != NULL; count++) {
        link->next = chains[number];
        chains[number] = link;
    }
    return count;
}

static void give_all_as(unsigned number) {
    for (struct link *next; chains[number] != NULL; chains[number] = next) {
        next = chains[number]->next;
        kfree(chains[number]);
    }
}

static void take_and_give_all(struct worker *worker) {
    static const size_t sizes[] = { 700, 2000, 9000, 40000 };
    take_all_as(worker->number, sizes[worker->number % 4]);
    give_all_as(worker->number);
}

TEST(processors_that_run_out_of_memory_together_are_told_and_go_on) {
    threads_on_interrupt(NULL);
    for (unsigned threads = 2; threads <= THREADS_MAX; threads *= 2) {
        threads_run(threads, take_and_give_all);
        audit_all();
    }
}

static void fill_caches(struct worker *worker) {
    static const size_t sizes[] = { 16, 60, 200, 1000, 3000, 9000, 30000 };
    enum { EACH = 40 };
    void *blocks[EACH];
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned n = 0; n < EACH; n++)
            blocks[n] = kmalloc(sizes[i]);
        for (unsigned n = 0; n < EACH; n++)
            kfree(blocks[n]);
    }
    (void)worker;
}

/* But for a few pages: each pool of nodes keeps one, whoever is short, and a slab that lacks a page isn't made. */
TEST(what_idle_processors_keep_of_the_heap_is_found_by_who_needs_it) {
    static const size_t sizes[] = { 500, 4096, 100000 };
    enum { SPARE_BYTES = 24 * 4096 };
    threads_on_interrupt(NULL);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        kmalloc_trim();
        size_t alone = take_all_as(THREADS_MAX, sizes[i]);
        give_all_as(THREADS_MAX);
        kmalloc_trim();
        threads_run(THREADS_MAX, fill_caches);
        size_t after = take_all_as(THREADS_MAX, sizes[i]);
        give_all_as(THREADS_MAX);
        expect(after <= alone && alone - after <= 1 + SPARE_BYTES / sizes[i]);
    }
}

/* --- Looking on --------------------------------------------------------------------------------------------------- */

static void look_once(struct test_random *random) {
    struct kmalloc_stats stats;
    kmalloc_stats(&stats);
    require(stats.bytes <= stats.pages << PAGE_SHIFT, "kmalloc_stats: %zu bytes in use in %zu pages", stats.bytes,
            stats.pages);
    struct kmalloc_class_stats of;
    for (unsigned i = 0; kmalloc_class_stats(i, &of); i++)
        require(of.used <= of.blocks, "kmalloc_class_stats: %zu of %zu blocks of %zu bytes", of.used, of.blocks,
                of.block_bytes);
    struct kmalloc_object object = { .address = 0 };
    for (unsigned i = 0; i < 8 && kmalloc_next(object.address, &object); i++)
        require(object.intact, "the block at %#zx isn't intact", (size_t)object.address);
    if (test_random_below(random, 4) == 0)
        kmalloc_trim();
}

static void look_on(struct worker *worker) {
    if (worker->number > 0)
        traffic(worker);
    for (unsigned i = 0; worker->number == 0 && i < 200; i++)
        look_once(&worker->random);
}

TEST(the_heap_may_be_inspected_and_trimmed_at_any_time) {
    in_rounds(3, look_on);
}

/* --- A block freed twice ------------------------------------------------------------------------------------------ */

enum { TAKES = 100, CONTESTED_BYTES = 100 };

static struct meeting before_free, after_free, between_takes;
static void *contested;
static unsigned reports; /* atomic */

static void free_contested(uintptr_t block) {
    kfree((void *)block);
}

static void take_many(uintptr_t unused) {
    (void)unused;
    for (unsigned i = 0; i < TAKES; i++)
        kmalloc(CONTESTED_BYTES);
}

/* Both frees went through: it lies in two caches, and who takes it out second is told. */
static void take_in_turn(struct worker *worker) {
    if (worker->number == 0 && threads_panic(take_many, 0) != NULL)
        threads_pass();
    threads_meet(&between_takes, 2);
    if (worker->number == 0)
        return;
    require(threads_panic(take_many, 0) != NULL, "a block was freed by two, and handed out to both");
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

TEST(of_two_processors_that_free_a_block_at_once_one_is_told_or_who_takes_it_next) {
    if (CONFIG_DEBUG && threads_sanitized())
        test_skip("debug builds write into what is freed: a race that the test makes");
    threads_on_interrupt(NULL);
    threads_move(false);
    while (threads_time_left(BUDGET_MS)) {
        before_free.here = after_free.here = between_takes.here = reports = 0;
        contested = kmalloc(CONTESTED_BYTES);
        threads_run(2, free_at_once);
        expect_equal(reports, 1);
    }
}

/* --- Ranges ------------------------------------------------------------------------------------------------------- */

static struct holding take_pages(struct context *context, struct test_random *random) {
    size_t pages = 1 + test_random_below(random, test_random_below(random, 8) == 0 ? 80 : 4);
    struct holding range = { (uint8_t *)pvalloc(pages, context), pages << PAGE_SHIFT };
    if (range.block != NULL && context == context_kernel())
        fill(range.block, range.bytes);
    return range;
}

static void give_pages(struct context *context, struct holding range) {
    if (context == context_kernel())
        check_moved(range.block, range.block, range.bytes, range.bytes);
    int error = pvfree_in(context, page_number((uintptr_t)range.block), range.bytes >> PAGE_SHIFT);
    require(error == 0, "pvfree_in: error %d for a whole range", error);
}

/* Ranges of the kernel's context and of one of the worker's own, which comes and goes. */
static void use_ranges(struct worker *worker) {
    struct context *own = NULL;
    for (unsigned i = 0; i < OPERATIONS / 4; i++) {
        if (own == NULL)
            own = context_create("worker's");
        struct context *context = own == NULL || test_random_below(&worker->random, 2) == 0 ? context_kernel() : own;
        struct holding range = take_pages(context, &worker->random);
        struct holding block;
        if (take(&block, &worker->random))
            give(block);
        if (range.block != NULL && (context == context_kernel() || test_random_below(&worker->random, 2) == 0))
            give_pages(context, range);
        if (own != NULL && test_random_below(&worker->random, 8) == 0) {
            context_destroy(own);
            own = NULL;
        }
    }
    if (own != NULL)
        context_destroy(own);
}

TEST(ranges_and_contexts_come_and_go_on_all_processors) {
    in_rounds(4, use_ranges);
}
