/* Members follow one another, each part padded to a multiple of 4 bytes from the archive's beginning:
 *
 *     | header, 110 characters | name, its zero included | pad | content | pad | next header ...
 *       "070701" and 13 fields of 8 hexadecimal digits
 *
 * The last member is named TRAILER!!!; whatever follows is padding. An archive that ends without it is damaged: it was
 * cut off. Format "070702" has a checksum of the content, a sum of bytes, which is checked.
 *
 * No sum is made before its parts are known to lie in the archive. Not done: hard links (a later name of one file has
 * no content and is found as an empty file), devices, following symbolic links. */
#include <kernel/cpio.h>
#include <base/bits.h>
#include <base/string.h>

enum { MAGIC_BYTES = 6, FIELD_BYTES = 8, FIELDS = 13, HEADER_BYTES = MAGIC_BYTES + FIELDS * FIELD_BYTES, PAD = 4 };
enum field { FIELD_MODE = 1, FIELD_FILE_BYTES = 6, FIELD_NAME_BYTES = 11, FIELD_CHECK = 12 };

enum { MODE_KIND = 0170000, MODE_FILE = 0100000, MODE_FOLDER = 0040000, MODE_LINK = 0120000, MODE_PERMISSIONS = 07777 };

void cpio_begin(struct cpio *cpio, const void *bytes, size_t size) {
    *cpio = (struct cpio){ .bytes = bytes, .size = size };
}

static int bad(struct cpio *cpio, const char *why) {
    cpio->why = why;
    return ERR_INVALID;
}

static bool in_archive(const struct cpio *cpio, size_t at, size_t bytes) {
    return at <= cpio->size && bytes <= cpio->size - at;
}

static int digit_value(uint8_t digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool read_fields(const uint8_t *at, uint32_t fields[FIELDS]) {
    for (unsigned i = 0; i < FIELDS; i++) {
        fields[i] = 0;
        for (unsigned j = 0; j < FIELD_BYTES; j++) {
            int value = digit_value(*at++);
            if (value < 0)
                return false;
            fields[i] = fields[i] << 4 | (uint32_t)value;
        }
    }
    return true;
}

static enum cpio_kind kind_of(uint32_t mode) {
    switch (mode & MODE_KIND) {
    case MODE_FILE:
        return CPIO_FILE;
    case MODE_FOLDER:
        return CPIO_FOLDER;
    case MODE_LINK:
        return CPIO_LINK;
    default:
        return CPIO_OTHER;
    }
}

static const char *without_prefix(const char *name) {
    for (;;) {
        if (string_starts(name, "./"))
            name += 2;
        else if (*name == '/')
            name++;
        else
            return name;
    }
}

static uint32_t sum(const uint8_t *bytes, size_t count) {
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += bytes[i];
    return total;
}

/* The place behind `bytes` bytes at `at`, padded; they were found to lie in the archive. An archive's last part may
 * lack its padding. */
static size_t behind(const struct cpio *cpio, size_t at, size_t bytes) {
    size_t end = at + bytes, padding = (PAD - end % PAD) % PAD;
    return padding <= cpio->size - end ? end + padding : cpio->size;
}

static int read_name(struct cpio *cpio, size_t at, size_t bytes, const char **name) {
    if (bytes == 0)
        return bad(cpio, "a member without a name");
    if (!in_archive(cpio, at, bytes))
        return bad(cpio, "the archive ends in a name");
    *name = (const char *)cpio->bytes + at;
    if ((*name)[bytes - 1] != '\0' || string_length(*name) != bytes - 1)
        return bad(cpio, "a name's length is wrong");
    return 0;
}

static int check_magic(struct cpio *cpio, bool *summed) {
    if (!in_archive(cpio, cpio->at, HEADER_BYTES))
        return bad(cpio, cpio->at == 0 ? "not a cpio archive: too short" : "the archive ends without its last member");
    const uint8_t *header = cpio->bytes + cpio->at;
    *summed = memcmp(header, "070702", MAGIC_BYTES) == 0;
    if (*summed || memcmp(header, "070701", MAGIC_BYTES) == 0)
        return 0;
    return bad(cpio, cpio->at == 0 ? "not a cpio archive in the newc format" : "a member doesn't begin with 070701");
}

int cpio_next(struct cpio *cpio, struct cpio_member *member) {
    bool summed;
    uint32_t fields[FIELDS];
    int error = check_magic(cpio, &summed);
    if (error != 0)
        return error;
    if (!read_fields(cpio->bytes + cpio->at + MAGIC_BYTES, fields))
        return bad(cpio, "a header field isn't hexadecimal");

    const char *name;
    size_t name_at = cpio->at + HEADER_BYTES;
    error = read_name(cpio, name_at, fields[FIELD_NAME_BYTES], &name);
    if (error != 0)
        return error;
    if (string_equal(name, "TRAILER!!!"))
        return 0;

    size_t content_at = behind(cpio, name_at, fields[FIELD_NAME_BYTES]);
    if (!in_archive(cpio, content_at, fields[FIELD_FILE_BYTES]))
        return bad(cpio, "the archive ends in a file");
    *member = (struct cpio_member){
        .name = without_prefix(name),
        .content = cpio->bytes + content_at,
        .bytes = fields[FIELD_FILE_BYTES],
        .kind = kind_of(fields[FIELD_MODE]),
        .mode = fields[FIELD_MODE] & MODE_PERMISSIONS,
    };
    if (summed && sum(cpio->bytes + content_at, member->bytes) != fields[FIELD_CHECK])
        return bad(cpio, "a file's checksum is wrong");
    cpio->at = behind(cpio, content_at, member->bytes);
    return 1;
}

int cpio_find(const void *bytes, size_t size, const char *name, struct cpio_member *member, const char **why) {
    struct cpio cpio;
    cpio_begin(&cpio, bytes, size);
    name = without_prefix(name);
    int result;
    while ((result = cpio_next(&cpio, member)) == 1)
        if (member->kind == CPIO_FILE && string_equal(member->name, name))
            break;
    *why = cpio.why;
    return result;
}
