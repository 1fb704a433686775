/* Object caches on several processors at once: objects stay constructed on their way through several hands, no two
 * processors have one object, and blocks of kmalloc go back with their sizes meanwhile. */
#include <base/check.h>
#include <mem/audit.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <tests/threads/threads.h>

enum { BUDGET_MS = 600, OPERATIONS = 3000, HANDS = 32, MAGIC = 0x600d };

struct object {
    uint32_t magic;
    unsigned owner; /* 0: nobody's */
    char rest[56];
};

static struct kcache *cache;
static struct object *hands[HANDS]; /* atomic: who takes an object out sees all that was done to it */

static void construct(void *memory) {
    *(struct object *)memory = (struct object){ .magic = MAGIC };
}

static struct object *take(unsigned who) {
    struct object *object = (struct object *)kcache_alloc(cache);
    if (object == NULL)
        return NULL;
    require(object->magic == MAGIC && object->owner == 0, "the object at %p is %u's (%#x): not as constructed",
            (void *)object, object->owner, (unsigned)object->magic);
    object->owner = who;
    return object;
}

static void give(struct object *object) {
    if (object == NULL)
        return;
    require(object->magic == MAGIC && object->owner != 0, "the object at %p is nobody's", (void *)object);
    object->owner = 0;
    kcache_free(cache, object);
}

static void hand_on(struct worker *worker) {
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct object *object = take(worker->number + 1);
        unsigned at = test_random_below(&worker->random, HANDS);
        give(__atomic_exchange_n(&hands[at], object, __ATOMIC_ACQ_REL));
    }
}

/* Taken and given back within one interrupt: it may have come in the middle of kcache_alloc(). */
static void interrupt(struct worker *worker) {
    give(take(THREADS_MAX + 1 + worker->number));
}

static void play(void (*body)(struct worker *worker)) {
    threads_on_interrupt(interrupt);
    cache = kcache_create("objects", sizeof(struct object), 0, construct);
    expect(cache != NULL);
    while (threads_time_left(BUDGET_MS)) {
        threads_run(4, body);
        audit_all();
    }
    for (unsigned i = 0; i < HANDS; i++) {
        give(hands[i]);
        hands[i] = NULL;
    }
    expect_equal(kcache_used(cache), 0);
    expect(kcache_destroy(cache));
}

TEST(objects_stay_constructed_on_their_way_through_several_processors) {
    play(hand_on);
}

static void hand_on_or_trim(struct worker *worker) {
    if (worker->number > 0)
        hand_on(worker);
    for (unsigned i = 0; worker->number == 0 && i < 100; i++) {
        kmalloc_trim();
        require(kcache_used(cache) <= HANDS + 2 * THREADS_MAX, "kcache_used: %zu", kcache_used(cache));
    }
}

TEST(a_cache_may_be_trimmed_and_counted_while_others_use_it) {
    play(hand_on_or_trim);
}

static void come_and_go(struct worker *worker) {
    for (unsigned i = 0; i < OPERATIONS / 50; i++) {
        struct kcache *own = kcache_create("worker's", 16 + test_random_below(&worker->random, 4000), 0, NULL);
        if (own == NULL)
            continue;
        void *object = kcache_alloc(own);
        require(object == NULL || !kcache_destroy(own), "a cache was destroyed while an object was in use");
        kcache_free(own, object);
        require(kcache_destroy(own), "an unused cache isn't destroyed");
    }
}

TEST(caches_come_and_go_on_all_processors) {
    play(come_and_go);
}

/* --- Blocks with their sizes, and the reserve --------------------------------------------------------------------- */

static void give_with_sizes(struct worker *worker) {
    for (unsigned i = 0; i < OPERATIONS; i++) {
        size_t bytes = 1 + test_random_below(&worker->random, i % 64 == 0 ? 50000 : 500);
        void *block = kmalloc(bytes);
        if (block != NULL)
            kfree_sized(block, bytes);
    }
}

TEST(blocks_go_back_with_their_sizes_on_all_processors) {
    play(give_with_sizes);
}

static struct link { struct link *next; } * chains[THREADS_MAX];

/* Whoever is told that nothing is left has the reserve: one block for each of eight processors. */
static void use_the_reserve(struct worker *worker) {
    struct link **chain = &chains[worker->number];
    for (struct link *link; (link = (struct link *)kmalloc(2000)) != NULL; *chain = link)
        link->next = *chain;
    void *last = kmalloc_urgent(2000);
    require(last != NULL, "kmalloc_urgent: nothing for worker %u", worker->number);
    for (struct link *next; *chain != NULL; *chain = next) {
        next = (*chain)->next;
        kfree(*chain);
    }
    kfree(last);
}

TEST(eight_processors_that_find_nothing_have_the_reserve) {
    threads_on_interrupt(NULL);
    threads_run(THREADS_MAX, use_the_reserve);
    audit_all();
}
