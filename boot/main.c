/* The order of a boot, one call a line; each step may use those above it and nothing below.
 *
 * The memory manager's map is made of the firmware's entries, then the image, the loader's data and the modules over
 * them. What of the loader's doesn't lie in RAM is bad data and is left out, a module with a warning: painted, it would
 * make RAM of what is none. */
#include <arch/arch.h>
#include <arch/x86/descriptors.h>
#include <arch/x86/image.h>
#include <arch/x86/processor.h>
#include <arch/x86/stacks.h>
#include <arch/x86/timer.h>
#include <arch/x86/trap.h>
#include <base/string.h>
#include <boot/console.h>
#include <boot/ending.h>
#include <boot/loader.h>
#include <boot/screen.h>
#include <mem/init.h>
#include <mem/ul_visible.h>

/* k painted ranges need 2k + 1; the rest is for what the memory manager carves. */
enum {
    RANGES_MAX = 2 * (BOOT_ENTRIES_MAX + BOOT_MODULES_MAX + LOADER_AREAS_MAX + 1) + 1 + 64,
    WINDOW_PARTS = 3,
    SEGMENTS_MAX = 4 + LAYOUT_STACKS + WINDOW_PARTS
};

static struct {
    struct boot_info info;
    struct loader loader;
    struct bootmap map;
    struct bootmap_range ranges[RANGES_MAX];
    struct mem_segment segments[SEGMENTS_MAX];
    struct ul_visible_part window[WINDOW_PARTS];
    size_t segment_count, window_count;
} state;

NORETURN void boot_main(uint32_t magic, uint32_t physical);

NORETURN static void refuse(const char *what, const char *why) {
    console_print("xelix-mm can't boot: %s: %s\n", what, why);
    boot_power_off(ENDING_REFUSED);
}

static void read_loader(uint32_t magic, uint64_t physical) {
    const char *why = "";
    state.loader.window = 0;
    state.loader.window_end = pfn_to_phys(LAYOUT_EARLY_PAGES);
    state.loader.info = &state.info;
    if (loader_read(&state.loader, magic, physical, &why) != 0)
        refuse("the loader's data is bad", why);
}

static void start_processor(void) {
    arch_processor_start();
    if (!arch_features.no_execute)
        console_print("warning: this processor has no NX: data can be executed\n");
    if (!arch_features.pat)
        console_print("warning: this processor has no PAT: write-combining memory is write-through\n");
    descriptors_start();
    trap_start(report_trap);
    timer_start();
    console_start_input();
}

/* --- Memory ------------------------------------------------------------------------------------------------------ */

static void paint(uint64_t first_byte, uint64_t bytes, enum bootmap_type type) {
    if (bootmap_add(&state.map, first_byte, bytes, type) != 0)
        refuse("the firmware's memory map", "it has too many parts");
}

/* The ranges so far are sorted and disjoint: all bytes are RAM if they are covered without a gap. */
static bool is_ram(uint64_t first_byte, uint64_t bytes) {
    uint64_t at = first_byte, last = first_byte + bytes - 1;
    for (size_t i = 0; i < state.map.count; i++) {
        const struct bootmap_range *range = &state.map.ranges[i];
        bool usable = range->type == BOOTMAP_FREE || range->type == BOOTMAP_LOADER;
        if (!usable || range->last < at)
            continue;
        if (range->first > at)
            return false;
        if (range->last >= last)
            return true;
        at = range->last + 1;
    }
    return false;
}

static void paint_modules(struct boot_info *info) {
    size_t kept = 0;
    for (size_t i = 0; i < info->module_count; i++) {
        struct boot_module module = info->modules[i];
        if (is_ram(module.first_byte, module.bytes)) {
            info->modules[kept++] = module;
            paint(module.first_byte, module.bytes, BOOTMAP_LOADER);
        } else {
            console_print("warning: module %s lies outside RAM and is left out\n", module.name);
            info->modules_dropped++;
        }
    }
    info->module_count = kept;
}

static void paint_map(void) {
    struct boot_info *info = &state.info;
    bootmap_init(&state.map, state.ranges, RANGES_MAX);
    for (size_t i = 0; i < info->entry_count; i++)
        paint(info->entries[i].first_byte, info->entries[i].bytes, info->entries[i].type);
    paint_modules(info);
    for (size_t i = 0; i < state.loader.area_count; i++)
        if (is_ram(state.loader.areas[i].first_byte, state.loader.areas[i].bytes))
            paint(state.loader.areas[i].first_byte, state.loader.areas[i].bytes, BOOTMAP_LOADER);
    paint(image_physical(image_first), (uint64_t)(image_end - image_first), BOOTMAP_KERNEL);
    info->map = &state.map;
}

static void add_segment(const void *first, const void *end, uint64_t physical, unsigned attributes) {
    size_t pages = (size_t)((const char *)end - (const char *)first) / PAGE_SIZE;
    if (pages == 0)
        return;
    state.segments[state.segment_count++] =
        (struct mem_segment){ (uintptr_t)first, (pfn_t)(physical >> PAGE_SHIFT), pages, attributes };
}

static void add_image(const void *first, const void *end, unsigned attributes) {
    add_segment(first, end, image_physical(first), attributes);
}

/* For the kernel's tables and, as a list of its own, for every task's. */
static void add_window(const void *first, const void *end, unsigned attributes) {
    add_segment(first, end, image_window_to_physical(first), attributes | PAGE_GLOBAL);
    const struct mem_segment *segment = &state.segments[state.segment_count - 1];
    state.window[state.window_count++] =
        (struct ul_visible_part){ segment->address, segment->first, segment->pages, segment->attributes };
}

static void list_segments(void) {
    add_image(image_first, image_text_end, PAGE_EXECUTE);
    add_image(image_rodata, image_rodata_end, 0);
    for (size_t i = 0; i < LAYOUT_STACKS; i++)
        add_image(kernel_stacks[i].bytes, kernel_stacks[i].bytes + LAYOUT_STACK_BYTES, PAGE_WRITE);
    add_image(image_data, image_data_end, PAGE_WRITE);
    add_image(image_symbols, image_symbols_end, 0);
    add_window(image_window_first, image_window_rodata, PAGE_EXECUTE);
    add_window(image_window_rodata, image_window_data, 0);
    add_window(image_window_data, image_window_end, PAGE_WRITE);
}

static void start_memory(void) {
    const char *why = "";
    paint_map();
    list_segments();
    struct mem_boot boot = {
        .map = &state.map,
        .root = PFN_NONE,
        .segments = state.segments,
        .segment_count = state.segment_count,
        .space_first = LAYOUT_SPACE_FIRST,
        .space_end = LAYOUT_SPACE_END,
        .early_base = 0,
        .early_end = LAYOUT_EARLY_PAGES,
        .random = arch_processor_random(),
    };
    if (mem_init(&boot, &why) != 0)
        refuse("memory", why);
    descriptors_root(arch_root());
    ul_visible_set(state.window, state.window_count);
    report_memory_is_up();
}

static void start_screen(void) {
    if (state.info.framebuffer.present && !screen_start(&state.info.framebuffer))
        console_print("warning: the framebuffer can't be mapped; the console is the serial line alone\n");
}

void boot_main(uint32_t magic, uint32_t physical) {
    console_start();
    read_loader(magic, physical);
    start_processor();
    start_memory();
    start_screen();
    boot_power_off((unsigned)kernel_main(&state.info));
}
