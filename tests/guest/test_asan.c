/* What the compiler's calls find, on memory of our own with a shadow of our own. The accesses are made by C code of
 * this file, which is compiled like all of the kernel. */
#include <base/fmt.h>
#include <base/string.h>
#include <mem/asan.h>
#include <mem/valloc.h>
#include <tests/test.h>

/* A page: red zone, BLOCK bytes at +START, red zone, a freed block at +FREED; then a page that is unused. */
enum { START = 64, BLOCK = 43, FREED = 256 };

static struct shadow shadow;
static char *memory;

static void begin(void) {
    if (!shadow_is_used())
        test_skip("built without the level asan");
    asan_watched = &shadow_heap; /* whatever a test that failed left there */
    memory = (char *)pvalloc(2, context_kernel());
    expect(memory != NULL);
    memset(memory, 0x11, 2 * PAGE_SIZE);
    uintptr_t at = (uintptr_t)memory;
    expect_equal(shadow_create(&shadow, at, 2), 0);
    expect_equal(shadow_back_in(&shadow, at, 2), 0);
    shadow_forbid_in(&shadow, at, PAGE_SIZE, SHADOW_RED_ZONE);
    shadow_allow_in(&shadow, at + START, BLOCK);
    shadow_forbid_in(&shadow, at + FREED, 64, SHADOW_FREED);
    asan_watched = &shadow;
}

static void end(void) {
    asan_watched = &shadow_heap;
    shadow_unback_in(&shadow, (uintptr_t)memory, 2);
    shadow_destroy(&shadow);
    pvfree(page_number((uintptr_t)memory), 2);
}

/* --- Single accesses ---------------------------------------------------------------------------------------------- */

#define ACCESS(bytes, type)                                                                                            \
    static __attribute__((noinline)) void read_##bytes(char *at) {                                                     \
        type value = *(volatile type *)(void *)at;                                                                     \
        (void)value;                                                                                                   \
    }                                                                                                                  \
    static __attribute__((noinline)) void write_##bytes(char *at) {                                                    \
        static type value;                                                                                             \
        *(volatile type *)(void *)at = value;                                                                          \
    }

/* Sizes that no call is named after are for the call with a size. */
#define BYTES(bytes)                                                                                                   \
    struct of_##bytes {                                                                                                \
        char bytes_[bytes];                                                                                            \
    };                                                                                                                 \
    static __attribute__((noinline)) void read_##bytes(char *at) {                                                     \
        static struct of_##bytes value;                                                                                \
        value = *(struct of_##bytes *)(void *)at;                                                                      \
        __asm__ volatile("" : : "m"(value));                                                                           \
    }                                                                                                                  \
    static __attribute__((noinline)) void write_##bytes(char *at) {                                                    \
        static struct of_##bytes value;                                                                                \
        __asm__ volatile("" : "+m"(value));                                                                            \
        *(struct of_##bytes *)(void *)at = value;                                                                      \
    }

ACCESS(1, uint8_t)
ACCESS(2, uint16_t)
BYTES(3)
ACCESS(4, uint32_t)
BYTES(5)
BYTES(6)
BYTES(7)
ACCESS(8, uint64_t)
BYTES(9)
BYTES(10)
BYTES(11)
BYTES(12)
BYTES(13)
BYTES(14)
BYTES(15)
BYTES(16)

#define BOTH(bytes)                                                                                                    \
    { bytes, read_##bytes, write_##bytes }

static const struct access {
    size_t bytes;
    void (*read)(char *at), (*write)(char *at);
} accesses[] = { BOTH(1), BOTH(2),  BOTH(3),  BOTH(4),  BOTH(5),  BOTH(6),  BOTH(7),  BOTH(8),
                 BOTH(9), BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14), BOTH(15), BOTH(16) };

/* A compiler may split an access: then the report is of the part that is bad, and `*` stands for its size and place. */
static void expect_report(const struct access *access, bool write, size_t at, size_t bad, const char *zone) {
    static char text[160];
    static void (*call)(char *at);
    call = write ? access->write : access->read;
    char *volatile where = memory + at;
    fmt(text, sizeof(text), "asan: %s of * byte* at * by *: byte %#zx is in %s *", write ? "write" : "read",
        (size_t)(uintptr_t)(memory + bad), zone);
    expect_panic(text, call(where));
}

