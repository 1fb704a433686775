/* Runs the cases of tests/guest/misuse.h.
 *
 * A report is a panic, or a page fault with what mem/explain.h says of its address. Both come back here by a long jump;
 * bytes that the case changed are then put right and its blocks freed, so that each case leaves the heap as it was. */
#include <arch/x86/cpu.h>
#include <arch/x86/trap.h>
#include <base/fmt.h>
#include <base/string.h>
#include <mem/context.h>
#include <mem/explain.h>
#include <tests/guest/misuse.h>

enum { CHANGES = 64, BLOCKS = 8 };

static struct {
    const char *stage; /* the step that is going on */
    bool faulted;
    uintptr_t fault_address;
    char explained[1500];
    size_t explained_bytes;
    struct {
        char *at, was;
    } changed[CHANGES];
    size_t changes;
    void *taken[BLOCKS];
    size_t blocks;
    void (*undo)(void);
} state;

/* --- For bodies --------------------------------------------------------------------------------------------------- */

void *misuse_keep(void *block) {
    expect(block != NULL && state.blocks < BLOCKS);
    state.taken[state.blocks++] = block;
    return block;
}

void misuse_after(void (*undo)(void)) {
    state.undo = undo;
}

char *misuse_take(size_t bytes) {
    return (char *)misuse_keep(kmalloc(bytes));
}

char *misuse_take_low(size_t bytes) {
    char *one = misuse_take(bytes), *other = misuse_take(bytes);
    return one < other ? one : other;
}

void misuse_read(const char *block, intptr_t offset) {
    (void)*(const volatile char *)(block + offset);
}

static bool is_mapped(const char *at) {
    struct paging_entry entry;
    return paging_find(&context_kernel()->tables, (uintptr_t)at, &entry);
}

/* What the harness reads and puts right is no use of the block that anybody should notice; a byte that nobody can
 * change has no value to note. */
static char note_byte(char *at) {
    expect(state.changes < CHANGES);
    if (!is_mapped(at))
        return 0;
    char was = test_peek(at);
    state.changed[state.changes].at = at;
    state.changed[state.changes++].was = was;
    return was;
}

/* The heap may have given the page back meanwhile. */
static void put_right(void) {
    while (state.changes > 0) {
        state.changes--;
        if (is_mapped(state.changed[state.changes].at))
            test_poke(state.changed[state.changes].at, state.changed[state.changes].was);
    }
}

void misuse_note(char *block, intptr_t offset, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        note_byte(block + offset + i);
}

void misuse_put(char *block, intptr_t offset, char byte) {
    note_byte(block + offset);
    *(volatile char *)(block + offset) = byte;
}

void misuse_write(char *block, intptr_t offset) {
    char was = note_byte(block + offset);
    *(volatile char *)(block + offset) = (char)~was;
}

/* --- Running ------------------------------------------------------------------------------------------------------ */

static void free_taken(void) {
    struct kmalloc_object object;
    for (; state.blocks > 0; state.blocks--) {
        void *block = state.taken[state.blocks - 1];
        if (kmalloc_find((uintptr_t)block, &object) && object.in_use && object.address == (uintptr_t)block)
            kfree(block);
    }
}

static bool note_fault(struct trap_frame *frame) {
    trap_test_hook = NULL;
    state.faulted = frame->vector == TRAP_PAGE;
    state.fault_address = cpu_cr2();
    test_panic_expected = false;
    __builtin_longjmp(test_panic_point, 1);
}

/* A function of its own: a long jump may not come back to the function that it was made in. */
static __attribute__((noinline)) bool is_noticed(const struct misuse *misuse) {
    bool noticed = true;
    trap_test_hook = note_fault;
    test_panic_expected = true;
    if (__builtin_setjmp(test_panic_point) == 0) {
        state.stage = "at once: ";
        misuse->commit();
        state.stage = "when freed: ";
        free_taken();
        state.stage = "later: ";
        kmalloc_trim();
        kmalloc_audit();
        noticed = false;
    }
    trap_test_hook = NULL;
    test_panic_expected = false;
    return noticed;
}

static void collect(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof(state.explained) - state.explained_bytes;
    size_t length = fmt_va(state.explained + state.explained_bytes, room, format, arguments);
    va_end(arguments);
    state.explained_bytes += length < room ? length : room - 1;
}

static bool contains(const char *text, const char *part) {
    for (; *text != '\0'; text++)
        if (string_starts(text, part))
            return true;
    return false;
}

static void judge_fault(const char *words) {
    collect("page fault\n");
    explain_address(state.fault_address, collect);
    if (!contains(state.explained, words))
        test_fail(__FILE__, __LINE__, "%sa page fault, and \"%s\" isn't in: %s", state.stage, words, state.explained);
}

static void judge(const char *cell, bool noticed) {
    if (string_equal(cell, NOT_FOUND)) {
        if (noticed && state.faulted)
            test_fail(__FILE__, __LINE__, "found by a page fault, and the table says it isn't");
        if (noticed)
            test_panic_matches(__FILE__, __LINE__, "(a report: the table says that there is none)");
        return;
    }
    if (!noticed)
        test_fail(__FILE__, __LINE__, "not found; the table says \"%s\"", cell);
    const char *words = cell + string_length(state.stage);
    if (!string_starts(cell, state.stage))
        words = "(a report at another step)";
    if (state.faulted) {
        judge_fault(words);
        return;
    }
    char pattern[200];
    fmt(pattern, sizeof(pattern), "*%s*", words);
    test_panic_matches(__FILE__, __LINE__, pattern);
}

void misuse_run(const struct misuse *misuse) {
    state.faulted = false;
    state.explained_bytes = 0;
    state.undo = NULL;
    log_line("misuse | %s | %s | %s | %s | %s |", misuse->text, misuse->cells[0], misuse->cells[1], misuse->cells[2],
             misuse->cells[3]);
    kmalloc_sample(misuse->alone ? 1 : 0);
    bool noticed = is_noticed(misuse);
    kmalloc_sample(CONFIG_KMALLOC_SAMPLE);
    put_right();
    free_taken();
    if (state.undo != NULL)
        state.undo();
    judge(misuse->cells[CONFIG_KMALLOC_CHECK], noticed);
}
