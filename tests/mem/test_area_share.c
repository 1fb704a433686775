/* Pages of one task shown in another. */
#include <base/config.h>
#include <base/fail.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/frame.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <tests/test.h>

enum { PLACE = 0x40000000, OTHER = 0x50000000, PAGES = 70 };

static struct context *giver, *taker;

static int map(unsigned rights, bool shared) {
    struct area_request request = {
        .address = PLACE, .pages = PAGES, .rights = rights, .fixed = true, .shared = shared
    };
    uintptr_t got;
    return area_map(giver, &request, &got);
}

static void begin(unsigned rights, bool shared) {
    giver = context_create("giver");
    taker = context_create("taker");
    expect(giver != NULL && taker != NULL && map(rights, shared) == 0);
}

static void end_context(struct context **context) {
    if (*context != NULL) {
        area_clear(*context);
        context_destroy(*context);
    }
    *context = NULL;
    audit_all();
}

static void end(void) {
    end_context(&giver);
    end_context(&taker);
    expect_equal(reserve_pages(), 0);
}

static int share(uintptr_t source, size_t pages, unsigned rights) {
    struct area_request request = { .address = OTHER, .pages = pages, .rights = rights, .fixed = true };
    uintptr_t got = 0;
    int error = area_share(giver, source, taker, &request, &got);
    expect(error != 0 || got == OTHER);
    audit_all();
    return error;
}

static char byte_of(struct context *context, uintptr_t at) {
    char byte = 0;
    expect_equal(copy_from_task(context, &byte, at, 1, NULL), 0);
    return byte;
}

static int write_byte(struct context *context, uintptr_t at, char byte) {
    return copy_to_task(context, at, &byte, 1, NULL);
}

TEST(shared_pages_show_both_tasks_what_either_writes) {
    begin(AREA_READ | AREA_WRITE, true);
    expect_equal(write_byte(giver, PLACE + 5 * PAGE_SIZE, 'g'), 0);
    expect_equal(share(PLACE + 5 * PAGE_SIZE, PAGES - 5, AREA_READ | AREA_WRITE), 0);
    expect_equal(byte_of(taker, OTHER), 'g');
    expect_equal(write_byte(taker, OTHER + 64 * PAGE_SIZE, 't'), 0);
    expect_equal(byte_of(giver, PLACE + 69 * PAGE_SIZE), 't');
    end();
}

TEST(shared_pages_outlive_the_task_that_gave_them) {
    begin(AREA_READ | AREA_WRITE, true);
    expect_equal(write_byte(giver, PLACE, 'g'), 0);
    expect_equal(share(PLACE, 1, AREA_READ), 0);
    struct paging_entry entry;
    expect(paging_find(&taker->tables, OTHER, &entry));
    end_context(&giver);
    expect_equal(byte_of(taker, OTHER), 'g');
    expect_equal(write_byte(taker, OTHER, 't'), ERR_FAULT);
    end_context(&taker);
    expect_equal(frame_get(entry.pfn).owner, FRAME_FREE);
    end();
}

TEST(area_share_refuses_private_memory_holes_and_more_rights) {
    begin(AREA_READ, true);
    expect_equal(share(PLACE, 1, AREA_READ | AREA_WRITE), ERR_REFUSED);
    expect_equal(share(PLACE, 1, AREA_WRITE | AREA_EXECUTE), ERR_REFUSED);
    expect_equal(share(PLACE, PAGES + 1, AREA_READ), ERR_INVALID);
    expect_equal(share(PLACE, 0, AREA_READ), ERR_INVALID);
    expect_equal(share(PLACE + 1, 1, AREA_READ), ERR_INVALID);
    expect_equal(share(PLACE, SIZE_MAX, AREA_READ), ERR_INVALID);
    expect_equal(share(PLACE, 1, AREA_READ), 0);
    expect_equal(share(PLACE, 1, AREA_READ), ERR_EXISTS);
    area_clear(giver);
    expect_equal(map(AREA_READ | AREA_WRITE, false), 0);
    expect_equal(area_unmap(taker, OTHER, 1), 0);
    expect_equal(share(PLACE, 1, AREA_READ), ERR_INVALID);
    end();
}

TEST(area_share_leaves_all_as_it_was_at_every_failure) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    begin(AREA_READ | AREA_WRITE, true);
    uint64_t before = audit_hash();
    bool reached = true, succeeded = false;
    unsigned n = 1;
    for (; reached || !succeeded; n++) {
        fail_arm(n);
        succeeded = share(PLACE, PAGES, AREA_READ) == 0;
        reached = fail_seen() >= n;
        fail_arm(0);
        expect(succeeded || reached);
        if (succeeded)
            expect_equal(area_unmap(taker, OTHER, PAGES), 0);
        expect(audit_hash() == before);
    }
    expect(n > 2);
    end();
}
