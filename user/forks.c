/* fork, clone in its fork form, wait4, exit and execve. Run with words it is the program that it executes itself:
 *
 *     forks code N          ends with N
 *     forks texts A B       ends with 0 if A is "first word", B is empty and VARIABLE is "its value"
 *     forks number N        ends with 0 if its own number is N */
#include <user/check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN_TURN = 200, AT_ONCE = 24, DEPTH = 8, MANY_PAGES = 64, TEXT_BYTES = 200000, PATIENCE = 10000000 };

static const char *self;
static int in_data = 11, in_bss;

static int end_with(void *argument) {
    return *(int *)argument;
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

struct places {
    int *stack, *heap;
    unsigned char *mapped, *untouched;
};

static int change_all(void *argument) {
    struct places *places = argument;
    bool copied =
        in_data == 11 && in_bss == 0 && *places->stack == 22 && *places->heap == 33 && places->mapped[PAGE] == 44;
    in_data = in_bss = *places->stack = *places->heap = 99;
    memset(places->mapped, 99, MANY_PAGES * PAGE);
    memset(places->untouched, 99, PAGE);
    return copied && places->mapped[PAGE] == 99 ? 0 : 1;
}

static void memory_is_copied(void) {
    int on_stack = 22;
    struct places places = { &on_stack, malloc(sizeof(int)), pages(MANY_PAGES), pages(1) };
    *places.heap = 33;
    memset(places.mapped, 44, MANY_PAGES * PAGE);
    claim_value("a child finds its parent's memory", child_run(change_all, &places), 0);
    claim("its writes to data and bss are its own", in_data == 11 && in_bss == 0);
    claim("and those to stack and heap", on_stack == 22 && *places.heap == 33);
    bool kept = true;
    for (size_t i = 0; i < MANY_PAGES * PAGE; i++)
        kept = kept && places.mapped[i] == 44;
    claim("and those to mapped memory", kept);
    claim("and those to what nobody had touched", places.untouched[0] == 0);
}

static int wait_and_compare(void *argument) {
    volatile int *told = argument;
    for (int i = 0; i < PATIENCE && *told == 0; i++)
        sched_yield();
    return *told == 1 && in_data == 11 ? 0 : 1;
}

static void parents_writes_stay_theirs(void) {
    int *told = pages_shared(1);
    int child = child_start(wait_and_compare, told);
    in_data = 12;
    *told = 1;
    claim_value("a parent's writes are not seen by its child", child_end(child), 0);
    in_data = 11;
}

static int deepen(void *argument) {
    int depth = *(int *)argument, before = in_data;
    in_data = depth;
    if (depth == 0)
        return before - 1;
    int next = depth - 1, result = child_run(deepen, &next);
    return in_data == depth ? result : 1;
}

static void chain(void) {
    int depth = DEPTH;
    claim_value("a child of a child of a child: each has its own memory", child_run(deepen, &depth), 0);
}

/* --- Numbers and ends --------------------------------------------------------------------------------------------- */

static int own_number(void *argument) {
    int *numbers = argument;
    numbers[0] = (int)getpid();
    numbers[1] = (int)getppid();
    return 0;
}

static void numbers(void) {
    int *told = pages_shared(1), child = child_start(own_number, told);
    claim_value("a child ends", child_end(child), 0);
    claim_value("getpid in a child is what fork gave its parent", told[0], child);
    claim_value("its parent is the one that forked", told[1], getpid());
}

static void codes(void) {
    bool good = true;
    for (int code = 0; code < 256; code++)
        good = good && child_run(end_with, &code) == code;
    claim("every exit code arrives", good);
    int large = 0x1ff;
    claim_value("of which 8 bits count", child_run(end_with, &large), 0xff);
    claim_value("a killed child's status tells the signal", touch(0, TOUCH_WRITE), -SIGSEGV);
}

static void many(void) {
    bool good = true;
    int zero = 0, children[AT_ONCE];
    for (int i = 0; i < IN_TURN; i++)
        good = good && child_run(end_with, &zero) == 0;
    claim("many forks in turn", good);
    for (int i = 0; i < AT_ONCE; i++)
        children[i] = child_start(end_with, &i);
    for (int i = AT_ONCE - 1; i >= 0; i--)
        good = good && child_end(children[i]) == i;
    claim("many children at once, waited for in the other order", good);
}

static void raw_calls(void) {
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(21);
    claim_value("clone in its fork form", child_end((int)child), 21);
    child = syscall(SYS_fork);
    if (child == 0)
        syscall(SYS_exit, 22);
    claim_value("fork by its number", child_end((int)child), 22);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static void waiting(void) {
    int *told = pages_shared(1), status = -1, code = 4;
    claim_error("wait without children", wait4(-1, &status, 0, NULL), ECHILD);
    int child = child_start(wait_and_compare, told);
    claim_value("WNOHANG while the child runs", wait4(child, &status, WNOHANG, NULL), 0);
    claim_error("wait for who isn't a child", wait4(getpid(), &status, 0, NULL), ECHILD);
    claim_error("wait with unknown options", wait4(-1, &status, 0x10, NULL), EINVAL);
    *told = 1;
    claim_value("the child ends", child_end(child), 0);
    claim_error("an end is told once", wait4(child, &status, 0, NULL), ECHILD);
    child = child_start(end_with, &code);
    claim_value("wait for any child", wait4(-1, &status, 0, NULL), child);
    claim("tells its status", WIFEXITED(status) && WEXITSTATUS(status) == 4);
    child = child_start(end_with, &code);
    claim_value("wait that asks for no status", wait4(child, NULL, 0, NULL), child);
}

static int leave_orphan(void *argument) {
    int *told = argument;
    if (fork() == 0) {
        for (int i = 0; i < PATIENCE && told[0] == 0; i++)
            sched_yield();
        told[1] = in_data;
        _exit(0);
    }
    return 0;
}

static void orphans(void) {
    int *told = pages_shared(1);
    claim_value("a child leaves a child behind", child_run(leave_orphan, told), 0);
    told[0] = 1;
    for (int i = 0; i < PATIENCE && ((volatile int *)told)[1] == 0; i++)
        sched_yield();
    claim_value("which lives on", told[1], 11);
}

/* --- Other programs ----------------------------------------------------------------------------------------------- */

static int execute(void *argument) {
    static char *const environment[] = { "VARIABLE=its value", NULL };
    char **arguments = argument;
    execve(self, arguments, environment);
    return 127;
}

static int execute_same_number(void *argument) {
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)getpid());
    char *arguments[] = { "forks", "number", text, NULL };
    (void)argument;
    return execute(arguments);
}

