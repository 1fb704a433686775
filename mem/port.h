/* mem/port.h - what a kernel supplies to the memory manager. All of it is here.
 *
 * Layer: the ground; the library calls these, the embedding kernel defines them. libxelixboot.a has them ready-made
 * (boot/port.c), examples/own-boot shows them written by hand. None may call back into the library. */
#ifndef MEM_PORT_H
#define MEM_PORT_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes text to wherever the kernel's log goes. The text is not terminated by a zero.
 * Called: at init and from reports, never with a lock of ours held but in a panic. */
void port_log(const char *text, size_t bytes);

/* Ends the machine, or the test: a contract was broken and `text` is the evidence. Must not return.
 * Called: in any context, locks possibly held, interrupts in any state. Must not allocate. */
NORETURN void port_panic(const char *text);

/* The running processor's number, less than CONFIG_PROCESSORS.
 * Called: very often, with interrupts off. A kernel with one processor returns 0. */
unsigned port_processor(void);

/* Turns interrupts off on this processor and returns what port_interrupts_restore() needs to put them back.
 * Pairs nest. */
uintptr_t port_interrupts_off(void);
void port_interrupts_restore(uintptr_t saved);

/* A mutual exclusion lock, two words for the kernel to use as it likes. All zero means free.
 * Called: with interrupts already off on this processor, and never twice for one lock by one processor, so a plain
 * spin lock will do; with one processor, an empty body will. */
struct port_lock {
    uintptr_t word[2];
};
void port_lock(struct port_lock *lock);
void port_unlock(struct port_lock *lock);

#ifdef __cplusplus
}
#endif
#endif
