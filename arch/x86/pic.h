/* arch/x86/pic.h - the two 8259 interrupt controllers, 16 lines.
 *
 * Layer: arch. Context: interrupts off. */
#ifndef ARCH_X86_PIC_H
#define ARCH_X86_PIC_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Line n raises vector first_vector + n; all lines masked. */
void pic_start(unsigned first_vector);

void pic_enable(unsigned line);

/* The line's interrupt has come: true if it is real, and then pic_end() must follow. A spurious one is answered as far
 * as it must be. */
bool pic_begin(unsigned line);
void pic_end(unsigned line);

#ifdef __cplusplus
}
#endif
#endif
