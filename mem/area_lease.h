/* mem/area_lease.h - layer 5: leases on a task's areas.
 *
 * mem/lease.h leases pages that are there; a task's may not be yet, or may be shown by a copy of the task too. This
 * gives each page of the run to the task first, as an access of its own would.
 *
 * Context: as mem/lease.h. */
#ifndef MEM_AREA_LEASE_H
#define MEM_AREA_LEASE_H

#include <mem/lease.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As lease_open(); ERR_FAULT also for what isn't an area or has no such rights. After a failure pages may have come
 * into being which the task was promised anyway. */
int area_lease(struct context *context, uintptr_t address, size_t bytes, enum lease_access access,
               struct lease **lease);

#ifdef __cplusplus
}
#endif
#endif
