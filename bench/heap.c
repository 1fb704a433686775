/* Bytes: the same requests to every heap.
 *
 *     heap-B             B bytes taken and given back at once: the hot pair
 *     heap-page          the same with a page, page-aligned
 *     heap-large         the same with 64 KiB
 *     heap-cache         an object of 64 bytes taken from a cache of its own and given back
 *     heap-batch-alloc   one of 10,000 blocks of 64 bytes taken
 *     heap-batch-free    and given back, in random order
 *     heap-random        20,000 blocks of 8 to 4096 bytes (uniform) live, a random one given back, another taken: one
 *                        of these calls
 *     heap-peak          the same blocks: memory that the heap holds at the most, to bytes asked for at the most
 *
 * A heap has seen the sizes of a case before its first sample, but for the batch, whose first round is the `max`. For
 * the peak each block is written to its end, since a process' memory counts only once it was touched. */
#include <bench/allocators.h>
#include <bench/bench.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>

enum {
    PAIR_SAMPLES = 21,
    PAIRS = 512,
    BATCH_SAMPLES = 15,
    BATCH_BLOCKS = 10000,
    BATCH_BYTES = 64,
    LIVE = 20000,
    LEAST_BYTES = 8,
    MOST_BYTES = 4096,
    STEPS = 1000,
    WARM_ROUNDS = 40,
    RANDOM_SAMPLES = 41,
    PEAK_ROUNDS = 100,
    LARGE_BYTES = 64 << 10,
};

/* A block given back and another put in its place. */
struct step {
    uint32_t slot, bytes;
};

/* --- What is counted --------------------------------------------------------------------------------------------- */
/* Never inlined: the loop must be the same code for each heap. */

__attribute__((noinline)) static void run_pairs(const struct heap_allocator *who, size_t bytes, unsigned count) {
    while (count-- > 0)
        who->give(who->take(bytes));
}

__attribute__((noinline)) static void run_page_pairs(const struct heap_allocator *who, unsigned count) {
    while (count-- > 0)
        who->give(who->take_aligned(PAGE_SIZE, PAGE_SIZE));
}

__attribute__((noinline)) static void take_all(const struct heap_allocator *who, void **blocks, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        blocks[i] = who->take(BATCH_BYTES);
}

__attribute__((noinline)) static void give_all(const struct heap_allocator *who, void **blocks, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        who->give(blocks[i]);
}

__attribute__((noinline)) static void run_steps(const struct heap_allocator *who, void **blocks,
                                                const struct step *steps, uint32_t count) {
    for (const struct step *step = steps; step < steps + count; step++) {
        void **block = &blocks[step->slot];
        who->give(*block);
        *block = who->take(step->bytes);
    }
}

static void require_all(const struct heap_allocator *who, void *const *blocks, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        require(blocks[i] != NULL, "bench: %s has no block of at most %u bytes", who->name, (unsigned)MOST_BYTES);
}

/* --- Hot pairs --------------------------------------------------------------------------------------------------- */

/* The first pair is for finding out whether there is such a block; a block that stays keeps its slab in use. */
static void measure_pair(const struct heap_allocator *who, const char *name, size_t bytes) {
    if (!bench_wanted(name))
        return;
    void *kept = who->take(bytes);
    require(kept != NULL, "bench: %s has no block of %zu bytes", who->name, bytes);
    run_pairs(who, bytes, 1);
    for (unsigned i = 0; i < PAIR_SAMPLES; i++) {
        bench_open();
        run_pairs(who, bytes, PAIRS);
        bench_close();
        bench_sample(name, who->name, PAIRS);
    }
    who->give(kept);
}

static void measure_page(const struct heap_allocator *who) {
    if (!bench_wanted("heap-page"))
        return;
    void *kept = who->take_aligned(PAGE_SIZE, PAGE_SIZE);
    require(kept != NULL && (uintptr_t)kept % PAGE_SIZE == 0, "bench: %s gave %p as an aligned page", who->name, kept);
    run_page_pairs(who, 1);
    for (unsigned i = 0; i < PAIR_SAMPLES; i++) {
        bench_open();
        run_page_pairs(who, PAIRS);
        bench_close();
        bench_sample("heap-page", who->name, PAIRS);
    }
    who->give(kept);
}

static void measure_pairs(const struct heap_allocator *who) {
    static const size_t sizes[] = { 16, 64, 256, 1024 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char name[32];
        fmt(name, sizeof(name), "heap-%zu", sizes[i]);
        measure_pair(who, name, sizes[i]);
    }
    measure_page(who);
    measure_pair(who, "heap-large", LARGE_BYTES);
}

void bench_heap_cache(const struct heap_allocator *objects) {
    measure_pair(&heap_harness, "heap-cache", CACHE_BYTES);
    measure_pair(objects, "heap-cache", CACHE_BYTES);
}

/* --- A batch ----------------------------------------------------------------------------------------------------- */

static void shuffle(void **blocks, uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = bench_random_below(i);
        void *kept = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = kept;
    }
}

