/* A program's context, from low to high:
 *
 *     segments of the file | heap (brk) ->          | map_first: mmap ... map_end |  <- stack |
 *
 * The file's bytes are written while an area may be written, and only then it gets the rights that the file asks for,
 * so that no page is ever both. A stack note that asks for execution isn't followed.
 *
 * What the stack holds at the start, from its top down (System V ABI, "Initial Process Stack"):
 *
 *     16 random bytes | the path | texts | auxiliary vector | environment pointers, NULL | argument pointers, NULL |
 *     count
 *                                                                                                                 ^ sp
 * Cost: a copy of the file. Not done: showing the archive's own pages to programs. */
#include <kernel/program.h>
#include <arch/x86/cpu.h>
#include <asm/errno.h>
#include <base/string.h>
#include <elf.h>
#include <kernel/archive.h>
#include <kernel/elf.h>
#include <mem/area.h>
#include <mem/task_copy.h>
#include <mem/valloc.h>
#include <user.h>

enum { STACK_FIRST_PAGES = 32, AUXILIARY = 16, WORD = sizeof(uintptr_t) };

/* A gap above the stack, one below its limit, and a quarter of the addresses for the file and its heap. */
#define STACK_TOP   (GEOMETRY_TASK_END - 0x10000)
#define STACK_LIMIT (STACK_TOP - ((uintptr_t)PROGRAM_STACK_PAGES << PAGE_SHIFT))

const uintptr_t program_map_first = GEOMETRY_TASK_END / 4 & ~(uintptr_t)0xfffff;
const uintptr_t program_map_end = STACK_LIMIT - 0x100000;

/* --- Texts -------------------------------------------------------------------------------------------------------- */

int program_texts_make(struct program_texts *texts) {
    *texts = (struct program_texts){ .bytes = pvalloc(PROGRAM_TEXT_PAGES, context_kernel()) };
    return texts->bytes != NULL ? 0 : ERR_NO_MEMORY;
}

void program_texts_free(struct program_texts *texts) {
    pvfree(page_number((uintptr_t)texts->bytes), PROGRAM_TEXT_PAGES);
}

char *program_texts_room(const struct program_texts *texts, size_t *bytes) {
    *bytes = PROGRAM_TEXT_PAGES * PAGE_SIZE - texts->used;
    return texts->bytes + texts->used;
}

void program_texts_took(struct program_texts *texts, size_t bytes, bool argument) {
    texts->used += bytes;
    texts->arguments += argument;
    texts->environment += !argument;
}

