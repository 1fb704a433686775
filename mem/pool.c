/* A page of a pool:
 *
 *     +--------+---------+---------+-- ... --+---------+
 *     | header | object  | object  |         | object  |      free objects are linked through their first word
 *     +--------+---------+---------+-- ... --+---------+
 *
 * The header is found from an object by rounding its address down, so that giving back needs no search.
 *
 * Invariants, checked by pool_audit():
 *   L1  `partial` links exactly the pages with a free object, each once, with good links both ways.
 *   L2  used + free objects of a page = per_page; the sum of used over all pages = objects.
 *   L3  at most one page is wholly free, and then spare is 1.
 *
 * A double free of an object is seen in debug builds by walking the page's free list; always seen: an address that is
 * not an object's, a page that isn't this pool's, a page with nothing in use. */
#include <mem/pool.h>
#include <base/check.h>
#include <base/fail.h>

struct object {
    struct object *next;
};

struct pool_page {
    struct pool *owner;
    struct pool_page *next, *previous;
    struct object *free;
    size_t used;
};

enum { HEADER_BYTES = 48 };
_Static_assert(sizeof(struct pool_page) <= HEADER_BYTES, "the header fits");

void pool_init(struct pool *pool, const char *name, size_t object_bytes, const struct pool_source *source) {
    require(object_bytes >= 8 && object_bytes <= 1024, "pool %s: objects of %zu bytes", name, object_bytes);
    *pool = (struct pool){ .source = source, .object_bytes = (object_bytes + 7) & ~(size_t)7 };
    pool->per_page = (PAGE_SIZE - HEADER_BYTES) / pool->object_bytes;
    lock_init(&pool->lock, name, LOCK_RANK_POOL);
}

static void link_page(struct pool *pool, struct pool_page *page) {
    page->previous = NULL;
    page->next = pool->partial;
    if (page->next != NULL)
        page->next->previous = page;
    pool->partial = page;
}

static void unlink_page(struct pool *pool, struct pool_page *page) {
    if (page->next != NULL)
        page->next->previous = page->previous;
    if (page->previous != NULL)
        page->previous->next = page->next;
    else
        pool->partial = page->next;
}

/* Objects are linked in the order of their addresses, so that nodes made one after the other are neighbours. */
static void format_page(struct pool *pool, struct pool_page *page) {
    char *at = (char *)page + HEADER_BYTES;
    *page = (struct pool_page){ .owner = pool, .free = (struct object *)(void *)at };
    for (size_t i = 1; i < pool->per_page; i++, at += pool->object_bytes)
        ((struct object *)(void *)at)->next = (struct object *)(void *)(at + pool->object_bytes);
    ((struct object *)(void *)at)->next = NULL;
}

static void *take_from(struct pool *pool, struct pool_page *page) {
    struct object *object = page->free;
    page->free = object->next;
    if (page->used++ == 0)
        pool->spare--;
    pool->objects++;
    if (page->free == NULL)
        unlink_page(pool, page);
    return object;
}

void *pool_take(struct pool *pool) {
    if (fail_here())
        return NULL;
    lock_take(&pool->lock);
    while (pool->partial == NULL) {
        /* The source may map the page, which takes locks of its own and may even come back here: not under our lock. */
        lock_release(&pool->lock);
        struct pool_page *page = pool->source->take();
        if (page == NULL)
            return NULL;
        format_page(pool, page);
        lock_take(&pool->lock);
        link_page(pool, page);
        pool->pages++;
        pool->spare++;
    }
    void *object = take_from(pool, pool->partial);
    lock_release(&pool->lock);
    return object;
}

static bool is_free_object(const struct pool_page *page, const void *object) {
    for (const struct object *at = page->free; at != NULL; at = at->next)
        if (at == object)
            return true;
    return false;
}

static struct pool_page *page_of(const struct pool *pool, void *object) {
    struct pool_page *page = (struct pool_page *)((uintptr_t)object & ~(uintptr_t)(PAGE_SIZE - 1));
    size_t offset = (size_t)((char *)object - (char *)page);
    /* The page's last bytes may be too few for an object. */
    bool whole = offset >= HEADER_BYTES && (offset - HEADER_BYTES) % pool->object_bytes == 0 &&
                 (offset - HEADER_BYTES) / pool->object_bytes < pool->per_page;
    require(whole && page->owner == pool, "pool %s: %p is not one of its objects", pool->lock.name, object);
    return page;
}

void pool_give(struct pool *pool, void *object) {
    struct pool_page *page = page_of(pool, object), *unused = NULL;
    lock_take(&pool->lock);
    require(page->used > 0 && !(CONFIG_DEBUG && is_free_object(page, object)), "pool %s: double free of %p",
            pool->lock.name, object);
    if (page->free == NULL)
        link_page(pool, page);
    ((struct object *)object)->next = page->free;
    page->free = object;
    pool->objects--;
    if (--page->used == 0 && pool->spare++ > 0) {
        unlink_page(pool, page);
        pool->spare--;
        pool->pages--;
        unused = page;
    }
    lock_release(&pool->lock);
    if (unused != NULL)
        pool->source->give(unused);
}

void pool_trim(struct pool *pool) {
    lock_take(&pool->lock);
    struct pool_page *page = pool->partial;
    while (page != NULL && page->used > 0)
        page = page->next;
    if (page != NULL) {
        unlink_page(pool, page);
        pool->pages--;
        pool->spare--;
    }
    lock_release(&pool->lock);
    if (page != NULL)
        pool->source->give(page);
}

void pool_audit(struct pool *pool) {
    size_t listed = 0, used = 0, unused = 0;
    lock_take(&pool->lock);
    for (struct pool_page *page = pool->partial, *previous = NULL; page != NULL; previous = page, page = page->next) {
        size_t free = 0;
        for (const struct object *at = page->free; at != NULL && free <= pool->per_page; at = at->next)
            free++;
        require(page->owner == pool && page->previous == previous && free > 0, "pool %s: L1 broken at page %p",
                pool->lock.name, (void *)page);
        require(page->used + free == pool->per_page, "pool %s: L2 broken at page %p: %zu used, %zu free of %zu",
                pool->lock.name, (void *)page, page->used, free, pool->per_page);
        listed++;
        used += page->used;
        unused += page->used == 0;
    }
    require(listed <= pool->pages && used + (pool->pages - listed) * pool->per_page == pool->objects,
            "pool %s: L2 broken: %zu objects in %zu pages, %zu listed with %zu used", pool->lock.name, pool->objects,
            pool->pages, listed, used);
    require(unused == pool->spare && unused <= 1, "pool %s: L3 broken: %zu wholly free pages, %zu noted",
            pool->lock.name, unused, pool->spare);
    lock_release(&pool->lock);
}
