/* spy ADDRESS - reads a byte at a hexadecimal address, which had better not be there. */
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    if (count < 2)
        return 2;
    const volatile char *secret = (const volatile char *)strtoul(arguments[1], NULL, 16);
    printf("    spy: there is a %d at %p\n", *secret, (const void *)secret);
    return 0;
}
