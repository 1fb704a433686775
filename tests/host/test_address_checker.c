/* That the host's own address checker learns what a shadow forbids, so that tests of this machine are stopped by a read
 * of a freed block as well (at the level `asan`, where the heap has a shadow). */
#include <arch/arch.h>
#include <mem/shadow.h>
#include <mem/valloc.h>
#include <sanitizer/asan_interface.h>
#include <tests/host/machine.h>
#include <tests/test.h>

static struct shadow shadow;

TEST(address_checker_knows_what_the_shadow_forbids) {
    machine_boot(machine_list[0].entries, machine_list[0].count);
    char *memory = (char *)pvalloc(2, context_kernel());
    uintptr_t at = (uintptr_t)memory;
    expect(memory != NULL);
    memory[0] = 1;
    expect_equal(shadow_create(&shadow, at, 2), 0);
    expect_equal(shadow_back_in(&shadow, at, 2), 0);
    expect(__asan_address_is_poisoned(memory) && __asan_address_is_poisoned(memory + 2 * PAGE_SIZE - 1));
    shadow_allow_in(&shadow, at + 64, 21);
    for (size_t i = 0; i < 200; i++)
        expect_equal(__asan_address_is_poisoned(memory + i) != 0, i < 64 || i >= 64 + 21);
    arch_root_load(arch_root()); /* the pretend MMU shows the page anew */
    memory[64 + 20] = 1;
    expect(__asan_address_is_poisoned(memory + 64 + 21));
    shadow_forbid_in(&shadow, at + 64, 21, SHADOW_FREED);
    expect(__asan_address_is_poisoned(memory + 64));
    shadow_unback_in(&shadow, at, 2);
    expect(__asan_region_is_poisoned(memory, 2 * PAGE_SIZE) == NULL);
    shadow_destroy(&shadow);
    pvfree(page_number(at), 2);
}
