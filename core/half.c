#include "core/half.h"

#include <string.h>

uint16_t gyre_half_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) /* NaN, made quiet */
        return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (magnitude < 0x33000001u) /* at most half of the least subnormal: zero */
        return (uint16_t)sign;
    uint32_t exponent = magnitude >> 23;
    uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    uint32_t shift = exponent < 113 ? 126 - exponent : 13; /* bits dropped; more below the normal range */
    uint32_t kept = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1u);
    uint32_t middle = 1u << (shift - 1);
    if (rest > middle || (rest == middle && (kept & 1u)))
        kept++;
    /* kept carries the implicit bit; a carry out of the mantissa moves into the exponent by itself */
    uint32_t half = exponent < 113 ? kept : kept + ((exponent - 113) << 10);
    return (uint16_t)(sign | half);
}

/* Without a branch, so that the loop below vectorises; masks, because a compiler that minds floating-point traps makes a choice a branch again. */
static inline float widen(uint16_t half)
{
    const uint32_t least = 113u << 23, rebias = 112u << 23; /* least: 2^-14, the least normal half */
    uint32_t magnitude = (uint32_t)(half & 0x7FFFu) << 13, sum = magnitude + least, difference;
    float base, value;
    memcpy(&base, &least, sizeof base);
    memcpy(&value, &sum, sizeof value);
    value -= base; /* of a subnormal half: 2^-14 (1 + m/1024) less 2^-14, exact */
    memcpy(&difference, &value, sizeof difference);
    uint32_t subnormal = 0u - (uint32_t)(magnitude < 1u << 23), beyond = 0u - (uint32_t)(magnitude >= 31u << 23); /* beyond: infinities and NaN */
    uint32_t bits = (difference & subnormal) | ((magnitude + rebias + (rebias & beyond)) & ~subnormal) | (uint32_t)(half & 0x8000u) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float gyre_half_to_float(uint16_t half)
{
    return widen(half);
}

void gyre_half_to_floats(const uint16_t *restrict halves, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = widen(halves[i]);
}
