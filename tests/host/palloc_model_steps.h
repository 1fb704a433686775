/* tests/host/palloc_model_steps.h - operations on palloc and frame, chosen by numbers and judged by the model. */
#ifndef TESTS_HOST_PALLOC_MODEL_STEPS_H
#define TESTS_HOST_PALLOC_MODEL_STEPS_H

#include <tests/host/palloc_model.h>

static uint32_t model_number(struct model *model, uint32_t below) {
    return below == 0 ? 0 : model->number(model->source, below);
}

/* A page of RAM, or now and then any number near. */
static uint32_t model_any_page(struct model *model) {
    if (model_number(model, 64) == 0)
        return model_number(model, model->end + 3);
    return model->ram[model_number(model, model->ram_count)];
}

/* A page with this owner, beginning at a chosen place; the end if there is none. */
static uint32_t model_find(struct model *model, uint8_t owner) {
    uint32_t start = model_number(model, model->ram_count);
    for (uint32_t i = 0; i < model->ram_count; i++) {
        uint32_t page = model->ram[(start + i) % model->ram_count];
        if (model->pages[page].owner == owner)
            return page;
    }
    return model->end;
}

static uint32_t model_length(struct model *model) {
    switch (model_number(model, 8)) {
    case 0:
        return model_number(model, 40);
    case 1:
        return model_number(model, 600);
    case 2:
        return model_number(model, model->ram_count + 2);
    default:
        return 1 + model_number(model, 3);
    }
}

static bool model_caches_are_empty(void) {
    struct palloc_stats stats;
    palloc_stats(&stats);
    return stats.cached == 0;
}

static void model_palloc(struct model *model) {
    uint32_t pages = model_length(model), limit = sizeof(void *) == 4 ? MODEL_DMA32 : 0;
    bool empty = model_caches_are_empty();
    void *run = palloc(pages);
    model_judge_taken(model, run == NULL ? PFN_NONE : palloc_pfn(run), pages, 1, limit, empty);
}

static void model_palloc_with(struct model *model) {
    struct palloc_request request = { .pages = model_length(model), .align = 1u << model_number(model, 10) };
    if (model_number(model, 2) == 0)
        request.limit = model_number(model, 3) == 0 ? MODEL_DMA32 : model_any_page(model);
    if (request.limit != 0 && model_number(model, 4) == 0)
        request.limit = MODEL_LOW;
    bool empty = model_caches_are_empty();
    uint32_t first = palloc_with(&request);
    model_judge_taken(model, first, request.pages, request.align, request.limit, empty);
}

/* With all conditions at once: an exact place, a boundary. */
static void model_palloc_hard(struct model *model) {
    struct palloc_request request = { .pages = 1 + model_number(model, 40), .align = 1u << model_number(model, 4) };
    if (model_number(model, 2) == 0)
        request.boundary = 1u << model_number(model, 8);
    if (model_number(model, 2) == 0)
        request.limit = model_any_page(model);
    request.exact = model_number(model, 3) == 0;
    if (request.exact)
        request.at = model_number(model, 2) == 0 ? model_any_page(model) : model_find(model, MODEL_FREE);
    bool fits = model_fits_somewhere(model, &request);
    uint32_t first = palloc_with(&request);
    model_demand((first != PFN_NONE) == fits, "%u pages, align %u, boundary %u, limit 0x%x, at 0x%x (%d): page 0x%x",
                 request.pages, request.align, request.boundary, request.limit, request.at, request.exact, first);
    if (first == PFN_NONE)
        return;
    model_demand(model_allows(first, request.pages, request.align, request.boundary) &&
                     (!request.exact || first == request.at) &&
                     (request.limit == 0 || (uint64_t)first + request.pages <= request.limit),
                 "%u pages, align %u, boundary %u, limit 0x%x, at 0x%x (%d) got page 0x%x", request.pages,
                 request.align, request.boundary, request.limit, request.at, request.exact, first);
    for (uint32_t page = first; page < first + request.pages; page++) {
        model_demand(model->pages[page].owner == MODEL_FREE, "page 0x%x isn't free, but was given", page);
        model->pages[page].owner = MODEL_HELD;
        model_judge_page(model, page);
    }
}

