/* kernel/archive.h - the files that came with the kernel: a cpio archive given as a module.
 *
 * Context: any. The archive is mapped read-only for as long as the kernel runs. */
#ifndef KERNEL_ARCHIVE_H
#define KERNEL_ARCHIVE_H

#include <boot/boot.h>
#include <kernel/cpio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Looks through the modules for an archive and maps the first. False if there is none or it is damaged, with *why. */
bool archive_start(const struct boot_info *info, const char **why);

/* 1 found, 0 not, or ERR_INVALID: damaged before that file. */
int archive_find(const char *path, struct cpio_member *member);

/* Calls for each member, in order. */
void archive_list(void (*print)(const char *format, ...));

#ifdef __cplusplus
}
#endif
#endif
