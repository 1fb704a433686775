/* Touching and pinning are two steps with the context's lock given back in between. What another thread of the task
 * does then can only make the lease fail: lease_open() looks at every page again and counts on nothing that was seen
 * before. */
#include <mem/area_lease.h>
#include <mem/area.h>

int area_lease(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **lease) {
    uintptr_t last = address + bytes - 1;
    if (bytes == 0 || last < address)
        return ERR_INVALID;
    for (uintptr_t page = page_number(address); page <= page_number(last); page++) {
        int error = area_fault(context, page_address(page), access == LEASE_WRITE ? AREA_WRITE : AREA_READ);
        if (error != 0)
            return error;
    }
    return lease_open(context, address, bytes, access, lease);
}