TEST(compiler_reports_every_size_at_every_place_around_a_block) {
    begin();
    static const struct access *access;
    static size_t at;
    for (access = accesses; access < accesses + sizeof(accesses) / sizeof(accesses[0]); access++)
        for (at = START - 20; at < START + BLOCK + 20; at++) {
            if (at >= START && at + access->bytes <= START + BLOCK) {
                access->read(memory + at);
                access->write(memory + at);
                continue;
            }
            size_t bad = at >= START && at < START + BLOCK ? START + BLOCK : at;
            expect_report(access, false, at, bad, "the red zone of a block");
            expect_report(access, true, at, bad, "the red zone of a block");
        }
    end();
}

TEST(compiler_reports_every_size_in_a_freed_block_and_in_unused_memory) {
    begin();
    static const struct access *access;
    static unsigned write;
    for (access = accesses; access < accesses + sizeof(accesses) / sizeof(accesses[0]); access++) {
        for (write = 0; write < 2; write++) {
            expect_report(access, write != 0, FREED, FREED, "a freed block");
            expect_report(access, write != 0, FREED + 13, FREED + 13, "a freed block");
            expect_report(access, write != 0, PAGE_SIZE + 8, PAGE_SIZE + 8, "memory that is in no block");
        }
    }
    end();
}

/* A call is made for a whole struct, an element behind a variable index, an atomic step. */
TEST(compiler_reports_structs_elements_and_atomics) {
    struct large {
        uint64_t words[7];
    };
    begin();
    static struct large copy;
    static volatile size_t index;
    struct large *large = (struct large *)(void *)(memory + START);
    expect_panic("asan: read of * bytes at * by *: byte * is in the red zone of a block *", copy = *large);
    expect_panic("asan: write of * bytes at * by *: byte * is in the red zone of a block *", *large = copy);
    index = 5;
    expect_panic("asan: write of 8 bytes at * by *: byte * is in the red zone of a block *", large->words[index] = 1);
    uint32_t *counter = (uint32_t *)(void *)(memory + FREED);
    expect_panic("asan: * of 4 bytes at * by *: byte * is in a freed block *",
                 __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST));
    end();
}

/* --- Ranges ------------------------------------------------------------------------------------------------------- */

TEST(byte_functions_are_checked_over_their_whole_length) {
    begin();
    static char outside[4096];
    char *block = memory + START;
    volatile size_t fits = BLOCK, over = BLOCK + 1;
    memset(block, 5, fits);
    memcpy(block, outside, fits);
    memcpy(outside, block, fits);
    memmove(block + 1, block, fits - 1);
    expect_equal(memcmp(block + 1, block, fits - 1), 0);
    expect_panic("asan: write of 44 bytes at * by *: byte * is in the red zone of a block (shadow 03), 1 behind *",
                 memset(block, 5, over));
    expect_panic("asan: write of 44 bytes at * by *: *, 1 behind *", memcpy(block, outside, over));
    expect_panic("asan: read of 44 bytes at * by *: *, 1 behind *", memcpy(outside, block, over));
    expect_panic("asan: read of 44 bytes at * by *: *, 1 before *", memmove(outside, block - 1, over));
    expect_panic("asan: write of 43 bytes at * by *: *, 1 behind *", memmove(block + 1, block, fits));
    expect_panic("asan: read of 44 bytes at * by *: *, 1 behind *", memcmp(outside, block, over));
    expect_panic("asan: read of 4096 bytes at * by *: *, 64 before *", memcpy(outside, memory, sizeof(outside)));
    memset(block, 'x', fits);
    expect_panic("asan: read of 1 byte at * by *: *, 1 behind *", string_length(block));
    end();
}

static __attribute__((noinline)) ASAN_UNCHECKED char peek(const char *at) {
    return *(const volatile char *)at;
}

TEST(accesses_that_are_meant_are_let_through) {
    begin();
    uintptr_t saved = asan_off();
    memory[START + BLOCK] = 7;
    memset(memory, 7, 16);
    asan_on(saved);
    expect_equal(peek(memory + START + BLOCK), 7);
    expect_equal(peek(memory), 7);
    end();
}