static void model_bulk(struct model *model) {
    enum { MOST = 100 };
    uint32_t list[MOST], count = model_number(model, MOST), free_pages = 0;
    for (uint32_t i = 0; i < model->ram_count; i++)
        free_pages += model->pages[model->ram[i]].owner == MODEL_FREE;
    bool given = palloc_bulk(list, count);
    model_demand(given == (free_pages >= count), "%u pages in bulk of %u free: %d", count, free_pages, given);
    for (uint32_t i = 0; given && i < count; i++) {
        model_demand(list[i] < model->end && model->pages[list[i]].owner == MODEL_FREE, "page 0x%x in bulk isn't free",
                     list[i]);
        model->pages[list[i]].owner = MODEL_HELD;
    }
}

/* Any held pages, some of runs and some taken alone. */
static void model_free_bulk(struct model *model) {
    enum { MOST = 60 };
    uint32_t list[MOST], count = 0, at = model_number(model, model->ram_count);
    for (uint32_t i = 0; i < model->ram_count && count < MOST; i += 1 + i % 3) {
        uint32_t page = model->ram[(at + i) % model->ram_count];
        const struct model_page *is = &model->pages[page];
        if (is->owner == MODEL_HELD && is->readable + is->writable + is->executable + is->pins == 0)
            list[count++] = page;
    }
    for (uint32_t i = 0; i < count; i++)
        model_demand(model->pages[list[i]].owner == MODEL_HELD, "twice");
    pfree_bulk(list, count);
    for (uint32_t i = 0; i < count; i++) {
        model->pages[list[i]].owner = MODEL_FREE;
        model_judge_page(model, list[i]);
    }
}

struct model_free_call {
    uint32_t page_id, num_pages;
};

static void model_call_pfree(void *argument) {
    struct model_free_call *call = argument;
    pfree(call->page_id, call->num_pages);
}

static bool model_may_free(const struct model *model, uint64_t page) {
    if (page >= model->end)
        return false;
    const struct model_page *is = &model->pages[page];
    return is->owner == MODEL_HELD && is->readable + is->writable + is->executable + is->pins == 0;
}

/* Frees what the caller may free; a run with a wrong page in it must be refused by the name of the first. */
static void model_pfree(struct model *model, struct model_free_call call) {
    uint64_t end = (uint64_t)call.page_id + call.num_pages, wrong = call.page_id;
    while (wrong < end && model_may_free(model, wrong))
        wrong++;
    if (wrong == end) {
        pfree(call.page_id, call.num_pages);
        for (uint32_t i = 0; i < call.num_pages; i++) {
            model->pages[call.page_id + i].owner = MODEL_FREE;
            model_judge_page(model, call.page_id + i);
        }
        return;
    }
    char begin[100];
    fmt(begin, sizeof(begin), "pfree(page 0x%x, %u pages): page 0x%x is ", call.page_id, call.num_pages,
        (uint32_t)wrong);
    model->must_panic(begin, model_call_pfree, &call);
    for (uint64_t page = call.page_id; page < end && page < model->end; page++)
        model_judge_page(model, (uint32_t)page);
}

static void model_free_some(struct model *model) {
    uint32_t first = model_find(model, MODEL_HELD), pages = 1, most = model_number(model, 4) == 0 ? 600 : 3;
    while (pages < most && model_may_free(model, (uint64_t)first + pages))
        pages++;
    model_pfree(model, (struct model_free_call){ first, pages });
}

static void model_free_any(struct model *model) {
    model_pfree(model, (struct model_free_call){ model_any_page(model), model_length(model) });
}

