/* kernel/elf.h - static ELF programs: first a plan, then whoever loads follows it.
 *
 * The file is bytes from outside. elf_plan() checks every field that anything depends on, allocates nothing and changes
 * nothing; a plan it gives can be followed without another look at the headers. Both widths are read by one code.
 * Context: any. Cost: linear in the program headers, quadratic in the segments (at most ELF_SEGMENTS_MAX). */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ELF_SEGMENTS_MAX = 16 };

enum { ELF_WRITE = 1 << 0, ELF_EXECUTE = 1 << 1 };

/* What the machine runs, and where. */
struct elf_machine {
    uint8_t bits;        /* 32 or 64 */
    uint64_t first, end; /* addresses that a program may have; page-aligned */
    uint64_t base;       /* where a position-independent program goes; page-aligned */
};

/* Pages first to end get these rights. File bytes [file_offset, file_offset + file_bytes) go to `address`; the rest is
 * zero. */
struct elf_segment {
    uint64_t first, end; /* addresses, page-aligned */
    uint64_t address;
    uint64_t file_offset, file_bytes;
    unsigned rights; /* ELF_WRITE, ELF_EXECUTE: never both. All can be read */
};

struct elf_plan {
    uint64_t entry;
    uint64_t headers; /* where the program headers will be (AT_PHDR), 0 if in no segment */
    unsigned header_count, header_bytes;
    uint64_t end; /* page-aligned, behind the last segment: where the heap may begin */
    size_t segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* in the order of their addresses, never sharing a page */
};

/* 0, or ERR_INVALID with *why saying what is wrong with the file. */
int elf_plan(const void *file, size_t bytes, const struct elf_machine *machine, struct elf_plan *plan,
             const char **why);

#ifdef __cplusplus
}
#endif
#endif
