/* arch/x86/port_inline.h - the inline part of mem/port.h, for any x86 kernel.
 *
 * Interrupts are turned off and on by the processor's flag, a lock is a word that one exchange takes. Two things are
 * asked of the kernel, as functions; one with a single processor can build with PROCESSORS=1 and is never asked. */
#ifndef ARCH_X86_PORT_INLINE_H
#define ARCH_X86_PORT_INLINE_H

#include <base/config.h>
#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct port_lock {
    uint32_t word; /* 0: free */
};

/* The running processor's number, less than CONFIG_PROCESSORS. Interrupts are off. */
unsigned port_processor_number(void);

/* Another processor has the lock: takes it (an exchange of `word` for 1) when that one lets it go. Whoever waits has
 * interrupts off, so a kernel with requests between processors answers its own here. */
void port_lock_wait(struct port_lock *lock);

static inline unsigned port_processor(void) {
    return CONFIG_PROCESSORS == 1 ? 0 : port_processor_number();
}

static inline uintptr_t port_interrupts_off(void) {
    uintptr_t flags;
    __asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void port_interrupts_restore(uintptr_t saved) {
    if (saved & 1u << 9) /* the interrupt flag (SDM 1, 3.4.3) */
        __asm__ volatile("sti" : : : "memory");
}

static inline bool port_lock_try(struct port_lock *lock) {
    return __atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void port_lock(struct port_lock *lock) {
    if (__builtin_expect(!port_lock_try(lock), 0))
        port_lock_wait(lock);
}

static inline void port_unlock(struct port_lock *lock) {
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif
#endif
