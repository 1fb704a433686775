/* The family is thin: a request is a size, an alignment and a place; mem/slab.c finds the block, and mem/canary.c
 * dresses it.
 *
 *     kfree(address) -- one load --> slab -- one multiplication --> block -- in use? starts here? --> free it
 *                          +-- none ---------------------------------------------- no --> refuse()
 *
 * refuse() looks further, since time no longer matters.
 *
 * Which mistakes are told apart: double free; a pointer into a block; memory of another family, with the call that
 * would have been right; a lease's window; a task's address; memory of the kernel's own; nothing at all.
 *
 * Invariant, checked by kmalloc_audit() besides those of mem/heap_pages.c and mem/slab.c:
 *   H7  the canaries of all blocks in use are as they were written.
 *
 * Locking: one lock (rank HEAP) around each step. The user's bytes are cleared and copied outside of it: a block in
 * use is touched by its user alone. A report is made with the lock released, so that whoever handles the panic may ask
 * the heap again. */
#include <mem/kmalloc.h>
#include <base/bits.h>
#include <base/check.h>
#include <base/fail.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/lease.h>
#include <mem/slab.h>

/* Sums of sizes below this can't wrap. */
#define BYTES_MAX (SIZE_MAX / 4)

#define PLACE ((uintptr_t)__builtin_return_address(0))

int kmalloc_init(uint64_t random) {
    require(heap_pages.region_pages == 0, "kmalloc_init: the heap is up already");
    canary_init(random);
    slab_init();
    return heap_pages_init();
}

/* --- Reports ------------------------------------------------------------------------------------------------------ */

static const char *asked_at(const struct kmalloc_object *object, char *out, size_t bytes) {
    out[0] = '\0';
    if (object->place != 0)
        fmt(out, bytes, ", allocated at %#zx", (size_t)object->place);
    return out;
}

static NORETURN void refuse_in_heap(const char *call, uintptr_t address) {
    struct kmalloc_object object;
    char place[40];
    if (!kmalloc_find(address, &object))
        panic("%s(%#zx): no block: this part of the heap is free, or was never handed out", call, (size_t)address);
    asked_at(&object, place, sizeof(place));
    if (!object.in_use && address == object.address)
        panic("%s(%#zx): double free: the block of %zu bytes there isn't in use%s", call, (size_t)address, object.bytes,
              place);
    bool before = address < object.address;
    panic("%s(%#zx): not the start of a block: %zu bytes %s %#zx, a block of %zu bytes that is %s%s", call,
          (size_t)address, (size_t)(before ? object.address - address : address - object.address),
          before ? "before" : "after", (size_t)object.address, object.bytes, object.in_use ? "in use" : "free", place);
}

