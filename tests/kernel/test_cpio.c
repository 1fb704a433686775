/* Archives made here; each with one thing wrong. */
#include <base/fmt.h>
#include <base/string.h>
#include <kernel/cpio.h>
#include <tests/test.h>

enum { HEADER_BYTES = 110, ROOM = 2048 };

static char archive[ROOM];
static size_t length;

static void pad(void) {
    while (length % 4 != 0)
        archive[length++] = '\0';
}

/* Field 12, the checksum, is 0: newc doesn't use it. */
static void add(const char *name, unsigned mode, const char *content) {
    unsigned name_bytes = (unsigned)string_length(name) + 1, bytes = (unsigned)string_length(content);
    length += fmt(archive + length, ROOM - length, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1,
                  mode, 0, 0, 1, 0, bytes, 0, 0, 0, 0, name_bytes, 0);
    memcpy(archive + length, name, name_bytes);
    length += name_bytes;
    pad();
    memcpy(archive + length, content, bytes);
    length += bytes;
    pad();
}

static void make(void) {
    memset(archive, 0, ROOM);
    length = 0;
    add(".", 040755, "");
    add("./init", 0100755, "first");
    add("bin", 040755, "");
    add("bin/echo", 0100755, "second one");
    add("empty", 0100644, "");
    add("TRAILER!!!", 0, "");
}

static const char *refused(size_t bytes) {
    struct cpio_member member;
    const char *why = NULL;
    if (cpio_find(archive, bytes, "no such file", &member, &why) != ERR_INVALID)
        test_fail(__FILE__, __LINE__, "a bad archive was accepted");
    return why;
}

#define expect_refused(text)                                                                                           \
    do {                                                                                                               \
        const char *why_ = refused(length);                                                                            \
        if (!string_equal(why_, text))                                                                                 \
            test_fail(__FILE__, __LINE__, "refused with \"%s\"", why_);                                                \
    } while (0)

static bool finds(const char *name, const char *content) {
    struct cpio_member member;
    const char *why;
    return cpio_find(archive, length, name, &member, &why) == 1 && member.bytes == string_length(content) &&
           memcmp(member.content, content, member.bytes) == 0;
}

TEST(cpio_finds_files_by_name) {
    make();
    expect(finds("init", "first"));
    expect(finds("/init", "first"));
    expect(finds("./bin/echo", "second one"));
    expect(finds("empty", ""));
}

TEST(cpio_finds_no_folder_and_no_trailer) {
    struct cpio_member member;
    const char *why;
    make();
    expect_equal(cpio_find(archive, length, "bin", &member, &why), 0);
    expect_equal(cpio_find(archive, length, "TRAILER!!!", &member, &why), 0);
    expect_equal(cpio_find(archive, length, "", &member, &why), 0);
}

TEST(cpio_lists_members_in_order) {
    static const char *const names[] = { ".", "init", "bin", "bin/echo", "empty" };
    struct cpio cpio;
    struct cpio_member member;
    make();
    cpio_begin(&cpio, archive, length);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_equal(cpio_next(&cpio, &member), 1);
        expect(string_equal(member.name, names[i]));
    }
    expect_equal(cpio_next(&cpio, &member), 0);
}

TEST(cpio_refuses_every_cut_archive) {
    make();
    size_t trailer = length - 124; /* its header and name, padded */
    for (size_t bytes = 0; bytes < trailer + HEADER_BYTES; bytes++)
        refused(bytes);
}

TEST(cpio_refuses_damaged_headers) {
    make();
    archive[0] = '1';
    expect_refused("not a cpio archive in the newc format");
    make();
    archive[20] = 'g';
    expect_refused("a header field isn't hexadecimal");
    make();
    memcpy(archive + 6 + 11 * 8, "00000000", 8);
    expect_refused("a member without a name");
    make();
    memcpy(archive + 6 + 11 * 8, "ffffffff", 8);
    expect_refused("the archive ends in a name");
    make();
    memcpy(archive + 6 + 11 * 8, "00000003", 8);
    expect_refused("a name's length is wrong");
    make();
    memcpy(archive + 6 + 6 * 8, "ffffffff", 8);
    expect_refused("the archive ends in a file");
    make();
    memcpy(archive + 6 + 6 * 8, "00000004", 8);
    expect_refused("a member doesn't begin with 070701");
}

TEST(cpio_checks_sums_where_there_are_some) {
    make();
    memcpy(archive, "070702", 6);
    expect(finds("init", "first")); /* the folder "." has no content, and its sum is 0 */
    memcpy(archive + 112, "070702", 6);
    expect_refused("a file's checksum is wrong");
    fmt(archive + 112 + 6 + 12 * 8, 9, "%08x", 'f' + 'i' + 'r' + 's' + 't');
    archive[112 + HEADER_BYTES] = '.';
    expect(finds("init", "first"));
}
