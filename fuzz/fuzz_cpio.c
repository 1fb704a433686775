/* Any bytes as an archive: each member must lie in them, the walk must end, and damage must have a reason. */
#include <base/check.h>
#include <base/string.h>
#include <kernel/cpio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void judge(const struct cpio_member *member, const uint8_t *data, size_t bytes) {
    const uint8_t *content = member->content, *name = (const uint8_t *)member->name;
    require(content >= data && content <= data + bytes && member->bytes <= (size_t)(data + bytes - content),
            "a file of %zu bytes outside the archive", member->bytes);
    require(name >= data && name + string_length(member->name) < data + bytes, "a name outside the archive");
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < member->bytes; i++)
        sum = (uint8_t)(sum + content[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct cpio cpio;
    struct cpio_member member;
    int result;
    cpio_begin(&cpio, data, bytes);
    for (size_t at = 0; (result = cpio_next(&cpio, &member)) == 1; at = cpio.at) {
        require(cpio.at > at, "the walk stands still at %zu", at);
        judge(&member, data, bytes);
    }
    require(result == 0 || (result == ERR_INVALID && cpio.why != NULL), "refused with %d and no reason", result);
    return 0;
}
