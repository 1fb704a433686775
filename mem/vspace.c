/* The ranges in use form an AVL tree ordered by address. Gaps aren't recorded: each node knows the extremes of its
 * subtree (low, high) and the longest gap inside it, so that a search can pass by every subtree that has no room.
 *
 *        from                                                              to
 *         |   [guard][ range ][guard]     [ range ][guard]       [ range ]  |
 *         |   ^low   ^first   ^end   <gap>                                  |
 *         |<->| edge gap                                   subtree's high ^<->|
 *
 * A search goes from left to right with two bounds: where the occupied pages before this subtree end, and where those
 * after it begin. The longest gap that the subtree can offer is then the largest of its own gap and its two edges.
 *
 * A request of n pages (guards included) aligned to a first looks for a gap of n + a - 1, in which it surely fits:
 * every subtree entered holds such a gap, so the search doesn't turn back, but for the two paths along the request's
 * own bounds. Only if there is none, it looks at every gap of at least n, one by one: slower, but nothing that fits is
 * refused.
 *
 * Invariants, checked by vspace_audit():
 *   V1  ranges and their guards are disjoint, in order and inside the space; no range is empty.
 *   V2  heights of siblings differ by one at most.
 *   V3  low, high, gap and height of a node are what its subtree says.
 *   V4  ranges and pages count the tree.
 *
 * Not done: best fit; the tree is ordered by address alone. */
#include <mem/vspace.h>
#include <base/bits.h>
#include <base/check.h>

_Static_assert(sizeof(struct vspace_range) <= 64, "a range costs at most one cache line");

typedef struct vspace_range node;

static uintptr_t occupied_first(const node *range) {
    return range->first - range->guard_before;
}

static uintptr_t occupied_end(const node *range) {
    return range->end + range->guard_after;
}

static uintptr_t larger(uintptr_t a, uintptr_t b) {
    return a > b ? a : b;
}

/* --- The tree ----------------------------------------------------------------------------------------------------- */

static unsigned height(const node *tree) {
    return tree == NULL ? 0 : tree->height;
}

static void update(node *tree) {
    const node *left = tree->left, *right = tree->right;
    uintptr_t first = occupied_first(tree), end = occupied_end(tree), gap = 0;
    tree->low = first;
    tree->high = end;
    if (left != NULL) {
        gap = larger(left->gap, first - left->high);
        tree->low = left->low;
    }
    if (right != NULL) {
        gap = larger(gap, larger(right->gap, right->low - end));
        tree->high = right->high;
    }
    tree->gap = gap;
    tree->height = (uint8_t)(1 + larger(height(left), height(right)));
}

static node *rotate_right(node *tree) {
    node *top = tree->left;
    tree->left = top->right;
    top->right = tree;
    update(tree);
    update(top);
    return top;
}

static node *rotate_left(node *tree) {
    node *top = tree->right;
    tree->right = top->left;
    top->left = tree;
    update(tree);
    update(top);
    return top;
}

static node *balance(node *tree) {
    if (height(tree->left) > height(tree->right) + 1) {
        if (height(tree->left->left) < height(tree->left->right))
            tree->left = rotate_left(tree->left);
        return rotate_right(tree);
    }
    if (height(tree->right) > height(tree->left) + 1) {
        if (height(tree->right->right) < height(tree->right->left))
            tree->right = rotate_right(tree->right);
        return rotate_left(tree);
    }
    update(tree);
    return tree;
}

/* Recursion is as deep as the tree is high: at most 1.44 log2(n), 29 for a million ranges. */
static node *insert(struct vspace *space, node *tree, node *range) {
    space->steps++;
    if (tree == NULL) {
        range->left = range->right = NULL;
        update(range);
        return range;
    }
    if (range->first < tree->first)
        tree->left = insert(space, tree->left, range);
    else
        tree->right = insert(space, tree->right, range);
    return balance(tree);
}

static node *remove_lowest(struct vspace *space, node *tree, node **lowest) {
    space->steps++;
    if (tree->left == NULL) {
        *lowest = tree;
        return tree->right;
    }
    tree->left = remove_lowest(space, tree->left, lowest);
    return balance(tree);
}

