/* mmap, munmap, mprotect and brk, as Linux documents them; the numbers that no machine can serve most of all. */
#include <user/check.h>
#include <errno.h>
#include <machine.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS, BOTH = PROT_READ | PROT_WRITE, LOW_ADDRESS = 0x20000 };

static bool is_filled(const unsigned char *memory, size_t count, unsigned char value) {
    for (size_t i = 0; i < count * PAGE; i++)
        if (memory[i] != value)
            return false;
    return true;
}

static long map(uintptr_t at, size_t bytes, int flags) {
    return (long)mmap((void *)at, bytes, BOTH, flags, -1, 0);
}

static void zeroed_after_reuse(void) {
    bool zeroed = true;
    for (int i = 0; i < 8; i++) {
        unsigned char *memory = pages(256);
        zeroed = zeroed && is_filled(memory, 256, 0);
        memset(memory, 0xa5, 256 * PAGE);
        zeroed = zeroed && munmap(memory, 256 * PAGE) == 0;
    }
    claim("mapped memory is zero, however often it was used", zeroed);
}

static int dirty_much(void *argument) {
    memset(pages(512), 0xee, 512 * PAGE);
    return argument != NULL;
}

static void zeroed_after_others(void) {
    claim_value("a child that fills memory", child_run(dirty_much, NULL), 0);
    unsigned char *memory = pages(512);
    claim("nothing of it is seen by who maps memory next", is_filled(memory, 512, 0));
    claim("and it goes back", munmap(memory, 512 * PAGE) == 0);
}

static void unmap_parts(void) {
    unsigned char *memory = pages(8);
    memset(memory, 7, 8 * PAGE);
    claim("munmap of the middle", munmap(memory + 3 * PAGE, 2 * PAGE) == 0);
    claim_value("which is gone at its first byte", touch((uintptr_t)memory + 3 * PAGE, TOUCH_READ), -SIGSEGV);
    claim_value("and at its last", touch((uintptr_t)memory + 5 * PAGE - 1, TOUCH_WRITE), -SIGSEGV);
    claim("both sides stay", is_filled(memory, 3, 7) && is_filled(memory + 5 * PAGE, 3, 7));
    claim("munmap of a part of a page takes it all", munmap(memory, 1) == 0);
    claim_value("as a touch shows", touch((uintptr_t)memory + PAGE - 1, TOUCH_READ), -SIGSEGV);
    claim("munmap over holes", munmap(memory, 8 * PAGE) == 0);
    claim("munmap of nothing at all", munmap(memory, 8 * PAGE) == 0);
}

static void fixed_places(void) {
    unsigned char *memory = pages(4);
    memset(memory, 9, 4 * PAGE);
    long middle = (long)memory + PAGE;
    claim_value("MAP_FIXED takes the place of what was there", map((uintptr_t)middle, 2 * PAGE, PRIVATE | MAP_FIXED),
                middle);
    claim("with zeroed pages", is_filled(memory + PAGE, 2, 0));
    claim("and nothing beside them", is_filled(memory, 1, 9) && is_filled(memory + 3 * PAGE, 1, 9));
    claim_error("MAP_FIXED_NOREPLACE doesn't", map((uintptr_t)middle, PAGE, PRIVATE | MAP_FIXED_NOREPLACE), EEXIST);
    claim_value("MAP_FIXED far below", map(LOW_ADDRESS, PAGE, PRIVATE | MAP_FIXED), LOW_ADDRESS);
    claim("which is memory", *(volatile unsigned char *)LOW_ADDRESS == 0 && munmap((void *)LOW_ADDRESS, PAGE) == 0);
    claim_error("MAP_FIXED inside a page", map((uintptr_t)middle + 1, PAGE, PRIVATE | MAP_FIXED), EINVAL);
    claim_error("MAP_FIXED where the kernel is", map(MACHINE_BEYOND, PAGE, PRIVATE | MAP_FIXED), ENOMEM);
    claim_error("MAP_FIXED that wraps", map(MACHINE_BEYOND, 0 - MACHINE_BEYOND + PAGE, PRIVATE | MAP_FIXED), ENOMEM);
    munmap(memory, 4 * PAGE);
    claim("a hint that is taken is only a hint", map((uintptr_t)&fixed_places, PAGE, PRIVATE) != -1);
    claim("a hint inside a page too", map((uintptr_t)middle + 5, PAGE, PRIVATE) % PAGE == 0);
    claim("a hint where the kernel is too", map(MACHINE_BEYOND, PAGE, PRIVATE) != -1);
}

/* By its number: a library may round what it is given. A request that goes beyond all areas may have changed the
 * first. */
static long protect(const unsigned char *memory, size_t bytes, long protection) {
    return syscall(SYS_mprotect, memory, bytes, protection);
}

