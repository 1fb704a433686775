#include <base/string.h>
#include <boot/loader.h>

const void *loader_view(const struct loader *loader, uint64_t physical, uint64_t bytes) {
    if (physical == 0 || bytes > loader->window_end || physical > loader->window_end - bytes)
        return NULL;
    return (const void *)(loader->window + (uintptr_t)physical);
}

bool loader_copy(const struct loader *loader, void *to, uint64_t physical, size_t bytes) {
    const void *from = loader_view(loader, physical, bytes);
    if (from != NULL)
        memcpy(to, from, bytes);
    return from != NULL;
}

void loader_clean_text(char *to, size_t room, const char *from, size_t bytes) {
    size_t length = 0;
    for (; length < room - 1 && length < bytes && from[length] != '\0'; length++)
        to[length] = from[length] >= ' ' && from[length] <= '~' ? from[length] : ' ';
    to[length] = '\0';
}

void loader_copy_text(const struct loader *loader, char *to, size_t room, uint64_t physical) {
    size_t bytes = room;
    if (physical < loader->window_end && loader->window_end - physical < bytes)
        bytes = (size_t)(loader->window_end - physical);
    const char *from = loader_view(loader, physical, bytes);
    to[0] = '\0';
    if (from != NULL)
        loader_clean_text(to, room, from, bytes);
}

void loader_add_area(struct loader *loader, uint64_t first_byte, uint64_t bytes) {
    if (loader->area_count < LOADER_AREAS_MAX)
        loader->areas[loader->area_count++] = (struct loader_area){ first_byte, bytes };
}

static enum bootmap_type type_of(uint32_t firmware_type) {
    switch (firmware_type) {
    case 1:
        return BOOTMAP_FREE;
    case 3:
        return BOOTMAP_ACPI;
    case 4:
        return BOOTMAP_NVS;
    case 5:
        return BOOTMAP_BAD;
    default:
        return BOOTMAP_RESERVED;
    }
}

/* The last entry of free RAM, which can be forgotten at the price of that RAM; a restriction can't. */
static struct boot_entry *find_expendable(struct boot_info *info) {
    for (size_t i = info->entry_count; i > 0; i--)
        if (info->entries[i - 1].type == BOOTMAP_FREE)
            return &info->entries[i - 1];
    return NULL;
}

bool loader_add_entry(struct loader *loader, uint64_t first_byte, uint64_t bytes, uint32_t type) {
    struct boot_info *info = loader->info;
    struct boot_entry entry = { first_byte, bytes, type_of(type), type };
    if (info->entry_count < BOOT_ENTRIES_MAX) {
        info->entries[info->entry_count++] = entry;
        return true;
    }
    info->entries_dropped++;
    if (entry.type == BOOTMAP_FREE)
        return true;
    struct boot_entry *place = find_expendable(info);
    if (place != NULL)
        *place = entry;
    return place != NULL;
}

struct boot_module *loader_add_module(struct loader *loader, uint64_t first_byte, uint64_t bytes) {
    struct boot_info *info = loader->info;
    if (bytes == 0 || first_byte > UINT64_MAX - bytes || info->module_count == BOOT_MODULES_MAX) {
        info->modules_dropped++;
        return NULL;
    }
    struct boot_module *module = &info->modules[info->module_count++];
    *module = (struct boot_module){ .first_byte = first_byte, .bytes = bytes };
    return module;
}

static bool shift_fits(uint8_t shift, uint8_t bits) {
    return shift % 8 == 0 && shift + 8 <= bits;
}

void loader_set_framebuffer(struct loader *loader, const struct boot_framebuffer *framebuffer) {
    const struct boot_framebuffer *f = framebuffer;
    if (f->first_byte == 0 || f->width == 0 || f->height == 0 || f->width > 16384 || f->height > 16384)
        return;
    if ((f->bits != 24 && f->bits != 32) || f->pitch_bytes < f->width * (f->bits / 8u) || f->pitch_bytes > 1u << 20)
        return;
    if (!shift_fits(f->red_shift, f->bits) || !shift_fits(f->green_shift, f->bits) ||
        !shift_fits(f->blue_shift, f->bits))
        return;
    loader->info->framebuffer = *f;
    loader->info->framebuffer.present = true;
}

static int read_form(struct loader *loader, uint32_t magic, uint64_t physical, const char **why) {
    switch (magic) {
    case LOADER_MULTIBOOT1:
        return multiboot1_read(loader, physical, why);
    case LOADER_MULTIBOOT2:
        return multiboot2_read(loader, physical, why);
    case LOADER_PVH:
        return pvh_read(loader, physical, why);
    default:
        *why = "it speaks neither Multiboot 1, Multiboot 2 nor PVH";
        return ERR_INVALID;
    }
}

int loader_read(struct loader *loader, uint32_t magic, uint64_t physical, const char **why) {
    int error = read_form(loader, magic, physical, why);
    if (error == 0 && loader->info->entry_count == 0) {
        *why = "it gave no memory map";
        return ERR_INVALID;
    }
    return error;
}