static void measure_batch(const struct heap_allocator *who, void **blocks) {
    if (!bench_wanted("heap-batch-alloc") && !bench_wanted("heap-batch-free"))
        return;
    bench_random_restart();
    for (unsigned i = 0; i < BATCH_SAMPLES; i++) {
        bench_open();
        take_all(who, blocks, BATCH_BLOCKS);
        bench_close();
        bench_sample("heap-batch-alloc", who->name, BATCH_BLOCKS);
        require_all(who, blocks, BATCH_BLOCKS);
        shuffle(blocks, BATCH_BLOCKS);
        bench_open();
        give_all(who, blocks, BATCH_BLOCKS);
        bench_close();
        bench_sample("heap-batch-free", who->name, BATCH_BLOCKS);
    }
}

/* --- Random sizes ------------------------------------------------------------------------------------------------ */

static struct step random_step(void) {
    uint32_t slot = bench_random_below(LIVE);
    return (struct step){ slot, LEAST_BYTES + bench_random_below(MOST_BYTES - LEAST_BYTES + 1) };
}

static void make_steps(struct step *steps) {
    for (uint32_t i = 0; i < STEPS; i++)
        steps[i] = random_step();
}

static void measure_random(const struct heap_allocator *who, void **blocks, struct step *steps) {
    if (!bench_wanted("heap-random"))
        return;
    bench_random_restart();
    for (uint32_t i = 0; i < LIVE; i++)
        blocks[i] = who->take(random_step().bytes);
    for (unsigned i = 0; i < WARM_ROUNDS + RANDOM_SAMPLES; i++) {
        make_steps(steps);
        if (i < WARM_ROUNDS) {
            run_steps(who, blocks, steps, STEPS);
            continue;
        }
        bench_open();
        run_steps(who, blocks, steps, STEPS);
        bench_close();
        bench_sample("heap-random", who->name, 2 * STEPS);
    }
    require_all(who, blocks, LIVE);
    give_all(who, blocks, LIVE);
}

void bench_heap(const struct heap_allocator *who) {
    size_t blocks_bytes = LIVE * sizeof(void *), steps_bytes = STEPS * sizeof(struct step);
    void **blocks = (void **)bench_memory(blocks_bytes);
    struct step *steps = (struct step *)bench_memory(steps_bytes);
    const struct heap_allocator *both[] = { &heap_harness, who };
    for (unsigned i = 0; i < 2; i++) {
        measure_pairs(both[i]);
        measure_batch(both[i], blocks);
        measure_random(both[i], blocks, steps);
    }
    bench_release(steps, steps_bytes);
    bench_release(blocks, blocks_bytes);
}

/* --- Memory held ------------------------------------------------------------------------------------------------- */

struct peak {
    const struct heap_allocator *who;
    void **blocks;
    uint32_t *bytes; /* of each block */
    size_t asked, asked_most, held_most;
};

static void put_block(struct peak *peak, uint32_t slot, uint32_t bytes) {
    void *block = peak->who->take(bytes);
    require(block != NULL, "bench: %s has no block of %u bytes", peak->who->name, bytes);
    memset(block, 1, bytes);
    peak->blocks[slot] = block;
    peak->bytes[slot] = bytes;
    peak->asked += bytes;
}

static void replace_block(struct peak *peak, struct step step) {
    peak->who->give(peak->blocks[step.slot]);
    peak->asked -= peak->bytes[step.slot];
    put_block(peak, step.slot, step.bytes);
}

static void note_peak(struct peak *peak) {
    size_t held = peak->who->held();
    peak->held_most = held > peak->held_most ? held : peak->held_most;
    peak->asked_most = peak->asked > peak->asked_most ? peak->asked : peak->asked_most;
}

static void run_peak(struct peak *peak) {
    bench_random_restart();
    for (uint32_t i = 0; i < LIVE; i++)
        put_block(peak, i, random_step().bytes);
    note_peak(peak);
    for (unsigned round = 0; round < PEAK_ROUNDS; round++) {
        for (uint32_t i = 0; i < STEPS; i++)
            replace_block(peak, random_step());
        note_peak(peak);
    }
    bench_figure("heap-peak", peak->who->name, "ratio", peak->held_most, peak->asked_most);
    give_all(peak->who, peak->blocks, LIVE);
}

/* The notes are written before the first look, so that they aren't taken for the heap's. */
void bench_heap_peak(const struct heap_allocator *who) {
    if (who->held == NULL || !bench_wanted("heap-peak"))
        return;
    size_t blocks_bytes = LIVE * sizeof(void *), bytes_bytes = LIVE * sizeof(uint32_t);
    struct peak peak = { .who = who, .blocks = bench_memory(blocks_bytes), .bytes = bench_memory(bytes_bytes) };
    memset(peak.blocks, 0, blocks_bytes);
    memset(peak.bytes, 0, bytes_bytes);
    note_peak(&peak);
    peak.held_most = 0;
    run_peak(&peak);
    bench_release(peak.bytes, bytes_bytes);
    bench_release(peak.blocks, blocks_bytes);
}
