/* What clearing and copying a page takes, for whoever compares two kernels and wants to leave it out.
 *
 *     clear-page    a page of zeros written
 *     copy-page     a page copied to another
 *
 * A string instruction is one instruction under callgrind, and one for each word that it moves under QEMU. */
#include <base/string.h>
#include <bench/bench.h>

enum { SAMPLES = 7 };

void bench_copies(void) {
    char *pages = bench_memory(2 * PAGE_SIZE);
    for (unsigned i = 0; i < SAMPLES && bench_wanted("clear-page"); i++) {
        bench_open();
        memset(pages, 0, PAGE_SIZE);
        bench_close();
        bench_sample("clear-page", bench_ours(), 1);
    }
    for (unsigned i = 0; i < SAMPLES && bench_wanted("copy-page"); i++) {
        bench_open();
        memcpy(pages, pages + PAGE_SIZE, PAGE_SIZE);
        bench_close();
        bench_sample("copy-page", bench_ours(), 1);
    }
    bench_release(pages, 2 * PAGE_SIZE);
}
