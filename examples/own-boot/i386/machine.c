/* Protected mode's interrupt gates (SDM volume 3A, 7.11), and the memory map of a Multiboot 1 loader. */
#include "../machine.h"
#include <multiboot/multiboot.h>

int machine_read_map(uintptr_t loader_data, struct bootmap *map) {
    const struct multiboot_info *info = (const struct multiboot_info *)loader_data;
    if ((info->flags & MULTIBOOT_INFO_MEM_MAP) == 0)
        return ERR_INVALID;
    uintptr_t end = info->mmap_addr + info->mmap_length, next = info->mmap_addr;
    while (next + sizeof(struct multiboot_mmap_entry) <= end) {
        const struct multiboot_mmap_entry *entry = (const struct multiboot_mmap_entry *)next;
        enum bootmap_type type = entry->type == MULTIBOOT_MEMORY_AVAILABLE ? BOOTMAP_FREE : BOOTMAP_RESERVED;
        int error = bootmap_add(map, entry->addr, entry->len, type);
        if (error != 0)
            return error;
        next += entry->size + sizeof(entry->size);
    }
    return 0;
}

struct gate {
    uint16_t offset_low, selector, flags, offset_high;
};

void machine_traps_start(void) {
    static struct gate gates[32];
    for (unsigned i = 0; i < 32; i++) {
        uint32_t entry = (uint32_t)(trap_entries + i * 16);
        gates[i] = (struct gate){ (uint16_t)entry, 8, 0x8e00, (uint16_t)(entry >> 16) };
    }
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) table = { sizeof(gates) - 1, (uint32_t)gates };
    __asm__ volatile("lidt %0" : : "m"(table));
}
