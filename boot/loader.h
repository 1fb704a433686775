/* boot/loader.h - from what the loader left in memory to struct boot_info.
 *
 * Layer: boot. Everything is copied, so that nothing of the loader's is needed once memory is up. No length, count or
 * address in the data is believed before it is checked: bad data gives ERR_INVALID and a text, and an item that alone
 * is bad is left out. Pure functions over a window of memory, so the host can run them too. Context: boot, one
 * processor. */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <boot/boot.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOADER_MULTIBOOT1 0x2badb002u
#define LOADER_MULTIBOOT2 0x36d76289u
#define LOADER_PVH        0x336ec578u

enum { LOADER_AREAS_MAX = 8 };

struct loader_area {
    uint64_t first_byte, bytes;
};

struct loader {
    uintptr_t window;    /* physical byte p is at window + p ... */
    uint64_t window_end; /* ... for p below this */
    struct boot_info *info;
    struct loader_area areas[LOADER_AREAS_MAX]; /* where the loader's own data lies, modules not counted */
    size_t area_count;
};

/* Fills loader->info from the data at `physical`, in the form that `magic` names. 0, or ERR_INVALID with *why set. */
int loader_read(struct loader *loader, uint32_t magic, uint64_t physical, const char **why);

/* The forms. */
int multiboot1_read(struct loader *loader, uint64_t physical, const char **why);
int multiboot2_read(struct loader *loader, uint64_t physical, const char **why);
int pvh_read(struct loader *loader, uint64_t physical, const char **why);

/* --- For the forms ------------------------------------------------------------------------------------------------ */

/* Where physical bytes can be read, at no particular alignment; NULL for address 0, and when they aren't all in the
 * window. */
const void *loader_view(const struct loader *loader, uint64_t physical, uint64_t bytes);

/* Copies `bytes` bytes; false as above. */
bool loader_copy(const struct loader *loader, void *to, uint64_t physical, size_t bytes);

/* Copies a text of at most `room` - 1 bytes, cut if need be, "" if it can't be read. Control characters turn to spaces.
 * */
void loader_copy_text(const struct loader *loader, char *to, size_t room, uint64_t physical);
void loader_clean_text(char *to, size_t room, const char *from, size_t bytes);

/* Notes an area of the loader's own; one too many is forgotten, since all was copied. */
void loader_add_area(struct loader *loader, uint64_t first_byte, uint64_t bytes);

/* One entry of the firmware's map; `type` as in ACPI's table 15-374: 1 RAM, 3 ACPI, 4 NVS, 5 bad, all else reserved.
 * When there is no room, entries of free RAM give way to those that restrict. False when even that isn't possible. */
bool loader_add_entry(struct loader *loader, uint64_t first_byte, uint64_t bytes, uint32_t type);

/* Returns the module to name, or NULL when it is empty, wraps, or there are too many; these are counted. */
struct boot_module *loader_add_module(struct loader *loader, uint64_t first_byte, uint64_t bytes);

/* Accepts colours of 8 bits in 24 or 32; another form leaves the console to the serial line alone. */
void loader_set_framebuffer(struct loader *loader, const struct boot_framebuffer *framebuffer);

#ifdef __cplusplus
}
#endif
#endif
