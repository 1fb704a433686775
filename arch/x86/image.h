/* arch/x86/image.h - the parts of the kernel's image, as arch/x86/image.ld lays them out.
 *
 * Layer: arch. Each part starts and ends on a page. All addresses are in the image's home; image_physical() gives where
 * the loader put them. */
#ifndef ARCH_X86_IMAGE_H
#define ARCH_X86_IMAGE_H

#include <base/types.h>
#include <layout.h>

extern const char image_first[], image_text_end[];      /* read, execute */
extern const char image_rodata[], image_rodata_end[];   /* read */
extern const char image_data[], image_data_end[];       /* read, write: data and bss */
extern const char image_stacks[], image_stacks_end[];   /* read, write, with holes: arch/x86/stacks.h */
extern const char image_symbols[], image_symbols_end[]; /* read; empty in the first link */
extern const char image_end[];

static inline uint64_t image_physical(const void *in_image) {
    return (uintptr_t)in_image - LAYOUT_IMAGE_HOME;
}

#endif