static unsigned model_rights(struct model *model) {
    static const unsigned rights[] = { 0,
                                       PAGE_WRITE,
                                       PAGE_EXECUTE,
                                       PAGE_USER,
                                       PAGE_USER | PAGE_WRITE,
                                       PAGE_USER | PAGE_EXECUTE,
                                       PAGE_WRITE | PAGE_EXECUTE,
                                       PAGE_UNCACHED,
                                       PAGE_WRITE | PAGE_WRITE_COMBINING };
    return rights[model_number(model, sizeof(rights) / sizeof(rights[0]))];
}

static int model_map_error(const struct model *model, uint32_t page, unsigned rights) {
    uint8_t owner = page < model->end ? model->pages[page].owner : (uint8_t)MODEL_NOTHING;
    if (owner == MODEL_FREE || owner == MODEL_NOTHING)
        return ERR_FAULT;
    bool anybodys = owner == MODEL_HELD || owner == MODEL_MAPPED, writes = rights & PAGE_WRITE;
    bool executes = rights & PAGE_EXECUTE;
    if (owner == MODEL_TABLE || owner == MODEL_METADATA || (rights & (PAGE_UNCACHED | PAGE_WRITE_COMBINING)))
        return ERR_REFUSED;
    if (((rights & PAGE_USER) && !anybodys) || (writes && executes) || (writes && model->pages[page].executable > 0) ||
        (executes && model->pages[page].writable > 0))
        return ERR_REFUSED;
    return 0;
}

static uint8_t *model_count_of(struct model *model, uint32_t page, unsigned rights) {
    struct model_page *is = &model->pages[page];
    return (rights & PAGE_WRITE) ? &is->writable : (rights & PAGE_EXECUTE) ? &is->executable : &is->readable;
}

static void model_settle(struct model *model, uint32_t page) {
    struct model_page *is = &model->pages[page];
    if (is->owner == MODEL_MAPPED && is->readable + is->writable + is->executable + is->pins == 0)
        is->owner = MODEL_FREE;
    model_judge_page(model, page);
}

static void model_map(struct model *model) {
    uint32_t page = model_number(model, 2) == 0 ? model_any_page(model) : model_find(model, MODEL_HELD);
    unsigned rights = model_rights(model);
    int should = model_map_error(model, page, rights);
    if (should == 0 && *model_count_of(model, page, rights) == UINT8_MAX)
        return;
    int error = frame_map(page, rights);
    model_demand(error == should, "frame_map(0x%x, %u) gives %d, not %d", page, rights, error, should);
    if (error == 0)
        ++*model_count_of(model, page, rights);
    if (page < model->end)
        model_judge_page(model, page);
}

static bool model_has_mapping(struct model *model, uint32_t page, unsigned rights) {
    bool both = (rights & PAGE_WRITE) && (rights & PAGE_EXECUTE);
    return page < model->end && !both && *model_count_of(model, page, rights) > 0;
}

struct model_unmap_call {
    uint32_t page;
    unsigned rights;
};

static void model_call_unmap(void *argument) {
    struct model_unmap_call *call = argument;
    frame_unmap(call->page, call->rights);
}

static void model_unmap(struct model *model) {
    struct model_unmap_call call = { model_any_page(model), model_rights(model) };
    if (model_number(model, 2) == 0)
        call.page = model_find(model, MODEL_MAPPED);
    char begin[80];
    fmt(begin, sizeof(begin), "frame_unmap(page 0x%x): it has no such mapping: it is ", call.page);
    if (!model_has_mapping(model, call.page, call.rights)) {
        model->must_panic(begin, model_call_unmap, &call);
        return;
    }
    frame_unmap(call.page, call.rights);
    --*model_count_of(model, call.page, call.rights);
    model_settle(model, call.page);
}

