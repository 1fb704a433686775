/* A static ELF file as a list of segments.
 *
 *     file:    | ELF header | program headers | ... text ... | ... data ... |
 *                                                   |              |
 *     memory:        first |----- RX -----|    first |---- RW ----|..zero..| end
 *
 * Headers of both widths are first copied into one struct with 64-bit fields, byte by byte, since the file may be
 * anywhere in memory. From there on there is one code, and no sum of two fields is made before each is known to be
 * small.
 *
 * What a plan promises:
 *   E1  each segment's pages lie in [machine->first, machine->end), in ascending order, and no two segments share a
 *       page.
 *   E2  each segment's file bytes lie in the file, and their place lies in the segment's pages.
 *   E3  the entry lies in an executable segment.
 *   E4  no segment is both writable and executable.
 *
 * Refused: what needs an interpreter (dynamic programs); segments that share a page, since each page has one set of
 * rights; writable and executable segments. A stack note that asks for execution isn't followed. Not read: section
 * headers, symbols, notes, the dynamic section (a static position-independent program relocates itself). */
#include <kernel/elf.h>
#include <base/bits.h>
#include <base/string.h>
#include <elf.h>

struct header {
    unsigned char ident[EI_NIDENT];
    unsigned type, machine, version, header_bytes, program_bytes, program_count;
    uint64_t entry, program_offset;
};

struct program {
    uint32_t type, flags;
    uint64_t offset, address, file_bytes, memory_bytes, align;
};

struct reader {
    const uint8_t *file;
    size_t bytes;
    const struct elf_machine *machine;
    struct header header;
    uint64_t move; /* added to every address of the file */
    struct elf_plan *plan;
    const char *why;
};

static int bad(struct reader *reader, const char *why) {
    reader->why = why;
    return ERR_INVALID;
}

/* [offset, offset + bytes) lies in the file. */
static bool in_file(const struct reader *reader, uint64_t offset, uint64_t bytes) {
    return offset <= reader->bytes && bytes <= reader->bytes - offset;
}

/* --- Both widths -------------------------------------------------------------------------------------------------- */

#define COPY_HEADER(from, to)                                                                                          \
    do {                                                                                                               \
        memcpy((to)->ident, (from).e_ident, EI_NIDENT);                                                                \
        (to)->type = (from).e_type;                                                                                    \
        (to)->machine = (from).e_machine;                                                                              \
        (to)->version = (from).e_version;                                                                              \
        (to)->header_bytes = (from).e_ehsize;                                                                          \
        (to)->program_bytes = (from).e_phentsize;                                                                      \
        (to)->program_count = (from).e_phnum;                                                                          \
        (to)->entry = (from).e_entry;                                                                                  \
        (to)->program_offset = (from).e_phoff;                                                                         \
    } while (0)

#define COPY_PROGRAM(from, to)                                                                                         \
    do {                                                                                                               \
        (to)->type = (from).p_type;                                                                                    \
        (to)->flags = (from).p_flags;                                                                                  \
        (to)->offset = (from).p_offset;                                                                                \
        (to)->address = (from).p_vaddr;                                                                                \
        (to)->file_bytes = (from).p_filesz;                                                                            \
        (to)->memory_bytes = (from).p_memsz;                                                                           \
        (to)->align = (from).p_align;                                                                                  \
    } while (0)

static bool is_64(const struct reader *reader) {
    return reader->machine->bits == 64;
}

static bool copy_header(struct reader *reader) {
    Elf64_Ehdr wide;
    Elf32_Ehdr narrow;
    if (reader->bytes < (is_64(reader) ? sizeof(wide) : sizeof(narrow)))
        return false;
    if (is_64(reader)) {
        memcpy(&wide, reader->file, sizeof(wide));
        COPY_HEADER(wide, &reader->header);
    } else {
        memcpy(&narrow, reader->file, sizeof(narrow));
        COPY_HEADER(narrow, &reader->header);
    }
    return true;
}

/* The headers were found to lie in the file. */
static struct program program_at(const struct reader *reader, unsigned index) {
    const uint8_t *at = reader->file + reader->header.program_offset + (size_t)index * reader->header.program_bytes;
    struct program program;
    Elf64_Phdr wide;
    Elf32_Phdr narrow;
    if (is_64(reader)) {
        memcpy(&wide, at, sizeof(wide));
        COPY_PROGRAM(wide, &program);
    } else {
        memcpy(&narrow, at, sizeof(narrow));
        COPY_PROGRAM(narrow, &program);
    }
    return program;
}

/* --- The ELF header ----------------------------------------------------------------------------------------------- */

static int check_kind(struct reader *reader) {
    if (reader->bytes < EI_NIDENT || memcmp(reader->file, ELFMAG, SELFMAG) != 0)
        return bad(reader, "not an ELF file");
    if (reader->file[EI_CLASS] != (is_64(reader) ? ELFCLASS64 : ELFCLASS32))
        return bad(reader, is_64(reader) ? "not a 64-bit ELF file" : "not a 32-bit ELF file");
    if (reader->file[EI_DATA] != ELFDATA2LSB)
        return bad(reader, "not little-endian");
    if (reader->file[EI_VERSION] != EV_CURRENT)
        return bad(reader, "an unknown ELF version");
    unsigned abi = reader->file[EI_OSABI];
    if (abi != ELFOSABI_NONE && abi != ELFOSABI_GNU)
        return bad(reader, "not for Linux' system calls");
    if (!copy_header(reader))
        return bad(reader, "the file ends in the ELF header");
    return 0;
}

