/* A line is a command and what it is about. Commands stand in one table, which `help` prints. */
#include <kernel/monitor.h>
#include <base/string.h>
#include <kernel/run.h>
#include <kernel/show.h>
#include <kernel/task.h>
#include <kernel/tour.h>
#include <mem/explain.h>
#include <tests/test.h>

enum { LINE_MAX = 128 };

static const struct boot_info *boot_info;
static bool leave;

static void on_test_panic(const char *text) {
    test_panicked(text);
}

bool monitor_test(const char *filter) {
    struct test_totals totals = { 0, 0, 0 };
    void (*before)(const char *text) = boot_panic_hook;
    boot_panic_hook = on_test_panic;
    test_run_all(filter, &totals);
    boot_panic_hook = before;
    return totals.failed == 0 && totals.passed > 0;
}

/* --- Arguments ---------------------------------------------------------------------------------------------------- */

static int digit_of(char character) {
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

/* Hexadecimal, with or without 0x: all addresses that this kernel prints are. */
static bool read_address(const char *text, uintptr_t *address) {
    if (string_starts(text, "0x"))
        text += 2;
    uintptr_t value = 0;
    size_t digits = 0;
    for (; *text != '\0'; text++, digits++) {
        int digit = digit_of(*text);
        if (digit < 0 || digits == sizeof(uintptr_t) * 2)
            return false;
        value = value << 4 | (uintptr_t)digit;
    }
    *address = value;
    return digits > 0;
}

static bool read_decimal(const char *text, uint32_t *number) {
    uint32_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value < UINT32_MAX / 10; at++)
        value = value * 10 + (uint32_t)(*at - '0');
    *number = value;
    return at > text && *at == '\0';
}

/* --- Commands ----------------------------------------------------------------------------------------------------- */

static void do_help(const char *argument);

static void do_map(const char *argument) {
    (void)argument;
    show_map(boot_info);
}

static void do_memory(const char *argument) {
    (void)argument;
    show_memory();
    show_layout();
}

static void do_frames(const char *argument) {
    (void)argument;
    show_frames();
}

static void do_ranges(const char *argument) {
    uint32_t number;
    if (argument[0] == '\0')
        show_ranges();
    else if (read_decimal(argument, &number))
        show_ranges_of(number);
    else
        console_print("'%s' is no context's number\n", argument);
}

static void do_heap(const char *argument) {
    (void)argument;
    show_heap();
}

static void do_leases(const char *argument) {
    (void)argument;
    show_leases();
}

static void do_tasks(const char *argument) {
    (void)argument;
    task_list(console_print);
}

static void do_run(const char *argument) {
    if (argument[0] != '\0')
        run_words(argument);
    else
        run_list();
}

/* ADDRESS, or ADDRESS NUMBER. */
static void do_explain(const char *argument) {
    char first[LINE_MAX];
    uintptr_t address;
    uint32_t number = 0;
    size_t length = 0;
    for (; argument[length] != '\0' && argument[length] != ' '; length++)
        first[length] = argument[length];
    first[length] = '\0';
    const char *rest = argument + length;
    while (*rest == ' ')
        rest++;
    if (!read_address(first, &address))
        console_print("'%s' is no hexadecimal address of this machine's width\n", first);
    else if (*rest != '\0' && !read_decimal(rest, &number))
        console_print("'%s' is no context's number\n", rest);
    else if (context_by_number(number) == NULL)
        console_print("there is no context %u; ranges shows them all\n", (unsigned)number);
    else
        explain_in(context_by_number(number), address, console_print);
}

static void do_tour(const char *argument) {
    (void)argument;
    tour_run();
}

static void do_test(const char *argument) {
    monitor_test(argument);
}

static void do_quit(const char *argument) {
    (void)argument;
    leave = true;
}

static const struct {
    const char *name, *argument, *meaning;
    void (*run)(const char *argument);
} commands[] = {
    { "help", "", "this list", do_help },
    { "map", "", "the firmware's memory map and what became of it", do_map },
    { "mem", "", "totals of physical memory, and the address layout", do_memory },
    { "frames", "", "physical pages by owner", do_frames },
    { "ranges", "[NUMBER]", "virtual ranges of every context, or of one", do_ranges },
    { "heap", "", "kmalloc's blocks by size and by who asked for them", do_heap },
    { "leases", "", "task memory that the kernel sees now", do_leases },
    { "tasks", "", "tasks, their contexts and tables", do_tasks },
    { "run", "[PROGRAM]", "a program of the archive with its words; alone: what there is", do_run },
    { "explain", "ADDRESS [NUMBER]", "what is at a virtual address (hexadecimal), of the kernel or another context",
      do_explain },
    { "tour", "", "every published name once, with what it did", do_tour },
    { "test", "[NAME]", "the tests whose name contains NAME", do_test },
    { "quit", "", "power off", do_quit },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void do_help(const char *argument) {
    (void)argument;
    for (size_t i = 0; i < COMMANDS; i++)
        console_print("  %-8s %-16s %s\n", commands[i].name, commands[i].argument, commands[i].meaning);
}

/* --- Lines -------------------------------------------------------------------------------------------------------- */

/* Echoes what is typed; Backspace and Delete take back a character, what doesn't fit isn't taken. */
static void read_line(char *line) {
    size_t length = 0;
    for (;;) {
        int byte = console_read_wait();
        if (byte == '\r' || byte == '\n')
            break;
        if ((byte == 8 || byte == 127) && length > 0) {
            length--;
            console_print("\b \b");
        } else if (byte >= ' ' && byte < 127 && length < LINE_MAX - 1) {
            line[length++] = (char)byte;
            console_print("%c", byte);
        }
    }
    line[length] = '\0';
    console_print("\n");
}

static void carry_out(char *line) {
    while (*line == ' ')
        line++;
    char *argument = line;
    while (*argument != '\0' && *argument != ' ')
        argument++;
    while (*argument == ' ')
        *argument++ = '\0';
    for (size_t i = 0; i < COMMANDS; i++)
        if (string_equal(line, commands[i].name)) {
            commands[i].run(argument);
            return;
        }
    if (*line != '\0')
        console_print("'%s' is no command; help lists them\n", line);
}

void monitor_run(const struct boot_info *info) {
    char line[LINE_MAX];
    boot_info = info;
    leave = false;
    while (!leave) {
        console_print("xelix> ");
        read_line(line);
        carry_out(line);
    }
}
