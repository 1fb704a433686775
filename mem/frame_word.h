/* mem/frame_word.h - the fields of a tied page's word, for mem/frame*.c alone; mem/frame.c has the picture. */
#ifndef MEM_FRAME_WORD_H
#define MEM_FRAME_WORD_H

#include <base/types.h>

enum {
    OWNER_SHIFT = 0,
    OWNER_BITS = 4,
    TYPE_SHIFT = 4,
    TYPE_BITS = 2,
    MAPPINGS_SHIFT = 6,
    MAPPINGS_BITS = 22,
    TYPED_SHIFT = 28,
    TYPED_BITS = 22,
    PINS_SHIFT = 50,
    PINS_BITS = 12,
};

enum type {
    TYPE_NONE,
    TYPE_WRITABLE,
    TYPE_EXECUTABLE,
};

#endif