static node *remove(struct vspace *space, node *tree, const node *range) {
    space->steps++;
    if (range->first < tree->first) {
        tree->left = remove(space, tree->left, range);
        return balance(tree);
    }
    if (range->first > tree->first) {
        tree->right = remove(space, tree->right, range);
        return balance(tree);
    }
    if (tree->left == NULL || tree->right == NULL)
        return tree->left != NULL ? tree->left : tree->right;
    node *next;
    node *right = remove_lowest(space, tree->right, &next);
    next->left = tree->left;
    next->right = right;
    return balance(next);
}

/* A range changed its ends but not its place in the order: brings the sums above it up to date. */
static void refresh(struct vspace *space, node *tree, const node *range) {
    space->steps++;
    if (tree != range)
        refresh(space, range->first < tree->first ? tree->left : tree->right, range);
    update(tree);
}

/* --- Search ------------------------------------------------------------------------------------------------------- */

struct search {
    uintptr_t pages, align, before, after; /* the range and its guards */
    uintptr_t low, high;
    uintptr_t need; /* gaps shorter than this aren't looked at */
    uintptr_t found;
};

static bool fits(struct search *search, uintptr_t first, uintptr_t end) {
    if (first < search->low)
        first = search->low;
    if (end > search->high)
        end = search->high;
    if (end <= first || end - first < search->need)
        return false;
    uintptr_t at = (uintptr_t)round_up(first + search->before, search->align);
    if (at < first || at > end || end - at < search->pages + search->after)
        return false;
    search->found = at;
    return true;
}

static bool find_gap(struct vspace *space, struct search *search, const node *tree, uintptr_t from, uintptr_t to) {
    space->steps++;
    if (tree == NULL)
        return fits(search, from, to);
    if (to <= search->low || from >= search->high)
        return false;
    if (larger(tree->gap, larger(tree->low - from, to - tree->high)) < search->need)
        return false;
    return find_gap(space, search, tree->left, from, occupied_first(tree)) ||
           find_gap(space, search, tree->right, occupied_end(tree), to);
}

/* Some range occupies a page in [first, end). */
static bool occupied(struct vspace *space, uintptr_t first, uintptr_t end) {
    const node *tree = space->root;
    while (tree != NULL) {
        space->steps++;
        if (end <= occupied_first(tree))
            tree = tree->left;
        else if (first >= occupied_end(tree))
            tree = tree->right;
        else
            return true;
    }
    return false;
}

/* The bounds are checked as differences, since a sum of what a caller gave may wrap. */
static bool is_free_at(struct vspace *space, const struct search *search, uintptr_t at) {
    if (at < search->low || at > search->high || at - search->low < search->before)
        return false;
    if (search->high - at < search->pages || search->high - at - search->pages < search->after)
        return false;
    return !occupied(space, at - search->before, at + search->pages + search->after);
}

static int find_place(struct vspace *space, const struct vspace_request *request, struct search *search) {
    search->found = request->at;
    bool aligned = (request->at & (search->align - 1)) == 0;
    if (request->fixed) {
        if (!aligned || request->at < search->low || request->at >= search->high ||
            search->high - request->at < search->pages)
            return ERR_INVALID;
        return is_free_at(space, search, request->at) ? 0 : ERR_EXISTS;
    }
    if (request->at != 0 && aligned && is_free_at(space, search, request->at))
        return 0;
    uintptr_t whole = search->pages + search->before + search->after;
    if (whole < search->pages || whole > search->high - search->low)
        return ERR_NO_SPACE;
    search->need = whole + (search->align - 1);
    if (search->need >= whole && find_gap(space, search, space->root, space->first, space->end))
        return 0;
    search->need = whole;
    if (search->align > 1 && find_gap(space, search, space->root, space->first, space->end))
        return 0;
    return ERR_NO_SPACE;
}

/* --- Use ---------------------------------------------------------------------------------------------------------- */

