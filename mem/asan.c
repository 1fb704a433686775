/*     p->next = x;   ->  call __asan_store8_noabort(&p->next)     mem/asan_hooks.c: one byte of the shadow, a dozen
 *                         |                                       instructions, and back
 *                         | not plainly good
 *                         v
 *                        asan_check()   all bytes, exactly  ──>  report: what, where, by whom
 *                         ^
 *     memcpy(...)    ─────┘  by the pointer string_check, since base/ knows nothing of us
 *
 * Reports. The evidence is written first, with this processor's checks off, so that whoever describes a block may read
 * it and its notes, forbidden or not, and can't cause a second report. Then the checks are on again and the panic is
 * an ordinary one: it touches stacks and globals alone, and a test may survive it.
 *
 * The "off" count is the processor's, and its interrupts are off with it: else a handler that comes between would go
 * unchecked, and a task that is switched to as well.
 *
 * Not done: a record of the calls that led to the allocation; the describer knows the last one's place. */
#include <mem/asan.h>
#include <base/check.h>
#include <base/fmt.h>
#include <base/lock.h>
#include <base/percpu.h>
#include <base/string.h>

const struct shadow *asan_watched = &shadow_heap;

static struct {
    asan_describe_function *describe;
    unsigned off[CONFIG_PROCESSORS];
} state;

uintptr_t asan_off(void) {
    if (!shadow_is_used())
        return 0;
    uintptr_t saved = port_interrupts_off();
    ++*percpu_this(state.off);
    return saved;
}

void asan_on(uintptr_t saved) {
    if (!shadow_is_used())
        return;
    unsigned *off = percpu_this(state.off);
    require(*off > 0, "asan_on: this processor's checks aren't off");
    --*off;
    port_interrupts_restore(saved);
}

static bool is_off(void) {
    uintptr_t saved = port_interrupts_off();
    bool off = *percpu_this(state.off) != 0;
    port_interrupts_restore(saved);
    return off;
}

/* --- Reports ------------------------------------------------------------------------------------------------------ */

enum { NEAR_BYTES = 128 };

static bool is_allowed(uintptr_t address) {
    uintptr_t bad;
    enum shadow_why why;
    bool inside = address - asan_watched->first < asan_watched->reach;
    return inside && !shadow_first_bad_in(asan_watched, address, 1, &bad, &why);
}

/* Distance from a forbidden byte to the nearest allowed one below (step -1) or above it (1); 0: none is near. */
static size_t distance(uintptr_t bad, int step) {
    for (size_t i = 1; i <= NEAR_BYTES; i++)
        if (is_allowed(step < 0 ? bad - i : bad + i))
            return i;
    return 0;
}

static const char *likely_mistake(uintptr_t address, uintptr_t bad, enum shadow_why why) {
    size_t below = distance(bad, -1), above = distance(bad, 1);
    if (why == SHADOW_FREED)
        return "use after free";
    if (why == SHADOW_NO_PAGE)
        return "use of a large block after it was freed, or a wild pointer";
    if (why == SHADOW_UNUSED)
        return "a wild pointer, or one kept since a block was freed";
    if (address < bad)
        return "an access that is longer than what is left of the block";
    if (below == 1)
        return "an index or a length that is too large by one";
    if (below != 0 && (above == 0 || below <= above))
        return "an overrun of the block below";
    return above != 0 ? "an underrun: access before the block's start" : "a wild pointer";
}

static const char *near_text(uintptr_t bad, enum shadow_why why, char *out, size_t bytes) {
    size_t below = distance(bad, -1), above = distance(bad, 1);
    out[0] = '\0';
    if (why == SHADOW_RED_ZONE && below != 0 && (above == 0 || below <= above))
        fmt(out, bytes, ", %zu behind the last allowed byte", below);
    else if (why == SHADOW_RED_ZONE && above != 0)
        fmt(out, bytes, ", %zu before the first allowed byte", above);
    return out;
}

/* The byte may be gone by now: a check reads it again. */
static uint8_t shadow_value(uintptr_t bad) {
    size_t offset = bad - asan_watched->first;
    return offset < asan_watched->reach ? asan_watched->bytes[offset / 8] : SHADOW_NO_PAGE;
}

static NORETURN __attribute__((noinline, cold)) void report(uintptr_t address, size_t bytes, bool write,
                                                            uintptr_t place, uintptr_t bad, enum shadow_why why) {
    char text[160] = "", near[48];
    lock_release_all(); /* before the checks are off, since it may turn interrupts on */
    uintptr_t saved = asan_off();
    if (state.describe != NULL)
        state.describe(bad, text, sizeof(text));
    near_text(bad, why, near, sizeof(near));
    uint8_t value = shadow_value(bad);
    const char *mistake = likely_mistake(address, bad, why);
    asan_on(saved);
    panic("asan: %s of %zu byte%s at %#zx by %#zx: byte %#zx is in %s (shadow %02x)%s; likely mistake: %s%s%s",
          write ? "write" : "read", bytes, bytes == 1 ? "" : "s", (size_t)address, (size_t)place, (size_t)bad,
          shadow_why_name(why), value, near, mistake, text[0] != '\0' ? "; " : "", text);
}

void asan_check(uintptr_t address, size_t bytes, bool write, uintptr_t place) {
    uintptr_t bad;
    enum shadow_why why;
    if (__builtin_expect(shadow_first_bad_in(asan_watched, address, bytes, &bad, &why), 0) && !is_off())
        report(address, bytes, write, place, bad, why);
}

asan_describe_function *asan_start(asan_describe_function *describe) {
    asan_describe_function *before = state.describe;
    if (shadow_is_used()) {
        state.describe = describe;
        string_check = asan_check;
    }
    return before;
}
