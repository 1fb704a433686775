/* turns NAME - counts as fast as it can and says so a few times; never yields, so another like it only moves if the
 * kernel takes the processor away. */
#include <stdio.h>

enum { ROUNDS = 4, STEPS = 8000000 };

int main(int count, char **arguments) {
    for (int round = 1; round <= ROUNDS; round++) {
        for (volatile int step = 0; step < STEPS; step++)
            ;
        printf("    %s: round %d\n", count > 1 ? arguments[1] : "?", round);
        fflush(stdout);
    }
    return 0;
}
