/* base/fmt.c: each conversion against the text that C's printf gives. */
#include <base/fmt.h>
#include <base/string.h>
#include <tests/test.h>

static char out[128];

static void expect_text(const char *file, int line, size_t length, const char *should) {
    if (!string_equal(out, should))
        test_fail(file, line, "\"%s\" instead of \"%s\"", out, should);
    if (length != string_length(should))
        test_fail(file, line, "length %zu of \"%s\"", length, should);
}

#define expect_fmt(should, ...) expect_text(__FILE__, __LINE__, fmt(out, sizeof(out), __VA_ARGS__), should)

TEST(fmt_copies_plain_text_and_percent_signs) {
    expect_fmt("", "%s", "");
    expect_fmt("plain", "plain");
    expect_fmt("100% of it", "100%% of %s", "it");
}

TEST(fmt_prints_integers_of_each_size) {
    expect_fmt("0 -1 2147483647 -2147483648", "%d %i %d %d", 0, -1, INT32_MAX, INT32_MIN);
    expect_fmt("4294967295", "%u", UINT32_MAX);
    expect_fmt("18446744073709551615", "%llu", (unsigned long long)UINT64_MAX);
    expect_fmt("-9223372036854775808", "%lld", (long long)INT64_MIN);
    expect_fmt("9223372036854775807", "%jd", (intmax_t)INT64_MAX);
    expect_fmt("1234567890123456789", "%llu", 1234567890123456789ull);
    expect_fmt("7 -7", "%zu %td", (size_t)7, (ptrdiff_t)-7);
    expect_fmt("255 -1", "%hhu %hhd", (unsigned char)255, (signed char)-1);
    expect_fmt("65535 -1", "%hu %hd", (unsigned short)65535, (short)-1);
    expect_fmt("-5 5", "%ld %lu", -5l, 5ul);
}

TEST(fmt_divides_64_bits_by_ten_exactly) {
    uint64_t power = 1;
    char digits[32];
    for (int zeros = 0; zeros < 20; zeros++, power *= 10) {
        digits[0] = '1';
        for (int i = 1; i <= zeros; i++)
            digits[i] = '0';
        digits[zeros + 1] = '\0';
        expect_fmt(digits, "%llu", (unsigned long long)power);
        for (int i = 0; i < zeros; i++)
            digits[i] = '9';
        digits[zeros] = '\0';
        if (zeros > 0)
            expect_fmt(digits, "%llu", (unsigned long long)(power - 1));
    }
}

TEST(fmt_prints_hexadecimal) {
    expect_fmt("0 ff deadbeef", "%x %x %x", 0, 255, 0xdeadbeef);
    expect_fmt("0xff", "%#x", 255);
    expect_fmt("fedcba9876543210", "%llx", 0xfedcba9876543210ull);
    expect_fmt("0x00001000", "0x%08x", 0x1000);
    expect_fmt("0x001000", "%#08x", 0x1000);
}

TEST(fmt_prints_pointers_with_their_prefix) {
    expect_fmt("0x1000 0x0", "%p %p", (void *)0x1000, (void *)0);
}

TEST(fmt_pads_to_a_width) {
    expect_fmt("[   42][42   ][00042]", "[%5d][%-5d][%05d]", 42, 42, 42);
    expect_fmt("[  -42][-42  ][-0042]", "[%5d][%-5d][%05d]", -42, -42, -42);
    expect_fmt("[  abc][abc  ]", "[%5s][%-5s]", "abc", "abc");
    expect_fmt("[    x][x    ]", "[%5c][%-5c]", 'x', 'x');
    expect_fmt("[   42]", "[%*d]", 5, 42);
    expect_fmt("123456", "%3d", 123456);
}

TEST(fmt_cuts_strings_to_a_precision) {
    expect_fmt("abc", "%.3s", "abcdef");
    expect_fmt("ab", "%.*s", 2, "abcdef");
    expect_fmt("[  abc]", "[%5.3s]", "abcdef");
    static const char unterminated[2] = { 'h', 'i' };
    expect_fmt("hi", "%.2s", unterminated);
}

TEST(fmt_says_null_for_no_string) {
    const char *volatile none = NULL;
    expect_fmt("(null)", "%s", none);
}

TEST(fmt_never_writes_past_the_buffer_and_returns_the_whole_length) {
    char small[6] = { 'X', 'X', 'X', 'X', 'X', 'X' };
    expect_equal(fmt(small, 5, "%s", "123456789"), 9);
    expect(string_equal(small, "1234"));
    expect_equal(small[5], 'X');
    expect_equal(fmt(small, 1, "%d", 77), 2);
    expect_equal(small[0], '\0');
    small[0] = 'Y';
    expect_equal(fmt(small, 0, "%d", 77), 2);
    expect_equal(small[0], 'Y');
    expect_equal(fmt(NULL, 0, "%s and %s", "this", "that"), 13);
}

TEST(fmt_goes_on_after_an_unknown_conversion) {
    static const char *volatile format = "%y%d";
    fmt(out, sizeof(out), format, 5);
    expect(string_equal(out, "%y5"));
}