static void model_remap(struct model *model) {
    uint32_t page = model_any_page(model);
    unsigned from = model_rights(model), to = model_rights(model);
    if (!model_has_mapping(model, page, from))
        return;
    --*model_count_of(model, page, from);
    int should = model_map_error(model, page, to);
    bool fits = should != 0 || *model_count_of(model, page, to) < UINT8_MAX;
    ++*model_count_of(model, page, from);
    if (!fits)
        return;
    int error = frame_remap(page, from, to);
    model_demand(error == should, "frame_remap(0x%x, %u, %u) gives %d, not %d", page, from, to, error, should);
    if (error == 0) {
        --*model_count_of(model, page, from);
        ++*model_count_of(model, page, to);
    }
    model_judge_page(model, page);
}

static void model_pin(struct model *model) {
    uint32_t page = model_any_page(model);
    uint8_t owner = page < model->end ? model->pages[page].owner : (uint8_t)MODEL_NOTHING;
    int should = owner == MODEL_FREE || owner == MODEL_NOTHING ? ERR_FAULT : 0;
    if (should == 0 && model->pages[page].pins == UINT8_MAX)
        return;
    int error = frame_pin(page);
    model_demand(error == should, "frame_pin(0x%x) gives %d, not %d", page, error, should);
    if (error == 0)
        model->pages[page].pins++;
}

static void model_unpin(struct model *model) {
    uint32_t page = model_number(model, 2) == 0 ? model_any_page(model) : model_find(model, MODEL_MAPPED);
    if (page >= model->end || model->pages[page].pins == 0)
        return;
    frame_unpin(page);
    model->pages[page].pins--;
    model_settle(model, page);
}

static void model_hand_over(struct model *model) {
    uint32_t page = model_find(model, MODEL_HELD);
    if (page >= model->end || model_may_free(model, page))
        return;
    frame_hand_over(page);
    model->pages[page].owner = MODEL_MAPPED;
    model_judge_page(model, page);
}

static void model_own(struct model *model) {
    bool table = model_number(model, 2) == 0;
    uint32_t page = model_find(model, MODEL_HELD);
    if (!model_may_free(model, page))
        return;
    frame_own(page, table ? FRAME_TABLE : FRAME_HEAP);
    model->pages[page].owner = table ? MODEL_TABLE : MODEL_HEAP;
    model_judge_page(model, page);
}

static void model_disown(struct model *model) {
    uint8_t owner = model_number(model, 2) == 0 ? MODEL_TABLE : MODEL_HEAP;
    uint32_t page = model_find(model, owner);
    if (page >= model->end)
        return;
    struct model_page *is = &model->pages[page];
    if (is->readable + is->writable + is->executable + is->pins > 0)
        return;
    frame_disown(page, owner == MODEL_TABLE ? FRAME_TABLE : FRAME_HEAP);
    is->owner = MODEL_FREE;
    model_judge_page(model, page);
}

static void model_reclaim(struct model *model) {
    uint32_t first = model_find(model, MODEL_LOADER), pages = 0;
    while (first + pages < model->end && model->pages[first + pages].owner == MODEL_LOADER &&
           model->pages[first + pages].readable + model->pages[first + pages].writable +
                   model->pages[first + pages].executable + model->pages[first + pages].pins ==
               0)
        pages++;
    palloc_reclaim(first, pages);
    for (uint32_t i = 0; i < pages; i++)
        model->pages[first + i].owner = MODEL_FREE;
}

/* One operation. */
static inline void model_step(struct model *model) {
    static void (*const operations[])(struct model *) = {
        model_palloc,    model_palloc,    model_palloc,    model_palloc,    model_palloc_with, model_palloc_with,
        model_free_some, model_free_some, model_free_some, model_free_some, model_free_any,    model_map,
        model_map,       model_unmap,     model_unmap,     model_remap,     model_pin,         model_unpin,
        model_hand_over, model_own,       model_disown,    model_bulk,      model_free_bulk,   model_palloc_hard,
    };
    uint32_t choice = model_number(model, 256);
    if (choice == 255)
        model_judge_all(model);
    else if (choice == 254)
        palloc_drain();
    else if (choice == 253)
        model_reclaim(model);
    else
        operations[choice % (sizeof(operations) / sizeof(operations[0]))](model);
}

#endif
