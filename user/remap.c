/* mremap, madvise, mincore, mlock, MAP_POPULATE and MAP_GROWSDOWN, as Linux documents them. Each refusal is a row with
 * the errno that Linux gives. */
#include <user/check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS, BOTH = PROT_READ | PROT_WRITE };

static bool is_filled(const unsigned char *memory, size_t count, unsigned char value) {
    for (size_t i = 0; i < count * PAGE; i++)
        if (memory[i] != value)
            return false;
    return true;
}

/* By its number: a library may judge arguments itself. */
static long resize(const void *old, size_t old_bytes, size_t bytes, long flags, const void *to) {
    return syscall(SYS_mremap, old, old_bytes, bytes, flags, to);
}

static void moves(void) {
    unsigned char *memory = pages(8), *far = pages(8);
    memset(memory, 7, 4 * PAGE);
    claim("mremap that shrinks", resize(memory, 8 * PAGE, 4 * PAGE, 0, NULL) == (long)memory);
    claim_value("takes the tail", touch((uintptr_t)memory + 4 * PAGE, TOUCH_READ), -SIGSEGV);
    claim("mremap that grows in place", resize(memory, 4 * PAGE, 6 * PAGE, 0, NULL) == (long)memory);
    claim("with zeroed pages", is_filled(memory, 4, 7) && is_filled(memory + 4 * PAGE, 2, 0));
    memset(far, 9, 8 * PAGE);
    claim("mremap to a fixed place",
          resize(memory, 6 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + PAGE) == (long)far + PAGE);
    claim("brings the bytes along", is_filled(far + PAGE, 4, 7));
    claim("and leaves what is beside them", is_filled(far, 1, 9) && is_filled(far + 5 * PAGE, 3, 9));
    claim_value("at the old place there is nothing", touch((uintptr_t)memory, TOUCH_READ), -SIGSEGV);
    unsigned char *moved = (unsigned char *)resize(far + PAGE, 2 * PAGE, 16 * PAGE, MREMAP_MAYMOVE, NULL);
    claim("mremap that has no room moves", moved != far + PAGE && is_filled(moved, 2, 7));
    claim("and grows", is_filled(moved + 2 * PAGE, 14, 0));
    moved[15 * PAGE] = 1;
    claim("munmap of what was moved", munmap(moved, 16 * PAGE) == 0 && munmap(far, 8 * PAGE) == 0);
}

static int write_and_look(void *argument) {
    unsigned char *memory = argument;
    bool parents = is_filled(memory, 2, 5);
    unsigned char *moved = (unsigned char *)resize(memory, 2 * PAGE, 32 * PAGE, MREMAP_MAYMOVE, NULL);
    memset(moved, 6, 32 * PAGE);
    return !(parents && is_filled(moved, 32, 6));
}

static void moves_of_copies(void) {
    unsigned char *memory = pages(2);
    memset(memory, 5, 2 * PAGE);
    claim_value("a child moves what it has of its parent", child_run(write_and_look, memory), 0);
    claim("and its parent keeps it", is_filled(memory, 2, 5));
    munmap(memory, 2 * PAGE);
}