static void absurd_sizes(void) {
    unsigned char *memory = pages(2);
    munmap(memory + PAGE, PAGE);
    claim_error("mmap of nothing", map(0, 0, PRIVATE), EINVAL);
    claim_error("mmap of all bytes", map(0, SIZE_MAX, PRIVATE), ENOMEM);
    claim_error("mmap of all pages", map(0, SIZE_MAX - PAGE + 1, PRIVATE), ENOMEM);
    claim_error("mmap of more than a task's addresses", map(0, MACHINE_TOO_MUCH, PRIVATE), ENOMEM);
    claim_error("mmap without a kind", map(0, PAGE, MAP_ANONYMOUS), EINVAL);
    claim_error("munmap of nothing", munmap(memory, 0), EINVAL);
    claim_error("munmap inside a page", munmap(memory + 1, PAGE), EINVAL);
    claim_error("munmap of all bytes", munmap(memory, SIZE_MAX), EINVAL);
    claim_error("munmap that wraps", munmap(memory, 0 - (uintptr_t)memory + PAGE), EINVAL);
    claim_error("munmap where the kernel is", munmap((void *)MACHINE_BEYOND, PAGE), EINVAL);
    claim_error("mprotect inside a page", protect(memory + 1, PAGE, PROT_READ), EINVAL);
    claim_error("mprotect of all pages", protect(memory, SIZE_MAX - PAGE + 1, PROT_READ), ENOMEM);
    claim_error("mprotect that wraps", protect(memory, 0 - (uintptr_t)memory + PAGE, PROT_READ), ENOMEM);
    claim_error("mprotect of rights that there are not", protect(memory, PAGE, 0x40), EINVAL);
    claim("mprotect of nothing", protect(memory, 0, PROT_READ) == 0);
    claim("after all this the page is still there", memory[0] == 0 && munmap(memory, PAGE) == 0);
    claim_error("mprotect of what isn't mapped", protect(memory, PAGE, PROT_READ), ENOMEM);
}

static void rights(void) {
    unsigned char *memory = pages(3);
    memset(memory, 3, 3 * PAGE);
    unsigned char *middle = memory + PAGE;
    claim("mprotect of the middle to reading", mprotect(middle, PAGE, PROT_READ) == 0);
    claim_value("which can be read", touch((uintptr_t)middle, TOUCH_READ), 0);
    claim_value("and not written", touch((uintptr_t)middle, TOUCH_WRITE), -SIGSEGV);
    claim_value("unlike its neighbours",
                touch((uintptr_t)middle - 1, TOUCH_WRITE) | touch((uintptr_t)middle + PAGE, TOUCH_WRITE), 0);
    claim("mprotect to nothing", mprotect(memory, 3 * PAGE, PROT_NONE) == 0);
    claim_value("forbids reading", touch((uintptr_t)middle, TOUCH_READ), -SIGSEGV);
    claim("mprotect back", mprotect(memory, 3 * PAGE, BOTH) == 0);
    claim("keeps the contents", is_filled(memory, 3, 3));
    memory[2 * PAGE] = 4;
    munmap(memory, 3 * PAGE);
    claim_value("no right is needed to have addresses",
                touch((uintptr_t)mmap(NULL, PAGE, PROT_NONE, PRIVATE, -1, 0), TOUCH_READ), -SIGSEGV);
}

/* What was read as zero before it was ever written is written like any other page. */
static void first_touches(void) {
    unsigned char *memory = pages(64);
    bool zeroed = is_filled(memory, 64, 0);
    for (size_t i = 0; i < 64; i++)
        memory[i * PAGE + i] = (unsigned char)i;
    bool kept = true;
    for (size_t i = 0; i < 64; i++)
        kept = kept && memory[i * PAGE + i] == i && memory[i * PAGE + i + 1] == 0;
    claim("pages read first and written then are each their own", zeroed && kept);
    munmap(memory, 64 * PAGE);
}

static uintptr_t set_break(uintptr_t wish) {
    return (uintptr_t)syscall(SYS_brk, wish);
}

static void heap_end(void) {
    uintptr_t begin = set_break(0), page = (begin + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    unsigned char *memory = (unsigned char *)page;
    claim_value("brk of nothing tells the end", (long)set_break(0), (long)begin);
    claim_value("brk up", (long)set_break(page + 8 * PAGE), (long)(page + 8 * PAGE));
    claim("gives zeroed memory", is_filled(memory, 8, 0));
    memset(memory, 5, 8 * PAGE);
    claim_value("brk down", (long)set_break(page + 2 * PAGE + 10), (long)(page + 2 * PAGE + 10));
    claim_value("takes whole pages", touch(page + 3 * PAGE, TOUCH_READ), -SIGSEGV);
    claim("and no more", is_filled(memory, 3, 5));
    claim_value("brk up again", (long)set_break(page + 8 * PAGE), (long)(page + 8 * PAGE));
    claim("gives zeroed memory again", is_filled(memory, 3, 5) && is_filled(memory + 3 * PAGE, 5, 0));
    claim_value("brk to the top changes nothing", (long)set_break(UINTPTR_MAX), (long)(page + 8 * PAGE));
    claim_value("brk to the kernel changes nothing", (long)set_break(MACHINE_BEYOND), (long)(page + 8 * PAGE));
    claim_value("brk to below its beginning changes nothing", (long)set_break(PAGE), (long)(page + 8 * PAGE));
    claim("and all is still there", is_filled(memory, 3, 5));
    claim_value("brk back", (long)set_break(begin), (long)begin);
    claim_error("nothing is left behind", protect(memory, 8 * PAGE, PROT_READ), ENOMEM);
}

/* Volatile: the compiler would make a loop of it. */
static int (*volatile again)(int depth);

static int deepen(int depth) {
    volatile unsigned char part[PAGE];
    part[0] = part[PAGE - 1] = (unsigned char)depth;
    return depth == 0 ? 0 : again(depth - 1) + part[0] - part[PAGE - 1];
}

int main(void) {
    zeroed_after_reuse();
    zeroed_after_others();
    unmap_parts();
    fixed_places();
    absurd_sizes();
    rights();
    first_touches();
    heap_end();
    again = deepen;
    claim_value("the stack grows by 512 KiB", deepen(128), 0);
    return claims_end();
}
