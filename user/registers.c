/* Every register is a task's own: several tasks keep different values in all of them, and find them again after being
 * preempted, after a system call, and on both sides of a fork.
 *
 * A task that is preempted at its every register (the stack pointer, direction and alignment check included) also shows
 * that the way into the kernel counts on none of them. */
#include <user/check.h>
#include <machine.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { TASKS = 3, SPINS = 8, ROUNDS = 8000000, CALLS = 200 };
enum { BAD_GENERAL = 1, BAD_FPU = 2, BAD_SEGMENT = 4, BAD_CALL = 8, BAD_FORK = 16 };

/* Direction, alignment check, identification; carry and the like change as instructions go. */
#define FLAGS_KEPT ((uintptr_t)0x240400)

/* Places in FXSAVE's area (SDM volume 1, 10.5.1). */
enum { FPU_CONTROL = 0, FPU_STATUS = 2, FPU_TAGS = 4, FPU_SSE_CONTROL = 24, FPU_STACK = 32, FPU_VECTORS = 160 };

void machine_spin(struct machine_run *run);
void machine_call(struct machine_run *run);

_Static_assert(offsetof(struct machine_run, fpu_set) % 16 == 0, "FXSAVE's alignment");

static uintptr_t pattern(unsigned seed, unsigned place) {
    uint64_t word = (seed * 64 + place + 1) * 0x9e3779b97f4a7c15;
    return (uintptr_t)(word ^ word >> 29);
}

/* The stack keeps 10 bytes of 16; all eight places are in use. */
static void fill_fpu(uint8_t *area, unsigned seed) {
    uint16_t control = (uint16_t)(0x027f | (seed & 3) << 10), status = (uint16_t)((seed & 7) << 11);
    uint32_t sse_control = 0x1f80 | (seed & 3) << 13;
    __asm__ volatile("fxsave %0" : "=m"(*(uint8_t(*)[512])area));
    memcpy(area + FPU_CONTROL, &control, sizeof(control));
    memcpy(area + FPU_STATUS, &status, sizeof(status));
    memcpy(area + FPU_SSE_CONTROL, &sse_control, sizeof(sse_control));
    area[FPU_TAGS] = 0xff;
    for (unsigned i = 0; i < 8; i++)
        memset(area + FPU_STACK + 16 * i, (int)(seed * 16 + i + 1), 10);
    for (unsigned i = 0; i < MACHINE_VECTORS; i++)
        memset(area + FPU_VECTORS + 16 * i, (int)(seed * 32 + i + 77), 16);
}

static void fill(struct machine_run *run, unsigned seed) {
    memset(run, 0, sizeof(*run));
    for (unsigned i = 0; i < MACHINE_GENERAL; i++)
        run->set[i] = pattern(seed, i);
    run->set[FLAGS] = FLAGS_KEPT;
    machine_set_rest(run);
    fill_fpu(run->fpu_set, seed);
}

static bool same_part(const struct machine_run *run, size_t first, size_t bytes) {
    return memcmp(run->fpu_set + first, run->fpu_found + first, bytes) == 0;
}

static bool fpu_is_same(const struct machine_run *run) {
    bool same = same_part(run, FPU_CONTROL, 5) && same_part(run, FPU_SSE_CONTROL, 4) &&
                same_part(run, FPU_VECTORS, 16 * MACHINE_VECTORS);
    for (size_t i = 0; i < 8; i++)
        same = same && same_part(run, FPU_STACK + 16 * i, 10);
    return same;
}

static bool words_are_same(const struct machine_run *run, bool after_call) {
    for (int i = 0; i < MACHINE_WORDS; i++) {
        uintptr_t mask = i == FLAGS ? FLAGS_KEPT : UINTPTR_MAX;
        if ((run->set[i] & mask) != (run->found[i] & mask) && !(after_call && machine_call_changes(i)))
            return false;
    }
    return true;
}

static struct machine_run run;

static int spin(unsigned seed) {
    int bad = 0;
    uintptr_t word = pattern(seed, 63);
    if (!machine_segment_set(&word))
        bad |= BAD_SEGMENT;
    for (unsigned i = 0; i < SPINS; i++) {
        fill(&run, seed + i * TASKS);
        run.rounds = ROUNDS;
        machine_spin(&run);
        bad |= words_are_same(&run, false) ? 0 : BAD_GENERAL;
        bad |= fpu_is_same(&run) ? 0 : BAD_FPU;
        bad |= (bad & BAD_SEGMENT) != 0 || machine_segment_read() == pattern(seed, 63) ? 0 : BAD_SEGMENT;
    }
    return bad;
}

static uintptr_t call(unsigned seed, uintptr_t number, bool *same) {
    fill(&run, seed);
    run.set[AX] = number;
    machine_call(&run);
    *same = words_are_same(&run, true) && fpu_is_same(&run);
    return run.found[AX];
}

static int yield_often(unsigned seed) {
    int bad = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        bool same;
        if (call(seed + i, SYS_sched_yield, &same) != 0 || !same)
            bad = BAD_CALL;
    }
    return bad;
}

static int fork_once(unsigned seed) {
    bool same;
    int child = (int)call(seed, SYS_fork, &same), status;
    if (child == 0)
        _exit(same ? 0 : 1);
    return child > 0 && same && waitpid(child, &status, 0) == child && status == 0 ? 0 : BAD_FORK;
}

static int live(void *argument) {
    unsigned seed = *(unsigned *)argument;
    return spin(seed) | yield_often(seed) | fork_once(seed);
}

int main(void) {
    int children[TASKS], bad = 0;
    for (unsigned seed = 0; seed < TASKS; seed++)
        children[seed] = child_start(live, &seed);
    for (unsigned i = 0; i < TASKS; i++) {
        int result = child_end(children[i]);
        claim("a task with its own values in all registers ends well", result >= 0);
        bad |= result < 0 ? 0 : result;
    }
    claim("general registers, flags and segments survive preemption", (bad & BAD_GENERAL) == 0);
    claim("x87 and SSE registers survive preemption", (bad & BAD_FPU) == 0);
    claim("a second thread pointer survives preemption", (bad & BAD_SEGMENT) == 0);
    claim("a system call changes no register but its own", (bad & BAD_CALL) == 0);
    claim("both sides of a fork have all registers", (bad & BAD_FORK) == 0);
    return claims_end();
}
