/* What a broken contract of the heap's calls says. Time no longer matters here; whatever can be found out about the
 * address is, with the lock released, so that whoever handles the panic may ask the heap again.
 *
 * Which mistakes are told apart: double free; a pointer into a block; a block of an object cache, or of another one;
 * a wrong size; memory of another family, with the call that would have been right; a lease's window; a task's address;
 * memory of the kernel's own; nothing at all. A report ends with the likely mistake; that is only a guess. */
#include <mem/kmalloc.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/kmalloc_path.h>
#include <mem/lease.h>
#include <mem/palloc.h>

/* --- Blocks of the heap ------------------------------------------------------------------------------------------- */

/* ", allocated at PLACE, freed at PLACE", as far as that is known. */
static const char *history(const struct kmalloc_object *object, char *out, size_t bytes) {
    size_t length = 0;
    out[0] = '\0';
    if (object->place != 0)
        length = fmt(out, bytes, ", allocated at %#zx", (size_t)object->place);
    if (object->freed_place != 0)
        fmt(out + length, bytes - length, ", freed at %#zx", (size_t)object->freed_place);
    return out;
}

static bool frees(const char *call) {
    return string_starts(call, "kfree") || string_starts(call, "kcache_free");
}

/* Blocks' users get 16-byte aligned addresses, so that another one was never theirs. */
static const char *mistake_without_block(const char *call, uintptr_t address) {
    if (address % DRESS_ALIGN != 0)
        return "a pointer that was moved, or overwritten?";
    return frees(call) ? "freed twice, or a pointer that was moved?" : "used after it was freed?";
}

static NORETURN void refuse_in_heap(const char *call, uintptr_t address) {
    struct kmalloc_object object;
    char past[80];
    if (!kmalloc_find(address, &object))
        panic("%s(%#zx): no block: this part of the heap is free, or was never handed out: %s", call, (size_t)address,
              mistake_without_block(call, address));
    history(&object, past, sizeof(past));
    if (!object.in_use && address == object.address)
        panic("%s(%#zx): double free: the block of %zu bytes there isn't in use%s: %s", call, (size_t)address,
              object.bytes, past, frees(call) ? "freed twice?" : "used after it was freed?");
    bool before = address < object.address;
    bool cached = object.cache != NULL;
    panic("%s(%#zx): not the start of a block: %zu bytes %s %#zx, a block of %zu bytes that is %s%s: "
          "%s() wants what %s gave",
          call, (size_t)address, (size_t)(before ? object.address - address : address - object.address),
          before ? "before" : "after", (size_t)object.address, object.bytes, object.in_use ? "in use" : "free", past,
          call, cached ? "kcache_alloc()" : "kmalloc()");
}

/* The block is in use, of another class than the call is for. The lock is held, and released. */
static NORETURN void refuse_class(const char *call, const struct slab_class *wanted, struct block block) {
    const char *cache = block.slab->of->cache;
    size_t bytes = kmalloc_usable(block), user = slab_user(block);
    slab_unlock();
    if (cache == NULL)
        panic("%s(%#zx): a block of %zu bytes from kmalloc, given to the cache %s: kfree() gives it back", call, user,
              bytes, wanted->cache);
    if (wanted == NULL)
        panic("%s(%#zx): an object of the cache %s: kcache_free() gives it back", call, user, cache);
    panic("%s(%#zx): an object of the cache %s, given to the cache %s", call, user, cache, wanted->cache);
}

/* --- Memory of others --------------------------------------------------------------------------------------------- */

/* Ranges of the kernel's context: each kind of them has its own call that gives it back. */
static void refuse_range(const char *call, uintptr_t address) {
    struct context *kernel = context_kernel();
    lock_take(&kernel->lock);
    struct vspace_range found = { .first = 0 };
    enum context_part part = context_find_range(kernel, page_number(address), &found);
    lock_release(&kernel->lock);
    const char *family = context_range_name(found.attributes);
    if (part == CONTEXT_IN_GUARD)
        panic("%s(%#zx): the guard page of the range from %s at %#zx: a pointer that was moved past its end?", call,
              (size_t)address, family, (size_t)page_address(found.first));
    if (part == CONTEXT_NO_RANGE)
        return;
    if ((found.attributes & CONTEXT_RANGE_KIND) == CONTEXT_RANGE_SHADOW)
        panic("%s(%#zx): not the heap's: it is from %s, and nobody gives it back", call, (size_t)address, family);
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

/* Of an address where nothing is. */
static const char *mistake_at_nothing(uintptr_t address) {
    if (address < PAGE_SIZE)
        return "a member of a structure at NULL?";
    return address < palloc_end() ? "a page number instead of an address?" : "never written, or overwritten?";
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
        panic("%s(%#zx): not the heap's: memory of the kernel's own, of a variable or a stack: it needs no freeing",
              call, (size_t)address);
    refuse_task(call, address);
    panic("%s(%#zx): not the heap's: nothing is mapped there: %s", call, (size_t)address, mistake_at_nothing(address));
}

/* --- Finding a block in use --------------------------------------------------------------------------------------- */

/* With the lock held, which it releases. */
static NORETURN void refuse_changed(const char *call, struct block block) {
    char what[320];
    size_t user = slab_user(block);
    const struct note *note = slab_note(slab_state(block));
    bool canaries = !note->alone && !canary_intact(user, note->bytes);
    intptr_t first =
        canaries ? canary_describe(user, note->bytes, what, sizeof(what))
                 : guard_describe_zones(slab_address(block), block.slab->block_bytes, user, note, what, sizeof(what));
    const char *mistake = canary_mistake(user, note->bytes, first);
    size_t bytes = note->bytes, place = note->place;
    slab_unlock();
    panic("%s(%#zx): %s of the block of %zu bytes, allocated at %#zx, were overwritten: %s: %s", call, user,
          canaries ? "canaries" : "red zones", bytes, place, what, mistake);
}

/* The bytes that a block was asked for with, as far as that is known, aren't these. */
void kmalloc_refuse_size(const char *call, struct block block, size_t bytes) {
    size_t user = slab_user(block), usable = kmalloc_usable(block);
    size_t place = CONFIG_KMALLOC_CANARY ? slab_note(slab_state(block))->place : 0;
    const char *mistake = "the size of another type, or from before it was resized?";
    slab_unlock();
    if (place == 0)
        panic("%s(%#zx, %zu): wrong size: the block has %zu bytes%s: %s", call, user, bytes, usable,
              bytes > usable ? "" : ", and so few would have got a shorter one", mistake);
    panic("%s(%#zx, %zu): wrong size: the block was asked for with %zu bytes, allocated at %#zx: %s", call, user, bytes,
          usable, place, mistake);
}

static struct block find(const char *call, const struct slab_class *of, const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    slab_lock();
    struct slab *slab = slab_of(address);
    struct block block = { NULL, 0 };
    if (slab != NULL)
        block = slab_block_at(slab, address);
    if (slab == NULL || !slab_in_use(block) || slab_user(block) != address) {
        slab_unlock();
        refuse(call, address);
    }
    if (of != NULL ? slab->of != of : slab->of->cache != NULL)
        refuse_class(call, of, block);
    if (!dress_intact(block))
        refuse_changed(call, block);
    return block;
}

struct block kmalloc_block(const char *call, const void *pointer) {
    return find(call, NULL, pointer);
}

struct block kmalloc_cache_block(const char *call, const struct slab_class *of, const void *pointer) {
    return find(call, of, pointer);
}
