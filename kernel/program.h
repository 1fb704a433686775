/* kernel/program.h - from a file of the archive to a context that is ready to run.
 *
 * Context: the kernel's thread or a system call. All or nothing. */
#ifndef KERNEL_PROGRAM_H
#define KERNEL_PROGRAM_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Texts for a new program, each ended by a zero, one behind the other: arguments first, then the environment. */
enum { PROGRAM_TEXT_PAGES = 8 };
struct program_texts {
    char *bytes; /* PROGRAM_TEXT_PAGES of the kernel's pages */
    size_t used, arguments, environment;
};

/* ERR_NO_MEMORY. */
int program_texts_make(struct program_texts *texts);
void program_texts_free(struct program_texts *texts);
/* The room behind what is used; a text written there with its zero is taken by program_texts_took(). */
char *program_texts_room(const struct program_texts *texts, size_t *bytes);
void program_texts_took(struct program_texts *texts, size_t bytes, bool argument);

struct program {
    struct context *context;
    uintptr_t entry, stack, heap;
};

/* 0; -ENOENT: no such file; -ENOEXEC: not a program for this machine, *why says what is wrong; -E2BIG,
 * ERR_NO_MEMORY. */
int program_load(const char *path, const struct program_texts *texts, struct program *program, const char **why);

/* The same with a list that ends in NULL, and an environment of its own. */
int program_start(const char *path, const char *const arguments[], struct program *program, const char **why);

/* Where memory that a program asks for is looked for. */
extern const uintptr_t program_map_first, program_map_end;

/* Most pages of a stack. */
enum { PROGRAM_STACK_PAGES = 2048 };

#ifdef __cplusplus
}
#endif
#endif
