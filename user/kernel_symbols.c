/* Tries to read, write and execute the address of every symbol of the very kernel that it runs on, each in a child,
 * each of which must die. The table is made from the kernel's image when the archive is. Rights belong to pages: of
 * the symbols of one page the first stands for all. */
#include <user/check.h>
#include <signal.h>

static const struct {
    uintptr_t address;
    const char *name;
} symbols[] = {
#include <kernel_symbols.inc>
};

int main(void) {
    size_t count = sizeof(symbols) / sizeof(symbols[0]);
    uintptr_t page = 0;
    long probes = 0, dead = 0;
    for (size_t i = 0; i < count; i++) {
        if (symbols[i].address / PAGE == page)
            continue;
        page = symbols[i].address / PAGE;
        for (enum touch how = TOUCH_READ; how <= TOUCH_EXECUTE; how++, probes++) {
            int result = touch(symbols[i].address, how);
            if (result == -SIGSEGV)
                dead++;
            else
                say("FAILED %s of %s: %d\n", touch_names[how], symbols[i].name, result);
        }
    }
    say("kernel_symbols: %zu symbols, %ld probes\n", count, probes);
    claim("there are symbols", count > 100);
    claim_value("every touch of a kernel symbol is deadly", dead, probes);
    return claims_end();
}
