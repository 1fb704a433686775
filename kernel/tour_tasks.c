/* Tasks: programs of the archive in ring 3. Without an archive these steps say so and pass. */
#include <kernel/tour_steps.h>
#include <base/fmt.h>
#include <boot/boot.h>
#include <kernel/run.h>
#include <kernel/task.h>
#include <mem/lease.h>

enum { KILLED_BY_SEGV = 128 + 11 };

static bool has(const char *program) {
    if (run_has(program))
        return true;
    console_print("  no %s in an archive: left out (make run has it)\n", program);
    return false;
}

void tour_preemption(void) {
    if (!has("bin/turns"))
        return;
    console_print("  two tasks that never yield:\n");
    tour_good(run_both("bin/turns one", "bin/turns other") == 0, "a task didn't end well");
}

void tour_spy(void) {
    if (!has("bin/spy"))
        return;
    char words[64];
    fmt(words, sizeof(words), "bin/spy %zx", (size_t)(uintptr_t)tour_spy);
    tour_good(run_words(words) == KILLED_BY_SEGV, "a task that reads the kernel wasn't killed");
}

/* --- The lease ---------------------------------------------------------------------------------------------------- */

/* Where the tenant (user/tenant.c) puts its bytes, and how it and we speak: its first byte is 1 when it has written,
 * 2 when we have. */
#define ROOM ((uintptr_t)0x20000000)
enum { OFFSET = 0x123, BYTES = 10000, WRITTEN = 1, ANSWERED = 2, TURNS_MAX = 100000 };

/* The sign is read and written through a lease too. */
static bool sign_is(struct context *context, uint8_t value) {
    struct lease *lease;
    if (lease_open(context, ROOM, 1, LEASE_READ, &lease) != 0)
        return false;
    bool is = *(const volatile uint8_t *)lease->info.pointer == value;
    lease_close(lease);
    return is;
}

static void put_sign(struct context *context, uint8_t value) {
    struct lease *lease;
    if (!tour_good(lease_open(context, ROOM, 1, LEASE_WRITE, &lease) == 0, "no lease for the sign"))
        return;
    *(volatile uint8_t *)lease->info.pointer = value;
    lease_close(lease);
}

static void answer(struct context *context) {
    struct lease *lease;
    int error = lease_open(context, ROOM + OFFSET, BYTES, LEASE_WRITE, &lease);
    if (!tour_good(error == 0, "no lease on the task's bytes"))
        return;
    uint8_t *bytes = lease->info.pointer;
    bool right = true;
    for (size_t i = 0; i < BYTES; i++) {
        right = right && bytes[i] == (uint8_t)(i * 7 + 1);
        bytes[i] = (uint8_t)~bytes[i];
    }
    tour_good(right, "the task's bytes aren't what it wrote");
    console_print("  lease_open: %d bytes at %#zx of the task appear at %p, the same pages, no copy\n", BYTES,
                  (size_t)(ROOM + OFFSET), (void *)bytes);
    lease_close(lease);
}

void tour_lease(void) {
    if (!has("bin/tenant"))
        return;
    static const char *const arguments[] = { "bin/tenant", NULL };
    struct task *tenant;
    const char *why = "";
    if (!tour_good(task_run("bin/tenant", arguments, &tenant, &why) == 0, "the tenant doesn't run"))
        return;
    unsigned turns = 0;
    while (tenant->context != NULL && !sign_is(tenant->context, WRITTEN) && turns++ < TURNS_MAX)
        task_yield();
    if (tour_good(tenant->context != NULL && turns < TURNS_MAX, "the tenant didn't write")) {
        answer(tenant->context);
        put_sign(tenant->context, ANSWERED);
    }
    int status = task_wait(tenant);
    if (!tour_good(status == 0, "the tenant didn't find the answer"))
        console_print("  it ended with status %#x\n", (unsigned)status);
}
