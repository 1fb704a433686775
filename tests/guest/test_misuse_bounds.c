/* Bytes read and written outside of a block. */
#include <base/string.h>
#include <tests/guest/misuse.h>

enum { SMALL = 24, MIDDLE = 100, LARGE = 40000, PAGE_PART = 32 };

MISUSE(write_behind, "a byte written right behind a block", NOT_FOUND, "when freed: +24 was", "when freed: +24 was",
       "at once: write of 1 byte") {
    misuse_write(misuse_take(SMALL), SMALL);
}

MISUSE(write_8_behind, "8 bytes written right behind a block", NOT_FOUND, "when freed: 8 bytes changed",
       "when freed: 8 bytes changed", "at once: write of") {
    char *block = misuse_take(SMALL);
    for (intptr_t i = 0; i < 8; i++)
        misuse_write(block, SMALL + i);
}

MISUSE(write_before, "a byte written right before a block", NOT_FOUND, "when freed: -1 was", "when freed: -1 was",
       "at once: write of 1 byte") {
    misuse_write(misuse_take(SMALL), -1);
}

MISUSE(write_16_before, "a byte written 16 bytes before a block", NOT_FOUND, "when freed: -16 was",
       "when freed: -16 was", "at once: write of 1 byte") {
    misuse_write(misuse_take(SMALL), -16);
}

MISUSE(write_into_padding,
       "a byte written between the bytes asked for and the end of the block that the heap uses for them", NOT_FOUND,
       "when freed: +100 was", "when freed: +100 was", "at once: write of 1 byte") {
    misuse_write(misuse_take(MIDDLE), MIDDLE);
}

MISUSE(write_behind_large, "a byte written right behind a block of 40,000 bytes", NOT_FOUND, "when freed: +40000 was",
       "when freed: +40000 was", "at once: write of 1 byte") {
    misuse_write(misuse_take(LARGE), LARGE);
}

MISUSE(write_page_behind_large, "a byte written a page behind a block of 40,000 bytes", "at once: page fault",
       "at once: page fault", "at once: page fault", "at once: write of 1 byte") {
    misuse_write(misuse_take_low(LARGE), LARGE + 4096);
}

MISUSE(write_before_large, "a byte written right before a block of 40,000 bytes", "at once: page fault",
       "when freed: -1 was", "when freed: -1 was", "at once: write of 1 byte") {
    misuse_take(LARGE); /* it ends with an unmapped page */
    misuse_write(misuse_take(LARGE), -1);
}

MISUSE(write_behind_page, "a byte written right behind a page-aligned block", NOT_FOUND, "when freed: +4096 was",
       "when freed: +4096 was", "at once: write of 1 byte") {
    char *block = (char *)misuse_keep(kmalloc_a(4096)), *other = NULL;
    for (unsigned i = 0; i < 6 && other != block + 4096 && block != other + 4096; i++)
        other = (char *)misuse_keep(kmalloc_a(4096));
    misuse_write(other + 4096 == block ? other : block, 4096); /* another block's first byte, if blocks lie so close */
}

MISUSE(write_to_empty, "a byte written to a block of 0 bytes", NOT_FOUND, "when freed: +0 was", "when freed: +0 was",
       "at once: write of 1 byte") {
    misuse_write(misuse_take(0), 0);
}

MISUSE(copy_string_without_room, "a string copied, its terminating zero without room", NOT_FOUND, "when freed: +24 was",
       "when freed: +24 was", "at once: write of") {
    static const char text[] = "twenty-four letters here";
    char *block = misuse_take(sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(text); i++)
        misuse_put(block, (intptr_t)i, text[i]);
}

MISUSE(memset_too_long, "memset() of a byte too many", NOT_FOUND, "when freed: +24 was", "when freed: +24 was",
       "at once: write of 25 bytes") {
    char *block = misuse_take(SMALL);
    misuse_note(block, 0, SMALL + 1);
    memset(block, 0x3c, SMALL + 1);
}

MISUSE(memcpy_too_long, "memcpy() of a byte too many from a block", NOT_FOUND, NOT_FOUND, NOT_FOUND,
       "at once: read of 25 bytes") {
    char copy[SMALL + 1];
    memcpy(copy, misuse_take(SMALL), sizeof(copy));
}

MISUSE(read_behind, "a byte read right behind a block", NOT_FOUND, NOT_FOUND, NOT_FOUND, "at once: read of 1 byte") {
    misuse_read(misuse_take(SMALL), SMALL);
}

MISUSE(read_before, "a byte read right before a block", NOT_FOUND, NOT_FOUND, NOT_FOUND, "at once: read of 1 byte") {
    misuse_read(misuse_take(SMALL), -1);
}

MISUSE(read_of_empty, "a byte read from a block of 0 bytes", NOT_FOUND, NOT_FOUND, NOT_FOUND,
       "at once: read of 1 byte") {
    misuse_read(misuse_take(0), 0);
}

MISUSE(read_page_behind_large, "a byte read a page behind a block of 40,000 bytes", "at once: page fault",
       "at once: page fault", "at once: page fault", "at once: read of 1 byte") {
    misuse_read(misuse_take_low(LARGE), LARGE + 4096);
}

MISUSE(write_behind_grown, "a byte written right behind a block that krealloc() made longer", NOT_FOUND,
       "when freed: +60 was", "when freed: +60 was", "at once: write of 1 byte") {
    char *block = (char *)misuse_keep(krealloc(kmalloc(SMALL), 60));
    misuse_write(block, 60);
}

MISUSE(write_behind_shrunk,
       "a byte written behind a block that krealloc() made shorter, where it was long enough before", NOT_FOUND,
       "when freed: +90 was", "when freed: +90 was", "at once: write of 1 byte") {
    char *block = (char *)misuse_keep(krealloc(kmalloc(MIDDLE), 90));
    misuse_write(block, 90);
}

/* Two blocks of 32 bytes, each to an end of its pages: one of the two meets an unmapped page. */
static void write_beside_both(intptr_t offset) {
    misuse_write(misuse_take(PAGE_PART), offset);
    misuse_write(misuse_take(PAGE_PART), offset);
}

MISUSE_ALONE(write_behind_alone, "a byte written right behind each of two blocks that are alone", NOT_FOUND,
             "when freed: 1 byte changed", "at once: page fault", "at once: write of 1 byte") {
    write_beside_both(PAGE_PART);
}

MISUSE_ALONE(write_before_alone, "a byte written right before each of two blocks that are alone", NOT_FOUND,
             "when freed: 1 byte changed", "at once: page fault", "at once: write of 1 byte") {
    write_beside_both(-1);
}

MISUSE_ALONE(read_behind_alone, "a byte read right behind each of two blocks that are alone", NOT_FOUND, NOT_FOUND,
             "at once: page fault", "at once: read of 1 byte") {
    misuse_read(misuse_take(PAGE_PART), PAGE_PART);
    misuse_read(misuse_take(PAGE_PART), PAGE_PART);
}
