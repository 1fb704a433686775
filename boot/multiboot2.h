/* boot/multiboot2.h - the structures of Multiboot 2, from the specification's version 2.0, section 3.6.
 *
 * The loader's data is `struct multiboot2_data` and tags behind it, each padded to 8 bytes; a tag's `bytes` counts its
 * head and not the padding. Only what we read is here. */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include <base/types.h>

enum multiboot2_tag_type {
    MULTIBOOT2_END = 0,
    MULTIBOOT2_COMMAND_LINE = 1,
    MULTIBOOT2_LOADER_NAME = 2,
    MULTIBOOT2_MODULE = 3,
    MULTIBOOT2_MEMORY_MAP = 6,
    MULTIBOOT2_FRAMEBUFFER = 8,
};

struct multiboot2_data {
    uint32_t bytes, reserved;
};

struct multiboot2_tag {
    uint32_t type, bytes;
};

/* Then a zero-terminated text. */
struct multiboot2_module {
    struct multiboot2_tag tag;
    uint32_t first_byte, end_byte;
};

/* Then entries of entry_bytes each, which may be more than sizeof(struct multiboot2_entry). */
struct multiboot2_map {
    struct multiboot2_tag tag;
    uint32_t entry_bytes, entry_version;
};

struct multiboot2_entry {
    uint64_t first_byte, bytes;
    uint32_t type, reserved;
};

struct multiboot2_framebuffer {
    struct multiboot2_tag tag;
    uint32_t address_low, address_high; /* 64 bits, 8-byte aligned in the tag on both widths */
    uint32_t pitch_bytes, width, height;
    uint8_t bits, type, reserved[2];
    uint8_t red_shift, red_bits, green_shift, green_bits, blue_shift, blue_bits; /* type 1 alone */
} __attribute__((packed));                                                       /* the tag ends with its last byte */
enum { MULTIBOOT2_FRAMEBUFFER_RGB = 1 };

#endif
