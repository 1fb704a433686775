/* ELF files made here, of both widths, each with one thing wrong; what elf_plan() says of it must name that thing. */
#include <base/string.h>
#include <elf.h>
#include <kernel/elf.h>
#include <tests/test.h>

enum { TEXT_OFFSET = 0x1000, DATA_OFFSET = 0x2000, FILE_BYTES = 0x2800, HEADERS = 4 };

static const struct elf_machine wide_machine = { 64, 0x10000, 0x7ffffffff000, 0x400000 };
static const struct elf_machine narrow_machine = { 32, 0x10000, 0xffe00000, 0x400000 };

static uint8_t file[FILE_BYTES];
static struct elf_plan plan;

/* Headers page read-only, a page of text, data with 0x800 bytes in the file and 0x3000 in memory, a stack note. */
#define MAKE(type_, class_, machine_)                                                                                  \
    do {                                                                                                               \
        type_##_Ehdr *header = (type_##_Ehdr *)file;                                                                   \
        type_##_Phdr *program = (type_##_Phdr *)(file + sizeof(*header));                                              \
        memset(file, 0, sizeof(file));                                                                                 \
        memcpy(header->e_ident, ELFMAG, SELFMAG);                                                                      \
        header->e_ident[EI_CLASS] = class_;                                                                            \
        header->e_ident[EI_DATA] = ELFDATA2LSB;                                                                        \
        header->e_ident[EI_VERSION] = EV_CURRENT;                                                                      \
        header->e_type = ET_EXEC;                                                                                      \
        header->e_machine = machine_;                                                                                  \
        header->e_version = EV_CURRENT;                                                                                \
        header->e_entry = 0x101010;                                                                                    \
        header->e_phoff = sizeof(*header);                                                                             \
        header->e_ehsize = sizeof(*header);                                                                            \
        header->e_phentsize = sizeof(*program);                                                                        \
        header->e_phnum = HEADERS;                                                                                     \
        program[0] = (type_##_Phdr){ .p_type = PT_LOAD,                                                                \
                                     .p_vaddr = 0x100000,                                                              \
                                     .p_filesz = 0x200,                                                                \
                                     .p_memsz = 0x200,                                                                 \
                                     .p_flags = PF_R,                                                                  \
                                     .p_align = 0x1000 };                                                              \
        program[1] = (type_##_Phdr){ .p_type = PT_LOAD,                                                                \
                                     .p_offset = TEXT_OFFSET,                                                          \
                                     .p_vaddr = 0x101000,                                                              \
                                     .p_filesz = 0x1000,                                                               \
                                     .p_memsz = 0x1000,                                                                \
                                     .p_flags = PF_R | PF_X,                                                           \
                                     .p_align = 0x1000 };                                                              \
        program[2] = (type_##_Phdr){ .p_type = PT_LOAD,                                                                \
                                     .p_offset = DATA_OFFSET,                                                          \
                                     .p_vaddr = 0x104000,                                                              \
                                     .p_filesz = 0x800,                                                                \
                                     .p_memsz = 0x3000,                                                                \
                                     .p_flags = PF_R | PF_W,                                                           \
                                     .p_align = 0x1000 };                                                              \
        program[3] = (type_##_Phdr){ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X };                          \
    } while (0)

static Elf64_Ehdr *wide_header(void) {
    return (Elf64_Ehdr *)file;
}

static Elf64_Phdr *wide_program(unsigned index) {
    return (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr)) + index;
}

static void make_wide(void) {
    MAKE(Elf64, ELFCLASS64, EM_X86_64);
}

static void make_narrow(void) {
    MAKE(Elf32, ELFCLASS32, EM_386);
}

static const char *refused(void) {
    const char *why = NULL;
    if (elf_plan(file, sizeof(file), &wide_machine, &plan, &why) != ERR_INVALID)
        test_fail(__FILE__, __LINE__, "a bad file was accepted");
    return why;
}

#define expect_refused(text)                                                                                           \
    do {                                                                                                               \
        const char *why_ = refused();                                                                                  \
        if (!string_equal(why_, text))                                                                                 \
            test_fail(__FILE__, __LINE__, "refused with \"%s\"", why_);                                                \
    } while (0)

static void expect_plan(uint64_t move) {
    expect_equal(plan.segment_count, 3);
    expect_equal(plan.entry, 0x101010 + move);
    expect_equal(plan.end, 0x107000 + move);
    expect_equal(plan.segments[0].first, 0x100000 + move);
    expect_equal(plan.segments[0].end, 0x101000 + move);
    expect_equal(plan.segments[0].rights, 0);
    expect_equal(plan.segments[1].rights, ELF_EXECUTE);
    expect_equal(plan.segments[2].rights, ELF_WRITE);
    expect_equal(plan.segments[2].end, 0x107000 + move);
    expect_equal(plan.segments[2].file_bytes, 0x800);
}

