/* mmap, munmap, mprotect, brk: requests of a task turned into areas. Sizes come in bytes and any value; they are
 * rounded up only after they were found to be small enough. */
#include <asm/errno.h>
#include <linux/mman.h>
#include <calls.h>
#include <kernel/program.h>
#include <kernel/syscall.h>
#include <mem/area.h>

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
        .unreserved = (flags & MAP_NORESERVE) != 0,
    };
    if (request.pages == 0)
        return bytes == 0 ? -EINVAL : -ENOMEM;
    if (!fixed && (request.address < request.low || request.address >= request.high))
        request.address = 0;
    int error = area_map(call->task->context, &request, &got);
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
            .pages = (to - from) >> PAGE_SHIFT, .rights = AREA_READ | AREA_WRITE, .address = from, .fixed = true
        };
        error = area_map(task->context, &request, &got);
    } else if (to < from) {
        error = area_unmap(task->context, to, (from - to) >> PAGE_SHIFT);
    }
    if (error == 0)
        task->heap_end = wish;
    return (intptr_t)task->heap_end;
}

const struct syscall_entry syscall_memory_entries[] = {
    { __NR_mmap, map },         { __NR_mmap2, map },        { __NR_munmap, unmap },
    { __NR_mprotect, protect }, { __NR_brk, set_heap_end }, { 0, NULL },
};
