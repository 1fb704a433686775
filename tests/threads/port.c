/* mem/port.h for threads, and the interrupts.
 *
 * `self` is what a processor's registers and the scheduler's notes are elsewhere. An interrupt is a signal that the
 * test's own thread sends to a worker at random; one that finds interrupts turned off stays pending, as in hardware,
 * until they are turned on again. Besides, one is made up now and then where they are turned on, since that is where
 * pending ones come.
 *
 * A processor's number is claimed and let go like a lock, with acquire and release: what its last thread wrote there is
 * seen by the next, as a scheduler guarantees by its own locks. */
#include <tests/threads/threads.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/string.h>
#include <errno.h>
#include <mem/kmalloc.h>
#include <mem/port.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* One in so many places of the kind. */
enum { INTERRUPT_EVERY = 64, MOVE_EVERY = 128, STALL_EVERY = 512, LONGEST_TICK_NS = 300000 };

static _Thread_local struct {
    struct worker *worker; /* NULL: the test's own thread */
    unsigned processor;
    volatile bool interrupts_off, pending;
    struct test_random noise; /* when things happen to this thread */
    jmp_buf *panic_point;     /* NULL: a panic fails the test */
    char panic_text[512];
} self;

static struct {
    unsigned busy[CONFIG_PROCESSORS]; /* atomic: 1 while a thread runs there; the first is the test's own thread's */
    unsigned running;                 /* atomic: workers that haven't ended */
    unsigned runs;                    /* for seeds */
    bool stay;
    void (*handler)(struct worker *worker);
    void (*body)(struct worker *worker);
} state = { .busy = { 1 } };

