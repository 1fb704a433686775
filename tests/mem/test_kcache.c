#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <mem/audit.h>
#include <mem/kcache.h>
#include <mem/kmalloc.h>
#include <tests/test.h>

struct object {
    uint32_t magic, used;
    char rest[92];
};

static unsigned constructed;

static void construct(void *memory) {
    struct object *object = (struct object *)memory;
    memset(object, 0, sizeof(*object));
    object->magic = 0x600d;
    constructed++;
}

static struct kcache *create(const char *name, void (*constructor)(void *)) {
    struct kcache *cache = kcache_create(name, sizeof(struct object), 0, constructor);
    expect(cache != NULL);
    return cache;
}

TEST(a_cache_gives_constructed_objects_that_do_not_overlap) {
    enum { OBJECTS = 500 };
    static struct object *objects[OBJECTS];
    struct kcache *cache = create("objects", construct);
    constructed = 0;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            objects[i] = (struct object *)kcache_alloc(cache);
            expect(objects[i] != NULL);
            expect_equal(objects[i]->magic, 0x600d);
            expect_equal(objects[i]->used, 0);
            objects[i]->used = i + 1;
        }
        expect_equal(kcache_used(cache), OBJECTS);
        kmalloc_audit();
        for (unsigned i = 0; i < OBJECTS; i++) {
            expect_equal(objects[i]->used, i + 1);
            objects[i]->used = 0;
            kcache_free(cache, objects[i]);
        }
    }
    expect(constructed >= OBJECTS);
    expect(CONFIG_KMALLOC_CHECK >= KMALLOC_CHECK_GUARD || constructed < 2 * OBJECTS);
    kcache_free(cache, NULL);
    expect(kcache_destroy(cache));
}

TEST(objects_are_aligned_as_the_cache_says) {
    for (size_t align = 1; align <= PAGE_SIZE; align *= 2) {
        struct kcache *cache = kcache_create("aligned", 40, align, NULL);
        void *objects[20];
        expect(cache != NULL);
        for (int i = 0; i < 20; i++) {
            objects[i] = kcache_alloc(cache);
            expect(objects[i] != NULL && (uintptr_t)objects[i] % align == 0);
            memset(objects[i], i, 40);
        }
        audit_all();
        for (int i = 0; i < 20; i++) {
            expect_equal(*(uint8_t *)objects[i], i);
            kcache_free(cache, objects[i]);
        }
        expect(kcache_destroy(cache));
    }
}

TEST(a_cache_with_objects_in_use_is_not_destroyed) {
    struct kcache *cache = create("busy", NULL);
    void *object = kcache_alloc(cache);
    expect(!kcache_destroy(cache));
    kcache_free(cache, object);
    expect(kcache_destroy(cache));
}

TEST(caches_beyond_the_magazines_work_too) {
    enum { CACHES = 80 };
    static struct kcache *caches[CACHES];
    static void *objects[CACHES];
    for (int i = 0; i < CACHES; i++) {
        caches[i] = create("one of many", NULL);
        objects[i] = kcache_alloc(caches[i]);
        expect(objects[i] != NULL);
    }
    kmalloc_audit();
    for (int i = 0; i < CACHES; i++) {
        kcache_free(caches[i], objects[i]);
        expect(kcache_destroy(caches[i]));
    }
}

/* --- Misuse ------------------------------------------------------------------------------------------------------- */

TEST(an_object_of_another_family_is_reported) {
    struct kcache *volatile first = create("first", NULL), *volatile second = create("second", NULL);
    void *volatile object = kcache_alloc(first), *volatile block = kmalloc(100);
    expect(object != NULL && block != NULL);
    expect_panic("kfree(*): an object of the cache first: kcache_free() gives it back", kfree(object));
    expect_panic("krealloc(*): an object of the cache first: kcache_free() gives it back", krealloc(object, 5));
    expect_panic("kcache_free(*): an object of the cache first, given to the cache second",
                 kcache_free(second, object));
    expect_panic("kcache_free(*): a block of * bytes from kmalloc, given to the cache first: kfree() gives it back",
                 kcache_free(first, block));
    kfree(block);
    kcache_free(first, object);
    expect_panic("kcache_free(*): double free: the block of * bytes there isn't in use*: freed twice?",
                 kcache_free(first, object));
    expect_panic("kcache_free(*): not the start of a block: *: kcache_free() wants what kcache_alloc() gave",
                 kcache_free(first, (char *)object + 8));
    expect(kcache_destroy(first) && kcache_destroy(second));
}

TEST(an_absurd_cache_is_reported) {
    expect_panic("kcache_create(none, 0, 16): *", kcache_create("none", 0, 16, NULL));
    expect_panic("kcache_create(huge, 20000, 16): *", kcache_create("huge", 20000, 16, NULL));
    expect_panic("kcache_create(odd, 20, 48): *", kcache_create("odd", 20, 48, NULL));
    expect_panic("kcache_create(odd, 20, 8192): *", kcache_create("odd", 20, 8192, NULL));
}

/* --- Failures ----------------------------------------------------------------------------------------------------- */

TEST(a_cache_leaves_all_as_it_was_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    for (unsigned n = 1, reached = true; reached; n++) {
        uint64_t before = audit_hash();
        fail_arm(n);
        struct kcache *cache = kcache_create("failing", 700, 64, NULL);
        void *object = cache == NULL ? NULL : kcache_alloc(cache);
        reached = fail_seen() >= n;
        fail_arm(0);
        audit_all();
        expect(object != NULL || reached);
        if (object != NULL)
            kcache_free(cache, object);
        expect(cache == NULL || kcache_destroy(cache));
        expect(audit_hash() == before);
    }
}
