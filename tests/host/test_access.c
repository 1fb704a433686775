/* The processor's answer to one access, against sentences of the manual (SDM volume 3A, 4.6.1 and 4.7). */
#include <arch/x86/access.h>
#include <tests/test.h>

#define NX ((uint64_t)1 << 63)

static const struct access_mode strict = { .write_protect = true, .no_execute = true, .smep = true, .smap = true };

static int judge(uint64_t upper, uint64_t leaf, enum access_kind kind, struct access_mode mode) {
    uint64_t entries[2] = { upper, leaf };
    return access_judge(entries, 2, kind, mode);
}

TEST(access_rights_join_over_the_levels) {
    struct access_mode task = strict;
    task.user = true;
    expect(judge(7, 7, ACCESS_WRITE, task) == ACCESS_ALLOWED);
    expect_equal(judge(5, 7, ACCESS_WRITE, task), 7);
    expect_equal(judge(7, 5, ACCESS_WRITE, task), 7);
    expect_equal(judge(3, 7, ACCESS_READ, task), 5);
    expect_equal(judge(7, 3, ACCESS_READ, task), 5);
    expect_equal(judge(7 | NX, 7, ACCESS_EXECUTE, task), 0x15);
    expect_equal(judge(7, 7 | NX, ACCESS_EXECUTE, task), 0x15);
    expect_equal(judge(7, 6, ACCESS_WRITE, task), 6);
    expect_equal(judge(6, 7, ACCESS_EXECUTE, task), 0x14);
}

TEST(access_of_ring_0_obeys_wp_smep_and_smap) {
    struct access_mode open = strict, loose = strict;
    open.alignment_check = true;
    loose.write_protect = false;
    expect_equal(judge(3, 1, ACCESS_WRITE, strict), 3);
    expect(judge(3, 1, ACCESS_WRITE, loose) == ACCESS_ALLOWED);
    expect_equal(judge(7, 7, ACCESS_READ, strict), 1);
    expect(judge(7, 7, ACCESS_READ, open) == ACCESS_ALLOWED);
    expect_equal(judge(7, 5, ACCESS_WRITE, open), 3);
    expect_equal(judge(7, 7, ACCESS_EXECUTE, open), 0x11);
    expect(judge(7, 3, ACCESS_EXECUTE, open) == ACCESS_ALLOWED);
}

TEST(access_without_nx_finds_bit_63_reserved) {
    struct access_mode old = { .write_protect = true };
    expect_equal(judge(3 | NX, 2, ACCESS_READ, old), 9);
    expect_equal(judge(2, 3 | NX, ACCESS_READ, old), 0);
    expect(judge(7, 7, ACCESS_EXECUTE, old) == ACCESS_ALLOWED);
    expect_equal(judge(7, 6, ACCESS_EXECUTE, old), 0); /* nor is a fetch told */
}
