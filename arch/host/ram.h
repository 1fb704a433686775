/* arch/host/ram.h - pretend RAM and pretend kernel address space, made of the host's own pages.
 *
 * Physical address p is byte p of one sparse file in memory, so that one page of RAM can be seen at several addresses
 * of this process at once, as on a real machine. ram.c is the one source that uses mmap: glibc's headers that declare
 * it also declare other functions by the names valloc and pvalloc. */
#ifndef ARCH_HOST_RAM_H
#define ARCH_HOST_RAM_H

#include <base/types.h>

/* New, zeroed RAM of `pages` pages (holes included), and address space of `space_bytes` with nothing behind it. Ends
 * the process when the host has no room. */
void ram_create(pfn_t pages, size_t space_bytes);

uintptr_t ram_space_first(void);
uintptr_t ram_space_end(void);
pfn_t ram_end(void);

/* Shows physical page `pfn` at `address` (any page of the space, or of the view). */
void ram_show(uintptr_t address, pfn_t pfn, bool writable);
/* Nothing is at these pages any more: an access is a SIGSEGV. */
void ram_hide(uintptr_t address, size_t pages);

/* Room for `pages` pages outside the space, for views of frames. */
uintptr_t ram_reserve_view(size_t pages);
/* RAM read and written as bytes of the file: for judges, which take no view and see through no translation. */
void ram_read(uint64_t physical, void *to, size_t bytes);
void ram_write(uint64_t physical, const void *from, size_t bytes);

/* Calls `fault` for each access that hits a hidden page of the space; it returns true once the access can be tried
 * again. */
void ram_on_fault(bool (*fault)(uintptr_t address, bool write));

#endif
