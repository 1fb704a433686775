/* Pages: palloc and two peers, in the same run, on as many pages and with the same requests.
 *
 *     page-N               taken and given back at once: the hot pair
 *     page-fill            all of memory, a page at a time
 *     page-drain           and back, in random order
 *     page-mixed-P-SIZES   runs of 1 to 512 pages, P per cent of memory in use: a random one given back, another taken;
 *                          SIZES is pow2 (powers of two) or any (all lengths); each power of two is equally likely
 *
 * An operation is a pair, in fill and drain one call, in the mixed cases a request with the frees that make room for
 * it. A request that is refused counts as well, gives back one run for the next one's sake, and has its share told in
 * page-mixed-P-SIZES-refused. P is in pages asked for: an allocator that rounds up has less left than that. */
#include <bench/bench.h>
#include <bench/peers.h>
#include <base/check.h>
#include <base/fmt.h>
#include <mem/palloc.h>

enum {
    PAIR_SAMPLES = 11,
    PAIRS = 64,
    FILL_CHUNK = 1024,
    MIXED_ORDERS = 10,
    MIXED_WARM = 4000,
    MIXED_SAMPLES = 101,
    MIXED_REQUESTS = 16,
};

/* Runs in somebody's hands. */
struct run {
    uint32_t first, pages;
};

static const struct allocator ours = { .name = BENCH_OURS, .pages_max = UINT32_MAX, .take = palloc, .give = pfree };

static uint32_t page_of(const void *run) {
    return palloc_pfn(run);
}

/* --- Hot pairs --------------------------------------------------------------------------------------------------- */

static void measure_pair(const struct allocator *who, uint32_t pages) {
    char name[32];
    fmt(name, sizeof(name), "page-%u", pages);
    if (pages > who->pages_max || !bench_wanted(name))
        return;
    who->give(page_of(who->take(pages)), pages);
    for (unsigned i = 0; i < PAIR_SAMPLES; i++) {
        for (unsigned pair = 0; pair < PAIRS; pair++) {
            bench_open();
            who->give(page_of(who->take(pages)), pages);
            bench_close();
        }
        bench_sample(name, who->name, PAIRS);
    }
}

/* --- All of memory ----------------------------------------------------------------------------------------------- */

static void *take_measured(const struct allocator *who, uint32_t pages) {
    bench_open();
    void *run = who->take(pages);
    bench_close();
    return run;
}

static void give_measured(const struct allocator *who, struct run run) {
    bench_open();
    who->give(run.first, run.pages);
    bench_close();
}

/* Whole chunks are measured; what is left over is taken without. */
static uint32_t fill(const struct allocator *who, struct run *list, uint32_t pages) {
    uint32_t whole = pages - pages % FILL_CHUNK, count = 0;
    while (count < pages) {
        void *run = count < whole ? take_measured(who, 1) : who->take(1);
        require(run != NULL, "bench: %s refused a page after %u of %u", who->name, count, pages);
        list[count++] = (struct run){ page_of(run), 1 };
        if (count <= whole && count % FILL_CHUNK == 0)
            bench_sample("page-fill", who->name, FILL_CHUNK);
    }
    require(who->take(1) == NULL, "bench: %s has more than %u pages", who->name, pages);
    return whole;
}

static void shuffle(struct run *list, uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = bench_random_below(i);
        struct run kept = list[i - 1];
        list[i - 1] = list[other];
        list[other] = kept;
    }
}

static void measure_all(const struct allocator *who, struct run *list, uint32_t pages) {
    if (!bench_wanted("page-fill") && !bench_wanted("page-drain"))
        return;
    bench_random_restart();
    uint32_t whole = fill(who, list, pages);
    shuffle(list, pages);
    for (uint32_t i = 0; i < whole; i++) {
        give_measured(who, list[i]);
        if (i % FILL_CHUNK == FILL_CHUNK - 1)
            bench_sample("page-drain", who->name, FILL_CHUNK);
    }
    for (uint32_t i = whole; i < pages; i++)
        who->give(list[i].first, 1);
}

