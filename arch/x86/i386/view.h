/* arch/x86/i386/view.h - the frame view as slots: ARCH_VIEW_DEPTH pages of kernel space for each processor. */
#ifndef VIEW_H
#define VIEW_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

void *arch_frame_open(pfn_t pfn);
void arch_frame_close(void *view);

#ifdef __cplusplus
}
#endif
#endif
