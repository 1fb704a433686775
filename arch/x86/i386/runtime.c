/* What gcc calls instead of emitting it: 64-bit operations that have no i686 instruction. libgcc has them too, but
 * isn't linked: a kernel must know all of its code. */
#include <base/types.h>

int __ctzdi2(uint64_t value);

/* Position of the lowest set bit; value isn't 0. */
int __ctzdi2(uint64_t value) {
    uint32_t low = (uint32_t)value;
    return low != 0 ? __builtin_ctz(low) : 32 + __builtin_ctz((uint32_t)(value >> 32));
}
