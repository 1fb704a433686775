/* arch/x86/access.h - what a processor answers to one access, from the entries on the way and its control bits alone.
 *
 * Source: Intel SDM volume 3A, 4.6.1 (rights) and 4.7 (error code of a page fault). Entries come top level first. PAE's
 * top level has no rights and isn't among them; of reserved bits only bit 63 without EFER.NXE is judged here.
 * Protection keys and shadow stacks aren't part of the model: nothing here turns them on.
 * Pure functions, which share nothing with mem/. */
#ifndef ARCH_X86_ACCESS_H
#define ARCH_X86_ACCESS_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE };

struct access_mode {
    bool user;            /* CPL 3 */
    bool write_protect;   /* CR0.WP */
    bool no_execute;      /* EFER.NXE */
    bool smep, smap;      /* CR4 */
    bool alignment_check; /* EFLAGS.AC: with SMAP, ring 0 may use a task's pages */
};

enum {
    ACCESS_ALLOWED = -1, /* else the error code, of these bits */
    ACCESS_FAULT_PRESENT = 1 << 0,
    ACCESS_FAULT_WRITE = 1 << 1,
    ACCESS_FAULT_USER = 1 << 2,
    ACCESS_FAULT_RESERVED = 1 << 3,
    ACCESS_FAULT_FETCH = 1 << 4,
};

/* What stands in the error code whatever is wrong. A fetch is told only by processors that can forbid one. */
static inline int access_fault_base(enum access_kind kind, struct access_mode mode) {
    bool tells_fetch = mode.smep || mode.no_execute;
    return (kind == ACCESS_WRITE ? ACCESS_FAULT_WRITE : 0) | (mode.user ? ACCESS_FAULT_USER : 0) |
           (kind == ACCESS_EXECUTE && tells_fetch ? ACCESS_FAULT_FETCH : 0);
}

/* Rights of a page, joined over the levels: write and user must stand in every entry, no-execute in one. */
static inline bool access_permits(bool write, bool user, bool no_execute, enum access_kind kind,
                                  struct access_mode mode) {
    if (mode.user && !user)
        return false;
    if (kind == ACCESS_EXECUTE)
        return !(mode.no_execute && no_execute) && !(mode.smep && user && !mode.user);
    if (!mode.user && user && mode.smap && !mode.alignment_check)
        return false;
    return kind == ACCESS_READ || write || (!mode.user && !mode.write_protect);
}

/* ACCESS_ALLOWED, or the error code. The walk ends at the first entry that isn't present or has a reserved bit; rights
 * are judged only when all have been read. */
static inline int access_judge(const uint64_t *entries, unsigned levels, enum access_kind kind,
                               struct access_mode mode) {
    int base = access_fault_base(kind, mode);
    uint64_t every = ~(uint64_t)0, any = 0;
    for (unsigned i = 0; i < levels; i++) {
        if ((entries[i] & 1) == 0)
            return base;
        if (!mode.no_execute && entries[i] >> 63 != 0)
            return base | ACCESS_FAULT_PRESENT | ACCESS_FAULT_RESERVED;
        every &= entries[i];
        any |= entries[i];
    }
    bool permitted = access_permits((every & 2) != 0, (every & 4) != 0, any >> 63 != 0, kind, mode);
    return permitted ? ACCESS_ALLOWED : base | ACCESS_FAULT_PRESENT;
}

#ifdef __cplusplus
}
#endif
#endif
