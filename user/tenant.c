/* tenant - the task's half of the tour's lease: writes a pattern across page borders at a known place, waits for the
 * landlord's answer in the same bytes, and checks it. The layout is kernel/tour_tasks.c's. */
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>

enum { PAGES = 4, PAGE = 4096, OFFSET = 0x123, BYTES = 10000, TURNS_MAX = 1000000 };

static unsigned char *const room = (unsigned char *)0x20000000;

int main(void) {
    if (mmap(room, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != room)
        return 1;
    volatile unsigned char *bytes = room + OFFSET;
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    room[0] = 1; /* ready */
    for (int turn = 0; turn < TURNS_MAX && *(volatile unsigned char *)room != 2; turn++)
        sched_yield();
    for (int i = 0; i < BYTES; i++)
        if (bytes[i] != (unsigned char)~(i * 7 + 1))
            return 3;
    printf("    tenant: the kernel's answer is in my own bytes\n");
    return 0;
}
