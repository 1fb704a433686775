/* Nobody has to call the kernel for others to run: the timer takes the processor from a task and gives it to the next.
 * Children that only count, each in a word of its own, see each other's words move. */
#include <user/check.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

/* Turns of the other that a child wants to see, and how long it counts in vain before it gives up. */
enum { TURNS = 10, IN_VAIN = 1000000000 };

struct counter {
    volatile unsigned long value, turns;
    char others_page[PAGE - 2 * sizeof(unsigned long)];
};

static struct counter *counters;

/* A turn of the other: its word has moved since this one last looked. On one processor that is a turn of the timer.
 * Goes on until the other has seen enough too. */
static int count(void *argument) {
    struct counter *own = argument, *other = own == &counters[0] ? &counters[1] : &counters[0];
    unsigned long seen = other->value;
    for (unsigned i = 0; i < IN_VAIN && (own->turns < TURNS || other->turns < TURNS); i++) {
        own->value++;
        if (other->value != seen) {
            seen = other->value;
            own->turns++;
        }
    }
    return own->turns >= TURNS ? 0 : 1;
}

static void both_progress(void) {
    counters = pages_shared(2);
    int first = child_start(count, &counters[0]), second = child_start(count, &counters[1]);
    claim_value("the first of two that only count sees the second move", child_end(first), 0);
    claim_value("the second sees the first move", child_end(second), 0);
    claim("both have counted", counters[0].value > 0 && counters[1].value > 0);
}

static int spin_until_told(void *argument) {
    volatile unsigned long *told = argument;
    for (unsigned i = 0; i < IN_VAIN; i++)
        if (*told != 0)
            return 0;
    return 1;
}

static int end_at_once(void *argument) {
    (void)argument;
    return 3;
}

/* The one that ends at once was made last, and must not wait for those that spin. */
static void short_life_passes_long_ones(void) {
    unsigned long *told = pages_shared(1);
    int spinning[3], status;
    for (int i = 0; i < 3; i++)
        spinning[i] = child_start(spin_until_told, told);
    int brief = child_start(end_at_once, NULL);
    claim("the first to end is the one that doesn't spin", waitpid(-1, &status, 0) == brief);
    claim_value("with its code", WEXITSTATUS(status), 3);
    *told = 1;
    for (int i = 0; i < 3; i++)
        claim_value("a spinning task sees what another wrote", child_end(spinning[i]), 0);
}

static int yield_and_count(void *argument) {
    unsigned long *word = argument;
    for (int i = 0; i < 100; i++) {
        (*word)++;
        if (sched_yield() != 0)
            return 1;
    }
    return 0;
}

static void yields_go_round(void) {
    unsigned long *words = pages_shared(1);
    int children[4];
    for (int i = 0; i < 4; i++)
        children[i] = child_start(yield_and_count, &words[i]);
    for (int i = 0; i < 4; i++)
        claim_value("a task that yields ends", child_end(children[i]), 0);
    claim("and has done its work", words[0] == 100 && words[1] == 100 && words[2] == 100 && words[3] == 100);
}

int main(void) {
    both_progress();
    short_life_passes_long_ones();
    yields_go_round();
    return claims_end();
}
