/* Tasks and the window, from the kernel's side. Inside the kernels alone; what needs a program is skipped without an
 * archive. What a program itself finds is in user/. */
#include <arch/x86/image.h>
#include <arch/x86/stacks.h>
#include <asm/errno.h>
#include <base/config.h>
#include <base/fail.h>
#include <base/string.h>
#include <kernel/run.h>
#include <kernel/task.h>
#include <mem/area.h>
#include <mem/audit.h>
#include <mem/reserve.h>
#include <mem/ul_visible.h>
#include <tests/test.h>

static const char *const spy[] = { "bin/spy", "0", NULL };
static const char *const turns[] = { "bin/turns", "in the test", NULL };

static void need_program(const char *path) {
    if (!run_has(path))
        test_skip("there is no archive with this program");
}

/* --- The window --------------------------------------------------------------------------------------------------- */

static arch_entry_t entry_at(pfn_t table, unsigned index) {
    const arch_entry_t *view = arch_frame_open(table);
    arch_entry_t entry = view[index];
    arch_frame_close((void *)(uintptr_t)view);
    return entry;
}

/* Written from the manual, sharing nothing with mem/paging.c but the frame view: pages mapped below a table, and how
 * many of them ring 3 may touch or anybody write and execute. */
struct walked {
    size_t pages, user, write_execute;
};

static void walk(pfn_t table, unsigned level, struct walked *walked) {
    unsigned entries = GEOMETRY_LEVELS == 3 && level == 2 ? 4 : 512;
    for (unsigned i = 0; i < entries; i++) {
        arch_entry_t entry = entry_at(table, i);
        if (!(entry & 1))
            continue;
        if (level > 0) {
            walk((pfn_t)(entry >> 12 & UINT32_MAX), level - 1, walked);
            continue;
        }
        walked->pages++;
        walked->user += (entry & 4) != 0;
        walked->write_execute += (entry & 2) != 0 && (entry & arch_no_execute) != arch_no_execute;
    }
}

static size_t window_pages(void) {
    return (size_t)(image_window_end - image_window_first) / PAGE_SIZE;
}

TEST(window_is_all_that_a_new_tasks_tables_hold) {
    struct walked walked = { 0, 0, 0 };
    struct context *context = context_create("window test");
    expect(context != NULL);
    walk(context->tables.root, GEOMETRY_LEVELS - 1, &walked);
    expect_equal(walked.pages, window_pages());
    expect_equal(walked.user, 0);
    expect_equal(walked.write_execute, 0);
    context_destroy(context);
}

static void expect_part(struct context *context, const char *first, const char *end, unsigned rights) {
    for (const char *at = first; at < end; at += PAGE_SIZE) {
        struct paging_entry entry, kernel;
        expect(paging_find(&context->tables, (uintptr_t)at, &entry));
        expect(paging_find(&context_kernel()->tables, (uintptr_t)at, &kernel));
        expect_equal(entry.pfn, kernel.pfn);
        expect_equal(entry.attributes, rights | PAGE_GLOBAL);
        expect_equal(kernel.attributes, rights | PAGE_GLOBAL);
    }
}

TEST(window_is_the_same_in_the_kernel_and_in_a_task_each_part_with_its_rights) {
    if (arch_no_execute == 0)
        test_skip("without NX every page can be executed");
    struct context *context = context_create("window test");
    expect(context != NULL);
    expect_part(context, image_window_first, image_window_rodata, PAGE_EXECUTE);
    expect_part(context, image_window_rodata, image_window_data, 0);
    expect_part(context, image_window_data, image_window_end, PAGE_WRITE);
    context_destroy(context);
}

/* --- The way back to ring 3 --------------------------------------------------------------------------------------- */

TEST(frame_is_made_safe_before_ring_3_gets_it_back) {
    struct trap_frame frame;
    user_frame_make(&frame, GEOMETRY_TASK_FIRST, GEOMETRY_TASK_END);
    expect(user_frame_is_safe(&frame));
    uintptr_t flags = frame.flags;
    frame.cs = LAYOUT_CODE_SELECTOR;
    frame.flags = ~(uintptr_t)0;
    user_frame_is_safe(&frame);
    expect_equal(frame.cs, LAYOUT_USER_CODE_SELECTOR);
    expect_equal(frame.flags & 0x200, 0x200);
    expect_equal(frame.flags & (0x7000 | 0x20000 | 0x180000), 0); /* IOPL and NT, VM, VIF and VIP */
    expect_equal(flags & 0x7000, 0);
}

/* --- Programs ----------------------------------------------------------------------------------------------------- */

static void expect_not_run(const char *path, int error, const char *reason) {
    const char *const arguments[] = { path, NULL };
    const char *why = "";
    struct task *task = NULL;
    expect_equal((unsigned)-task_run(path, arguments, &task, &why), (unsigned)-error);
    if (!string_equal(why, reason))
        test_fail(__FILE__, __LINE__, "refused with \"%s\"", why);
}

TEST(programs_that_are_none_are_refused_with_a_reason) {
    expect_not_run("no such file", -ENOENT, "no such file in the archive");
    need_program("bin/glibc/no_program");
    expect_not_run("bin/glibc/no_program", -ENOEXEC, "not an ELF file");
}

static int run_spy(struct task **task) {
    const char *why;
    return task_run("bin/spy", spy, task, &why);
}

/* The steps between failure points grow: a program of many pages has a point for each. */
TEST(program_that_finds_no_memory_leaves_all_as_it_was) {
    if (!CONFIG_DEBUG)
        test_skip("failures are forced in debug builds");
    need_program("bin/spy");
    for (unsigned n = 1;; n += 1 + n / 16) {
        struct task *task = NULL;
        uint64_t before = audit_hash();
        fail_arm(n);
        int error = run_spy(&task);
        bool reached = fail_seen() >= n;
        fail_arm(0);
        if (error == 0)
            task_wait(task);
        else
            expect_equal((unsigned)-error, (unsigned)-ERR_NO_MEMORY);
        expect_equal(reserve_pages(), 0);
        if (audit_hash() != before)
            test_fail(__FILE__, __LINE__, "failure point %u left something changed", n);
        if (!reached)
            break;
    }
}

TEST(tasks_tables_pass_every_audit_while_they_run) {
    need_program("bin/turns");
    struct task *task[3];
    const char *why;
    for (unsigned i = 0; i < 3; i++) {
        expect(task_run("bin/turns", turns, &task[i], &why) == 0);
        expect(stack_holds(task[i]->stack) && !stack_holds(task[i]->stack - 1));
        expect(string_equal(stack_guarded_by(task[i]->stack - 1), "bin/turns"));
    }
    for (unsigned i = 0; i < 5; i++) {
        task_rest(2);
        audit_all();
    }
    for (unsigned i = 0; i < 3; i++)
        expect_equal(task_wait(task[i]), 0);
}
