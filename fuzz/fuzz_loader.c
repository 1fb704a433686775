/* Bytes become what a loader left, in one of the three forms.
 *
 *     byte 0      the form
 *     the rest    physical memory from byte 16 on, the loader's data first
 *
 * Memory ends with the input, so that the address sanitizer sees each read past what may be read. */
#include <boot/loader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA = 16 };

#define demand(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: demanded: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct boot_info info;

static void judge(const struct loader *loader, int error, const char *why) {
    demand(error == 0 || (error == ERR_INVALID && why != NULL && why[0] != '\0'));
    demand(error != 0 || info.entry_count > 0);
    demand(info.entry_count <= BOOT_ENTRIES_MAX && info.module_count <= BOOT_MODULES_MAX);
    demand(loader->area_count <= LOADER_AREAS_MAX);
    demand(memchr(info.command_line, '\0', sizeof(info.command_line)) != NULL);
    for (size_t i = 0; i < info.module_count; i++) {
        const struct boot_module *module = &info.modules[i];
        demand(module->bytes > 0 && module->first_byte + module->bytes > module->first_byte);
        demand(memchr(module->name, '\0', sizeof(module->name)) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const uint32_t forms[] = { LOADER_MULTIBOOT1, LOADER_MULTIBOOT2, LOADER_PVH, 0 };
    if (bytes == 0)
        return 0;
    uint8_t *memory = malloc(DATA + bytes - 1);
    memcpy(memory + DATA, data + 1, bytes - 1);
    memset(&info, 0, sizeof(info));
    struct loader loader = { .window = (uintptr_t)memory, .window_end = DATA + bytes - 1, .info = &info };
    const char *why = NULL;
    int error = loader_read(&loader, forms[data[0] % 4], DATA, &why);
    judge(&loader, error, why);
    free(memory);
    return 0;
}
