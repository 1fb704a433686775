#undef _POSIX_C_SOURCE
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#include <tests/host/huge.h>

bool huge_reserve(struct huge *huge, size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *huge = (struct huge){ at == MAP_FAILED ? 0 : (uintptr_t)at, bytes };
    return at != MAP_FAILED && madvise(at, bytes, MADV_NOHUGEPAGE) == 0;
}

void huge_give_back(struct huge *huge) {
    munmap((void *)huge->address, huge->bytes);
    *huge = (struct huge){ 0, 0 };
}

size_t huge_touched(const struct huge *huge) {
    enum { STEP = 1 << 16 };
    static unsigned char in[STEP];
    size_t touched = 0, pages = (huge->bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    for (size_t at = 0; at < pages; at += STEP) {
        size_t count = pages - at < STEP ? pages - at : (size_t)STEP;
        if (mincore((char *)huge->address + (at << PAGE_SHIFT), count << PAGE_SHIFT, in) != 0)
            return SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            touched += in[i] & 1;
    }
    return touched;
}
