/* What ring 3 pays, by the time stamp counter, in the lines that the tools read: see bench/guest.c. Under QEMU's
 * -icount the counter counts instructions, the kernel's included. Plain C for Linux: tools/bench-linux runs the same
 * bytes there.
 *
 *     measure [WHO]
 *
 * WHO stands in each line; xelix-mm if it isn't given.
 *
 *     getpid            a system call that does nothing
 *     fault             a page of an area of 256 written for the first time
 *     fault-read        the same, read
 *     fork-fault-first  after fork, the child's first write to an area of 512 pages, all written by the parent
 *     fork-fault        its next write there, of 511: a copy of a page, as the parent still has it
 *     fork              a copy of this program made, ended and waited for
 *     fork-N            the same with N written pages more
 *     exec              this program started anew, to the first line of its main
 *     mmap-1            a page mapped and unmapped
 *     mmap-touch-N      N pages mapped, each written, all unmapped
 *     mprotect-N        N written pages amid an area protected from writes, and allowed to be written again
 *     brk-16            the heap's end moved up by 16 pages and back
 *
 * The meter itself comes first: what reading it twice takes, and a loop of known length. Interrupts come where they
 * come; each of the two is the least of many. */
#include <user/check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SAMPLES = 11,
    CALLS = 1000,
    FAULTS = 256,
    REGION = 512,
    METER_TRIES = 64,
    KNOWN_ROUNDS = 1000,
    NUMBER_BYTES = 24
};
enum { READ_WRITE = PROT_READ | PROT_WRITE };

static const char *who = "xelix-mm", *self;

static uint64_t counter(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void sample(const char *name, size_t operations, uint64_t counted) {
    say("sample\t%s\t%s\t%u\t1\t%llu\n", name, who, (unsigned)operations, (unsigned long long)counted);
}

/* A figure that lacks a part is none: any failure ends the program. */
static void must(bool holds, const char *what) {
    if (holds)
        return;
    say("FAILED %s: error %d\n", what, errno);
    _exit(1);
}

/* --- The meter ---------------------------------------------------------------------------------------------------- */

/* Two instructions a round. */
static void run_known(void) {
    unsigned rounds = KNOWN_ROUNDS;
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
}

static void run_nothing(void) {
    __asm__ volatile("" : : : "memory");
}

static uint64_t least(void (*run)(void)) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < METER_TRIES; i++) {
        uint64_t begun = counter();
        run();
        uint64_t counted = counter() - begun;
        best = counted < best ? counted : best;
    }
    return best;
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

/* 2 MiB aligned where it is that large, so that an area has its tables to itself. */
static volatile unsigned char *map_written(size_t count) {
    uintptr_t room = (count + REGION) * PAGE,
              at = (uintptr_t)mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must((void *)at != MAP_FAILED, "mmap");
    uintptr_t first = (at + REGION * PAGE - 1) / (REGION * PAGE) * (REGION * PAGE);
    must(munmap((void *)at, room) == 0, "munmap");
    void *memory = mmap((void *)first, count * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(memory != MAP_FAILED, "mmap");
    for (size_t i = 0; i < count; i++)
        ((volatile unsigned char *)memory)[i * PAGE] = 1;
    return memory;
}

static void unmap(volatile unsigned char *memory, size_t count) {
    must(munmap((void *)(uintptr_t)memory, count * PAGE) == 0, "munmap");
}

/* --- Cases: each gives what one sample counted -------------------------------------------------------------------- */

static uint64_t run_getpid(size_t calls) {
    uint64_t begun = counter();
    for (size_t i = 0; i < calls; i++)
        syscall(SYS_getpid);
    return counter() - begun;
}

static uint64_t run_fault(size_t count) {
    volatile unsigned char *memory = pages(count);
    uint64_t begun = counter();
    for (size_t i = 0; i < count; i++)
        memory[i * PAGE] = 1;
    uint64_t counted = counter() - begun;
    unmap(memory, count);
    return counted;
}

static uint64_t run_fault_read(size_t count) {
    volatile unsigned char *memory = pages(count);
    uint64_t begun = counter();
    for (size_t i = 0; i < count; i++)
        (void)memory[i * PAGE];
    uint64_t counted = counter() - begun;
    unmap(memory, count);
    return counted;
}

/* What a child counts while it writes these pages of its parent's, after so many that aren't counted. */
static uint64_t run_fork_fault(size_t before, size_t count) {
    volatile unsigned char *memory = map_written(REGION);
    uint64_t *counted = pages_shared(1), result;
    *counted = 0;
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        for (size_t i = 0; i < before; i++)
            memory[i * PAGE] = 2;
        uint64_t begun = counter();
        for (size_t i = before; i < before + count; i++)
            memory[i * PAGE] = 2;
        *counted = counter() - begun;
        _exit(0);
    }
    int status;
    must(waitpid(child, &status, 0) == child && status == 0, "waitpid");
    result = *counted;
    unmap(memory, REGION);
    must(munmap(counted, PAGE) == 0, "munmap");
    return result;
}

