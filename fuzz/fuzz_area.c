/* Bytes become requests of a task and of its copy, judged by a table with an entry for each page: is it mapped, with
 * which rights, and which byte does it hold.
 *
 *     4 bytes an operation: what and whose, the first page, how many pages, rights or a byte
 *
 * Private pages of the two tasks that hold equal bytes may be one page or two: the table doesn't know, and nobody may
 * notice. Shared pages are one cell of the table. Some operations meet a forced failure, and then nothing may change.
 * */
#include <base/fail.h>
#include <base/string.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/lease.h>
#include <mem/reserve.h>
#include <mem/task_copy.h>
#include <stdio.h>
#include <stdlib.h>
#include <tests/host/machine.h>
#include <tests/test.h>

enum { PAGES = 24, BASE = 0x40000000, TASKS = 2, CELLS = PAGES * TASKS + 1, AUDIT_INPUTS = 8 };

struct page {
    bool mapped, shared, unreserved;
    unsigned rights;
    uint8_t *byte; /* in `cells`; where there are no rights yet it is kept too */
};

static struct task {
    struct context *context;
    struct page pages[PAGES];
} tasks[TASKS];

static struct { uint8_t byte, used; } cells[CELLS];

static struct lease *lease;

static struct input { const uint8_t *at, *end; } input;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned next_byte(void) {
    return input.at < input.end ? *input.at++ : 0;
}

static uintptr_t address_of(unsigned page) {
    return BASE + (uintptr_t)page * PAGE_SIZE;
}

/* --- The table's cells, counted by who refers to them --------------------------------------------------------------
 * */

static uint8_t *take_cell(uint8_t byte) {
    unsigned i = 0;
    while (cells[i].used != 0)
        i++;
    cells[i].used = 1;
    cells[i].byte = byte;
    return &cells[i].byte;
}

static void share_cell(const uint8_t *byte) {
    for (unsigned i = 0; i < CELLS; i++)
        cells[i].used = (uint8_t)(cells[i].used + (&cells[i].byte == byte));
}

static void drop(struct page *page) {
    for (unsigned i = 0; page->mapped && i < CELLS; i++)
        cells[i].used = (uint8_t)(cells[i].used - (&cells[i].byte == page->byte));
    *page = (struct page){ .mapped = false };
}

/* --- Operations ----------------------------------------------------------------------------------------------------
 * */

static bool any_mapped(const struct task *task, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++)
        if (task->pages[i].mapped)
            return true;
    return false;
}

static bool all_mapped(const struct task *task, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++)
        if (!task->pages[i].mapped)
            return false;
    return true;
}

static bool breaks_wx(unsigned rights) {
    return (rights & AREA_WRITE) && (rights & AREA_EXECUTE);
}

static void do_map(struct task *task, unsigned first, unsigned end, unsigned how) {
    struct area_request request = {
        .pages = end - first,
        .rights = how & 7,
        .address = address_of(first),
        .fixed = true,
        .replace = (how & 8) != 0,
        .shared = (how & 0x30) == 0x10,
        .unreserved = (how & 0x30) == 0x20,
    };
    uintptr_t address;
    int error = area_map(task->context, &request, &address);
    if (breaks_wx(request.rights))
        expect_equal((unsigned)-error, (unsigned)-ERR_REFUSED);
    else if (!request.replace && any_mapped(task, first, end))
        expect_equal((unsigned)-error, (unsigned)-ERR_EXISTS);
    else
        expect(error == 0 || error == ERR_NO_MEMORY);
    /* A mapping that replaces has unmapped by the time its own failure can come. */
    if (error == ERR_NO_MEMORY && request.replace) {
        expect(area_unmap(task->context, address_of(first), end - first) == 0);
        for (unsigned i = first; i < end; i++)
            drop(&task->pages[i]);
    }
    for (unsigned i = first; error == 0 && i < end; i++) {
        drop(&task->pages[i]);
        task->pages[i] = (struct page){ true, request.shared, request.unreserved, request.rights, take_cell(0) };
    }
}

static void do_unmap(struct task *task, unsigned first, unsigned end) {
    int error = area_unmap(task->context, address_of(first), end - first);
    expect(error == 0 || error == ERR_NO_MEMORY);
    for (unsigned i = first; error == 0 && i < end; i++)
        drop(&task->pages[i]);
}

static void do_protect(struct task *task, unsigned first, unsigned end, unsigned rights) {
    int error = area_protect(task->context, address_of(first), end - first, rights);
    if (breaks_wx(rights))
        expect_equal((unsigned)-error, (unsigned)-ERR_REFUSED);
    else if (!all_mapped(task, first, end))
        expect_equal((unsigned)-error, (unsigned)-ERR_NO_MEMORY);
    else
        expect(error == 0 || error == ERR_NO_MEMORY || error == ERR_REFUSED);
    for (unsigned i = first; error == 0 && i < end; i++)
        task->pages[i].rights = rights;
}

