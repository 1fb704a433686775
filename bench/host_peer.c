/* The heap's cases for another heap: the process' own malloc, which is the C library's or that of a library that was
 * loaded before it (LD_PRELOAD). One process for each, so that none meets what another left. Arguments: what to call
 * it, and a word; only cases whose name contains it run.
 *
 * What it holds is the process' anonymous memory that the host has given pages for: its blocks, its own notes, and what
 * it keeps for later. Huge pages are turned off for that look, since the host gives them as it pleases. */
#define _DEFAULT_SOURCE
#include <bench/allocators.h>
#include <bench/bench.h>
#include <base/check.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

/* Not from the heap under measurement. */
void *bench_memory(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "bench: no memory for %zu bytes of notes", bytes);
    return memory;
}

void bench_release(void *memory, size_t bytes) {
    munmap(memory, bytes);
}

/* The kernel walks the page tables for this file, so it is exact; and it is read without the heap. */
static size_t anonymous_bytes(void) {
    char text[2048];
    int file = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t bytes = read(file, text, sizeof(text) - 1);
    close(file);
    require(bytes > 0, "bench: /proc/self/smaps_rollup can't be read");
    text[bytes] = '\0';
    const char *line = strstr(text, "Anonymous:");
    require(line != NULL, "bench: /proc/self/smaps_rollup doesn't tell anonymous memory");
    return strtoul(line + strlen("Anonymous:"), NULL, 10) << 10;
}

static size_t held(void) {
    static size_t before;
    size_t now = anonymous_bytes();
    before = before == 0 ? now : before;
    return now - before;
}

/* The function itself: what the linker calls by that name is a jump to it. */
static void *find(const char *name) {
    void *function = dlsym(dlopen(NULL, RTLD_NOW), name);
    require(function != NULL, "bench: no function %s in this process", name);
    return function;
}

/* In a process of its own, while nothing has been asked for yet. */
static void measure_peak(const struct heap_allocator *peer) {
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        bench_heap_peak(peer);
        exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    require(child > 0 && status == 0, "bench: measuring the peak of %s failed", peer->name);
}

int main(int count, char **arguments) {
    require(count == 3, "usage: %s NAME WORD", arguments[0]);
    struct heap_allocator peer = { .name = arguments[1], .held = held };
    *(void **)&peer.take = find("malloc");
    *(void **)&peer.take_aligned = find("aligned_alloc");
    *(void **)&peer.give = find("free");
    bench_begin(arguments[2]);
    if (!RUNNING_ON_VALGRIND)
        measure_peak(&peer);
    bench_heap(&peer);
    return 0;
}
