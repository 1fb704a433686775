/* Whatever a task does that it may not do ends that task, by the signal that Linux would send, and nobody else. */
#include <user/check.h>
#include <machine.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WINDOW_PAGES = 16 };

static unsigned char in_data[] = { 0xc3 }, in_bss[16];
static const unsigned char in_rodata[] = { 0xc3 };

static void addresses(void) {
    for (size_t i = 0; i < sizeof(machine_forbidden) / sizeof(machine_forbidden[0]); i++)
        claim_untouchable(machine_forbidden[i].name, machine_forbidden[i].address);
}

/* These pages are in this task's tables, for the kernel alone. */
static void window(void) {
    int dead = 0;
    for (uintptr_t page = 0; page < WINDOW_PAGES; page++)
        for (enum touch how = TOUCH_READ; how <= TOUCH_EXECUTE; how++)
            dead += touch(MACHINE_WINDOW + page * PAGE, how) == -SIGSEGV;
    claim_value("the window's pages can't be touched in any way", dead, 3 * WINDOW_PAGES);
}

/* Each place holds a return instruction: a page that could be executed would let the child live. */
static void own_memory(void) {
    unsigned char in_stack[] = { 0xc3 }, *in_heap = malloc(1), *mapped = pages(1), *code = pages(1);
    *in_heap = *mapped = *code = 0xc3;
    in_bss[0] = 0xc3;
    claim_value("no execute of data", touch((uintptr_t)in_data, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no execute of constants", touch((uintptr_t)in_rodata, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no execute of bss", touch((uintptr_t)in_bss, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no execute of the stack", touch((uintptr_t)in_stack, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no execute of the heap", touch((uintptr_t)in_heap, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no execute of mapped memory", touch((uintptr_t)mapped, TOUCH_EXECUTE), -SIGSEGV);
    claim_value("no write of constants", touch((uintptr_t)in_rodata, TOUCH_WRITE), -SIGSEGV);
    claim_value("no write of text", touch((uintptr_t)&own_memory, TOUCH_WRITE), -SIGSEGV);
    claim_value("text can be read", touch((uintptr_t)&own_memory, TOUCH_READ), 0);
    claim("code is made: first written", mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
    claim_value("then executed", touch((uintptr_t)code, TOUCH_EXECUTE), 0);
    claim_value("and no longer written", touch((uintptr_t)code, TOUCH_WRITE), -SIGSEGV);
}

/* Volatile: the compiler would make a loop of it. */
static int (*volatile again)(void *argument);

static int overflow(void *argument) {
    volatile char part[PAGE];
    part[0] = 1;
    return again(argument) + part[0];
}

static int instruction(void *argument) {
    switch (*(int *)argument) {
    case 0:
        __asm__ volatile("hlt");
        break;
    case 1:
        __asm__ volatile("cli");
        break;
    case 2:
        __asm__ volatile("sti");
        break;
    case 3:
        __asm__ volatile("in $0x80, %%al" : : : "eax");
        break;
    case 4:
        __asm__ volatile("out %%al, $0x80" : : "a"(0));
        break;
    case 5:
        __asm__ volatile("mov %%cr3, %0" : "=r"(argument));
        break;
    case 6:
        __asm__ volatile("mov %0, %%cr0" : : "r"(argument));
        break;
    case 7:
        __asm__ volatile("rdmsr" : : "c"(0xc0000080) : "eax", "edx");
        break;
    case 8:
        __asm__ volatile("invlpg %0" : : "m"(*(char *)argument));
        break;
    case 9:
        __asm__ volatile("int $14");
        break;
    case 10:
        __asm__ volatile("int $32");
        break;
    case 11:
        __asm__ volatile("int $2");
        break;
    case 12:
        __asm__ volatile("mov %0, %%ds" : : "r"(0x10));
        break;
    }
    return 0;
}

static const char *const instructions[] = {
    "hlt",
    "cli",
    "sti",
    "in",
    "out",
    "reading CR3",
    "writing CR0",
    "reading an MSR",
    "invlpg",
    "int 14",
    "int 32",
    "int 2",
    "loading a kernel's segment",
};

static void privileged(void) {
    for (int i = 0; i < (int)(sizeof(instructions) / sizeof(instructions[0])); i++)
        claim_value(instructions[i], child_run(instruction, &i), -SIGSEGV);
}

static int breakpoint(void *argument) {
    __asm__ volatile("int3");
    return argument == NULL;
}

static int no_instruction(void *argument) {
    __asm__ volatile("ud2");
    return argument == NULL;
}

static int divide(void *argument) {
    volatile int seven = 7, zero = 0;
    return seven / zero + (argument == NULL);
}

static int single_step(void *argument) {
    machine_single_step();
    return argument != NULL;
}

/* On its way back the kernel meets an address that isn't the task's any more (and, on x86_64, not canonical). */
static int call_at_the_end(void *argument) {
    unsigned char *page = mmap((void *)MACHINE_LAST_PAGE, PAGE, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    uintptr_t at = MACHINE_LAST_PAGE + PAGE - (sizeof(MACHINE_LAST_CODE) - 1);
    void (*code)(void);
    if ((uintptr_t)page != MACHINE_LAST_PAGE)
        return 1;
    memcpy((void *)at, MACHINE_LAST_CODE, sizeof(MACHINE_LAST_CODE) - 1);
    if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0)
        return 2;
    memcpy(&code, &at, sizeof(code));
    code();
    return argument == NULL;
}

int main(void) {
    again = overflow;
    addresses();
    window();
    own_memory();
    privileged();
    claim_value("a stack that overflows", child_run(overflow, NULL), -SIGSEGV);
    claim_value("a system call from the last bytes of all", child_run(call_at_the_end, NULL), -SIGSEGV);
    claim_value("a breakpoint", child_run(breakpoint, NULL), -SIGTRAP);
    claim_value("an instruction that is none", child_run(no_instruction, NULL), -SIGILL);
    claim_value("a division by zero", child_run(divide, NULL), -SIGFPE);
    claim_value("a single step", child_run(single_step, NULL), -SIGTRAP);
    return claims_end();
}
