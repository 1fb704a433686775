/* Thread pointers are segments: three entries of the GDT are the running task's, filled by set_thread_area and loaded
 * when it gets the processor. The selectors themselves are in its frame; before they are loaded on the way out each is
 * checked, since loading one that names nothing would fault in ring 0. */
#include <user.h>
#include <arch/x86/cpu.h>
#include <arch/x86/window.h>
#include <base/string.h>
#include <geometry.h>

/* What ring 3 may have in its flags: carry to overflow, trap, direction, alignment check; nested task never. */
#define FLAGS_RING3 ((uintptr_t)0x240dd5)

enum { ERR_NO_CALL = -38, ERR_NO_ENTRY = -3, FIRST_SEGMENT = 7 };

void user_init(struct user_state *state) {
    memset(state, 0, sizeof(*state));
    fpu_init(&state->fpu);
}

void user_save(struct user_state *state) {
    fpu_save(&state->fpu);
}

/* FS and GS may still hold selectors of entries that go away here, which a trap in ring 0 would save and then fail to
 * load. */
static void load_segments(const struct user_state *state) {
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0) : "memory");
    descriptors_task_segments(state->segments);
}

void user_load(const struct user_state *state) {
    fpu_load(&state->fpu);
    load_segments(state);
}

void user_frame_make(struct trap_frame *frame, uintptr_t ip, uintptr_t sp) {
    memset(frame, 0, sizeof(*frame));
    frame->ip = ip;
    frame->sp = frame->user_sp = sp;
    frame->cs = LAYOUT_USER_CODE_SELECTOR;
    frame->user_ss = frame->ds = frame->es = LAYOUT_USER_DATA_SELECTOR;
    frame->flags = FLAGS_FIXED | FLAGS_INTERRUPT;
}

/* Null, ring 3's data or code, or a segment of the task's own. */
static bool can_be_loaded(uintptr_t selector) {
    uintptr_t low = selector & 0xffff, entry = low >> 3;
    return low <= 3 || low == LAYOUT_USER_DATA_SELECTOR || low == LAYOUT_USER_CODE_SELECTOR ||
           ((low & 7) == 3 && entry >= FIRST_SEGMENT && entry < FIRST_SEGMENT + DESCRIPTORS_TASK_SEGMENTS &&
            descriptors_task_segment_is_present((unsigned)entry - FIRST_SEGMENT));
}

bool user_frame_is_safe(struct trap_frame *frame) {
    uintptr_t *const selectors[] = { &frame->ds, &frame->es, &frame->fs, &frame->gs };
    for (unsigned i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
        if (!can_be_loaded(*selectors[i]))
            *selectors[i] = 0;
    frame->cs = LAYOUT_USER_CODE_SELECTOR;
    frame->user_ss = LAYOUT_USER_DATA_SELECTOR;
    frame->flags = (frame->flags & FLAGS_RING3) | FLAGS_FIXED | FLAGS_INTERRUPT;
    return true;
}

intptr_t user_arch_control(struct user_state *state, uintptr_t code, uintptr_t address, uintptr_t *value) {
    (void)state;
    (void)code;
    (void)address;
    (void)value;
    return ERR_NO_CALL;
}

/* --- Segments ----------------------------------------------------------------------------------------------------- */

/* struct user_desc of <asm/ldt.h>: entry number, base, limit, and these flags. */
enum {
    DESC_32_BIT = 1 << 0,
    DESC_CONTENTS = 3 << 1,
    DESC_READ_ONLY = 1 << 3,
    DESC_PAGES = 1 << 4,
    DESC_NOT_PRESENT = 1 << 5,
};

/* A data segment of ring 3, accessed already so that loading it writes nothing (SDM volume 3A, 3.4.5). */
static uint64_t make_segment(uint32_t base, uint32_t limit, uint32_t flags) {
    uint64_t type = flags & DESC_READ_ONLY ? 0xf1 : 0xf3;
    uint64_t sizes = (uint64_t)(flags & DESC_32_BIT ? 4 : 0) | (flags & DESC_PAGES ? 8 : 0);
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | type << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
           sizes << 52 | (uint64_t)(base >> 24) << 56;
}

static int free_segment(const struct user_state *state) {
    for (int i = 0; i < DESCRIPTORS_TASK_SEGMENTS; i++)
        if (state->segments[i] == 0)
            return i;
    return ERR_NO_ENTRY;
}

intptr_t user_set_segment(struct user_state *state, uint32_t words[4]) {
    int index = words[0] == UINT32_MAX ? free_segment(state) : (int)words[0] - FIRST_SEGMENT;
    if (index == ERR_NO_ENTRY)
        return index;
    if (index < 0 || index >= DESCRIPTORS_TASK_SEGMENTS)
        return ERR_INVALID;
    bool cleared = (words[3] & DESC_NOT_PRESENT) != 0 && words[1] == 0 && words[2] == 0;
    if (!cleared && (words[3] & (DESC_CONTENTS | DESC_NOT_PRESENT)) != 0)
        return ERR_INVALID;
    state->segments[index] = cleared ? 0 : make_segment(words[1], words[2], words[3]);
    words[0] = (uint32_t)(index + FIRST_SEGMENT);
    load_segments(state);
    return 0;
}

intptr_t user_set_thread_pointer(struct user_state *state, uintptr_t base) {
    (void)state;
    (void)base;
    return ERR_NO_CALL;
}

/* In the order of user_switch()'s pops. */
struct switched {
    uintptr_t di, si, bx, bp, ip;
};

uintptr_t user_switch_prepare(struct trap_frame *frame) {
    struct switched *switched = (struct switched *)frame - 1;
    *switched = (struct switched){ .ip = (uintptr_t)window_leave };
    return (uintptr_t)switched;
}
