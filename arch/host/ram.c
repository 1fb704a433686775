/* Offsets of more than 31 bits on a 32-bit host too: RAM beyond 4 GiB is the point of PAE. */
#define _FILE_OFFSET_BITS 64
#include <arch/host/ram.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
    int file;
    pfn_t pages;
    uintptr_t first, end;
    uintptr_t reserved; /* where the reservation that the space lies in begins; SPACE_ALIGN longer than the space */
    bool (*fault)(uintptr_t address, bool write);
} ram = { .file = -1 };

enum { SPACE_ALIGN = 2 << 20 };

static void must(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "pretend RAM: %s: %s\n", what, strerror(errno));
    abort();
}

static uintptr_t reserve(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(at != MAP_FAILED, "no address space");
    return (uintptr_t)at;
}

void ram_create(pfn_t pages, size_t space_bytes) {
    if (ram.file >= 0) {
        close(ram.file);
        munmap((void *)ram.reserved, ram.end - ram.first + SPACE_ALIGN);
    }
    ram.file = memfd_create("ram", MFD_CLOEXEC);
    must(ram.file >= 0 && ftruncate(ram.file, (off_t)pfn_to_phys(pages)) == 0, "no memory file");
    ram.pages = pages;
    ram.reserved = reserve(space_bytes + SPACE_ALIGN);
    ram.first = (ram.reserved + SPACE_ALIGN - 1) & ~((uintptr_t)SPACE_ALIGN - 1);
    ram.end = ram.first + space_bytes;
}

uintptr_t ram_space_first(void) {
    return ram.first;
}

uintptr_t ram_space_end(void) {
    return ram.end;
}

pfn_t ram_end(void) {
    return ram.pages;
}

void ram_show(uintptr_t address, pfn_t pfn, bool writable) {
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *at = mmap((void *)address, PAGE_SIZE, protection, MAP_SHARED | MAP_FIXED, ram.file, (off_t)pfn_to_phys(pfn));
    must(at != MAP_FAILED, "can't show a page");
}

void ram_hide(uintptr_t address, size_t pages) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void *at = mmap((void *)address, pages * PAGE_SIZE, PROT_NONE, flags, -1, 0);
    must(at != MAP_FAILED, "can't hide a page");
}

uintptr_t ram_reserve_view(size_t pages) {
    return reserve(pages * PAGE_SIZE);
}

void ram_read(uint64_t physical, void *to, size_t bytes) {
    must(pread(ram.file, to, bytes, (off_t)physical) == (ssize_t)bytes, "read past the end of RAM");
}

void ram_write(uint64_t physical, const void *from, size_t bytes) {
    must(pwrite(ram.file, from, bytes, (off_t)physical) == (ssize_t)bytes, "write past the end of RAM");
}

static bool was_write(const ucontext_t *context) {
    /* The page fault's error code as the kernel saves it; bit 1 says write (SDM volume 3A, 4.7). */
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

static void on_signal(int number, siginfo_t *information, void *context) {
    uintptr_t address = (uintptr_t)information->si_addr;
    if (address >= ram.first && address < ram.end && ram.fault != NULL && ram.fault(address, was_write(context)))
        return;
    signal(number, SIG_DFL); /* a real mistake: let it end the process at the same instruction */
}

void ram_on_fault(bool (*fault)(uintptr_t address, bool write)) {
    ram.fault = fault;
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
    must(sigaction(SIGSEGV, &action, NULL) == 0, "no signal handler");
}
