/* mem/port.h - what a kernel supplies to the memory manager. All of it is here.
 *
 * Layer: the ground; the library calls these, the embedding kernel defines them. libxelixboot.a has the functions
 * ready-made (boot/port.c), examples/own-boot shows them written by hand. None may call back into the library.
 *
 * What is called all the time is inline, in <port_inline.h>, which the library is compiled with: `make lib PORT=FOLDER`
 * takes FOLDER's. The ready-made one, arch/x86/port_inline.h, serves any x86 kernel, and asks it for two functions. One
 * of your own defines:
 *
 *     struct port_lock { ... };      a mutual exclusion lock; all zero means free
 *     void port_lock(struct port_lock *), void port_unlock(struct port_lock *)
 *                                    called with interrupts already off on this processor, and never twice for one lock
 *                                    by one processor, so a spin lock will do; with one processor, an empty body will
 *     unsigned port_processor(void)  the running processor's number, less than CONFIG_PROCESSORS; called with
 *                                    interrupts off
 *     uintptr_t port_interrupts_off(void), void port_interrupts_restore(uintptr_t saved)
 *                                    turn interrupts off on this processor, and back to what they were; pairs nest */
#ifndef MEM_PORT_H
#define MEM_PORT_H

#include <base/types.h>
#include <port_inline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes text to wherever the kernel's log goes. The text is not terminated by a zero.
 * Called: at init and from reports, never with a lock of ours held but in a panic. */
void port_log(const char *text, size_t bytes);

/* Ends the machine, or the test: a contract was broken and `text` is the evidence. Must not return.
 * Called: in any context, locks possibly held, interrupts in any state. Must not allocate. */
NORETURN void port_panic(const char *text);

#ifdef __cplusplus
}
#endif
#endif
