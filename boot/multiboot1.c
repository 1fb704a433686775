/* Multiboot 1: one struct whose flags say which of its fields mean anything; lists and texts lie elsewhere.
 *
 * The memory map's entries are a size, not counting itself, and that many bytes; entries may grow. The two-number
 * summary (mem_lower, mem_upper) isn't used: it ends at the first hole, and all RAM behind that would be lost. */
#include <base/string.h>
#include <boot/loader.h>
#include <multiboot/multiboot.h>

static int read_map(struct loader *loader, const struct multiboot_info *data, const char **why) {
    *why = "the Multiboot memory map makes no sense";
    uint64_t at = data->mmap_addr, end = at + data->mmap_length;
    if (loader_view(loader, at, data->mmap_length) == NULL)
        return ERR_INVALID;
    loader_add_area(loader, at, data->mmap_length);
    while (at < end) {
        struct multiboot_mmap_entry entry;
        if (end - at < sizeof(entry) || !loader_copy(loader, &entry, at, sizeof(entry)))
            return ERR_INVALID;
        if (entry.size < sizeof(entry) - sizeof(entry.size))
            return ERR_INVALID;
        if (!loader_add_entry(loader, entry.addr, entry.len, entry.type)) {
            *why = "the memory map has more restrictions than there is room for";
            return ERR_INVALID;
        }
        at += (uint64_t)entry.size + sizeof(entry.size);
    }
    return 0;
}

static void read_modules(struct loader *loader, const struct multiboot_info *data) {
    uint64_t bytes = (uint64_t)data->mods_count * sizeof(struct multiboot_mod_list);
    if (data->mods_count == 0 || loader_view(loader, data->mods_addr, bytes) == NULL)
        return;
    loader_add_area(loader, data->mods_addr, bytes);
    for (uint32_t i = 0; i < data->mods_count; i++) {
        struct multiboot_mod_list item;
        loader_copy(loader, &item, data->mods_addr + (uint64_t)i * sizeof(item), sizeof(item));
        uint32_t length = item.mod_end >= item.mod_start ? item.mod_end - item.mod_start : 0;
        struct boot_module *module = loader_add_module(loader, item.mod_start, length);
        if (module != NULL)
            loader_copy_text(loader, module->name, sizeof(module->name), item.cmdline);
    }
}

static void read_framebuffer(struct loader *loader, const struct multiboot_info *data) {
    if (data->framebuffer_type != MULTIBOOT_FRAMEBUFFER_TYPE_RGB)
        return;
    struct boot_framebuffer framebuffer = {
        .first_byte = data->framebuffer_addr,
        .pitch_bytes = data->framebuffer_pitch,
        .width = data->framebuffer_width,
        .height = data->framebuffer_height,
        .bits = data->framebuffer_bpp,
        .red_shift = data->framebuffer_red_field_position,
        .green_shift = data->framebuffer_green_field_position,
        .blue_shift = data->framebuffer_blue_field_position,
    };
    loader_set_framebuffer(loader, &framebuffer);
}

int multiboot1_read(struct loader *loader, uint64_t physical, const char **why) {
    struct boot_info *info = loader->info;
    struct multiboot_info data;
    info->protocol = "Multiboot 1";
    if (!loader_copy(loader, &data, physical, sizeof(data))) {
        *why = "the Multiboot data lies where it can't be read";
        return ERR_INVALID;
    }
    loader_add_area(loader, physical, sizeof(data));
    if (data.flags & MULTIBOOT_INFO_CMDLINE)
        loader_copy_text(loader, info->command_line, sizeof(info->command_line), data.cmdline);
    if (data.flags & MULTIBOOT_INFO_BOOT_LOADER_NAME)
        loader_copy_text(loader, info->loader, sizeof(info->loader), data.boot_loader_name);
    if (data.flags & MULTIBOOT_INFO_MODS)
        read_modules(loader, &data);
    if (data.flags & MULTIBOOT_INFO_FRAMEBUFFER_INFO)
        read_framebuffer(loader, &data);
    return data.flags & MULTIBOOT_INFO_MEM_MAP ? read_map(loader, &data, why) : 0;
}
