/* The first program on Linux, for tools/bench-linux: says which kernel this is, that it is the one to compare with,
 * runs the measuring program, and restarts the machine, which ends the emulator.
 *
 * Page-table isolation must be on: without it a kernel keeps its memory mapped in every task, and its system calls and
 * faults cost what no isolating kernel can reach. Large pages must not come by themselves: figures are for each page of
 * 4 KiB. What a kernel was told on its command line it may ignore; so it is asked. */
#include <user/check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

/* The file's beginning holds this word. A file that can't be read holds nothing. */
static bool says(const char *path, const char *word) {
    static char text[TEXT_BYTES + 1];
    int file = open(path, O_RDONLY);
    ssize_t bytes = file < 0 ? 0 : read(file, text, TEXT_BYTES);
    if (file >= 0)
        close(file);
    text[bytes > 0 ? bytes : 0] = '\0';
    return strstr(text, word) != NULL;
}

static bool is_fit(void) {
    bool mounted =
        (mkdir("/proc", 0755) == 0 || access("/proc", F_OK) == 0) && mount("proc", "/proc", "proc", 0, "") == 0 &&
        (mkdir("/sys", 0755) == 0 || access("/sys", F_OK) == 0) && mount("sysfs", "/sys", "sysfs", 0, "") == 0;
    if (!mounted)
        say("unfit: /proc and /sys can't be mounted\n");
    else if (!says("/proc/cpuinfo", " pti"))
        say("unfit: page-table isolation is off\n");
    else if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0 &&
             !says("/sys/kernel/mm/transparent_hugepage/enabled", "[never]"))
        say("unfit: large pages come by themselves\n");
    else
        return true;
    return false;
}

static int measure(void *argument) {
    char *arguments[] = { argument, "linux", NULL }, *environment[] = { NULL };
    execve(arguments[0], arguments, environment);
    return 127;
}

int main(void) {
    struct utsname name;
    if (uname(&name) == 0)
        say("linux %s %s\n", name.release, name.machine);
    if (is_fit())
        say("measure: exit %d\n", child_run(measure, "/bin/measure"));
    reboot(RB_AUTOBOOT);
    return 1;
}
