/* arch/x86/image.h - the parts of the kernel's image, as arch/x86/image.ld lays them out.
 *
 * Layer: arch. Each part starts and ends on a page. All addresses are in the image's home; image_physical() gives where
 * the loader put them. */
#ifndef ARCH_X86_IMAGE_H
#define ARCH_X86_IMAGE_H

#include <base/types.h>
#include <layout.h>

extern const char image_first[], image_text_end[];    /* read, execute */
extern const char image_rodata[], image_rodata_end[]; /* read */
extern const char image_data[], image_data_end[];     /* read, write: data and bss */
extern const char image_stacks[], image_stacks_end[]; /* read, write, with holes: arch/x86/stacks.h */
/* The UL_VISIBLE window, at its own address; image_window_physical is where the loader put it. */
extern const char image_window_first[], image_window_rodata[], image_window_data[], image_window_end[];
extern const char image_window_physical[];
extern const char image_symbols[], image_symbols_end[]; /* read; empty in the first link */
extern const char image_end[];

static inline uint64_t image_physical(const void *in_image) {
    return (uintptr_t)in_image - LAYOUT_IMAGE_HOME;
}

static inline uint64_t image_window_to_physical(const void *in_window) {
    return (uintptr_t)in_window - (uintptr_t)image_window_first + (uintptr_t)image_window_physical;
}

#endif
