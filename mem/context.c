/* Contexts and the nodes of their ranges come from two pools. The list of contexts has a lock above theirs, so that a
 * walk over all contexts may lock each in turn; creating and destroying take it only to link and unlink.
 *
 * Invariant, checked by context_audit():
 *   C1  what is mapped in a context (in the kernel's: in the part that its ranges own) lies in one of its ranges. */
#include <mem/context.h>
#include <base/check.h>
#include <mem/nodes.h>
#include <mem/range_cache.h>
#include <mem/ul_visible.h>

static struct {
    struct lock lock;
    struct context kernel;
    struct context *last; /* guarded by lock */
    uint32_t number;      /* given last; guarded by lock */
    struct pool contexts, ranges;
    void (*ended)(struct context *context); /* set once */
} state = { .lock = LOCK_INIT("contexts", LOCK_RANK_CONTEXTS) };

struct context *context_kernel(void) {
    return &state.kernel;
}

void context_init(uintptr_t first, uintptr_t end) {
    pool_init(&state.contexts, "contexts", sizeof(struct context), &nodes_source);
    pool_init(&state.ranges, "ranges", VSPACE_NODE_BYTES, &nodes_source);
    struct context *kernel = &state.kernel;
    lock_init(&kernel->lock, "kernel context", LOCK_RANK_CONTEXT);
    vspace_init(&kernel->ranges, page_number(first), page_number(end), &state.ranges);
    range_cache_init(&kernel->ranges, CONTEXT_RANGE_SHORT);
    kernel->name = "kernel";
    kernel->number = 0;
    kernel->next = NULL;
    state.last = kernel;
    state.number = 0;
}

static void link(struct context *context) {
    lock_take(&state.lock);
    context->number = ++state.number;
    context->next = NULL;
    state.last->next = context;
    state.last = context;
    lock_release(&state.lock);
}

static void unlink(struct context *context) {
    lock_take(&state.lock);
    struct context *before = &state.kernel;
    while (before->next != context) {
        require(before->next != NULL, "context %s (number %u) is not in the list of contexts", context->name,
                context->number);
        before = before->next;
    }
    before->next = context->next;
    if (state.last == context)
        state.last = before;
    lock_release(&state.lock);
}

void context_set_end(void (*ended)(struct context *context)) {
    state.ended = ended;
}

struct context *context_create(const char *name) {
    struct context *context = (struct context *)pool_take(&state.contexts);
    if (context == NULL)
        return NULL;
    *context = (struct context){ .name = name, .task = true };
    lock_init(&context->lock, "context", LOCK_RANK_CONTEXT);
    if (paging_create(&context->tables) != 0) {
        pool_give(&state.contexts, context);
        return NULL;
    }
    if (ul_visible_map(&context->tables) != 0) {
        paging_destroy(&context->tables);
        pool_give(&state.contexts, context);
        return NULL;
    }
    vspace_init(&context->ranges, page_number(GEOMETRY_TASK_FIRST), page_number(GEOMETRY_TASK_END), &state.ranges);
    link(context);
    return context;
}

void context_destroy(struct context *context) {
    require(context != &state.kernel, "the kernel's context can't be destroyed");
    unlink(context);
    if (context->leases.open > 0)
        state.ended(context);
    const struct vspace_range *range = NULL;
    uintptr_t page = 0;
    while ((range = vspace_next(&context->ranges, page)) != NULL) {
        paging_unmap(&context->tables, page_address(range->first), range->end - range->first);
        page = range->end;
    }
    vspace_clear(&context->ranges);
    ul_visible_unmap(&context->tables);
    paging_destroy(&context->tables);
    pool_give(&state.contexts, context);
}

struct context *context_by_number(uint32_t number) {
    lock_take(&state.lock);
    struct context *context = &state.kernel;
    while (context != NULL && context->number != number)
        context = context->next;
    lock_release(&state.lock);
    return context;
}

uint32_t context_next_number(uint32_t number) {
    lock_take(&state.lock);
    const struct context *context = &state.kernel;
    while (context != NULL && context->number <= number)
        context = context->next;
    lock_release(&state.lock);
    return context != NULL ? context->number : UINT32_MAX;
}

const char *context_range_name(unsigned attributes) {
    switch (attributes & CONTEXT_RANGE_KIND) {
    case CONTEXT_RANGE_EMPTY:
        return "valloc";
    case CONTEXT_RANGE_PAGES:
        return "pvalloc";
    case CONTEXT_RANGE_IO:
        return "io_map";
    case CONTEXT_RANGE_AREA:
        return "task";
    case CONTEXT_RANGE_HEAP:
        return "kmalloc_init";
    case CONTEXT_RANGE_LEASE:
        return "lease_open";
    case CONTEXT_RANGE_SHADOW:
        return "shadow_init";
    case CONTEXT_RANGE_SHORT:
        return "short ranges";
    default:
        return "unknown";
    }
}

enum context_part context_find_range(struct context *context, uintptr_t page, struct vspace_range *range) {
    const struct vspace_range *found = vspace_find(&context->ranges, page);
    if (found == NULL) {
        found = vspace_find_guard(&context->ranges, page);
        if (found != NULL)
            *range = *found;
        return found != NULL ? CONTEXT_IN_GUARD : CONTEXT_NO_RANGE;
    }
    *range = *found;
    if ((found->attributes & CONTEXT_RANGE_KIND) != CONTEXT_RANGE_SHORT || range_cache_find(page, range))
        return CONTEXT_IN_RANGE;
    return range->end != 0 ? CONTEXT_IN_GUARD : CONTEXT_NO_RANGE;
}

void context_trim(void) {
    pool_trim(&state.contexts);
    pool_trim(&state.ranges);
}

static void audit_leaf(void *to, uintptr_t page, pfn_t pfn, unsigned attributes) {
    struct context *context = (struct context *)to;
    struct vspace_range range;
    (void)attributes;
    require(context_find_range(context, page, &range) == CONTEXT_IN_RANGE,
            "context %s: C1 broken: %#zx shows page %#x but is in no range", context->name, (size_t)page_address(page),
            pfn);
}

void context_audit(struct context *context) {
    lock_take(&context->lock);
    vspace_audit(&context->ranges);
    uintptr_t first = context->ranges.first, end = context->ranges.end;
    paging_audit(&context->tables, page_address(first), end - first, audit_leaf, context);
    lock_release(&context->lock);
    if (context == &state.kernel)
        range_cache_audit();
    pool_audit(&state.contexts);
    pool_audit(&state.ranges);
}
