/* What is writable anywhere can't be executed anywhere. Linux allows what this program sees refused, so it is the
 * one that doesn't run there. */
#include <user/check.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

enum { BOTH = PROT_READ | PROT_WRITE, ALL = BOTH | PROT_EXEC, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

static int sees_written(void *argument) {
    volatile unsigned char *shared = argument;
    return shared[0] == 0xc3 ? 0 : 1;
}

int main(void) {
    claim_error("mmap to write and execute", (long)mmap(NULL, PAGE, ALL, PRIVATE, -1, 0), EACCES);
    unsigned char *memory = pages(1);
    memory[0] = 0xc3;
    claim_error("mprotect to write and execute", mprotect(memory, PAGE, ALL), EACCES);
    memory[1] = 1;
    claim("mprotect to execute alone", mprotect(memory, PAGE, PROT_READ | PROT_EXEC) == 0);
    claim_error("and then to write and execute", mprotect(memory, PAGE, ALL), EACCES);
    claim_value("it still runs", touch((uintptr_t)memory, TOUCH_EXECUTE), 0);
    claim_value("and is not written", touch((uintptr_t)memory, TOUCH_WRITE), -SIGSEGV);
    claim("mprotect back to writing", mprotect(memory, PAGE, BOTH) == 0);
    memory[1] = 2;
    claim_value("it no longer runs", touch((uintptr_t)memory, TOUCH_EXECUTE), -SIGSEGV);
    unsigned char *shared = pages_shared(1);
    shared[0] = 0xc3;
    claim_value("a shared page", child_run(sees_written, shared), 0);
    claim_value("that can be written does not run", touch((uintptr_t)shared, TOUCH_EXECUTE), -SIGSEGV);
    return claims_end();
}