static int add_text(struct program_texts *texts, const char *text, bool argument) {
    size_t room, bytes = string_length(text) + 1;
    char *to = program_texts_room(texts, &room);
    if (bytes > room)
        return -E2BIG;
    memcpy(to, text, bytes);
    program_texts_took(texts, bytes, argument);
    return 0;
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static unsigned rights_of(const struct elf_segment *segment) {
    if (segment->rights & ELF_EXECUTE)
        return AREA_READ | AREA_EXECUTE;
    return segment->rights & ELF_WRITE ? AREA_READ | AREA_WRITE : AREA_READ;
}

static int load_segment(struct context *context, const struct elf_segment *segment, const uint8_t *file) {
    struct area_request request = {
        .pages = (size_t)((segment->end - segment->first) >> PAGE_SHIFT),
        .rights = AREA_READ | AREA_WRITE,
        .address = (uintptr_t)segment->first,
        .fixed = true,
    };
    uintptr_t address;
    int error = area_map(context, &request, &address);
    if (error == 0)
        error = copy_to_task(context, (uintptr_t)segment->address, file + segment->file_offset,
                             (size_t)segment->file_bytes, NULL);
    if (error == 0 && rights_of(segment) != request.rights)
        error = area_protect(context, address, request.pages, rights_of(segment));
    return error;
}

static int plan_file(const struct cpio_member *file, struct elf_plan *plan, const char **why) {
    const struct elf_machine machine = {
        .bits = USER_BITS,
        .first = GEOMETRY_TASK_FIRST,
        .end = program_map_first,
        .base = program_map_first / 2 & ~(uint64_t)0xfffff,
    };
    return elf_plan(file->content, file->bytes, &machine, plan, why) == 0 ? 0 : -ENOEXEC;
}

/* --- The stack ---------------------------------------------------------------------------------------------------- */

struct pusher {
    struct context *context;
    uintptr_t sp;
    int error;
};

static uintptr_t push(struct pusher *pusher, const void *bytes, size_t count) {
    pusher->sp -= count;
    if (pusher->error == 0)
        pusher->error = copy_to_task(pusher->context, pusher->sp, bytes, count, NULL);
    return pusher->sp;
}

static void push_word(struct pusher *pusher, uintptr_t word) {
    push(pusher, &word, sizeof(word));
}

/* In the order of the texts, so the last is pushed first: the pointers are found from the front and stored by index. */
static void push_pointers(struct pusher *pusher, const char *texts, uintptr_t at, size_t count) {
    push_word(pusher, 0);
    uintptr_t table = pusher->sp -= count * WORD;
    for (size_t i = 0; i < count && pusher->error == 0; i++) {
        pusher->error = copy_to_task(pusher->context, table + i * WORD, &at, WORD, NULL);
        size_t bytes = string_length(texts) + 1;
        texts += bytes;
        at += bytes;
    }
}

/* Marsaglia's xorshift from the cycle counter: for hash seeds and canaries of programs, not for secrets. */
static uint64_t random_word(void) {
    uint64_t word = cpu_cycles() | 1;
    word ^= word << 13;
    word ^= word >> 7;
    return (word ^ word << 17) * 0x9e3779b97f4a7c15;
}

static void push_auxiliary(struct pusher *pusher, const struct elf_plan *plan, uintptr_t random, uintptr_t path) {
    const uintptr_t vector[][2] = {
        { AT_PHDR, (uintptr_t)plan->headers },
        { AT_PHENT, plan->header_bytes },
        { AT_PHNUM, plan->header_count },
        { AT_PAGESZ, PAGE_SIZE },
        { AT_BASE, 0 },
        { AT_FLAGS, 0 },
        { AT_ENTRY, (uintptr_t)plan->entry },
        { AT_UID, 0 },
        { AT_EUID, 0 },
        { AT_GID, 0 },
        { AT_EGID, 0 },
        { AT_SECURE, 0 },
        { AT_CLKTCK, 100 },
        { AT_RANDOM, random },
        { AT_EXECFN, path },
        { AT_NULL, 0 },
    };
    _Static_assert(sizeof(vector) / sizeof(vector[0]) == AUXILIARY, "the alignment counts on it");
    push(pusher, vector, sizeof(vector));
}

static int make_stack(struct program *program, const struct elf_plan *plan, const struct program_texts *texts,
                      const char *path) {
    struct area_request request = {
        .pages = STACK_FIRST_PAGES,
        .rights = AREA_READ | AREA_WRITE,
        .address = STACK_TOP - ((uintptr_t)STACK_FIRST_PAGES << PAGE_SHIFT),
        .fixed = true,
        .stack = true,
    };
    uintptr_t address;
    struct pusher pusher = { program->context, STACK_TOP, area_map(program->context, &request, &address) };
    uint64_t random[2] = { random_word(), random_word() };
    uintptr_t random_at = push(&pusher, random, sizeof(random));
    uintptr_t path_at = push(&pusher, path, string_length(path) + 1);
    uintptr_t texts_at = push(&pusher, texts->bytes, texts->used);

    /* The count must come to lie on a multiple of 16. */
    size_t words = 2 * AUXILIARY + texts->environment + 1 + texts->arguments + 1 + 1;
    pusher.sp = ((pusher.sp - words * WORD) & ~(uintptr_t)15) + words * WORD;
    push_auxiliary(&pusher, plan, random_at, path_at);
    const char *environment = texts->bytes;
    for (size_t i = 0; i < texts->arguments; i++)
        environment += string_length(environment) + 1;
    push_pointers(&pusher, environment, texts_at + (uintptr_t)(environment - texts->bytes), texts->environment);
    push_pointers(&pusher, texts->bytes, texts_at, texts->arguments);
    push_word(&pusher, texts->arguments);
    program->stack = pusher.sp;
    return pusher.error;
}

/* --- All of it ---------------------------------------------------------------------------------------------------- */

static int fill(struct program *program, const struct elf_plan *plan, const struct program_texts *texts,
                const char *path, const uint8_t *file) {
    int error = 0;
    for (size_t i = 0; error == 0 && i < plan->segment_count; i++)
        error = load_segment(program->context, &plan->segments[i], file);
    return error == 0 ? make_stack(program, plan, texts, path) : error;
}

int program_load(const char *path, const struct program_texts *texts, struct program *program, const char **why) {
    struct cpio_member file;
    struct elf_plan plan;
    *why = "no such file in the archive";
    if (archive_find(path, &file) != 1)
        return -ENOENT;
    int error = plan_file(&file, &plan, why);
    if (error != 0)
        return error;
    *why = "memory is short";
    program->context = context_create("task");
    if (program->context == NULL)
        return ERR_NO_MEMORY;
    error = fill(program, &plan, texts, path, file.content);
    if (error != 0) {
        area_clear(program->context);
        context_destroy(program->context);
        return error;
    }
    program->entry = (uintptr_t)plan.entry;
    program->heap = (uintptr_t)plan.end;
    return 0;
}

int program_start(const char *path, const char *const arguments[], struct program *program, const char **why) {
    struct program_texts texts;
    *why = "memory is short";
    if (program_texts_make(&texts) != 0)
        return ERR_NO_MEMORY;
    int error = 0;
    for (size_t i = 0; error == 0 && arguments[i] != NULL; i++)
        error = add_text(&texts, arguments[i], true);
    if (error == 0)
        error = add_text(&texts, "PATH=/bin:/", false);
    if (error == 0)
        error = program_load(path, &texts, program, why);
    else
        *why = "the arguments are too long";
    program_texts_free(&texts);
    return error;
}
