/* Looking at the heap: each function takes the lock for one step, so a walk goes on over a heap that changes
 * meanwhile. */
#include <mem/kmalloc.h>
#include <base/check.h>
#include <mem/kmalloc_path.h>

/* Blocks of a class that are in use. */
static size_t used(const struct slab_class *of) {
    return of->taken - magazine_blocks(of) - guard_kept_of(of);
}

/* Pages of the reserve, which are slabs of large blocks, that are in no use. */
static size_t reserve_unused(void) {
    size_t pages = 0;
    for (const struct slab *slab = slab_lists.reserve; slab != NULL; slab = slab->next)
        pages++;
    return pages;
}

void kmalloc_stats(struct kmalloc_stats *stats) {
    *stats = (struct kmalloc_stats){ .region_bytes = heap_pages.region_pages << PAGE_SHIFT };
    slab_lock();
    for (const struct slab_class *of = slab_lists.classes; of != NULL; of = of->next) {
        stats->blocks += used(of);
        stats->bytes += used(of) * of->block_bytes;
        stats->slabs += of->slabs;
        stats->cached += magazine_blocks(of);
    }
    stats->quarantined = guard_kept();
    stats->reserve_pages = slab_lists.reserve_pages;
    stats->pages =
        heap_pages.pages + heap_pages.index_pages - slab_lists.reserve_pages - slab_lists.reserve_index_pages;
    stats->slabs -= slab_lists.reserve_pages;
    stats->spares = slab_lists.kept_slabs;
    stats->spare_pages = slab_lists.kept_pages;
    stats->large_blocks = slab_large.taken;
    stats->bytes += (slab_large.run_pages - reserve_unused()) << PAGE_SHIFT;
    stats->requests = magazine_clock();
    slab_unlock();
}

bool kmalloc_class_stats(unsigned index, struct kmalloc_class_stats *stats) {
    if (index >= SLAB_CLASSES)
        return false;
    const struct slab_class *of = &slab_classes[index];
    slab_lock();
    *stats = (struct kmalloc_class_stats){
        .block_bytes = of->block_bytes,
        .blocks = of->slabs * of->blocks,
        .used = used(of),
        .slabs = of->slabs,
    };
    slab_unlock();
    return true;
}

/* --- Objects ------------------------------------------------------------------------------------------------------ */

/* The lock doesn't keep a block's user from freeing it, nor the next one from getting it. So the note is read before
 * and after: if it is the same, it was so in between, and what was seen belongs to it; if not, the block was free. */
static struct note read_note(const struct note *at) {
    return (struct note){
        .state = slab_load(&at->state),
        .used = note_get(&at->used),
        .before = note_get(&at->before),
        .place = note_get(&at->place),
        .freed_place = note_get(&at->freed_place),
        .bytes = note_get(&at->bytes),
        .born = note_get(&at->born),
    };
}

static bool is_same(const struct note *a, const struct note *b) {
    return a->state == b->state && a->used == b->used && a->before == b->before && a->place == b->place &&
           a->freed_place == b->freed_place && a->bytes == b->bytes && a->born == b->born;
}

static void describe(struct block block, struct kmalloc_object *object) {
    *object = (struct kmalloc_object){
        .address = slab_address(block),
        .bytes = block.slab->block_bytes,
        .cache = block.slab->of->cache,
        .in_use = slab_in_use(block),
        .intact = true,
    };
    if (!CONFIG_KMALLOC_CANARY)
        return;
    const struct note *at = slab_note(slab_state(block));
    const struct note note = read_note(at);
    if (!note.used) { /* where it would begin */
        object->address += CANARY_BEFORE;
        return;
    }
    bool intact = note.state != BLOCK_IN_USE || dress_intact(block);
    const struct note after = read_note(at);
    object->in_use = note.state == BLOCK_IN_USE && is_same(&note, &after);
    object->address += note.before;
    object->bytes = note.bytes;
    object->place = note.place;
    object->freed_place = note.freed_place;
    object->age = magazine_clock() - note.born;
    object->intact = intact || !object->in_use;
}

bool kmalloc_find(uintptr_t address, struct kmalloc_object *object) {
    slab_lock();
    struct slab *slab = slab_of(address);
    struct block block = { NULL, 0 };
    if (slab != NULL)
        block = slab_block_at(slab, address);
    bool found = slab != NULL && block.index < slab->blocks;
    if (found)
        describe(block, object);
    slab_unlock();
    return found;
}

/* In the page before, its last block; in the page behind, its first. */
bool kmalloc_find_beside(uintptr_t address, struct kmalloc_object *object) {
    uintptr_t page = address & ~(uintptr_t)(PAGE_SIZE - 1);
    return kmalloc_find(page - 1, object) || kmalloc_find(page + PAGE_SIZE, object);
}

/* The slab's first block in use whose user's bytes begin above the address. */
static bool next_in(struct slab *slab, uintptr_t address, struct block *block) {
    *block = address < slab->first ? (struct block){ slab, 0 } : slab_block_at(slab, address);
    for (; block->index < slab->blocks; block->index++)
        if (slab_in_use(*block) && slab_user(*block) > address)
            return true;
    return false;
}

bool kmalloc_next(uintptr_t address, struct kmalloc_object *object) {
    struct block block;
    bool found = false;
    slab_lock();
    struct slab *slab = slab_next(address);
    while (slab != NULL && !(found = next_in(slab, address, &block)))
        slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT));
    if (found)
        describe(block, object);
    slab_unlock();
    return found;
}

/* --- The whole ---------------------------------------------------------------------------------------------------- */

void kmalloc_audit(void) {
    struct kmalloc_object object;
    if (heap_pages.region_pages == 0)
        return;
    slab_lock();
    heap_pages_audit();
    slab_audit(magazine_pages());
    magazine_audit();
    if (CONFIG_KMALLOC_GUARD)
        guard_audit();
    slab_unlock();
    for (uintptr_t address = 0; kmalloc_next(address, &object); address = object.address)
        require(object.intact,
                "heap: H7 broken: the canaries of the block of %zu bytes at %#zx, allocated at %#zx, changed",
                object.bytes, (size_t)object.address, (size_t)object.place);
}

/* Each value is spread over all bits before the next one comes in, so that order and place count. */
static uint64_t chain(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

uint64_t kmalloc_hash(void) {
    uint64_t hash = 0;
    struct kmalloc_object object;
    for (uintptr_t address = 0; kmalloc_next(address, &object); address = object.address)
        hash = chain(chain(chain(hash, object.address), object.bytes), object.place);
    return hash;
}
