/* The first program: runs each of the others by fork, execve and wait4, and tells how each ended.
 *
 *     init [FOLDER [NAME]]
 *
 * FOLDER holds the programs, /bin/ if it isn't given; with NAME only those whose name contains it run, with -NAME
 * only the others. The list of names is made by the Makefile. */
#include <user/check.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const programs[] = {
#include <programs.inc>
};

enum { PATH_BYTES = 512 };

static char *const environment[] = { "PATH=/bin", "HOME=/", NULL };

static int start(const char *folder, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s%s", folder, name);
    char *arguments[] = { path, NULL };
    execve(path, arguments, environment);
    return 127;
}

static int run(const char *folder, const char *name) {
    int child = fork(), status = 0;
    if (child == 0)
        _exit(start(folder, name));
    if (child < 0 || wait4(child, &status, 0, NULL) != child) {
        say("program %s: can't be started\n", name);
        return 1;
    }
    if (WIFSIGNALED(status))
        say("program %s: signal %d\n", name, WTERMSIG(status));
    else
        say("program %s: exit %d\n", name, WEXITSTATUS(status));
    return status;
}

static bool is_wanted(const char *name, const char *wanted) {
    return wanted[0] == '-' ? strstr(name, wanted + 1) == NULL : strstr(name, wanted) != NULL;
}

int main(int count, char **arguments) {
    const char *folder = count > 1 ? arguments[1] : "/bin/", *wanted = count > 2 ? arguments[2] : "";
    int passed = 0, failed = 0;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (!is_wanted(programs[i], wanted))
            continue;
        if (run(folder, programs[i]) == 0)
            passed++;
        else
            failed++;
    }
    say("init: %d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
