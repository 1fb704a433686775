/* Blocks used after they were given back, or before anything was written to them. */
#include <base/string.h>
#include <tests/guest/misuse.h>

enum { SMALL = 24, MIDDLE = 1000, LARGE = 40000 };

MISUSE(write_after_free, "a byte written to a block after it was freed", NOT_FOUND, NOT_FOUND,
       "later: write after free", "at once: write of 1 byte") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_write(block, 8);
}

MISUSE(write_after_free_first, "the first byte of a block written after it was freed", NOT_FOUND, NOT_FOUND,
       "later: write after free", "at once: write of 1 byte") {
    char *block = misuse_take(MIDDLE);
    kfree(block);
    misuse_write(block, 0);
}

MISUSE(write_after_free_last, "the last byte of a block written after it was freed", NOT_FOUND, NOT_FOUND,
       "later: write after free", "at once: write of 1 byte") {
    char *block = misuse_take(MIDDLE);
    kfree(block);
    misuse_write(block, MIDDLE - 1);
}

MISUSE(memset_after_free, "memset() of a block after it was freed", NOT_FOUND, NOT_FOUND, "later: write after free",
       "at once: write of 24 bytes") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_note(block, 0, SMALL);
    memset(block, 0x77, SMALL);
}

MISUSE(write_after_reuse, "a byte written to a block after it was freed, and could have been handed out again",
       NOT_FOUND, NOT_FOUND, "later: write after free", "at once: write of 1 byte") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_take(SMALL);
    misuse_write(block, 8);
}

MISUSE(read_after_free, "a byte read from a block after it was freed", NOT_FOUND, NOT_FOUND, NOT_FOUND,
       "at once: read of 1 byte") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_read(block, 8);
}

MISUSE(read_after_free_of_large, "a byte read from a block of 40,000 bytes after it was freed", "at once: page fault",
       "at once: page fault", "at once: page fault", "at once: read of 1 byte") {
    char *block = misuse_take_low(LARGE);
    kfree(block);
    misuse_read(block, 8);
}

MISUSE(write_after_free_of_large, "a byte written to a block of 40,000 bytes after it was freed", "at once: page fault",
       "at once: page fault", "at once: page fault", "at once: write of 1 byte") {
    char *block = misuse_take_low(LARGE);
    kfree(block);
    misuse_write(block, 8);
}

MISUSE(write_after_krealloc, "a byte written to where a block was before krealloc() moved it", NOT_FOUND, NOT_FOUND,
       "later: write after free", "at once: write of 1 byte") {
    char *block = (char *)kmalloc(SMALL);
    misuse_keep(krealloc(block, MIDDLE));
    misuse_write(block, 8);
}

MISUSE(read_after_krealloc, "a byte read from where a block was before krealloc() moved it", NOT_FOUND, NOT_FOUND,
       NOT_FOUND, "at once: read of 1 byte") {
    char *block = (char *)kmalloc(SMALL);
    misuse_keep(krealloc(block, MIDDLE));
    misuse_read(block, 8);
}

MISUSE(read_before_write, "a byte used that was never written", NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND) {
    misuse_read(misuse_take(SMALL), 8);
}

MISUSE(krealloc_of_freed, "krealloc() of a block that was freed", "at once: double free", "at once: double free",
       "at once: double free", "at once: double free") {
    char *block = misuse_take(SMALL);
    kfree(block);
    (void)krealloc(block, MIDDLE);
}

MISUSE(size_of_freed, "kmalloc_usable_size() of a block that was freed", "at once: isn't in use",
       "at once: isn't in use", "at once: isn't in use", "at once: isn't in use") {
    char *block = misuse_take(SMALL);
    kfree(block);
    (void)kmalloc_usable_size(block);
}

MISUSE_ALONE(read_after_free_alone, "a byte read from a block that was alone after it was freed", NOT_FOUND, NOT_FOUND,
             "at once: freed at", "at once: freed at") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_read(block, 8);
}

MISUSE_ALONE(write_after_free_alone, "a byte written to a block that was alone after it was freed", NOT_FOUND,
             NOT_FOUND, "at once: freed at", "at once: freed at") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_write(block, 8);
}
