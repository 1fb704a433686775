/* Looking at the heap: each function takes the lock for one step, so a walk goes on over a heap that changes
 * meanwhile. */
#include <mem/kmalloc.h>
#include <base/check.h>
#include <mem/slab.h>

void kmalloc_stats(struct kmalloc_stats *stats) {
    *stats = (struct kmalloc_stats){ .region_bytes = heap_pages.region_pages << PAGE_SHIFT };
    slab_lock();
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        const struct slab_class *of = &slab_classes[i];
        stats->blocks += of->used;
        stats->bytes += of->used * of->block_bytes;
        stats->slabs += of->slabs;
        stats->spares += of->spare != NULL;
    }
    stats->pages = heap_pages.pages + heap_pages.index_pages;
    stats->large_blocks = slab_classes[SLAB_LARGE].used;
    stats->blocks += stats->large_blocks;
    stats->bytes += slab_classes[SLAB_LARGE].run_pages << PAGE_SHIFT;
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
        .used = of->used,
        .slabs = of->slabs,
    };
    slab_unlock();
    return true;
}

/* --- Objects ------------------------------------------------------------------------------------------------------ */

static void describe(struct block block, struct kmalloc_object *object) {
    *object =
        (struct kmalloc_object){ .address = slab_address(block), .bytes = block.slab->block_bytes, .intact = true };
    object->in_use = slab_in_use(block);
    if (!CONFIG_KMALLOC_CANARY)
        return;
    const struct canary_record *record = &block.slab->records[block.index];
    if (record->before == 0) /* never in use: where it would begin */
        object->address += CANARY_BEFORE;
    if (record->before == 0)
        return;
    object->address = slab_user(block);
    object->bytes = record->bytes;
    object->place = record->place;
    object->intact = !object->in_use || canary_intact(object->address, record->bytes);
}

bool kmalloc_find(uintptr_t address, struct kmalloc_object *object) {
    slab_lock();
    struct slab *slab = heap_pages_owner(address);
    struct block block = { NULL, 0 };
    if (slab != NULL)
        block = slab_block_at(slab, address);
    bool found = slab != NULL && block.index < slab->blocks;
    if (found)
        describe(block, object);
    slab_unlock();
    return found;
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

static struct kmalloc_place *find_place(struct kmalloc_place *table, size_t *count, size_t room, uintptr_t place) {
    for (size_t i = 0; i < *count; i++)
        if (table[i].place == place)
            return &table[i];
    if (*count == room)
        return NULL;
    table[*count] = (struct kmalloc_place){ .place = place };
    return &table[(*count)++];
}

size_t kmalloc_places(struct kmalloc_place *table, size_t room, struct kmalloc_place *others) {
    size_t count = 0;
    struct kmalloc_object object;
    *others = (struct kmalloc_place){ .place = 0 };
    for (uintptr_t address = 0; CONFIG_KMALLOC_CANARY && kmalloc_next(address, &object); address = object.address) {
        struct kmalloc_place *sum = find_place(table, &count, room, object.place);
        if (sum == NULL)
            sum = others;
        sum->blocks++;
        sum->bytes += object.bytes;
    }
    return count;
}

/* --- The whole ---------------------------------------------------------------------------------------------------- */

void kmalloc_audit(void) {
    struct kmalloc_object object;
    if (heap_pages.region_pages == 0)
        return;
    slab_lock();
    heap_pages_audit();
    slab_audit();
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