static int check_header(struct reader *reader) {
    int error = check_kind(reader);
    if (error != 0)
        return error;
    const struct header *header = &reader->header;
    if (header->machine != (is_64(reader) ? EM_X86_64 : EM_386))
        return bad(reader, "for another processor");
    if (header->version != EV_CURRENT)
        return bad(reader, "an unknown ELF version");
    if (header->type != ET_EXEC && header->type != ET_DYN)
        return bad(reader, "not a program");
    if (header->header_bytes != (is_64(reader) ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return bad(reader, "the ELF header has a wrong size");
    if (header->program_bytes != (is_64(reader) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return bad(reader, "the program headers have a wrong size");
    if (header->program_count == 0)
        return bad(reader, "no program headers");
    if (header->program_count == PN_XNUM)
        return bad(reader, "too many program headers");
    if (!in_file(reader, header->program_offset, (uint64_t)header->program_count * header->program_bytes))
        return bad(reader, "the program headers lie outside the file");
    reader->move = header->type == ET_DYN ? reader->machine->base : 0;
    return 0;
}

/* --- Segments ----------------------------------------------------------------------------------------------------- */

static int check_sizes(struct reader *reader, const struct program *program) {
    if (program->file_bytes > program->memory_bytes)
        return bad(reader, "a segment has more bytes in the file than in memory");
    if (!in_file(reader, program->offset, program->file_bytes))
        return bad(reader, "a segment lies outside the file");
    if (program->align > 1 && !is_power_of_two(program->align))
        return bad(reader, "a segment's alignment is no power of two");
    if (program->align > 1 && ((program->address ^ program->offset) & (program->align - 1) & (PAGE_SIZE - 1)) != 0)
        return bad(reader, "a segment's place in the file doesn't fit its address");
    if ((program->flags & PF_W) && (program->flags & PF_X))
        return bad(reader, "a segment is writable and executable");
    return 0;
}

static int add_segment(struct reader *reader, const struct program *program) {
    const struct elf_machine *machine = reader->machine;
    struct elf_plan *plan = reader->plan;
    int error = check_sizes(reader, program);
    if (error != 0 || program->memory_bytes == 0)
        return error;
    uint64_t address = program->address + reader->move;
    if (address < program->address || address < machine->first || address >= machine->end ||
        program->memory_bytes > machine->end - address)
        return bad(reader, "a segment lies outside the addresses of programs");
    if (plan->segment_count == ELF_SEGMENTS_MAX)
        return bad(reader, "too many segments");
    struct elf_segment segment = {
        .first = round_down(address, PAGE_SIZE),
        .end = round_up(address + program->memory_bytes, PAGE_SIZE),
        .address = address,
        .file_offset = program->offset,
        .file_bytes = program->file_bytes,
        .rights = (program->flags & PF_W ? ELF_WRITE : 0) | (program->flags & PF_X ? ELF_EXECUTE : 0),
    };
    if (plan->segment_count > 0 && segment.first < plan->end)
        return bad(reader, segment.address < plan->segments[plan->segment_count - 1].address
                               ? "segments are not in the order of their addresses"
                               : "two segments share a page");
    plan->segments[plan->segment_count++] = segment;
    plan->end = segment.end;
    return 0;
}

/* Where file bytes [offset, offset + bytes) come to lie, or 0. */
static uint64_t address_of(const struct elf_plan *plan, uint64_t offset, uint64_t bytes) {
    for (size_t i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *segment = &plan->segments[i];
        if (offset >= segment->file_offset && offset - segment->file_offset <= segment->file_bytes &&
            bytes <= segment->file_bytes - (offset - segment->file_offset))
            return segment->address + (offset - segment->file_offset);
    }
    return 0;
}

static bool is_executable(const struct elf_plan *plan, uint64_t address) {
    for (size_t i = 0; i < plan->segment_count; i++)
        if (address >= plan->segments[i].first && address < plan->segments[i].end)
            return (plan->segments[i].rights & ELF_EXECUTE) != 0;
    return false;
}

static int read_programs(struct reader *reader) {
    const struct header *header = &reader->header;
    for (unsigned i = 0; i < header->program_count; i++) {
        struct program program = program_at(reader, i);
        if (program.type == PT_INTERP)
            return bad(reader, "it needs an interpreter: link it with -static");
        int error = program.type == PT_LOAD ? add_segment(reader, &program) : 0;
        if (error != 0)
            return error;
    }
    return reader->plan->segment_count == 0 ? bad(reader, "nothing to load") : 0;
}

static int finish(struct reader *reader) {
    struct elf_plan *plan = reader->plan;
    const struct header *header = &reader->header;
    plan->entry = header->entry + reader->move;
    plan->header_count = header->program_count;
    plan->header_bytes = header->program_bytes;
    plan->headers = address_of(plan, header->program_offset, (uint64_t)header->program_count * header->program_bytes);
    if (!is_executable(plan, plan->entry))
        return bad(reader, "the entry lies in no executable segment");
    return 0;
}

int elf_plan(const void *file, size_t bytes, const struct elf_machine *machine, struct elf_plan *plan,
             const char **why) {
    struct reader reader = { .file = file, .bytes = bytes, .machine = machine, .plan = plan };
    *plan = (struct elf_plan){ .segment_count = 0 };
    int error = check_header(&reader);
    if (error == 0)
        error = read_programs(&reader);
    if (error == 0)
        error = finish(&reader);
    *why = reader.why;
    return error;
}
