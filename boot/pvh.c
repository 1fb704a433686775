/* PVH: one struct that points at a memory map (since its version 1), a list of modules and a command line. */
#include <base/string.h>
#include <boot/loader.h>
#include <xen/arch-x86/hvm/start_info.h>

_Static_assert(XEN_HVM_START_MAGIC_VALUE == LOADER_PVH, "boot.S passes it in place of a loader's magic number");

static int read_map(struct loader *loader, const struct hvm_start_info *data, const char **why) {
    uint64_t bytes = (uint64_t)data->memmap_entries * sizeof(struct hvm_memmap_table_entry);
    *why = "the PVH memory map lies where it can't be read";
    if (loader_view(loader, data->memmap_paddr, bytes) == NULL)
        return ERR_INVALID;
    loader_add_area(loader, data->memmap_paddr, bytes);
    for (uint32_t i = 0; i < data->memmap_entries; i++) {
        struct hvm_memmap_table_entry entry;
        loader_copy(loader, &entry, data->memmap_paddr + (uint64_t)i * sizeof(entry), sizeof(entry));
        if (!loader_add_entry(loader, entry.addr, entry.size, entry.type)) {
            *why = "the memory map has more restrictions than there is room for";
            return ERR_INVALID;
        }
    }
    return 0;
}

static void read_modules(struct loader *loader, const struct hvm_start_info *data) {
    uint64_t bytes = (uint64_t)data->nr_modules * sizeof(struct hvm_modlist_entry);
    if (data->nr_modules == 0 || loader_view(loader, data->modlist_paddr, bytes) == NULL)
        return;
    loader_add_area(loader, data->modlist_paddr, bytes);
    for (uint32_t i = 0; i < data->nr_modules; i++) {
        struct hvm_modlist_entry item;
        loader_copy(loader, &item, data->modlist_paddr + (uint64_t)i * sizeof(item), sizeof(item));
        struct boot_module *module = loader_add_module(loader, item.paddr, item.size);
        if (module != NULL)
            loader_copy_text(loader, module->name, sizeof(module->name), item.cmdline_paddr);
    }
}

int pvh_read(struct loader *loader, uint64_t physical, const char **why) {
    struct boot_info *info = loader->info;
    struct hvm_start_info data;
    info->protocol = "PVH";
    *why = "the PVH data lies where it can't be read";
    if (!loader_copy(loader, &data, physical, sizeof(data)))
        return ERR_INVALID;
    *why = "the PVH data has the wrong magic number, or a version without a memory map";
    if (data.magic != XEN_HVM_START_MAGIC_VALUE || data.version < 1)
        return ERR_INVALID;
    loader_add_area(loader, physical, sizeof(data));
    loader_copy_text(loader, info->command_line, sizeof(info->command_line), data.cmdline_paddr);
    read_modules(loader, &data);
    return data.memmap_entries > 0 ? read_map(loader, &data, why) : 0;
}
