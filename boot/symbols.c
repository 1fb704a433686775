/* Names of addresses, and who called whom.
 *
 * The table stands at the image's end. The first link has none; tools/symbols.sh makes it from that link's symbols, and
 * the second link adds it behind everything else, so no address it speaks of moves:
 *
 *     count | count times (low half of the address, the name's offset) in order of address | names, each with a zero
 *
 * The image is smaller than 4 GiB and doesn't cross such a border, so the low half tells all.
 *
 * A stack trace follows frame pointers: each points at the caller's, with the return address behind it. It stops at
 * the first that isn't in a kernel stack or doesn't lie above the last, so a broken chain ends it and can't hang it. A
 * function that calls itself from one place is printed once with a count. */
#include <arch/x86/image.h>
#include <arch/x86/stacks.h>
#include <base/fmt.h>
#include <boot/boot.h>

struct symbol {
    uint32_t address_low, name;
};

struct symbols {
    uint32_t count;
    struct symbol symbols[];
};

enum { TRACE_MAX = 32 };

/* Index of the first symbol above the address. */
static uint32_t first_above(const struct symbols *table, uint32_t address_low) {
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->symbols[middle].address_low <= address_low)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void boot_symbol(uintptr_t address, char *out, size_t bytes) {
    const struct symbols *table = (const struct symbols *)image_symbols;
    fmt(out, bytes, "?");
    if ((uintptr_t)image_symbols_end - (uintptr_t)image_symbols < sizeof(*table))
        return;
    if (address < (uintptr_t)image_first || address >= (uintptr_t)image_end)
        return;
    uint32_t above = first_above(table, (uint32_t)address);
    if (above == 0)
        return;
    const struct symbol *symbol = &table->symbols[above - 1];
    const char *names = (const char *)&table->symbols[table->count];
    fmt(out, bytes, "%s+0x%x", names + symbol->name, (uint32_t)address - symbol->address_low);
}

static bool can_be_read(uintptr_t frame_pointer) {
    return frame_pointer % sizeof(uintptr_t) == 0 && stack_holds(frame_pointer) &&
           stack_holds(frame_pointer + 2 * sizeof(uintptr_t) - 1);
}

/* The byte before the return address is part of the call, and so surely of the function that called: one that never
 * returns may be called at its caller's very end. */
static void print_caller(uintptr_t return_address, unsigned again) {
    char name[80];
    if (again > 0)
        console_print("  (%u more times)\n", again);
    boot_symbol(return_address - 1, name, sizeof(name));
    if (return_address != 0)
        console_print("  called from %0*zx %s\n", (int)(2 * sizeof(uintptr_t)), (size_t)return_address, name);
}

void boot_stack_trace(uintptr_t frame_pointer) {
    uintptr_t last = 0;
    unsigned again = 0, printed = 0;
    while (printed < TRACE_MAX && can_be_read(frame_pointer)) {
        const uintptr_t *frame = (const uintptr_t *)frame_pointer;
        if (frame[1] != last) {
            print_caller(frame[1], again);
            printed++;
            again = 0;
        } else {
            again++;
        }
        last = frame[1];
        if (frame[0] <= frame_pointer)
            break;
        frame_pointer = frame[0];
    }
    print_caller(0, again);
}
