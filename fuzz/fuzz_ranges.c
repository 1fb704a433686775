/* Bytes become operations on a vspace, judged by a map with one byte a page.
 *
 * What is judged: an answer is a place that the map says is free, guards and bounds included; a plain request gets the
 * lowest such place; a refusal means that the map has none; what is given back is free again and nothing else is. */
#include <mem/vspace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tests/test.h>

enum { FIRST = 16, END = 16 + 700, RANGES_MAX = 200 };
enum { FREE = 0, GUARD = 1, USED = 2 };

static uint8_t map[END + 1];

static struct { const uint8_t *at, *end; } input;

static unsigned next(unsigned below) {
    unsigned number = input.at < input.end ? *input.at++ : 0;
    if (below > 256)
        number = number << 8 | (input.at < input.end ? *input.at++ : 0);
    return number % below;
}

/* --- Nodes: malloc'd pages, some of which can't be had ------------------------------------------------------------ */

static bool short_of_nodes;

static void *take_page(void) {
    return short_of_nodes ? NULL : aligned_alloc(PAGE_SIZE, PAGE_SIZE);
}

static const struct pool_source source = { take_page, free };
static struct pool pool;
static struct vspace space;

/* --- The map's own opinion ---------------------------------------------------------------------------------------- */

static bool is_free(uintptr_t first, uintptr_t end) {
    for (uintptr_t page = first; page < end; page++)
        if (page < FIRST || page >= END || map[page] != FREE)
            return false;
    return true;
}

static bool suits(const struct vspace_request *request, uintptr_t at) {
    uintptr_t align = request->align == 0 ? 1 : request->align, high = request->high == 0 ? END : request->high;
    uintptr_t first = at - request->guard_before, end = at + request->pages + request->guard_after;
    return at % align == 0 && at >= request->guard_before && first >= request->low && end <= high &&
           is_free(first, end);
}

static uintptr_t lowest(const struct vspace_request *request) {
    for (uintptr_t at = FIRST; at < END; at++)
        if (suits(request, at))
            return at;
    return 0;
}

static void paint(const struct vspace_range *range) {
    memset(map + range->first - range->guard_before, GUARD, range->guard_before);
    memset(map + range->first, USED, range->end - range->first);
    memset(map + range->end, GUARD, range->guard_after);
}

/* --- Operations --------------------------------------------------------------------------------------------------- */

static void take(void) {
    struct vspace_request request = { .pages = next(next(4) == 0 ? 300 : 20) };
    unsigned kind = next(8);
    if (kind & 1)
        request.guard_after = (uint8_t)next(4);
    if (kind & 2)
        request.guard_before = (uint8_t)next(4);
    if (kind & 4)
        request.align = (uintptr_t)1 << next(7);
    unsigned place = next(8);
    if (place == 1 || place == 2) {
        request.at = next(END + 10);
        request.fixed = place == 1;
    }
    if (place == 3) {
        request.low = FIRST + next(700);
        request.high = FIRST + next(701);
    }
    short_of_nodes = next(16) == 0;

    uintptr_t at = 0, should = lowest(&request);
    bool suits_there = suits(&request, request.at), had_node = pool.partial != NULL || !short_of_nodes;
    int error = vspace_take(&space, &request, &at);
    short_of_nodes = false;
    if (request.pages == 0) {
        expect_equal(error, ERR_INVALID);
        return;
    }
    bool possible = request.fixed ? suits_there : should != 0;
    if (error != 0) {
        expect(!possible || (error == ERR_NO_MEMORY && !had_node));
        return;
    }
    expect(possible && suits(&request, at));
    if (request.fixed || (request.at != 0 && suits_there))
        expect_equal(at, request.at);
    else if (request.align <= 1)
        expect_equal(at, should);
    const struct vspace_range *range = vspace_find(&space, at);
    expect(range != NULL && range->first == at && range->end == at + request.pages);
    paint(range);
}

static void give(void) {
    uintptr_t at = next(END + 10), pages = next(next(4) == 0 ? 300 : 10);
    const struct vspace_range *range = vspace_find(&space, at);
    expect((range != NULL) == (at < END && map[at] == USED));
    short_of_nodes = next(16) == 0;
    bool had_node = pool.partial != NULL || !short_of_nodes;
    bool whole = range != NULL && next(2) == 0;
    if (whole) {
        at = range->first;
        pages = range->end - range->first;
    }
    struct vspace_range before = range != NULL ? *range : (struct vspace_range){ .first = 0 };
    bool splits = vspace_give_splits(&space, at, pages);
    int error = vspace_give(&space, at, pages);
    short_of_nodes = false;
    bool within = range != NULL && pages > 0 && pages <= before.end - at;
    if (error != 0) {
        expect(error == ERR_FAULT ? !within : within && splits && !had_node);
        return;
    }
    expect(within && (!splits || had_node));
    memset(map + before.first - before.guard_before, FREE, before.guard_before);
    memset(map + before.first, FREE, before.end - before.first);
    memset(map + before.end, FREE, before.guard_after);
    for (range = vspace_next(&space, before.first); range != NULL && range->first < before.end;
         range = vspace_next(&space, range->end)) {
        expect(range->first >= before.first && range->end <= before.end &&
               (range->end <= at || range->first >= at + pages));
        paint(range);
    }
    for (uintptr_t page = before.first; page < before.end; page++)
        expect((map[page] == USED) == (page < at || page >= at + pages));
}

static void run(void) {
    memset(map, FREE, sizeof(map));
    pool_init(&pool, "fuzz ranges", VSPACE_NODE_BYTES, &source);
    vspace_init(&space, FIRST, END, &pool);
    while (input.at < input.end) {
        if (next(3) > 0 && space.ranges < RANGES_MAX)
            take();
        else
            give();
        vspace_audit(&space);
    }
    pool_audit(&pool);
    vspace_clear(&space);
    pool_trim(&pool);
    expect_equal(pool.pages, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const struct test one = { "fuzz_ranges", __FILE__, run };
    const char *why;
    input.at = data;
    input.end = data + bytes;
    if (test_run_one(&one, false, &why) == TEST_FAILED) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return 0;
}
