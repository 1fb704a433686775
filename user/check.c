#include <user/check.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };

static int failures;

void say(const char *format, ...) {
    char line[LINE_BYTES];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    size_t bytes = length < 0 ? 0 : length < LINE_BYTES ? (size_t)length : LINE_BYTES - 1;
    if (write(STDOUT_FILENO, line, bytes) != (ssize_t)bytes)
        failures++;
}

void claim(const char *name, bool holds) {
    if (!holds)
        failures++;
    say(holds ? "ok %s\n" : "FAILED %s: it does not hold\n", name);
}

void claim_value(const char *name, long found, long wanted) {
    if (found == wanted) {
        say("ok %s\n", name);
        return;
    }
    failures++;
    say("FAILED %s: %ld, not %ld\n", name, found, wanted);
}

void claim_error(const char *name, long result, int wanted) {
    int error = errno;
    if (result == -1 && error == wanted) {
        say("ok %s\n", name);
        return;
    }
    failures++;
    if (result == -1)
        say("FAILED %s: error %d, not %d\n", name, error, wanted);
    else
        say("FAILED %s: it gave %#lx, not error %d\n", name, (unsigned long)result, wanted);
}

int claims_end(void) {
    return failures == 0 ? 0 : 1;
}

static void need(bool holds, const char *what) {
    if (holds)
        return;
    say("FAILED %s: error %d\n", what, errno);
    _exit(1);
}

int child_start(int (*run)(void *argument), void *argument) {
    int child = fork();
    need(child >= 0, "fork");
    if (child == 0)
        _exit(run(argument));
    return child;
}

int child_end(int child) {
    int status;
    need(waitpid(child, &status, 0) == child, "waitpid");
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int child_run(int (*run)(void *argument), void *argument) {
    return child_end(child_start(run, argument));
}

const char *const touch_names[] = { "read", "write", "execute" };

struct touched {
    uintptr_t address;
    enum touch how;
};

static int touch_now(void *argument) {
    const struct touched *touched = argument;
    volatile unsigned char *at = (volatile unsigned char *)touched->address;
    void (*code)(void);
    switch (touched->how) {
    case TOUCH_READ:
        (void)*at;
        break;
    case TOUCH_WRITE:
        *at = 0xc3;
        break;
    case TOUCH_EXECUTE:
        memcpy(&code, &touched->address, sizeof(code));
        code();
        break;
    }
    return 0;
}

int touch(uintptr_t address, enum touch how) {
    struct touched touched = { address, how };
    return child_run(touch_now, &touched);
}

void claim_untouchable(const char *name, uintptr_t address) {
    char text[LINE_BYTES / 2];
    for (enum touch how = TOUCH_READ; how <= TOUCH_EXECUTE; how++) {
        snprintf(text, sizeof(text), "no %s of %s", touch_names[how], name);
        claim_value(text, touch(address, how), -SIGSEGV);
    }
}

static void *map(size_t count, int sharing) {
    void *memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    return memory;
}

unsigned char *pages(size_t count) {
    return map(count, MAP_PRIVATE);
}

void *pages_shared(size_t count) {
    return map(count, MAP_SHARED);
}
