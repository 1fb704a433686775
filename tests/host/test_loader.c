/* boot/loader.c and the three forms on data as loaders leave it, and on data that lies. Physical memory is an array
 * here, and what a form may read ends with it. */
#include <base/string.h>
#include <boot/loader.h>
#include <tests/test.h>

enum { MEMORY_BYTES = 65536, DATA = 64, TEXT = 0x4000, LIST = 0x8000 };

static uint8_t memory[MEMORY_BYTES] __attribute__((aligned(8)));
static struct boot_info info;
static struct loader loader;
static uint32_t at;
static const char *why;

static void start(void) {
    memset(memory, 0, sizeof(memory));
    memset(&info, 0, sizeof(info));
    loader = (struct loader){ .window = (uintptr_t)memory, .window_end = MEMORY_BYTES, .info = &info };
    at = DATA;
    why = NULL;
}

static void put32(uint32_t value) {
    memcpy(memory + at, &value, sizeof(value));
    at += 4;
}

static void put64(uint64_t value) {
    put32((uint32_t)value);
    put32((uint32_t)(value >> 32));
}

static void put_text(uint32_t where, const char *text) {
    memcpy(memory + where, text, string_length(text) + 1);
}

static int read_as(uint32_t magic) {
    return loader_read(&loader, magic, DATA, &why);
}

/* --- Multiboot 2 -------------------------------------------------------------------------------------------------- */

static uint32_t tag_start;

static void begin_tag(uint32_t type) {
    at = (at + 7) & ~7u;
    tag_start = at;
    put32(type);
    put32(0);
}

static void end_tag(void) {
    uint32_t bytes = at - tag_start;
    memcpy(memory + tag_start + 4, &bytes, sizeof(bytes));
}

static void text_tag(uint32_t type, const char *text) {
    begin_tag(type);
    put_text(at, text);
    at += (uint32_t)string_length(text) + 1;
    end_tag();
}

static void map_tag(uint32_t entry_bytes, uint32_t entries) {
    begin_tag(6);
    put32(entry_bytes);
    put32(0);
    for (uint32_t i = 0; i < entries; i++) {
        put64((uint64_t)i << 32);
        put64(0x100000);
        put32(1 + i % 5);
        at += entry_bytes - 20;
    }
    end_tag();
}

static void begin_tags(void) {
    start();
    put64(0);
}

static int read_tags(void) {
    begin_tag(0);
    end_tag();
    uint32_t bytes = at - DATA;
    memcpy(memory + DATA, &bytes, sizeof(bytes));
    return read_as(LOADER_MULTIBOOT2);
}

TEST(loader_reads_the_tags_of_multiboot_2) {
    begin_tags();
    text_tag(1, "one two=2");
    text_tag(2, "a loader");
    begin_tag(3);
    put32(0x200000);
    put32(0x201234);
    put_text(at, "initrd words");
    at += 13;
    end_tag();
    map_tag(24, 5);
    begin_tag(8);
    put64(0xfd000000);
    put32(4096);
    put32(1024);
    put32(768);
    put32(0x00000120); /* 32 bits, colours by place */
    put32(0x08080810);
    put32(0x0800);
    at -= 2;
    end_tag();
    expect(read_tags() == 0);
    expect(string_equal(info.protocol, "Multiboot 2") && string_equal(info.loader, "a loader"));
    expect(string_equal(info.command_line, "one two=2"));
    expect_equal(info.module_count, 1);
    expect(info.modules[0].first_byte == 0x200000 && info.modules[0].bytes == 0x1234);
    expect(string_equal(info.modules[0].name, "initrd words"));
    expect_equal(info.entry_count, 5);
    expect(info.entries[3].first_byte == (uint64_t)3 << 32 && info.entries[3].type == BOOTMAP_NVS);
    expect(info.framebuffer.present && info.framebuffer.width == 1024 && info.framebuffer.red_shift == 16);
    expect(loader.area_count == 1 && loader.areas[0].first_byte == DATA);
}

TEST(loader_passes_entries_that_are_longer_than_it_knows) {
    begin_tags();
    map_tag(40, 3);
    expect(read_tags() == 0);
    expect_equal(info.entry_count, 3);
    expect(info.entries[2].first_byte == (uint64_t)2 << 32 && info.entries[2].bytes == 0x100000);
}

TEST(loader_refuses_entries_that_are_shorter_than_they_must_be) {
    static const uint32_t sizes[] = { 0, 1, 20, 23 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        begin_tags();
        begin_tag(6);
        put32(sizes[i]);
        at += 100;
        end_tag();
        expect(read_tags() == ERR_INVALID && why != NULL);
    }
}

TEST(loader_refuses_a_tag_that_passes_its_block) {
    static const uint32_t sizes[] = { 0, 7, 200, 0x7fffffff, 0xfffffff8, 0xffffffff };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        begin_tags();
        map_tag(24, 1);
        begin_tag(1);
        memcpy(memory + tag_start + 4, &sizes[i], sizeof(sizes[i]));
        expect(read_tags() == ERR_INVALID && why != NULL);
    }
}

TEST(loader_refuses_a_block_that_passes_readable_memory) {
    begin_tags();
    map_tag(24, 1);
    uint32_t bytes = MEMORY_BYTES;
    memcpy(memory + DATA, &bytes, sizeof(bytes));
    expect(read_as(LOADER_MULTIBOOT2) == ERR_INVALID);
    expect(loader_read(&loader, LOADER_MULTIBOOT2, MEMORY_BYTES - 4, &why) == ERR_INVALID);
    expect(loader_read(&loader, LOADER_MULTIBOOT2, UINT64_MAX - 4, &why) == ERR_INVALID);
    expect(loader_read(&loader, LOADER_MULTIBOOT2, 0, &why) == ERR_INVALID);
}

