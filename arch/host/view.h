/* arch/host/view.h - the frame view of the pretend machine. Both widths check the pairing; see arch/host/mmu.c. */
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
