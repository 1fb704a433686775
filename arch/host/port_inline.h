/* arch/host/port_inline.h - the part of mem/port.h that is inline elsewhere, as functions of whoever runs the tests. */
#ifndef ARCH_HOST_PORT_INLINE_H
#define ARCH_HOST_PORT_INLINE_H

#include <base/types.h>

struct port_lock {
    uint32_t word; /* 0: free */
};

void port_lock(struct port_lock *lock);
void port_unlock(struct port_lock *lock);
unsigned port_processor(void);
uintptr_t port_interrupts_off(void);
void port_interrupts_restore(uintptr_t saved);

#endif
