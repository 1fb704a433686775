/* arch/x86/x86_64/view.h - the frame view as an offset map of RAM. */
#ifndef VIEW_H
#define VIEW_H

#include <base/types.h>

extern uintptr_t arch_view_base;

static inline void *arch_frame_open(pfn_t pfn) {
    return (void *)(arch_view_base + ((uintptr_t)pfn << PAGE_SHIFT));
}

static inline void arch_frame_close(void *view) {
    (void)view;
}

#endif