TEST(elf_plans_a_64_bit_program) {
    const char *why;
    make_wide();
    expect(elf_plan(file, sizeof(file), &wide_machine, &plan, &why) == 0);
    expect_plan(0);
    expect_equal(plan.headers, 0x100000 + sizeof(Elf64_Ehdr));
}

TEST(elf_plans_a_32_bit_program) {
    const char *why;
    make_narrow();
    expect(elf_plan(file, sizeof(file), &narrow_machine, &plan, &why) == 0);
    expect_plan(0);
    expect_equal(plan.headers, 0x100000 + sizeof(Elf32_Ehdr));
}

TEST(elf_moves_a_position_independent_program) {
    const char *why;
    make_wide();
    wide_header()->e_type = ET_DYN;
    expect(elf_plan(file, sizeof(file), &wide_machine, &plan, &why) == 0);
    expect_plan(0x400000);
}

TEST(elf_refuses_the_other_width) {
    const char *why;
    make_narrow();
    expect_refused("not a 64-bit ELF file");
    make_wide();
    expect(elf_plan(file, sizeof(file), &narrow_machine, &plan, &why) == ERR_INVALID);
    expect(string_equal(why, "not a 32-bit ELF file"));
    wide_header()->e_machine = EM_386;
    expect_refused("for another processor");
}

TEST(elf_refuses_what_is_no_program) {
    make_wide();
    file[0] = '#';
    expect_refused("not an ELF file");
    make_wide();
    wide_header()->e_type = ET_REL;
    expect_refused("not a program");
    make_wide();
    wide_program(0)->p_type = PT_INTERP;
    expect_refused("it needs an interpreter: link it with -static");
    make_wide();
    for (unsigned i = 0; i < 3; i++)
        wide_program(i)->p_type = PT_NOTE;
    expect_refused("nothing to load");
}

TEST(elf_refuses_headers_outside_the_file) {
    make_wide();
    wide_header()->e_phoff = FILE_BYTES - 1;
    expect_refused("the program headers lie outside the file");
    wide_header()->e_phoff = UINT64_MAX;
    expect_refused("the program headers lie outside the file");
    make_wide();
    wide_header()->e_phnum = 0xfff0;
    expect_refused("the program headers lie outside the file");
    wide_header()->e_phnum = 0;
    expect_refused("no program headers");
}

TEST(elf_refuses_every_cut_file) {
    make_wide();
    for (size_t bytes = 0; bytes < DATA_OFFSET + 0x800; bytes++) {
        const char *why;
        expect(elf_plan(file, bytes, &wide_machine, &plan, &why) == ERR_INVALID);
    }
}

TEST(elf_refuses_segments_whose_sums_wrap) {
    make_wide();
    wide_program(2)->p_offset = UINT64_MAX - 0xfff;
    expect_refused("a segment lies outside the file");
    make_wide();
    wide_program(2)->p_memsz = UINT64_MAX;
    expect_refused("a segment lies outside the addresses of programs");
    make_wide();
    wide_header()->e_type = ET_DYN;
    wide_program(2)->p_vaddr = UINT64_MAX - 0xfff;
    expect_refused("a segment lies outside the addresses of programs");
    make_wide();
    wide_program(2)->p_filesz = 0x3001;
    expect_refused("a segment has more bytes in the file than in memory");
}

TEST(elf_refuses_segments_outside_a_programs_addresses) {
    make_wide();
    wide_program(0)->p_vaddr = 0;
    expect_refused("a segment lies outside the addresses of programs");
    make_wide();
    wide_program(2)->p_vaddr = 0x7fffffffd000;
    expect_refused("a segment lies outside the addresses of programs");
    wide_program(2)->p_vaddr = 0xffffffff80100000;
    expect_refused("a segment lies outside the addresses of programs");
}

TEST(elf_refuses_segments_that_mix_up_rights) {
    make_wide();
    wide_program(2)->p_flags |= PF_X;
    expect_refused("a segment is writable and executable");
    make_wide();
    wide_program(2)->p_vaddr = 0x101800;
    wide_program(2)->p_align = 1;
    expect_refused("two segments share a page");
    make_wide();
    wide_program(2)->p_vaddr = 0x80000;
    expect_refused("segments are not in the order of their addresses");
    make_wide();
    wide_program(2)->p_vaddr = 0x104010;
    expect_refused("a segment's place in the file doesn't fit its address");
}

TEST(elf_refuses_an_entry_that_cannot_run) {
    make_wide();
    wide_header()->e_entry = 0x104000;
    expect_refused("the entry lies in no executable segment");
    wide_header()->e_entry = 0xffffffff80000000;
    expect_refused("the entry lies in no executable segment");
}
