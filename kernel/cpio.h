/* kernel/cpio.h - reading a cpio archive in the "newc" format, as `cpio -o -H newc` writes it.
 *
 * The archive is bytes from outside: every field that anything depends on is checked, and nothing is copied or
 * allocated. Context: any. Cost: linear in the members passed over. */
#ifndef KERNEL_CPIO_H
#define KERNEL_CPIO_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cpio {
    const uint8_t *bytes;
    size_t size;
    size_t at;       /* the next member's header */
    const char *why; /* what is wrong with the archive, after an error */
};

enum cpio_kind { CPIO_FILE, CPIO_FOLDER, CPIO_LINK, CPIO_OTHER };

struct cpio_member {
    const char *name; /* in the archive, ended by a zero, without "./" or "/" in front */
    const void *content;
    size_t bytes;
    enum cpio_kind kind;
    unsigned mode; /* the permission bits */
};

void cpio_begin(struct cpio *cpio, const void *bytes, size_t size);

/* 1 with the next member, 0 at the archive's end, ERR_INVALID with cpio->why when it is damaged there. */
int cpio_next(struct cpio *cpio, struct cpio_member *member);

/* The first file of this name; leading "/" and "./" of the name don't count. 1 found, 0 not, ERR_INVALID damaged
 * before. */
int cpio_find(const void *bytes, size_t size, const char *name, struct cpio_member *member, const char **why);

#ifdef __cplusplus
}
#endif
#endif