/* Ranges of the kernel's context: each kind of them has its own call that gives it back. */
static void refuse_range(const char *call, uintptr_t address) {
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    const struct vspace_range *range = vspace_find(&kernel->ranges, page_number(address));
    const struct vspace_range *guard = vspace_find_guard(&kernel->ranges, page_number(address));
    struct vspace_range found = { .first = 0 };
    if (range != NULL || guard != NULL)
        found = range != NULL ? *range : *guard;
    lock_release(&kernel->lock);
    const char *family = context_range_name(found.attributes);
    if (guard != NULL)
        panic("%s(%#zx): the guard page of the range from %s at %#zx", call, (size_t)address, family,
              (size_t)page_address(found.first));
    if (range == NULL)
        return;
    bool io = (found.attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_IO;
    const char *right = io                                                               ? "io_unmap"
                        : (found.attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_PAGES ? "pvfree"
                                                                                         : "vfree";
    uintptr_t pages = found.end - found.first;
    panic("%s(%#zx): not the heap's: it is from %s, and %s(%#zx, %zu) gives it back", call, (size_t)address, family,
          right, (size_t)(io ? page_address(found.first) : found.first), (size_t)(io ? pages << PAGE_SHIFT : pages));
}

static void refuse_task(const char *call, uintptr_t address) {
    for (uint32_t number = context_next_number(0); number != UINT32_MAX; number = context_next_number(number)) {
        struct context *context = context_by_number(number);
        lock_take(&context->lock);
        bool there = vspace_find(&context->ranges, page_number(address)) != NULL;
        lock_release(&context->lock);
        if (there)
            panic("%s(%#zx): not the heap's: nothing is there in the kernel's context, but task context %s has a range "
                  "there",
                  call, (size_t)address, context->name);
    }
}

static NORETURN void refuse(const char *call, uintptr_t address) {
    struct lease_info lease;
    struct paging_entry entry;
    if (heap_pages_contain(address))
        refuse_in_heap(call, address);
    if (lease_find(address, &lease))
        panic("%s(%#zx): not the heap's: it is the window of a lease on %#zx of context %s; lease_close() ends it",
              call, (size_t)address, (size_t)lease.address, lease.context_name);
    refuse_range(call, address);
    if (paging_find(&context_kernel()->tables, address, &entry))
        panic("%s(%#zx): not the heap's: memory of the kernel's own, of a variable or a stack", call, (size_t)address);
    refuse_task(call, address);
    panic("%s(%#zx): not the heap's: nothing is mapped there", call, (size_t)address);
}

/* With the lock held, which it releases. */
static NORETURN void refuse_changed(const char *call, struct block block) {
    char what[320];
    uintptr_t user = slab_user(block);
    struct canary_record record = block.slab->records[block.index];
    canary_describe(user, record.bytes, what, sizeof(what));
    slab_unlock();
    panic("%s(%#zx): canaries of the block of %zu bytes, allocated at %#zx, were overwritten: %s", call, (size_t)user,
          record.bytes, (size_t)record.place, what);
}

/* The block in use that starts at this address; the lock is held. */
static struct block find(const char *call, const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    struct slab *slab = heap_pages_owner(address);
    if (__builtin_expect(slab != NULL, 1)) {
        struct block block = slab_block_at(slab, address);
        if (__builtin_expect(slab_in_use(block) && slab_user(block) == address, 1)) {
            if (CONFIG_KMALLOC_CANARY && !canary_intact(address, slab->records[block.index].bytes))
                refuse_changed(call, block);
            return block;
        }
    }
    slab_unlock();
    refuse(call, address);
}

/* --- Blocks in use ------------------------------------------------------------------------------------------------ */

/* Notes the request in the block's record, and writes canaries around its bytes. */
static void dress(struct block block, size_t bytes, size_t before, uintptr_t place) {
    block.slab->records[block.index] = (struct canary_record){ .place = place, .bytes = bytes, .before = before };
    canary_write(slab_user(block), bytes);
}

static struct block take(size_t bytes, bool page_aligned, uintptr_t place) {
    size_t before = canary_before(page_aligned), whole = before + bytes + canary_after();
    if (page_aligned)
        whole = (size_t)round_up(whole + (whole == 0), PAGE_SIZE);
    slab_lock();
    struct block block = slab_take(whole);
    if (CONFIG_KMALLOC_CANARY && block.slab != NULL)
        dress(block, bytes, before, place);
    slab_unlock();
    return block;
}

static void *request(size_t bytes, bool page_aligned, uintptr_t place) {
    if (bytes > BYTES_MAX || fail_here())
        return NULL;
    struct block block = take(bytes, page_aligned, place);
    return block.slab == NULL ? NULL : (void *)slab_user(block);
}

static void *request_zeroed(size_t bytes, bool page_aligned, uintptr_t place) {
    void *block = request(bytes, page_aligned, place);
    return block == NULL ? NULL : memset(block, 0, bytes);
}

static size_t usable(struct block block) {
    return CONFIG_KMALLOC_CANARY ? block.slab->records[block.index].bytes : block.slab->block_bytes;
}

/* --- The family --------------------------------------------------------------------------------------------------- */

void *kmalloc(size_t bytes) {
    return request(bytes, false, PLACE);
}

void *zmalloc(size_t bytes) {
    return request_zeroed(bytes, false, PLACE);
}

void *kmalloc_a(size_t bytes) {
    return request(bytes, true, PLACE);
}

void *zmalloc_a(size_t bytes) {
    return request_zeroed(bytes, true, PLACE);
}

void kfree(void *pointer) {
    if (pointer == NULL)
        return;
    slab_lock();
    slab_give(find("kfree", pointer));
    slab_unlock();
}

size_t kmalloc_usable_size(const void *pointer) {
    if (pointer == NULL)
        return 0;
    slab_lock();
    size_t bytes = usable(find("kmalloc_usable_size", pointer));
    slab_unlock();
    return bytes;
}

/* Bytes of its block that a resized request would need, before the user's included. */
static size_t needed(struct block block, size_t bytes) {
    return slab_user(block) - slab_address(block) + bytes + canary_after();
}

/* It fits, and fills more than half of the block, or no smaller one would do. A large block gives its last pages back,
 * so only the border to the smaller sizes matters. */
static bool may_stay(struct block block, size_t bytes) {
    size_t need = needed(block, bytes), have = block.slab->block_bytes;
    if (need > have)
        return false;
    return need > SLAB_BLOCK_MAX || need > have / 2 || slab_class_of(need) == block.slab->size_class;
}

static void stay(struct block block, size_t bytes, uintptr_t place) {
    if (needed(block, bytes) > SLAB_BLOCK_MAX && block.slab->size_class == SLAB_LARGE)
        slab_shrink(block.slab, needed(block, bytes));
    if (CONFIG_KMALLOC_CANARY)
        dress(block, bytes, block.slab->records[block.index].before, place);
}

void *krealloc(void *pointer, size_t bytes) {
    if (pointer == NULL)
        return request(bytes, false, PLACE);
    slab_lock();
    struct block old = find("krealloc", pointer);
    size_t had = usable(old);
    bool stays = bytes <= BYTES_MAX && may_stay(old, bytes);
    if (stays)
        stay(old, bytes, PLACE);
    slab_unlock();
    if (stays)
        return pointer;
    void *moved = request(bytes, false, PLACE);
    if (moved != NULL) {
        memcpy(moved, pointer, bytes < had ? bytes : had);
        kfree(pointer);
        return moved;
    }
    if (bytes > had)
        return NULL;
    slab_lock();
    stay(old, bytes, PLACE);
    slab_unlock();
    return pointer;
}

void kmalloc_trim(void) {
    slab_lock();
    slab_trim();
    heap_pages_trim();
    slab_unlock();
}