static uint64_t run_fork_fault_first(size_t count) {
    return run_fork_fault(0, count);
}

static uint64_t run_fork_fault_next(size_t count) {
    return run_fork_fault(1, count);
}

static uint64_t run_fork(size_t count) {
    volatile unsigned char *memory = count > 0 ? map_written(count) : NULL;
    int status;
    uint64_t begun = counter();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    must(child > 0 && waitpid(child, &status, 0) == child, "fork");
    uint64_t counted = counter() - begun;
    if (count > 0)
        unmap(memory, count);
    return counted;
}

static uint64_t run_mmap(size_t count) {
    uint64_t begun = counter();
    void *memory = mmap(NULL, count * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED && munmap(memory, count * PAGE) == 0, "mmap");
    return counter() - begun;
}

static uint64_t run_mmap_touch(size_t count) {
    uint64_t begun = counter();
    volatile unsigned char *memory = mmap(NULL, count * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must((uintptr_t)memory != (uintptr_t)MAP_FAILED, "mmap");
    for (size_t i = 0; i < count; i++)
        memory[i * PAGE] = 1;
    unmap(memory, count);
    return counter() - begun;
}

/* In the middle of an area, which falls in three and becomes one again. */
static uint64_t run_mprotect(size_t count) {
    volatile unsigned char *memory = map_written(count + 2);
    void *at = (void *)(uintptr_t)(memory + PAGE);
    uint64_t begun = counter();
    must(mprotect(at, count * PAGE, PROT_READ) == 0 && mprotect(at, count * PAGE, READ_WRITE) == 0, "mprotect");
    uint64_t counted = counter() - begun;
    unmap(memory, count + 2);
    return counted;
}

/* By the kernel's own call, whose answer is where the end is now: a C library may refuse to move it. */
static uint64_t run_brk(size_t count) {
    uintptr_t old = (uintptr_t)syscall(SYS_brk, 0), end = old + count * PAGE;
    uint64_t begun = counter();
    bool moved = (uintptr_t)syscall(SYS_brk, end) == end && (uintptr_t)syscall(SYS_brk, old) == old;
    uint64_t counted = counter() - begun;
    must(moved, "brk");
    return counted;
}

/* The new program shows the sample, since nothing of this one is left by then. */
static void measure_exec(void) {
    for (int i = 0; i < SAMPLES; i++) {
        pid_t child = fork();
        if (child == 0) {
            static char text[NUMBER_BYTES];
            char *arguments[] = { (char *)(uintptr_t)self, (char *)(uintptr_t)who, text, NULL },
                 *environment[] = { NULL };
            uint64_t begun = counter();
            /* Sixteen digits, of a cost that never changes. */
            for (int digit = 0; digit < 16; digit++)
                text[digit] = "0123456789abcdef"[begun >> (60 - 4 * digit) & 15];
            execve(self, arguments, environment);
            must(false, "execve");
        }
        int status;
        must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "exec");
    }
}

static const struct {
    const char *name;
    size_t operations, size;
    uint64_t (*run)(size_t size);
} cases[] = {
    { "getpid", CALLS, CALLS, run_getpid },
    { "fault", FAULTS, FAULTS, run_fault },
    { "fault-read", FAULTS, FAULTS, run_fault_read },
    { "fork-fault-first", 1, 1, run_fork_fault_first },
    { "fork-fault", REGION - 1, REGION - 1, run_fork_fault_next },
    { "fork", 1, 0, run_fork },
    { "fork-256", 1, 256, run_fork },
    { "fork-4096", 1, 4096, run_fork },
    { "mmap-1", 1, 1, run_mmap },
    { "mmap-touch-1", 1, 1, run_mmap_touch },
    { "mmap-touch-16", 1, 16, run_mmap_touch },
    { "mmap-touch-256", 1, 256, run_mmap_touch },
    { "mprotect-1", 1, 1, run_mprotect },
    { "mprotect-256", 1, 256, run_mprotect },
    { "brk-16", 1, 16, run_brk },
};

int main(int count, char **arguments) {
    uint64_t begun = counter();
    self = arguments[0];
    if (count > 1)
        who = arguments[1];
    if (count > 2) {
        sample("exec", 1, begun - strtoull(arguments[2], NULL, 16));
        return 0;
    }
    sample("meter-empty", 1, least(run_nothing));
    sample("meter-known-2000", 1, least(run_known));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int j = 0; j < SAMPLES; j++)
            sample(cases[i].name, cases[i].operations, cases[i].run(cases[i].size));
    measure_exec();
    return 0;
}