static void programs(void) {
    char *code[] = { "forks", "code", "42", NULL }, *texts[] = { "forks", "texts", "first word", "", NULL };
    claim_value("execve runs a program, which ends", child_run(execute, code), 42);
    claim_value("arguments and environment arrive", child_run(execute, texts), 0);
    claim_value("it keeps its number", child_run(execute_same_number, NULL), 0);
    char *many_words[] = { "forks", "code", "5", NULL };
    bool good = true;
    for (int i = 0; i < 16; i++)
        good = good && child_run(execute, many_words) == 5;
    claim("many programs in turn", good);
}

static int execute_after_failures(void *argument) {
    char *none[] = { "nothing", NULL };
    int missing = execve("/no/such/program", none, none + 1);
    return missing == -1 && errno == ENOENT ? execute(argument) : 1;
}

/* Beside this one lies a text that may be executed but is no program. */
static void text_as_program(char **words) {
    char path[512];
    const char *slash = strrchr(self, '/');
    snprintf(path, sizeof(path), "%.*sno_program", slash == NULL ? 0 : (int)(slash - self + 1), self);
    claim_error("execve of a text", execve(path, words, words + 1), ENOEXEC);
}

static void programs_that_are_none(void) {
    char *code[] = { "forks", "code", "43", NULL }, *words[] = { "forks", NULL, NULL };
    char *text = malloc(TEXT_BYTES);
    claim_value("after an execve that failed the program goes on", child_run(execute_after_failures, code), 43);
    text_as_program(words);
    memset(text, 'x', TEXT_BYTES - 1);
    text[TEXT_BYTES - 1] = '\0';
    words[1] = text;
    claim_error("execve with far too long a text", execve(self, words, words + 2), E2BIG);
    claim_error("execve of far too long a name", execve(text, words, words + 2), ENAMETOOLONG);
    claim_error("execve of no name", execve("", words + 2, words + 2), ENOENT);
}

static int asked(int count, char **arguments) {
    const char *variable = getenv("VARIABLE");
    if (count == 3 && strcmp(arguments[1], "code") == 0)
        return atoi(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "number") == 0)
        return atoi(arguments[2]) == (int)getpid() ? 0 : 1;
    if (count != 4 || variable == NULL || strcmp(variable, "its value") != 0)
        return 1;
    return strcmp(arguments[2], "first word") == 0 && arguments[3][0] == '\0' && arguments[4] == NULL ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count > 1)
        return asked(count, arguments);
    self = arguments[0];
    memory_is_copied();
    parents_writes_stay_theirs();
    chain();
    numbers();
    codes();
    many();
    raw_calls();
    waiting();
    orphans();
    programs();
    programs_that_are_none();
    return claims_end();
}