TEST(loader_refuses_data_without_a_memory_map) {
    begin_tags();
    text_tag(1, "words");
    expect(read_tags() == ERR_INVALID);
    expect(string_equal(why, "it gave no memory map"));
}

/* --- Multiboot 1 and PVH -------------------------------------------------------------------------------------------
 * */

static void put_multiboot1(uint32_t map_bytes) {
    start();
    put_text(TEXT, "kernel quiet");
    uint32_t fields[] = { 1u << 2 | 1u << 3 | 1u << 6, 0, 0, 0, TEXT, 1, LIST };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        put32(fields[i]);
    at += 16;
    put32(map_bytes);
    put32(LIST + 256);
    at = LIST;
    put32(0x300000);
    put32(0x300800);
    put32(TEXT);
    at = LIST + 256;
}

static void put_multiboot1_entry(uint32_t size, uint64_t first_byte, uint64_t bytes, uint32_t type) {
    put32(size);
    put64(first_byte);
    put64(bytes);
    put32(type);
    at += size > 20 ? size - 20 : 0;
}

TEST(loader_reads_multiboot_1) {
    put_multiboot1(24 + 32);
    put_multiboot1_entry(20, 0, 0x9fc00, 1);
    put_multiboot1_entry(28, 0x100000000, 0x40000000, 1);
    expect(read_as(LOADER_MULTIBOOT1) == 0);
    expect(string_equal(info.command_line, "kernel quiet"));
    expect_equal(info.entry_count, 2);
    expect(info.entries[1].first_byte == 0x100000000 && info.entries[1].bytes == 0x40000000);
    expect(info.module_count == 1 && info.modules[0].bytes == 0x800);
    expect(!info.framebuffer.present);
}

TEST(loader_ends_on_a_multiboot_1_map_that_would_not) {
    static const uint32_t sizes[] = { 0, 19, 0xfffffffc, 0xffffffff };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put_multiboot1(48);
        put_multiboot1_entry(20, 0, 0x9fc00, 1);
        memcpy(memory + at, &sizes[i], sizeof(sizes[i]));
        int error = read_as(LOADER_MULTIBOOT1);
        expect(error == ERR_INVALID || (error == 0 && info.entry_count == 2));
    }
}

TEST(loader_reads_pvh) {
    start();
    put_text(TEXT, "words");
    put32(LOADER_PVH);
    put32(1);
    put32(0);
    put32(1);
    put64(LIST);
    put64(TEXT);
    put64(0);
    put64(LIST + 256);
    put32(1);
    at = LIST;
    put64(0x500000);
    put64(0x1000);
    put64(TEXT);
    at = LIST + 256;
    put64(0x100000);
    put64(0x7f00000);
    put32(1);
    expect(read_as(LOADER_PVH) == 0);
    expect(info.entry_count == 1 && info.module_count == 1);
    expect(string_equal(info.modules[0].name, "words") && string_equal(info.command_line, "words"));
}

TEST(loader_refuses_what_it_does_not_know) {
    start();
    expect(read_as(0) == ERR_INVALID);
    expect(read_as(LOADER_PVH) == ERR_INVALID);
}

/* --- Parts ----------------------------------------------------------------------------------------------------------
 * */

TEST(loader_gives_up_free_ram_before_a_restriction) {
    start();
    for (size_t i = 0; i < BOOT_ENTRIES_MAX; i++)
        expect(loader_add_entry(&loader, i << 20, 1 << 20, i == 3 ? 1 : 2));
    expect(loader_add_entry(&loader, 0, 4096, 1));
    expect(loader_add_entry(&loader, 0, 4096, 2));
    expect(info.entries[3].type == BOOTMAP_RESERVED && info.entries[3].bytes == 4096);
    expect(!loader_add_entry(&loader, 0, 4096, 2));
    expect_equal(info.entries_dropped, 3);
}

TEST(loader_leaves_out_modules_that_make_no_sense) {
    start();
    expect(loader_add_module(&loader, 0x1000, 0) == NULL);
    expect(loader_add_module(&loader, UINT64_MAX - 10, 12) == NULL);
    for (int i = 0; i < BOOT_MODULES_MAX; i++)
        expect(loader_add_module(&loader, 0x1000, 1) != NULL);
    expect(loader_add_module(&loader, 0x1000, 1) == NULL);
    expect_equal(info.modules_dropped, 3);
}

TEST(loader_cuts_and_cleans_texts) {
    char out[8];
    start();
    put_text(TEXT, "a\tb\033c and more");
    loader_copy_text(&loader, out, sizeof(out), TEXT);
    expect(string_equal(out, "a b c a"));
    memset(memory + MEMORY_BYTES - 3, 'x', 3);
    loader_copy_text(&loader, out, sizeof(out), MEMORY_BYTES - 3);
    expect(string_equal(out, "xxx"));
    loader_copy_text(&loader, out, sizeof(out), MEMORY_BYTES);
    expect(string_equal(out, ""));
}

TEST(boot_option_finds_whole_words_only) {
    char out[8];
    start();
    loader_clean_text(info.command_line, sizeof(info.command_line), "test testing status=12 ", 24);
    expect(boot_has_word(&info, "test") && !boot_has_word(&info, "tes") && !boot_has_word(&info, "status"));
    expect(boot_option(&info, "status", out, sizeof(out)) && string_equal(out, "12"));
    expect(!boot_option(&info, "stat", out, sizeof(out)) && string_equal(out, ""));
}
