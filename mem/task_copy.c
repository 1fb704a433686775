/* A page at a time, with the context's lock held from the look at the entry to the end of the copy: the task can't
 * unmap or remap the page in between, nor another thread of it. The page is reached by the frame view, so nothing of
 * the task is mapped for the kernel, and no translation has to be flushed.
 *
 *     the entry allows it      copy                                   one walk
 *     it doesn't               area_touch() makes it so, or refuses   a range is looked for, and what the page costs
 *
 * Between pages the lock is given back, and with it interrupts: 4 KiB is the longest time that they are off. */
#include <mem/task_copy.h>
#include <base/string.h>
#include <mem/area_pages.h>
#include <mem/paging_window.h>

static size_t part_of_page(uintptr_t address, size_t bytes) {
    size_t rest = PAGE_SIZE - (address & (PAGE_SIZE - 1));
    return bytes < rest ? bytes : rest;
}

/* The page, ready for the access. The context's lock is held. */
static int find(struct context *context, uintptr_t page, unsigned access, pfn_t *pfn) {
    unsigned rights = access & AREA_WRITE ? PAGE_USER | PAGE_WRITE : PAGE_USER;
    if (paging_read(&context->tables, page_address(page), 1, rights, pfn) == 1)
        return 0;
    struct paging_entry entry;
    int error = area_touch(context, page, access, &entry);
    *pfn = entry.pfn;
    return error;
}

/* One page's worth. */
static int copy_part(struct context *context, uintptr_t address, uint8_t *kernel, size_t bytes, unsigned access) {
    pfn_t pfn;
    lock_take(&context->lock);
    int error = find(context, page_number(address), access, &pfn);
    if (error == 0) {
        uint8_t *view = (uint8_t *)arch_frame_open(pfn), *at = view + (address & (PAGE_SIZE - 1));
        if (access & AREA_WRITE)
            memcpy(at, kernel, bytes);
        else
            memcpy(kernel, at, bytes);
        arch_frame_close(view);
    }
    lock_release(&context->lock);
    return error;
}

static int copy(struct context *context, uintptr_t address, uint8_t *kernel, size_t bytes, unsigned access,
                size_t *copied) {
    size_t done = 0;
    int error = bytes > 0 && address + (bytes - 1) < address ? ERR_FAULT : 0;
    while (error == 0 && done < bytes) {
        size_t part = part_of_page(address + done, bytes - done);
        error = copy_part(context, address + done, kernel + done, part, access);
        done += error == 0 ? part : 0;
    }
    if (copied != NULL)
        *copied = done;
    return error;
}

int copy_from_task(struct context *context, void *to, uintptr_t from, size_t bytes, size_t *copied) {
    return copy(context, from, (uint8_t *)to, bytes, AREA_READ, copied);
}

int copy_to_task(struct context *context, uintptr_t to, const void *from, size_t bytes, size_t *copied) {
    return copy(context, to, (uint8_t *)(uintptr_t)from, bytes, AREA_WRITE, copied);
}

int string_from_task(struct context *context, char *to, uintptr_t from, size_t room) {
    for (size_t done = 0; done < room;) {
        size_t part = part_of_page(from + done, room - done);
        int error =
            from + done < from ? ERR_FAULT : copy_part(context, from + done, (uint8_t *)to + done, part, AREA_READ);
        if (error != 0)
            return error;
        for (size_t i = 0; i < part; i++, done++)
            if (to[done] == '\0')
                return (int)done;
    }
    return ERR_LIMIT;
}
