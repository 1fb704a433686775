/* Multiboot 2: one block of tags, all in it. A tag that is shorter than its kind asks is bad data; a tag that passes
 * the block's end is, too. Unknown tags are passed over. */
#include <base/bits.h>
#include <base/string.h>
#include <boot/loader.h>
#include <boot/multiboot2.h>

struct reader {
    struct loader *loader;
    uint64_t at; /* the tag's physical address */
    struct multiboot2_tag tag;
};

/* What follows the first `skip` bytes of a tag, as text. */
static void copy_text(const struct reader *reader, char *to, size_t room, size_t skip) {
    const char *from = loader_view(reader->loader, reader->at + skip, reader->tag.bytes - skip);
    if (from != NULL)
        loader_clean_text(to, room, from, reader->tag.bytes - skip);
}

static bool copy_head(const struct reader *reader, void *to, size_t bytes) {
    return reader->tag.bytes >= bytes && loader_copy(reader->loader, to, reader->at, bytes);
}

static int read_module(const struct reader *reader, const char **why) {
    struct multiboot2_module data;
    *why = "a module's tag is cut";
    if (!copy_head(reader, &data, sizeof(data)))
        return ERR_INVALID;
    uint32_t length = data.end_byte >= data.first_byte ? data.end_byte - data.first_byte : 0;
    struct boot_module *module = loader_add_module(reader->loader, data.first_byte, length);
    if (module != NULL)
        copy_text(reader, module->name, sizeof(module->name), sizeof(data));
    return 0;
}

static int read_map(const struct reader *reader, const char **why) {
    struct multiboot2_map data;
    struct multiboot2_entry entry;
    *why = "the Multiboot 2 memory map makes no sense";
    if (!copy_head(reader, &data, sizeof(data)) || data.entry_bytes < sizeof(entry))
        return ERR_INVALID;
    uint32_t left = reader->tag.bytes - (uint32_t)sizeof(data);
    uint64_t at = reader->at + sizeof(data);
    for (; left >= data.entry_bytes; left -= data.entry_bytes, at += data.entry_bytes) {
        if (!loader_copy(reader->loader, &entry, at, sizeof(entry)))
            return ERR_INVALID;
        if (!loader_add_entry(reader->loader, entry.first_byte, entry.bytes, entry.type)) {
            *why = "the memory map has more restrictions than there is room for";
            return ERR_INVALID;
        }
    }
    return 0;
}

/* A framebuffer that we can't read is one that we do without. */
static void read_framebuffer(const struct reader *reader) {
    struct multiboot2_framebuffer data;
    if (!copy_head(reader, &data, sizeof(data)) || data.type != MULTIBOOT2_FRAMEBUFFER_RGB)
        return;
    struct boot_framebuffer framebuffer = {
        .first_byte = (uint64_t)data.address_high << 32 | data.address_low,
        .pitch_bytes = data.pitch_bytes,
        .width = data.width,
        .height = data.height,
        .bits = data.bits,
        .red_shift = data.red_shift,
        .green_shift = data.green_shift,
        .blue_shift = data.blue_shift,
    };
    loader_set_framebuffer(reader->loader, &framebuffer);
}

static int read_tag(const struct reader *reader, const char **why) {
    struct boot_info *info = reader->loader->info;
    switch (reader->tag.type) {
    case MULTIBOOT2_COMMAND_LINE:
        copy_text(reader, info->command_line, sizeof(info->command_line), sizeof(reader->tag));
        return 0;
    case MULTIBOOT2_LOADER_NAME:
        copy_text(reader, info->loader, sizeof(info->loader), sizeof(reader->tag));
        return 0;
    case MULTIBOOT2_MODULE:
        return read_module(reader, why);
    case MULTIBOOT2_MEMORY_MAP:
        return read_map(reader, why);
    case MULTIBOOT2_FRAMEBUFFER:
        read_framebuffer(reader);
        return 0;
    default:
        return 0;
    }
}

int multiboot2_read(struct loader *loader, uint64_t physical, const char **why) {
    struct multiboot2_data data;
    loader->info->protocol = "Multiboot 2";
    *why = "the Multiboot 2 data lies where it can't be read";
    if (!loader_copy(loader, &data, physical, sizeof(data)) || loader_view(loader, physical, data.bytes) == NULL)
        return ERR_INVALID;
    loader_add_area(loader, physical, data.bytes);

    struct reader reader = { loader, physical + sizeof(data), { 0, 0 } };
    uint64_t end = physical + data.bytes;
    for (;;) {
        *why = "the Multiboot 2 tags pass the end of their block";
        if (reader.at > end || end - reader.at < sizeof(reader.tag))
            return ERR_INVALID;
        loader_copy(loader, &reader.tag, reader.at, sizeof(reader.tag));
        if (reader.tag.bytes < sizeof(reader.tag) || reader.tag.bytes > end - reader.at)
            return ERR_INVALID;
        if (reader.tag.type == MULTIBOOT2_END)
            return 0;
        int error = read_tag(&reader, why);
        if (error != 0)
            return error;
        reader.at += round_up(reader.tag.bytes, 8);
    }
}
