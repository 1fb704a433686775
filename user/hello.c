/* What every program needs of its C library: that it starts at all, with its arguments, streams, heap, numbers and
 * thread-local words. The only program here that uses stdio's streams. */
#include <user/check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int own = 42;
static int zeroed[3 * PAGE];
static const char *const table[] = { "read-only", "data" };

static void print_numbers(void) {
    char text[64];
    snprintf(text, sizeof(text), "%d %s %.3f %#lx", -7, "seven", 0.125 * 3, 0xfffUL);
    claim("the library formats numbers", strcmp(text, "-7 seven 0.375 0xfff") == 0);
}

static void use_heap(void) {
    unsigned char *small = malloc(100), *large = calloc(1000, 1000);
    claim("malloc and calloc", small != NULL && large != NULL && large[0] == 0 && large[999999] == 0);
    if (large == NULL)
        return;
    memset(large, 0x5a, 1000000);
    large = realloc(large, 3000000);
    claim("realloc keeps the contents", large != NULL && large[0] == 0x5a && large[999999] == 0x5a);
    free(large);
    free(small);
}

int main(int count, char **arguments, char **environment) {
    if (printf("hello from ring 3\n") < 0 || fflush(stdout) != 0)
        return 1;
    claim("one argument, the program's name", count == 1 && arguments[0][0] != '\0' && arguments[1] == NULL);
    claim("an environment", environment != NULL);
    claim("thread-local words start with their values", own == 42);
    claim("bss is zero", zeroed[0] == 0 && zeroed[3 * PAGE - 1] == 0);
    claim("constants are there", strcmp(table[1], "data") == 0);
    claim("numbers of process and thread", getpid() > 0 && gettid() == getpid());
    print_numbers();
    use_heap();
    return claims_end();
}
