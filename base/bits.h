/* base/bits.h - arithmetic on powers of two and runs of bits in arrays of 64-bit words. Context: any. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <base/types.h>

static inline bool is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* `to` must be a power of two. The sum may wrap: callers check first. */
static inline uint64_t round_up(uint64_t value, uint64_t to) {
    return (value + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t value, uint64_t to) {
    return value & ~(to - 1);
}

/* Position of the highest set bit; value must not be 0. */
static inline unsigned log2_floor(uint64_t value) {
    return 63u - (unsigned)__builtin_clzll(value);
}

#endif
