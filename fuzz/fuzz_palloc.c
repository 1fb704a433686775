/* Bytes become a machine and operations on palloc and frame, judged by tests/host/palloc_model.h.
 *
 *     byte 0      which machine
 *     the rest    the numbers that the operations ask for, as many bytes each as the number's range needs */
#include <stdio.h>
#include <tests/host/palloc_model_steps.h>
#include <tests/test.h>

static const struct model_entry low[] = {
    { 0, 0x9f, BOOTMAP_FREE },
    { 0x100, 0x80, BOOTMAP_FREE },
    { 0x110, 0x10, BOOTMAP_KERNEL },
    { 0x140, 7, BOOTMAP_LOADER },
};
static const struct model_entry over_16_mib[] = {
    { 0xfc0, 0x90, BOOTMAP_FREE },
    { 0x1060, 3, BOOTMAP_FREE },
    { 0x1070, 0x21, BOOTMAP_FREE },
    { 0x1020, 2, BOOTMAP_LOADER },
};
static const struct model_entry over_4_gib[] = {
    { 0xff0, 0x20, BOOTMAP_FREE },
    { 0xfffc0, 0x90, BOOTMAP_FREE },
    { 0x100080, 5, BOOTMAP_RESERVED },
};
/* The last takes long to set up, so it comes seldom. */
static const struct {
    const struct model_entry *entries;
    size_t count;
} machines[] = { { low, 4 }, { over_16_mib, 4 }, { low, 4 }, { over_16_mib, 4 },
                 { low, 4 }, { over_16_mib, 4 }, { low, 4 }, { over_4_gib, 3 } };

static struct input { const uint8_t *at, *end; } input;

static uint32_t next_number(void *source, uint32_t below) {
    struct input *from = source;
    uint32_t number = 0;
    for (uint32_t range = below - 1; range > 0; range >>= 8)
        number = number << 8 | (from->at < from->end ? *from->at++ : 0);
    return number % below;
}

static void must_panic(const char *begin, void (*call)(void *argument), void *argument) {
    char pattern[128];
    fmt(pattern, sizeof(pattern), "%s*", begin);
    expect_panic(pattern, call(argument));
}

static void run(void) {
    size_t which = next_number(&input, sizeof(machines) / sizeof(machines[0]));
    struct model model = { .number = next_number, .source = &input, .must_panic = must_panic };
    expect_equal(model_boot(&model, machines[which].entries, machines[which].count), 0);
    while (input.at < input.end)
        model_step(&model);
    model_judge_all(&model);
    model_free(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const struct test one = { "fuzz_palloc", __FILE__, run };
    const char *why;
    input = (struct input){ data, data + bytes };
    if (test_run_one(&one, false, &why) == TEST_FAILED) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return 0;
}