void vspace_init(struct vspace *space, uintptr_t first, uintptr_t end, struct pool *nodes) {
    require(first < end, "vspace: no pages from %#zx to %#zx", (size_t)first, (size_t)end);
    *space = (struct vspace){ .first = first, .end = end, .nodes = nodes };
}

static void clear(struct vspace *space, node *tree) {
    if (tree == NULL)
        return;
    clear(space, tree->left);
    clear(space, tree->right);
    pool_give(space->nodes, tree);
}

void vspace_clear(struct vspace *space) {
    clear(space, space->root);
    space->root = NULL;
    space->ranges = 0;
    space->pages = 0;
}

static void add(struct vspace *space, node *range) {
    space->root = insert(space, space->root, range);
    space->ranges++;
    space->pages += range->end - range->first;
}

static void drop(struct vspace *space, node *range) {
    space->root = remove(space, space->root, range);
    space->ranges--;
    space->pages -= range->end - range->first;
}

static node *find(struct vspace *space, uintptr_t page) {
    node *tree = space->root;
    while (tree != NULL && (page < tree->first || page >= tree->end)) {
        space->steps++;
        tree = page < tree->first ? tree->left : tree->right;
    }
    return tree;
}

static bool can_merge(const node *a, const node *b) {
    return b != NULL && (a->attributes & VSPACE_MERGE) && a->attributes == b->attributes && a->guard_before == 0 &&
           a->guard_after == 0 && b->guard_before == 0 && b->guard_after == 0;
}

/* Takes the neighbours that touch the new range into it. */
static void merge(struct vspace *space, node *range) {
    node *before = find(space, range->first - 1), *after = find(space, range->end);
    if (can_merge(range, before)) {
        drop(space, before);
        range->first = before->first;
        pool_give(space->nodes, before);
    }
    if (can_merge(range, after)) {
        drop(space, after);
        range->end = after->end;
        pool_give(space->nodes, after);
    }
}

int vspace_take(struct vspace *space, const struct vspace_request *request, uintptr_t *first) {
    uintptr_t align = request->align == 0 ? 1 : request->align;
    if (request->pages == 0 || !is_power_of_two(align))
        return ERR_INVALID;
    struct search search = {
        .pages = request->pages,
        .align = align,
        .before = request->guard_before,
        .after = request->guard_after,
        .low = larger(request->low, space->first),
        .high = request->high != 0 && request->high < space->end ? request->high : space->end,
    };
    if (search.low >= search.high)
        return ERR_NO_SPACE;
    int error = find_place(space, request, &search);
    if (error != 0)
        return error;
    node *range = pool_take(space->nodes);
    if (range == NULL)
        return ERR_NO_MEMORY;
    *range = (node){ .first = search.found,
                     .end = search.found + request->pages,
                     .attributes = request->attributes,
                     .guard_before = request->guard_before,
                     .guard_after = request->guard_after };
    *first = search.found;
    merge(space, range);
    add(space, range);
    return 0;
}

static node *find_whole(struct vspace *space, uintptr_t first, uintptr_t pages) {
    node *range = find(space, first);
    return range != NULL && pages > 0 && pages <= range->end - first ? range : NULL;
}

bool vspace_give_splits(struct vspace *space, uintptr_t first, uintptr_t pages) {
    const node *range = find_whole(space, first, pages);
    return range != NULL && first != range->first && first + pages != range->end;
}

/* The hole's pages next to what stays become its guards: first those behind the left part. */
static int split(struct vspace *space, node *left, uintptr_t first, uintptr_t end) {
    node *right = pool_take(space->nodes);
    if (right == NULL)
        return ERR_NO_MEMORY;
    uintptr_t hole = end - first;
    *right = (node){ .first = end, .end = left->end, .attributes = left->attributes, .guard_after = left->guard_after };
    if (left->guard_after > hole)
        left->guard_after = (uint8_t)hole;
    uintptr_t rest = hole - left->guard_after;
    right->guard_before = left->guard_before < rest ? left->guard_before : (uint8_t)rest;
    space->pages -= left->end - first;
    left->end = first;
    refresh(space, space->root, left);
    add(space, right);
    return 0;
}

