#include <kernel/archive.h>
#include <mem/valloc.h>

static struct {
    const void *bytes;
    size_t size;
} archive;

/* Damage is said at once, and not when the file behind it is looked for. */
static bool check(const void *bytes, size_t size, const char **why) {
    struct cpio cpio;
    struct cpio_member member;
    int result;
    cpio_begin(&cpio, bytes, size);
    while ((result = cpio_next(&cpio, &member)) == 1)
        continue;
    *why = cpio.why;
    return result == 0;
}

bool archive_start(const struct boot_info *info, const char **why) {
    *why = "no module is an archive";
    for (size_t i = 0; i < info->module_count && archive.bytes == NULL; i++) {
        const struct boot_module *module = &info->modules[i];
        size_t size = (size_t)module->bytes;
        const void *bytes = size == module->bytes ? io_map(module->first_byte, size, 0) : NULL;
        if (bytes == NULL)
            continue;
        if (check(bytes, size, why)) {
            archive.bytes = bytes;
            archive.size = size;
        } else {
            io_unmap((void *)(uintptr_t)bytes, size);
        }
    }
    return archive.bytes != NULL;
}

int archive_find(const char *path, struct cpio_member *member) {
    const char *why;
    return archive.bytes != NULL ? cpio_find(archive.bytes, archive.size, path, member, &why) : 0;
}

void archive_list(void (*print)(const char *format, ...)) {
    struct cpio cpio;
    struct cpio_member member;
    cpio_begin(&cpio, archive.bytes, archive.size);
    while (archive.bytes != NULL && cpio_next(&cpio, &member) == 1)
        if (member.kind == CPIO_FILE)
            print("  %8zu  %s\n", member.bytes, member.name);
}