/* --- Mixed lengths ----------------------------------------------------------------------------------------------- */

struct mix {
    const struct allocator *who;
    struct run *list;
    uint32_t count, used, most; /* runs in hands, their pages, and how many those may be */
    bool any_length;
    uint32_t refused;
};

static uint32_t random_length(const struct mix *mix) {
    uint32_t length = 1u << bench_random_below(MIXED_ORDERS);
    return mix->any_length ? length - bench_random_below((length + 1) / 2) : length;
}

static void give_any(struct mix *mix) {
    uint32_t index = bench_random_below(mix->count);
    struct run run = mix->list[index];
    mix->list[index] = mix->list[--mix->count];
    mix->used -= run.pages;
    give_measured(mix->who, run);
}

static void request(struct mix *mix) {
    uint32_t pages = random_length(mix);
    while (mix->used + pages > mix->most)
        give_any(mix);
    void *run = take_measured(mix->who, pages);
    if (run != NULL) {
        mix->list[mix->count++] = (struct run){ page_of(run), pages };
        mix->used += pages;
    } else {
        mix->refused++;
        give_any(mix);
    }
}

static void run_mix(struct mix *mix, const char *name) {
    bench_random_restart();
    for (unsigned i = 0; i < MIXED_WARM; i++)
        request(mix);
    bench_discard();
    mix->refused = 0;
    for (unsigned i = 0; i < MIXED_SAMPLES; i++) {
        for (unsigned k = 0; k < MIXED_REQUESTS; k++)
            request(mix);
        bench_sample(name, mix->who->name, MIXED_REQUESTS);
    }
    while (mix->count > 0)
        give_any(mix);
    bench_discard();
}

static void measure_mixed(const struct allocator *who, struct run *list, uint32_t pages, uint32_t percent, bool any) {
    char name[32], refused[48];
    fmt(name, sizeof(name), "page-mixed-%u-%s", percent, any ? "any" : "pow2");
    fmt(refused, sizeof(refused), "%s-refused", name);
    if (!bench_wanted(name) || who->pages_max < 1u << (MIXED_ORDERS - 1))
        return;
    struct mix mix = { .who = who, .list = list, .most = pages / 100 * percent, .any_length = any };
    run_mix(&mix, name);
    bench_figure(refused, who->name, "ratio", mix.refused, MIXED_SAMPLES * MIXED_REQUESTS);
}

/* --- All of it --------------------------------------------------------------------------------------------------- */

static void measure(const struct allocator *who, struct run *list, uint32_t pages) {
    static const uint32_t lengths[] = { 1, 8, 512 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        measure_pair(who, lengths[i]);
    measure_all(who, list, pages);
    for (uint32_t percent = 50; percent <= 90; percent += 40) {
        measure_mixed(who, list, pages, percent, false);
        measure_mixed(who, list, pages, percent, true);
    }
}

static void show_metadata(const struct allocator *who, size_t bytes, size_t pages) {
    if (bench_wanted("page-metadata"))
        bench_figure("page-metadata", who->name, "bytes", bytes, pages);
}

static void measure_peer(const struct allocator *who, struct run *list, uint32_t pages) {
    size_t bytes = who->bytes(pages);
    void *memory = bench_memory(bytes);
    who->init(memory, pages);
    measure(who, list, pages);
    show_metadata(who, bytes, pages);
    bench_release(memory, bytes);
}

static uint32_t free_pages(struct palloc_stats *stats) {
    palloc_stats(stats);
    return (uint32_t)(stats->free + stats->cached);
}

void bench_pages(void) {
    struct palloc_stats stats;
    size_t bytes = free_pages(&stats) * sizeof(struct run);
    struct run *list = (struct run *)bench_memory(bytes);
    uint32_t pages = free_pages(&stats);
    measure(&ours, list, pages);
    show_metadata(&ours, stats.metadata_bytes, stats.total);
    measure_peer(&buddy, list, pages);
    measure_peer(&stack, list, pages);
    bench_release(list, bytes);
}
