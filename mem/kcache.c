/* A cache is a class of blocks like those of kmalloc (mem/slab.c), with a magazine in each set as long as there are
 * free ones, and its hot paths are kmalloc()'s (mem/kmalloc_path.h) with one check more when an object is freed: that
 * its slab is of this cache.
 *
 * A block's state tells whether the constructor saw it: RAW until it was handed out, and again when its slab's pages
 * were another class' meanwhile. It is called once the block is in use, so an interrupt finds nothing half made.
 *
 * The descriptions come from a pool and not from kmalloc, so that a leak of caches is no leak of blocks. */
#include <mem/kcache.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/kmalloc_path.h>
#include <mem/nodes.h>

struct kcache {
    struct slab_class of;
    void (*constructor)(void *object);
    size_t bytes, before;
};

static struct pool caches;

enum { BYTES_MAX = 16384 };

struct kcache *kcache_create(const char *name, size_t bytes, size_t align, void (*constructor)(void *object)) {
    if (align < DRESS_ALIGN && (align == 0 || is_power_of_two(align)))
        align = DRESS_ALIGN;
    require(bytes > 0 && bytes <= BYTES_MAX && is_power_of_two(align) && align <= PAGE_SIZE,
            "kcache_create(%s, %zu, %zu): a size is 1 to %u, an alignment a power of two up to a page", name, bytes,
            align, BYTES_MAX);
    slab_lock();
    if (caches.object_bytes == 0)
        pool_init(&caches, "object caches", (size_t)round_up(sizeof(struct kcache), 16), &nodes_source);
    struct kcache *cache = (struct kcache *)pool_take(&caches);
    if (cache != NULL) {
        slab_class_open(&cache->of, (uint32_t)round_up(dress_whole(bytes, align), align));
        magazine_open(&cache->of);
        cache->of.cache = name;
        cache->of.constructed = constructor != NULL;
        cache->constructor = constructor;
        cache->bytes = bytes;
        cache->before = dress_before(align);
    }
    slab_unlock();
    return cache;
}

/* An entry whose note is IN_USE already, and whether the constructor must see it. */
static void *take(struct kcache *cache, uintptr_t place, bool *raw) {
    struct dress as = { .bytes = cache->bytes, .before = cache->before, .place = place };
    slab_lock();
    struct entry entry = magazine_take(&cache->of);
    void *user = NULL;
    if (entry.address != 0) {
        uint8_t state = slab_load(entry.note);
        require(state == BLOCK_CACHED || state == BLOCK_CACHED_RAW,
                "kcache_alloc(%s): the free object at %#zx has state %u: it was freed twice at the same time",
                cache->of.cache, (size_t)entry.address, state);
        *raw = state == BLOCK_CACHED_RAW;
        slab_store(entry.note, BLOCK_IN_USE);
        as.born = magazine_tick();
        as.whole = cache->of.block_bytes;
        user = (void *)dress(entry.address, entry.note, &as);
    }
    slab_unlock();
    return user;
}

static __attribute__((noinline)) void *take_slowly(struct kcache *cache, uintptr_t place) {
    bool raw = false;
    void *object = take(cache, place, &raw);
    for (unsigned step = 0; object == NULL && kmalloc_recover(step, cache->bytes); step++)
        object = take(cache, place, &raw);
    if (raw && object != NULL)
        cache->constructor(object);
    return object;
}

/* What is at hand, and not RAW, was constructed. */
void *kcache_alloc(struct kcache *cache) {
    if (fail_here())
        return NULL;
    if (!CONFIG_KMALLOC_GUARD) {
        struct dress as = { .bytes = cache->bytes, .before = cache->before, .place = KMALLOC_PLACE };
        void *object;
        if (likely(kmalloc_at_hand(cache->of.magazine, &as, &object)))
            return object;
    }
    return take_slowly(cache, KMALLOC_PLACE);
}

static __attribute__((noinline)) void give_slowly(struct kcache *cache, void *object, uintptr_t place) {
    if (object == NULL)
        return;
    kmalloc_give_locked(kmalloc_cache_block("kcache_free", &cache->of, object), place);
    slab_unlock();
}

void kcache_free(struct kcache *cache, void *object) {
    const struct kmalloc_size size = { .known = false };
    struct slab *slab = heap_pages_owner((uintptr_t)object);
    if (CONFIG_KMALLOC_GUARD || slab->of != &cache->of ||
        !likely(kmalloc_give_at_hand(slab, cache->of.magazine, (uintptr_t)object, size, KMALLOC_PLACE)))
        give_slowly(cache, object, KMALLOC_PLACE);
}

static size_t used_locked(const struct kcache *cache) {
    return cache->of.taken - magazine_blocks(&cache->of) - guard_kept_of(&cache->of);
}

size_t kcache_used(const struct kcache *cache) {
    slab_lock();
    size_t used = used_locked(cache);
    slab_unlock();
    return used;
}

bool kcache_destroy(struct kcache *cache) {
    slab_lock();
    bool unused = used_locked(cache) == 0;
    if (unused) {
        guard_drain();
        magazine_close(&cache->of);
        slab_class_close(&cache->of);
        pool_give(&caches, cache);
        pool_trim(&caches);
    }
    slab_unlock();
    return unused;
}