static void do_write(struct task *task, unsigned page, uint8_t byte) {
    int error = copy_to_task(task->context, address_of(page) + 100, &byte, 1, NULL);
    if (task->pages[page].mapped && (task->pages[page].rights & AREA_WRITE)) {
        expect(error == 0 || error == ERR_NO_MEMORY);
        if (error == 0)
            *task->pages[page].byte = byte;
    } else {
        expect_equal((unsigned)-error, (unsigned)-ERR_FAULT);
    }
}

static void check_page(struct task *task, unsigned page) {
    uint8_t byte = 0xee;
    int error = copy_from_task(task->context, &byte, address_of(page) + 100, 1, NULL);
    if (task->pages[page].mapped && task->pages[page].rights != 0) {
        expect_equal((unsigned)-error, 0);
        expect_equal(byte, *task->pages[page].byte);
    } else {
        expect_equal((unsigned)-error, (unsigned)-ERR_FAULT);
    }
}

static void clear_task(struct task *task) {
    if (task->context == NULL)
        return;
    area_clear(task->context);
    context_destroy(task->context);
    task->context = NULL;
    for (unsigned i = 0; i < PAGES; i++)
        drop(&task->pages[i]);
}

/* The other task becomes a copy of this one. */
static void do_copy(struct task *from, struct task *to) {
    clear_task(to);
    to->context = context_create("copy");
    if (to->context == NULL)
        return;
    int error = area_copy(from->context, to->context);
    expect(error == 0 || error == ERR_NO_MEMORY);
    for (unsigned i = 0; error == 0 && i < PAGES; i++) {
        struct page *page = &from->pages[i];
        if (!page->mapped)
            continue;
        to->pages[i] = *page;
        if (page->shared)
            share_cell(page->byte);
        else
            to->pages[i].byte = take_cell(*page->byte);
    }
}

/* What a lease that may write holds is the task's own page, until the lease ends. */
static void do_lease(struct task *task, unsigned page, uint8_t byte) {
    if (lease != NULL) {
        lease_close(lease);
        lease = NULL;
        return;
    }
    int error = lease_open(task->context, address_of(page) + 100, 1, LEASE_WRITE, &lease);
    if (error != 0) {
        lease = NULL;
        return;
    }
    expect(task->pages[page].mapped && (task->pages[page].rights & AREA_WRITE));
    *(uint8_t *)lease->info.pointer = byte;
    *task->pages[page].byte = byte;
}

static void step(void) {
    unsigned what = next_byte(), first = next_byte() % PAGES, count = next_byte() % 8 + 1, how = next_byte();
    unsigned end = first + count < PAGES ? first + count : PAGES;
    struct task *task = &tasks[what >> 3 & 1], *other = &tasks[1 - (what >> 3 & 1)];
    if (task->context == NULL)
        return;
    /* An unreserved page may find no memory when it is read, which the table can't tell from a fault. */
    fail_arm((what & 0xc0) == 0xc0 && (what & 7) != 7 ? how % 16 + 1 : 0);
    switch (what & 7) {
    case 0:
        do_map(task, first, end, how);
        break;
    case 1:
        do_unmap(task, first, end);
        break;
    case 2:
        do_protect(task, first, end, how & 7);
        break;
    case 3:
    case 4:
        do_write(task, first, (uint8_t)how);
        break;
    case 5:
        do_copy(task, other);
        break;
    case 6:
        do_lease(task, first, (uint8_t)how);
        break;
    default:
        for (unsigned i = first; i < end; i++)
            check_page(task, i);
        break;
    }
    fail_arm(0);
}

static void begin(void) {
    tasks[0].context = context_create("task");
    expect(tasks[0].context != NULL);
}

static void end(void) {
    for (unsigned i = 0; i < TASKS; i++)
        for (unsigned page = 0; tasks[i].context != NULL && page < PAGES; page++)
            check_page(&tasks[i], page);
    if (lease != NULL)
        lease_close(lease);
    lease = NULL;
    area_audit();
    for (unsigned i = 0; i < TASKS; i++)
        clear_task(&tasks[i]);
    expect_equal(reserve_pages(), 0);
}

static void run(void) {
    begin();
    while (input.at < input.end)
        step();
    area_audit();
    end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const struct test one = { "fuzz_area", __FILE__, run };
    static bool booted;
    static unsigned inputs;
    const char *why = "";
    if (!booted && machine_try(machine_list[0].entries, machine_list[0].count, &why) != 0) {
        fprintf(stderr, "no machine: %s\n", why);
        abort();
    }
    booted = true;
    input = (struct input){ data, data + bytes };
    if (test_run_one(&one, false, &why) == TEST_FAILED) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    if (++inputs % AUDIT_INPUTS == 0)
        audit_all();
    return 0;
}
