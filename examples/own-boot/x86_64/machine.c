/* Long mode's interrupt gates (SDM volume 3A, 7.14.1), and the memory map of a PVH loader. */
#include "../machine.h"
#include <base/string.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>

int machine_read_map(uintptr_t loader_data, struct bootmap *map) {
    const struct hvm_start_info *info = (const struct hvm_start_info *)loader_data;
    if (info->magic != XEN_HVM_START_MAGIC_VALUE || info->version < 1 || info->memmap_entries == 0)
        return ERR_INVALID;
    const struct hvm_memmap_table_entry *entry = (const struct hvm_memmap_table_entry *)(uintptr_t)info->memmap_paddr;
    for (uint32_t i = 0; i < info->memmap_entries; i++) {
        enum bootmap_type type = entry[i].type == XEN_HVM_MEMMAP_TYPE_RAM ? BOOTMAP_FREE : BOOTMAP_RESERVED;
        int error = bootmap_add(map, entry[i].addr, entry[i].size, type);
        if (error != 0)
            return error;
    }
    return 0;
}

struct gate {
    uint16_t offset_low, selector, flags, offset_middle;
    uint32_t offset_high, reserved;
};

void machine_traps_start(void) {
    static struct gate gates[32];
    for (unsigned i = 0; i < 32; i++) {
        uint64_t entry = (uint64_t)(trap_entries + i * 16);
        gates[i] = (struct gate){ (uint16_t)entry, 8, 0x8e00, (uint16_t)(entry >> 16), (uint32_t)(entry >> 32), 0 };
    }
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = { sizeof(gates) - 1, (uint64_t)gates };
    __asm__ volatile("lidt %0" : : "m"(table));
}