/* What comes before stays before, and what comes after after, as seen by an interrupt of this thread. */
static void interrupt_border(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static bool one_in(uint32_t many) {
    return self.worker != NULL && test_random_below(&self.noise, many) == 0;
}

/* --- Processors --------------------------------------------------------------------------------------------------- */

static unsigned claim_processor(void) {
    for (unsigned at = test_random(&self.noise) % CONFIG_PROCESSORS;; at = (at + 1) % CONFIG_PROCESSORS)
        if (__atomic_exchange_n(&state.busy[at], 1, __ATOMIC_ACQUIRE) == 0)
            return at;
}

/* As a kernel does before a processor halts: nobody runs here for a while. */
static void leave_processor(void) {
    kmalloc_idle();
    __atomic_store_n(&state.busy[self.processor], 0, __ATOMIC_RELEASE);
}

/* Interrupts are on, or are about to be turned on: a thread that is in the middle of something stays. */
static void move(void) {
    self.interrupts_off = true;
    interrupt_border();
    leave_processor();
    if (one_in(4))
        sched_yield();
    self.processor = claim_processor();
    interrupt_border();
    self.interrupts_off = false;
}

static void interrupt(void) {
    self.interrupts_off = true;
    interrupt_border();
    self.pending = false;
    self.worker->interrupts++;
    jmp_buf *point = self.panic_point; /* what the thread expects isn't what the handler does */
    self.panic_point = NULL;
    if (state.handler != NULL)
        state.handler(self.worker);
    self.panic_point = point;
    interrupt_border();
    self.interrupts_off = false;
    if (!state.stay && one_in(4))
        move();
}

static void on_signal(int number) {
    int saved = errno;
    (void)number;
    if (self.worker == NULL || self.interrupts_off)
        self.pending = true;
    else
        interrupt();
    errno = saved;
}

/* --- mem/port.h --------------------------------------------------------------------------------------------------- */

void port_log(const char *text, size_t bytes) {
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
}

void port_panic(const char *text) {
    if (self.panic_point != NULL) {
        fmt(self.panic_text, sizeof(self.panic_text), "%s", text);
        longjmp(*self.panic_point, 1);
    }
    char line[600];
    const char *who = self.worker != NULL ? "a worker" : "the test's own thread";
    size_t bytes = fmt(line, sizeof(line), "panic of %s on processor %u: %s\n", who, self.processor, text);
    if (bytes >= sizeof(line))
        bytes = sizeof(line) - 1;
    ssize_t written = write(STDOUT_FILENO, line, bytes);
    (void)written;
    _exit(TEST_FAILED);
}

unsigned port_processor(void) {
    if (!self.interrupts_off)
        port_panic("port: asked for the processor's number with interrupts on: it may be another one by now");
    return self.processor;
}

uintptr_t port_interrupts_off(void) {
    bool before = self.interrupts_off;
    self.interrupts_off = true;
    interrupt_border();
    if (one_in(STALL_EVERY))
        sched_yield();
    return before;
}

void port_interrupts_restore(uintptr_t saved) {
    if (!self.interrupts_off && saved != 0)
        port_panic("port: interrupts turned off by a restore");
    interrupt_border();
    if (saved != 0)
        return;
    self.interrupts_off = false;
    interrupt_border();
    if (self.worker == NULL)
        return;
    if (self.pending || one_in(INTERRUPT_EVERY))
        interrupt();
    else if (!state.stay && one_in(MOVE_EVERY))
        move();
}

void port_lock(struct port_lock *lock) {
    uint32_t mine = self.processor + 1, found = 0;
    if (!self.interrupts_off)
        port_panic("port: lock taken with interrupts on");
    while (!__atomic_compare_exchange_n(&lock->word, &found, mine, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        if (found == mine)
            port_panic("port: lock taken twice by one processor");
        found = 0;
        sched_yield();
    }
    if (one_in(STALL_EVERY))
        sched_yield();
}

void port_unlock(struct port_lock *lock) {
    uint32_t mine = self.processor + 1;
    if (!self.interrupts_off)
        port_panic("port: lock released with interrupts on");
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) != mine)
        port_panic("port: unlock of a lock that this processor doesn't hold");
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

static void *start(void *worker) {
    self.interrupts_off = true;
    self.worker = (struct worker *)worker;
    self.noise.state = self.worker->interrupt_random.state * 31;
    self.processor = claim_processor();
    self.interrupts_off = false;
    state.body(self.worker);
    require(!self.interrupts_off, "threads: worker %u ended with interrupts off", self.worker->number);
    self.interrupts_off = true;
    interrupt_border();
    self.worker->ending = true;
    if (state.handler != NULL)
        state.handler(self.worker);
    self.worker = NULL;
    leave_processor();
    __atomic_fetch_sub(&state.running, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void take_signals(void) {
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

/* Until all have ended. A thread that has ended and isn't joined yet may still be sent a signal. */
static void send_interrupts(const pthread_t *threads, unsigned count) {
    struct test_random random = { state.runs };
    while (__atomic_load_n(&state.running, __ATOMIC_ACQUIRE) > 0) {
        struct timespec tick = { 0, (long)test_random_below(&random, LONGEST_TICK_NS) };
        nanosleep(&tick, NULL);
        pthread_kill(threads[test_random_below(&random, count)], SIGUSR1);
    }
}

void threads_run(unsigned count, void (*body)(struct worker *worker)) {
    static struct worker workers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    require(count > 0 && count <= THREADS_MAX && count < CONFIG_PROCESSORS, "threads_run(%u)", count);
    take_signals();
    state.body = body;
    state.runs++;
    __atomic_store_n(&state.running, count, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)state.runs * THREADS_MAX + i;
        workers[i] = (struct worker){ .number = i, .random = { seed << 20 }, .interrupt_random = { ~seed } };
        if (pthread_create(&threads[i], NULL, start, &workers[i]) != 0)
            panic("threads_run: the host gives no thread");
    }
    send_interrupts(threads, count);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

void threads_on_interrupt(void (*handler)(struct worker *worker)) {
    state.handler = handler;
}

void threads_move(bool may) {
    state.stay = !may;
}

void threads_meet(struct meeting *meeting, unsigned count) {
    __atomic_fetch_add(&meeting->here, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&meeting->here, __ATOMIC_ACQUIRE) < count)
        sched_yield();
}

void threads_pass(void) {
    static const char text[] = "ok: the mistake was reported\n";
    ssize_t written = write(STDOUT_FILENO, text, sizeof(text) - 1);
    (void)written;
    _exit(TEST_PASSED);
}

extern void __tsan_init(void) __attribute__((weak));

bool threads_sanitized(void) {
    return __tsan_init != NULL;
}

bool threads_time_left(unsigned milliseconds) {
    static struct timespec begun;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (begun.tv_sec == 0)
        begun = now;
    long long passed = (now.tv_sec - begun.tv_sec) * 1000ll + (now.tv_nsec - begun.tv_nsec) / 1000000;
    return passed <= milliseconds;
}

const char *threads_panic(void (*call)(uintptr_t argument), uintptr_t argument) {
    jmp_buf point;
    if (setjmp(point) != 0) {
        self.panic_point = NULL;
        return self.panic_text;
    }
    self.panic_point = &point;
    call(argument);
    self.panic_point = NULL;
    return NULL;
}