int vspace_give(struct vspace *space, uintptr_t first, uintptr_t pages) {
    node *range = find_whole(space, first, pages);
    if (range == NULL)
        return ERR_FAULT;
    uintptr_t end = first + pages;
    if (first == range->first && end == range->end) {
        drop(space, range);
        pool_give(space->nodes, range);
        return 0;
    }
    if (first != range->first && end != range->end)
        return split(space, range, first, end);
    /* The range shrinks and its guard moves along; no other range is passed, so the order in the tree stays. */
    if (first == range->first)
        range->first = end;
    else
        range->end = first;
    space->pages -= pages;
    refresh(space, space->root, range);
    return 0;
}

int vspace_split(struct vspace *space, uintptr_t page) {
    node *left = find(space, page);
    if (left == NULL || left->first == page)
        return 0;
    node *right = pool_take(space->nodes);
    if (right == NULL)
        return ERR_NO_MEMORY;
    *right =
        (node){ .first = page, .end = left->end, .attributes = left->attributes, .guard_after = left->guard_after };
    space->pages -= left->end - page;
    left->end = page;
    left->guard_after = 0;
    refresh(space, space->root, left);
    add(space, right);
    return 0;
}

void vspace_join(struct vspace *space, uintptr_t page) {
    node *left = find(space, page - 1), *right = find(space, page);
    if (left == right || left == NULL || !can_merge(left, right))
        return;
    drop(space, right);
    space->pages += right->end - page;
    left->end = right->end;
    refresh(space, space->root, left);
    pool_give(space->nodes, right);
}

void vspace_set_attributes(struct vspace *space, uintptr_t first, uint16_t attributes) {
    node *range = find(space, first);
    require(range != NULL && range->first == first, "vspace: no range begins at page %#zx", (size_t)first);
    range->attributes = attributes;
}

/* --- Inspect ------------------------------------------------------------------------------------------------------ */

const struct vspace_range *vspace_find(struct vspace *space, uintptr_t page) {
    return find(space, page);
}

const struct vspace_range *vspace_find_guard(struct vspace *space, uintptr_t page) {
    const node *tree = space->root;
    while (tree != NULL && (page < occupied_first(tree) || page >= occupied_end(tree)))
        tree = page < occupied_first(tree) ? tree->left : tree->right;
    return tree != NULL && (page < tree->first || page >= tree->end) ? tree : NULL;
}

const struct vspace_range *vspace_next(struct vspace *space, uintptr_t page) {
    const node *tree = space->root, *best = NULL;
    while (tree != NULL) {
        if (tree->end > page) {
            best = tree;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return best;
}

struct recount {
    size_t ranges;
    uintptr_t pages, end; /* end of what was occupied so far */
};

static void audit(const struct vspace *space, node *tree, struct recount *recount) {
    if (tree == NULL)
        return;
    audit(space, tree->left, recount);
    require(tree->first < tree->end && occupied_first(tree) >= recount->end && occupied_end(tree) <= space->end,
            "vspace: V1 broken at range %#zx to %#zx", (size_t)tree->first, (size_t)tree->end);
    recount->end = occupied_end(tree);
    recount->ranges++;
    recount->pages += tree->end - tree->first;
    audit(space, tree->right, recount);
    unsigned left = height(tree->left), right = height(tree->right);
    require(left <= right + 1 && right <= left + 1, "vspace: V2 broken at range %#zx: heights %u and %u",
            (size_t)tree->first, left, right);
    node again = *tree;
    update(&again);
    require(again.low == tree->low && again.high == tree->high && again.gap == tree->gap &&
                again.height == tree->height,
            "vspace: V3 broken at range %#zx: gap %#zx noted, %#zx counted", (size_t)tree->first, (size_t)tree->gap,
            (size_t)again.gap);
}

void vspace_audit(struct vspace *space) {
    struct recount recount = { .end = space->first };
    audit(space, space->root, &recount);
    require(recount.ranges == space->ranges && recount.pages == space->pages,
            "vspace: V4 broken: %zu ranges of %zu pages noted, %zu of %zu counted", space->ranges, (size_t)space->pages,
            recount.ranges, (size_t)recount.pages);
}
