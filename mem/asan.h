/* mem/asan.h - layer 6: each access to the heap, checked.
 *
 * With `make KMALLOC_CHECK=asan` every C file is compiled with -fsanitize=kernel-address: before each load and store
 * the compiler puts a call, and that call looks into the heap's shadow (mem/shadow.h). So the first wrong access to a
 * block is reported, at the instruction that makes it, reads included; no other level sees those.
 *
 *     found        reads and writes past either end of a block, even by one byte; of a freed block, as long as it
 *                  wasn't handed out again (mem/guard.h keeps it back for a while); of heap memory that is in no block.
 *                  memcpy, memmove, memset and memcmp are checked over their whole length.
 *     by a fault   reads and writes behind the highest page that the heap has now, be they past a block's end or in a
 *                  large block that was freed: the processor finds no page there, and mem/explain.h names the block.
 *     not found    accesses to anything but the heap: stacks, globals, pvalloc'd pages (these have guard pages). Those
 *                  that reach from one block into another that is in use, across its red zones. Those through the
 *                  frame view, by assembler, by devices, by a compiler's inline code for va_arg, and by C that was
 *                  compiled without it.
 *
 * A call that passes takes about 12 instructions, of an address outside the heap 7. Both compilers, both widths.
 *
 * Left out, so not checked: mem/shadow.c and mem/asan*.c, which are the check; arch/x86/memory.c, which asks for whole
 * ranges instead of byte by byte. Everything else may be checked before there is a shadow (it reaches nothing then),
 * and UL_VISIBLE text holds no calls since it is assembler (base/ul_visible.h); tools/closure shows that.
 *
 * Context: any, NMI included, unless a report is made. Cost: O(bytes / 64) for a range. */
#ifndef MEM_ASAN_H
#define MEM_ASAN_H

#include <mem/shadow.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For a function that looks at forbidden bytes on purpose: the calls that it makes are checked all the same. */
#define ASAN_UNCHECKED __attribute__((no_sanitize_address))

/* Writes what is known of a heap address: its block, the offset in it, who had and who freed it; "" for nothing. It is
 * called for a report, with this processor's checks and interrupts off. In release builds any lock may be held then,
 * so it must not wait for one; debug builds released all of this processor's. */
typedef void asan_describe_function(uintptr_t address, char *out, size_t bytes);

/* When the heap is up: from here on the functions of base/string.h are checked too, and reports ask this function, or
 * nobody for NULL. Returns whom they asked before. */
asan_describe_function *asan_start(asan_describe_function *describe);

/* Turns the checks off on this processor, for audits and reports that look at forbidden bytes, and its interrupts too,
 * until asan_on(), which takes what asan_off() returned. Pairs nest. Nothing at the other levels. */
uintptr_t asan_off(void);
void asan_on(uintptr_t saved);

/* What the compiler's calls lead to: if one of the bytes is forbidden, and checks aren't off, a panic that says what
 * was done, by whom (`place`, a return address), why it was wrong, and the likely mistake. */
void asan_check(uintptr_t address, size_t bytes, bool write, uintptr_t place);

/* The shadow that is asked: the heap's. A test puts its own here, and back. */
extern const struct shadow *asan_watched;

#ifdef __cplusplus
}
#endif
#endif
