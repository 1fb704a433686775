/* mmap, munmap, mprotect, mremap, brk, madvise, mincore, mlock: requests of a task turned into areas. Sizes come in
 * bytes and any value; they are rounded up only after they were found to be small enough.
 *
 * Nothing is ever swapped, so a page that is there is locked: mlock touches pages, and munlock has nothing to do. */
#include <asm/errno.h>
#include <linux/mman.h>
#include <calls.h>
#include <kernel/program.h>
#include <kernel/syscall.h>
#include <mem/area.h>
#include <mem/task_copy.h>

static bool overcommit;

void syscall_overcommit(void) {
    overcommit = true;
}

/* Pages that cover so many bytes; 0 for 0 and for more than any task has. */
static size_t pages_of(uintptr_t bytes) {
    return bytes <= GEOMETRY_TASK_END ? (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT : 0;
}

static bool rights_of(uintptr_t protection, unsigned *rights) {
    if ((protection & ~(uintptr_t)(PROT_READ | PROT_WRITE | PROT_EXEC)) != 0)
        return false;
    *rights = (protection & PROT_READ ? AREA_READ : 0) | (protection & PROT_WRITE ? AREA_READ | AREA_WRITE : 0) |
              (protection & PROT_EXEC ? AREA_READ | AREA_EXECUTE : 0);
    return true;
}

static intptr_t map(struct syscall *call) {
    uintptr_t address = call->arguments[0], bytes = call->arguments[1], flags = call->arguments[3], got;
    unsigned rights;
    if (!(flags & MAP_ANONYMOUS))
        return -EBADF;
    uintptr_t sharing = flags & MAP_TYPE;
    if (!rights_of(call->arguments[2], &rights) || (sharing != MAP_PRIVATE && sharing != MAP_SHARED))
        return -EINVAL;
    bool fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
    struct area_request request = {
        .pages = pages_of(bytes),
        .rights = rights,
        .address = fixed ? address : address & ~(PAGE_SIZE - 1),
        .low = fixed ? 0 : program_map_first,
        .high = fixed ? 0 : program_map_end,
        .fixed = fixed,
        .replace = (flags & MAP_FIXED_NOREPLACE) == 0,
        .shared = sharing == MAP_SHARED,
        .unreserved = overcommit || (flags & MAP_NORESERVE) != 0,
        .stack = sharing == MAP_PRIVATE && (flags & MAP_GROWSDOWN) != 0,
    };
    if (request.pages == 0)
        return bytes == 0 ? -EINVAL : -ENOMEM;
    if (!fixed && (request.address < request.low || request.address >= request.high))
        request.address = 0;
    int error = area_map(call->task->context, &request, &got);
    if (error == 0 && (flags & (MAP_POPULATE | MAP_LOCKED)) != 0 && rights != 0)
        (void)area_populate(call->task->context, got, request.pages); /* as on Linux: what is short is faulted later */
    if (error == 0)
        return (intptr_t)got;
    return error == ERR_NO_SPACE || (error == ERR_INVALID && request.address % PAGE_SIZE == 0) ? -ENOMEM : error;
}

static intptr_t unmap(struct syscall *call) {
    size_t pages = pages_of(call->arguments[1]);
    if (pages == 0)
        return -EINVAL;
    return area_unmap(call->task->context, call->arguments[0], pages);
}

static intptr_t protect(struct syscall *call) {
    uintptr_t address = call->arguments[0], bytes = call->arguments[1];
    unsigned rights;
    if ((address & (PAGE_SIZE - 1)) != 0 || !rights_of(call->arguments[2], &rights))
        return -EINVAL;
    if (bytes == 0)
        return 0;
    size_t pages = pages_of(bytes);
    int error = pages != 0 ? area_protect(call->task->context, address, pages, rights) : ERR_NO_MEMORY;
    return error == ERR_INVALID ? -ENOMEM : error;
}

/* The heap's end moves only after the pages below it are there, or gone. Any failure, a wish outside the heap's room
 * included, is answered with the end as it is. */
static intptr_t set_heap_end(struct syscall *call) {
    struct task *task = call->task;
    uintptr_t wish = call->arguments[0], old = task->heap_end, got;
    if (wish < task->heap_first || wish > program_map_first)
        return (intptr_t)old;
    uintptr_t from = (old + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1), to = (wish + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    int error = 0;
    if (to > from) {
        struct area_request request = {
            .pages = (to - from) >> PAGE_SHIFT,
            .rights = AREA_READ | AREA_WRITE,
            .address = from,
            .fixed = true,
            .unreserved = overcommit,
        };
        error = area_map(task->context, &request, &got);
    } else if (to < from) {
        error = area_unmap(task->context, to, (from - to) >> PAGE_SHIFT);
    }
    if (error == 0)
        task->heap_end = wish;
    return (intptr_t)task->heap_end;
}

static intptr_t remap(struct syscall *call) {
    uintptr_t old = call->arguments[0], flags = call->arguments[3], got;
    bool fixed = (flags & MREMAP_FIXED) != 0, may_move = (flags & MREMAP_MAYMOVE) != 0;
    struct area_move wish = {
        .old = old,
        .old_pages = pages_of(call->arguments[1]),
        .pages = pages_of(call->arguments[2]),
        .may_move = may_move,
        .fixed = fixed,
        .address = fixed ? call->arguments[4] : 0,
        .low = program_map_first,
        .high = program_map_end,
    };
    if ((flags & ~(uintptr_t)(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || (fixed && !may_move))
        return -EINVAL;
    if ((old & (PAGE_SIZE - 1)) != 0 || call->arguments[1] == 0 || call->arguments[2] == 0)
        return -EINVAL;
    if (fixed && (wish.pages == 0 || wish.address % PAGE_SIZE != 0 || wish.address > GEOMETRY_TASK_END))
        return -EINVAL;
    if (!area_covers(call->task->context, old, 1) || wish.old_pages == 0)
        return -EFAULT;
    if (wish.pages == 0)
        return -ENOMEM;
    int error = area_move(call->task->context, &wish, &got);
    if (error == 0)
        return (intptr_t)got;
    return error == ERR_NO_SPACE || error == ERR_LIMIT ? -ENOMEM : error;
}

/* --- Advice and questions ----------------------------------------------------------------------------------------- */

/* The run that a call names by an aligned address and bytes: 0 with *pages 0 if it is empty, or an error. */
static intptr_t run_of(const struct syscall *call, size_t *pages) {
    uintptr_t address = call->arguments[0], bytes = call->arguments[1];
    *pages = pages_of(bytes);
    if ((address & (PAGE_SIZE - 1)) != 0)
        return -EINVAL;
    if (*pages == 0 && bytes != 0)
        return bytes > UINTPTR_MAX - PAGE_SIZE + 1 ? -EINVAL : -ENOMEM;
    return address + (*pages << PAGE_SHIFT) < address ? -EINVAL : 0;
}

/* What only says how memory will be used, or undoes what can't be done here. */
static bool is_hint(uintptr_t advice) {
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return true;
    default:
        return false;
    }
}

static intptr_t advise(struct syscall *call) {
    struct context *context = call->task->context;
    uintptr_t address = call->arguments[0], advice = call->arguments[2];
    bool discard = advice == MADV_DONTNEED || advice == MADV_FREE;
    size_t pages;
    if (!discard && !is_hint(advice))
        return -EINVAL;
    intptr_t error = run_of(call, &pages);
    if (error != 0 || pages == 0)
        return error;
    if (!discard)
        return area_covers(context, address, pages) ? 0 : -ENOMEM;
    return area_discard(context, address, pages) == 0 ? 0 : -ENOMEM;
}

static intptr_t tell_resident(struct syscall *call) {
    uintptr_t address = call->arguments[0], to = call->arguments[2];
    uint8_t resident[256];
    size_t pages;
    intptr_t error = run_of(call, &pages);
    if (error != 0)
        return error == -EINVAL && address % PAGE_SIZE != 0 ? -EINVAL : -ENOMEM;
    for (size_t done = 0; done < pages;) {
        size_t part = pages - done < sizeof(resident) ? pages - done : sizeof(resident);
        if (area_resident(call->task->context, address + done * PAGE_SIZE, part, resident) != 0)
            return -ENOMEM;
        if (copy_to_task(call->task->context, to + done, resident, part, NULL) != 0)
            return -EFAULT;
        done += part;
    }
    return 0;
}

/* The pages that any byte of the run lies in: mlock and munlock round the address down. */
static intptr_t round_run(const struct syscall *call, uintptr_t *address, size_t *pages) {
    uintptr_t inside = call->arguments[0] & (PAGE_SIZE - 1), bytes = call->arguments[1];
    *address = call->arguments[0] - inside;
    if (bytes == 0) {
        *pages = 0;
        return 0;
    }
    if (call->arguments[0] + bytes < bytes)
        return -EINVAL;
    *pages = pages_of(bytes + inside);
    return *pages != 0 ? 0 : -ENOMEM;
}

static intptr_t lock_pages(struct syscall *call) {
    uintptr_t address;
    size_t pages;
    intptr_t error = round_run(call, &address, &pages);
    if (error != 0 || pages == 0)
        return error;
    return area_populate(call->task->context, address, pages) == 0 ? 0 : -ENOMEM;
}

static intptr_t unlock_pages(struct syscall *call) {
    uintptr_t address;
    size_t pages;
    intptr_t error = round_run(call, &address, &pages);
    if (error != 0 || pages == 0)
        return error;
    return area_covers(call->task->context, address, pages) ? 0 : -ENOMEM;
}

/* With MLOCK_ONFAULT pages are locked by being touched, which they are anyway: no more is to be done than by munlock.
 */
static intptr_t lock_pages_with(struct syscall *call) {
    enum { ON_FAULT = 1 };
    if ((call->arguments[2] & ~(uintptr_t)ON_FAULT) != 0)
        return -EINVAL;
    return call->arguments[2] & ON_FAULT ? unlock_pages(call) : lock_pages(call);
}

/* Later mappings are promised; that is all that MCL_FUTURE can mean where nothing is swapped. */
static intptr_t lock_all(struct syscall *call) {
    uintptr_t flags = call->arguments[0], known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
    if ((flags & ~known) != 0 || (flags & (MCL_CURRENT | MCL_FUTURE)) == 0)
        return -EINVAL;
    if ((flags & MCL_CURRENT) && !(flags & MCL_ONFAULT))
        area_populate_all(call->task->context);
    return 0;
}

static intptr_t unlock_all(struct syscall *call) {
    (void)call;
    return 0;
}

const struct syscall_entry syscall_memory_entries[] = {
    { __NR_mmap, map },
    { __NR_mmap2, map },
    { __NR_munmap, unmap },
    { __NR_mprotect, protect },
    { __NR_brk, set_heap_end },
    { __NR_mremap, remap },
    { __NR_madvise, advise },
    { __NR_mincore, tell_resident },
    { __NR_mlock, lock_pages },
    { __NR_mlock2, lock_pages_with },
    { __NR_munlock, unlock_pages },
    { __NR_mlockall, lock_all },
    { __NR_munlockall, unlock_all },
    { 0, NULL },
};