static void refused_moves(void) {
    unsigned char *memory = pages(4), *far = pages(4);
    munmap(memory + 3 * PAGE, PAGE);
    const struct {
        const char *name;
        const void *old;
        size_t old_bytes, bytes;
        long flags;
        const void *to;
        int error;
    } rows[] = {
        { "mremap inside a page", memory + 1, PAGE, PAGE, MREMAP_MAYMOVE, NULL, EINVAL },
        { "mremap to nothing", memory, PAGE, 0, MREMAP_MAYMOVE, NULL, EINVAL },
        { "mremap with unknown flags", memory, PAGE, PAGE, 0x40, NULL, EINVAL },
        { "mremap fixed that may not move", memory, PAGE, PAGE, MREMAP_FIXED, far, EINVAL },
        { "mremap to inside a page", memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 1, EINVAL },
        { "mremap onto itself", memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + PAGE, EINVAL },
        { "mremap of what isn't mapped", memory + 3 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE, NULL, EFAULT },
        { "mremap of more than is mapped", memory, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE, NULL, EFAULT },
        { "mremap in place without room", memory, PAGE, 2 * PAGE, 0, NULL, ENOMEM },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        claim_error(rows[i].name, resize(rows[i].old, rows[i].old_bytes, rows[i].bytes, rows[i].flags, rows[i].to),
                    rows[i].error);
    claim("after all this the pages are still there", is_filled(memory, 3, 0) && is_filled(far, 4, 0));
    munmap(memory, 3 * PAGE);
    munmap(far, 4 * PAGE);
}

static void advice(void) {
    unsigned char *memory = pages(4), *shared = pages_shared(2);
    memset(memory, 3, 4 * PAGE);
    claim("madvise DONTNEED", madvise(memory + PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
    claim("gives zeroes", is_filled(memory + PAGE, 2, 0));
    claim("and only there", is_filled(memory, 1, 3) && is_filled(memory + 3 * PAGE, 1, 3));
    memset(shared, 4, 2 * PAGE);
    claim("madvise DONTNEED leaves shared bytes",
          madvise(shared, 2 * PAGE, MADV_DONTNEED) == 0 && is_filled(shared, 2, 4));
    claim("madvise FREE", madvise(memory, PAGE, MADV_FREE) == 0);
    claim("leaves the page to be written", (memory[5] = 8) == 8);
    claim("hints", madvise(memory, PAGE, MADV_WILLNEED) == 0 && madvise(memory, PAGE, MADV_SEQUENTIAL) == 0);
    claim("advice on nothing", madvise(memory, 0, MADV_DONTNEED) == 0);
    claim_error("advice that there isn't", madvise(memory, PAGE, 77), EINVAL);
    claim_error("advice inside a page", madvise(memory + 1, PAGE, MADV_DONTNEED), EINVAL);
    munmap(memory + 2 * PAGE, PAGE);
    claim_error("advice over a hole", madvise(memory, 4 * PAGE, MADV_DONTNEED), ENOMEM);
    claim("reaches what is behind it", is_filled(memory + 3 * PAGE, 1, 0));
    munmap(memory, 4 * PAGE);
    munmap(shared, 2 * PAGE);
}

static void presence(void) {
    unsigned char *memory = pages(4), there[4] = { 9, 9, 9, 9 };
    memory[2 * PAGE] = 1;
    claim("mincore", mincore(memory, 4 * PAGE, there) == 0 && (there[2] & 1) == 1 && (there[0] & 1) == 0);
    claim_error("mincore inside a page", mincore(memory + 1, PAGE, there), EINVAL);
    claim_error("mincore to nowhere", syscall(SYS_mincore, memory, PAGE, NULL), EFAULT);
    claim("mlock", mlock(memory + 5, PAGE) == 0);
    claim("has the pages of all its bytes",
          mincore(memory, 4 * PAGE, there) == 0 && (there[0] & 1) && (there[1] & 1) && !(there[3] & 1));
    claim("munlock", munlock(memory, 2 * PAGE) == 0);
    munmap(memory + 3 * PAGE, PAGE);
    claim_error("mincore over a hole", mincore(memory, 4 * PAGE, there), ENOMEM);
    claim_error("mlock over a hole", mlock(memory, 4 * PAGE), ENOMEM);
    claim_error("munlock over a hole", munlock(memory, 4 * PAGE), ENOMEM);
    claim_error("mlockall of nothing", mlockall(0), EINVAL);
    claim("munlockall", munlockall() == 0);
    munmap(memory, 4 * PAGE);
    memory = mmap(NULL, 4 * PAGE, BOTH, PRIVATE | MAP_POPULATE, -1, 0);
    claim("MAP_POPULATE", mincore(memory, 4 * PAGE, there) == 0 && (there[0] & there[1] & there[2] & there[3] & 1));
    munmap(memory, 4 * PAGE);
}

int main(void) {
    moves();
    moves_of_copies();
    refused_moves();
    advice();
    presence();
    return claims_end();
}
