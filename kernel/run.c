#include <kernel/run.h>
#include <base/fmt.h>
#include <kernel/archive.h>
#include <kernel/syscall.h>
#include <kernel/task.h>

enum { WORDS_BYTES = 128, WORDS_MAX = 8, ENDED_BY_SIGNAL = 128 };

static bool ready;

void run_start(const struct boot_info *info) {
    const char *why;
    if (!task_start()) {
        console_print("no programs: this processor has no FXSAVE and SSE2\n");
        return;
    }
    syscall_start();
    ready = true;
    if (!archive_start(info, &why))
        console_print("no programs: %s\n", why);
}

bool run_has(const char *path) {
    struct cpio_member member;
    return ready && archive_find(path, &member) == 1;
}

void run_list(void) {
    archive_list(console_print);
}

/* Cuts the words apart in their copy. */
static void split(char *words, const char *list[WORDS_MAX + 1]) {
    size_t count = 0;
    while (*words != '\0' && count < WORDS_MAX) {
        if (*words == ' ') {
            *words++ = '\0';
            continue;
        }
        list[count++] = words;
        while (*words != '\0' && *words != ' ')
            words++;
    }
    list[count] = NULL;
}

static struct task *start(const char *text, int *error) {
    char words[WORDS_BYTES];
    const char *list[WORDS_MAX + 1], *why;
    struct task *task = NULL;
    fmt(words, sizeof(words), "%s", text);
    split(words, list);
    *error = ERR_INVALID;
    if (list[0] == NULL || !ready)
        return NULL;
    *error = task_run(list[0], list, &task, &why);
    if (*error != 0)
        console_print("%s: can't run: %s\n", list[0], why);
    return task;
}

static int finish(const char *text, struct task *task) {
    int status = task_wait(task), signal = status & 0x7f;
    int result = signal != 0 ? ENDED_BY_SIGNAL + signal : status >> 8 & 0xff;
    if (signal != 0)
        console_print("%s: killed by signal %d\n", text, signal);
    else
        console_print("%s: exit code %d\n", text, result);
    return result;
}

int run_words(const char *words) {
    int error;
    struct task *task = start(words, &error);
    return task != NULL ? finish(words, task) : error;
}

int run_both(const char *words, const char *others) {
    int error, first = 0, second = 0;
    struct task *one = start(words, &error);
    if (one == NULL)
        return error;
    struct task *two = start(others, &error);
    if (two == NULL)
        second = error;
    first = finish(words, one);
    if (two != NULL)
        second = finish(others, two);
    return first > second ? first : second;
}
