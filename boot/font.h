/* boot/font.h - the framebuffer console's characters, space to tilde. Layer: boot. */
#ifndef BOOT_FONT_H
#define BOOT_FONT_H

#include <base/types.h>

enum { FONT_FIRST = ' ', FONT_GLYPHS = '~' - ' ' + 1, FONT_ROWS = 8, FONT_COLUMNS = 5 };

extern const uint8_t font_rows[FONT_GLYPHS][FONT_ROWS];

#endif
