/* What ring 3 pays, by the time stamp counter, in the lines that the tools read: see bench/guest.c. Under QEMU's
 * -icount the counter counts instructions, the kernel's included.
 *
 *     getpid     a system call that does nothing
 *     fault      a page touched for the first time
 *     fork       a copy of this program made, ended and waited for
 *     fork-256   the same with 256 pages more that were written */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLES = 7, CALLS = 1000, PAGES = 256, PAGE = 4096 };

static uint64_t counter(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void sample(const char *name, int operations, uint64_t begun, uint64_t ended) {
    printf("sample\t%s\txelix-mm\t%d\t0\t%llu\n", name, operations, (unsigned long long)(ended - begun));
    fflush(stdout);
}

static void measure_getpid(void) {
    uint64_t begun = counter();
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getpid);
    sample("getpid", CALLS, begun, counter());
}

static char *new_pages(void) {
    void *at = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int measure_fault(void) {
    volatile char *pages = new_pages();
    if (pages == NULL)
        return 1;
    uint64_t begun = counter();
    for (int i = 0; i < PAGES; i++)
        pages[i * PAGE] = 1;
    sample("fault", PAGES, begun, counter());
    return munmap((void *)(uintptr_t)pages, (size_t)PAGES * PAGE);
}

static int measure_fork(const char *name) {
    int status;
    uint64_t begun = counter();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    sample(name, 1, begun, counter());
    return 0;
}

int main(void) {
    int failed = 0;
    for (int i = 0; i < SAMPLES; i++) {
        measure_getpid();
        failed |= measure_fault() | measure_fork("fork");
    }
    char *pages = new_pages();
    for (int i = 0; pages != NULL && i < PAGES; i++)
        pages[i * PAGE] = 1;
    for (int i = 0; i < SAMPLES; i++)
        failed |= measure_fork("fork-256");
    return failed || pages == NULL;
}
