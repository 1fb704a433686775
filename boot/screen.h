/* boot/screen.h - text on the loader's framebuffer.
 *
 * Layer: boot. Context: screen_start() once, memory up; screen_put() one caller at a time, any context. Before the
 * start, and where there is no framebuffer, screen_put() does nothing. */
#ifndef BOOT_SCREEN_H
#define BOOT_SCREEN_H

#include <boot/boot.h>

#ifdef __cplusplus
extern "C" {
#endif

/* False when the framebuffer can't be mapped; the console goes on without. */
bool screen_start(const struct boot_framebuffer *framebuffer);
void screen_put(char character);

#ifdef __cplusplus
}
#endif
#endif
