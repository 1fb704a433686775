/* What is given back that may not be. */
#include <mem/palloc.h>
#include <tests/guest/misuse.h>

enum { SMALL = 24, ODD = 27000, LARGE = 40000 };

MISUSE(double_free, "a block freed twice", EVERYWHERE("at once: double free")) {
    char *block = misuse_take(SMALL);
    kfree(block);
    kfree(block);
}

MISUSE(double_free_later, "a block freed twice, other blocks in between", EVERYWHERE("at once: double free")) {
    char *block = misuse_take(SMALL), *others[4];
    for (size_t i = 0; i < 4; i++)
        others[i] = misuse_take(SMALL);
    kfree(block);
    for (size_t i = 0; i < 4; i++)
        kfree(others[i]);
    kfree(block);
}

MISUSE(double_free_of_reused, "a block freed twice, and handed out again in between", NOT_FOUND, NOT_FOUND,
       "at once: double free", "at once: double free") {
    char *block = misuse_take(SMALL);
    kfree(block);
    misuse_take(SMALL);
    kfree(block);
}

MISUSE(double_free_of_large, "a block of 40,000 bytes freed twice", "at once: no block", "at once: no block",
       "at once: double free", "at once: double free") {
    char *block = misuse_take(LARGE);
    kfree(block);
    kfree(block);
}

MISUSE(double_free_of_page, "a page-aligned block freed twice", EVERYWHERE("at once: double free")) {
    void *block = misuse_keep(kmalloc_a(4096));
    kfree(block);
    kfree(block);
}

MISUSE(double_free_after_trim, "a block freed twice, with kmalloc_trim() in between", EVERYWHERE("at once: no block")) {
    char *block = misuse_take(ODD); /* no slab that it may be in has another block */
    kfree(block);
    kmalloc_trim();
    kfree(block);
}

MISUSE(free_of_8_inside, "a pointer 8 bytes into a block freed", EVERYWHERE("at once: 8 bytes after")) {
    kfree(misuse_take(SMALL) + 8);
}

MISUSE(free_of_1_inside, "a pointer 1 byte into a block freed", EVERYWHERE("at once: 1 bytes after")) {
    kfree(misuse_take(SMALL) + 1);
}

MISUSE(free_of_16_before, "a pointer 16 bytes before a block freed", EVERYWHERE("at once: not the start of a block")) {
    kfree(misuse_take(SMALL) - 16);
}

MISUSE(free_inside_large, "a pointer into a block of 40,000 bytes freed", EVERYWHERE("at once: 4096 bytes after")) {
    kfree(misuse_take(LARGE) + 4096);
}

MISUSE(free_behind_large, "a pointer behind a block of 40,000 bytes freed", EVERYWHERE("at once: no block")) {
    kfree(misuse_take(LARGE) + 12 * 4096);
}

MISUSE(free_of_variable, "a variable freed", EVERYWHERE("at once: memory of the kernel's own")) {
    static char variable[64];
    kfree(variable);
}

MISUSE(free_of_stack, "memory of the stack freed", EVERYWHERE("at once: not the heap's")) {
    char local[64];
    char *volatile pointer = local;
    kfree(pointer);
}

MISUSE(free_of_almost_null, "a member of a structure at NULL freed", EVERYWHERE("at once: nothing is mapped there")) {
    kfree((void *)(uintptr_t)16);
}

MISUSE(free_of_number, "a page number freed, as if it were an address", EVERYWHERE("at once: not the heap's")) {
    void *run = palloc(1);
    pfn_t pfn = palloc_pfn(run);
    pfree(pfn, 1);
    kfree((void *)(uintptr_t)pfn);
}

MISUSE(free_of_uninitialised, "a pointer that was never written freed", EVERYWHERE("at once: not the heap's")) {
    kfree((void *)(uintptr_t)0x5a5a5a50);
}
