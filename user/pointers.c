/* The kernel takes no pointer of a task on trust: each that leads out of the task's own memory, on its first byte or on
 * its last, is answered with EFAULT, and the task goes on. The calls are made by number: a library may look first. */
#include <user/check.h>
#include <errno.h>
#include <machine.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines that stay away from the claims' own. */
static const char line[] = "pointers: at the edge of a page\n";
enum { LINE = sizeof(line) - 1 };

/* Where nothing is to be read: in front of it there is a page of the task's. */
static unsigned char *edge;

static int end_at_once(void *argument) {
    return argument != NULL;
}

static long write_from(uintptr_t from, size_t bytes) {
    return syscall(SYS_write, STDOUT_FILENO, from, bytes);
}

static void bad_addresses(void) {
    char text[128];
    for (size_t i = 0; i < sizeof(machine_forbidden) / sizeof(machine_forbidden[0]); i++) {
        uintptr_t address = machine_forbidden[i].address;
        struct iovec vector = { (void *)address, 8 };
        snprintf(text, sizeof(text), "write from %s", machine_forbidden[i].name);
        claim_error(text, write_from(address, 8), EFAULT);
        snprintf(text, sizeof(text), "writev from %s", machine_forbidden[i].name);
        claim_error(text, syscall(SYS_writev, STDOUT_FILENO, &vector, 1), EFAULT);
        snprintf(text, sizeof(text), "a vector at %s", machine_forbidden[i].name);
        claim_error(text, syscall(SYS_writev, STDOUT_FILENO, address, 1), EFAULT);
        snprintf(text, sizeof(text), "a program's name at %s", machine_forbidden[i].name);
        claim_error(text, syscall(SYS_execve, address, NULL, NULL), EFAULT);
    }
    claim_error("write from the kernel's window", write_from(MACHINE_WINDOW, 8), EFAULT);
}

static void edges(void) {
    memcpy(edge - LINE, line, LINE);
    claim_value("write up to the edge", write_from((uintptr_t)edge - LINE, LINE), LINE);
    claim_error("write from the edge on", write_from((uintptr_t)edge, 1), EFAULT);
    memset(edge - LINE, '\n', LINE);
    long part = write_from((uintptr_t)edge - 2, 4);
    claim("write across the edge gives what there was, or EFAULT", (part >= 0 && part <= 2) || errno == EFAULT);
    claim("write of nothing from nowhere", write_from((uintptr_t)edge, 0) == 0);
}

static void wraps(void) {
    long result = write_from((uintptr_t)edge - 8, SIZE_MAX);
    claim("write of all bytes there are", result <= 8 && (result >= 0 || errno == EFAULT || errno == EINVAL));
    claim_error("write that wraps", write_from(UINTPTR_MAX - 7, 64), EFAULT);
    claim_error("write that wraps to the task's own page", write_from(UINTPTR_MAX - 7, (uintptr_t)edge), EFAULT);
    struct iovec wrapping = { (void *)(UINTPTR_MAX - 3), 64 };
    claim_error("writev that wraps", syscall(SYS_writev, STDOUT_FILENO, &wrapping, 1), EFAULT);
    claim_error("more vectors than there may be", syscall(SYS_writev, STDOUT_FILENO, &wrapping, 1025), EINVAL);
    claim_error("a negative number of vectors", syscall(SYS_writev, STDOUT_FILENO, &wrapping, -1), EINVAL);
}

/* A status is written, so that it must not land in what can only be read. */
static void statuses(void) {
    static const int constant = 7;
    int child = child_start(end_at_once, NULL);
    claim_error("a status to address 0 + 8", syscall(SYS_wait4, child, (uintptr_t)8, 0, NULL), EFAULT);
    child = child_start(end_at_once, NULL);
    claim_error("a status to a constant", syscall(SYS_wait4, child, &constant, 0, NULL), EFAULT);
    claim("which is as it was", *(const volatile int *)&constant == 7);
    child = child_start(end_at_once, NULL);
    claim_error("a status to text", syscall(SYS_wait4, child, (uintptr_t)&statuses, 0, NULL), EFAULT);
    child = child_start(end_at_once, NULL);
    claim_error("a status to the kernel", syscall(SYS_wait4, child, MACHINE_BEYOND, 0, NULL), EFAULT);
    child = child_start(end_at_once, NULL);
    claim_error("a status across the edge", syscall(SYS_wait4, child, (uintptr_t)edge - 2, 0, NULL), EFAULT);
    child = child_start(end_at_once, NULL);
    claim_value("a status up to the edge", syscall(SYS_wait4, child, (uintptr_t)edge - sizeof(int), 0, NULL), child);
}

static long execute(uintptr_t path, uintptr_t arguments, uintptr_t environment) {
    return syscall(SYS_execve, path, arguments, environment);
}

/* `path` is a program that there is: the call must fail by its other arguments. */
static void programs(const char *path) {
    uintptr_t words[] = { (uintptr_t)path, MACHINE_BEYOND, 0 }, *last = (uintptr_t *)(void *)edge - 1;
    uintptr_t good = (uintptr_t)path;
    memset(edge - 8, '/', 8);
    claim_error("a program's name that doesn't end before the edge", execute((uintptr_t)edge - 8, 0, 0), EFAULT);
    claim_error("arguments in the kernel", execute(good, MACHINE_BEYOND, 0), EFAULT);
    claim_error("an argument in the kernel", execute(good, (uintptr_t)words, 0), EFAULT);
    claim_error("the environment in the kernel", execute(good, (uintptr_t)&words[2], MACHINE_BEYOND), EFAULT);
    claim_error("a text of the environment in the kernel", execute(good, (uintptr_t)&words[2], (uintptr_t)words),
                EFAULT);
    *last = (uintptr_t)path;
    claim_error("arguments that don't end before the edge", execute(good, (uintptr_t)last, 0), EFAULT);
    words[1] = (uintptr_t)edge - 8;
    memset(edge - 8, 'x', 8);
    claim_error("an argument that doesn't end before the edge", execute(good, (uintptr_t)words, 0), EFAULT);
}

/* What the kernel may write by itself must not break copies either: a child's page is its own. */
static int write_status(void *argument) {
    int child = child_start(end_at_once, NULL);
    return syscall(SYS_wait4, child, argument, 0, NULL) == child && *(int *)argument == 0 ? 0 : 1;
}

static void copies(void) {
    int *status = (int *)(void *)pages(1);
    *status = 77;
    claim_value("a status into a page shared since fork", child_run(write_status, status), 0);
    claim_value("is the child's own", *status, 77);
    status = (int *)(void *)pages(1);
    int child = child_start(end_at_once, NULL);
    claim_value("a status into a page never touched", syscall(SYS_wait4, child, status, 0, NULL), child);
}

int main(int count, char **arguments) {
    (void)count;
    edge = pages(2) + PAGE;
    munmap(edge, PAGE);
    bad_addresses();
    edges();
    wraps();
    statuses();
    programs(arguments[0]);
    copies();
    return claims_end();
}
