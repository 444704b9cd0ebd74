#include "core/minifloat.h"

#include <stdbool.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The code of a finite magnitude in a format of `mantissa` bits and that bias, exponents unbounded above: the caller sees by the code that it is beyond its format. */
static uint32_t narrow(uint32_t magnitude, unsigned mantissa, uint32_t bias)
{
    uint32_t exponent = magnitude >> 23;
    uint32_t significand = (magnitude & 0x7FFFFFu) | (exponent > 0 ? 0x800000u : 0u);
    exponent = exponent > 0 ? exponent : 1;
    uint32_t shift = 23 - mantissa, above = 0; /* `above`: exponent field less one; the implicit bit in `kept` makes up for it */
    if (exponent + bias >= 128)
        above = exponent + bias - 128;
    else
        shift += 128 - bias - exponent;
    if (shift > 25) /* below half of the least subnormal */
        return 0;
    uint32_t kept = significand >> shift, rest = significand & ((1u << shift) - 1u), middle = 1u << (shift - 1);
    if (rest > middle || (rest == middle && (kept & 1u)))
        kept++;
    return (above << mantissa) + kept;
}

/* The value of a finite code without its sign. */
static float widen(uint32_t code, unsigned mantissa, uint32_t bias)
{
    uint32_t exponent = code >> mantissa, fraction = code & ((1u << mantissa) - 1u);
    if (exponent == 0)
        return (float)fraction * float_of((128 - bias - mantissa) << 23);
    return float_of(((exponent + 127 - bias) << 23) | (fraction << (23 - mantissa)));
}

static float with_sign(float magnitude, bool negative)
{
    return negative ? -magnitude : magnitude;
}

uint16_t gyre_bf16_from_float(float value)
{
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFFu, sign = bits >> 16 & 0x8000u;
    if (magnitude > 0x7F800000u)
        return (uint16_t)(sign | 0x7FC0u);
    return (uint16_t)(sign | narrow(magnitude, 7, 127));
}

float gyre_bf16_to_float(uint16_t code)
{
    return float_of((uint32_t)code << 16);
}

uint8_t gyre_e4m3_from_float(float value)
{
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFFu, code = magnitude >= 0x7F800000u ? 0x7Fu : narrow(magnitude, 3, 7);
    return (uint8_t)((bits >> 24 & 0x80u) | (code > 0x7Fu ? 0x7Fu : code));
}

float gyre_e4m3_to_float(uint8_t code)
{
    uint32_t magnitude = code & 0x7Fu;
    return magnitude == 0x7Fu ? float_of((uint32_t)(code & 0x80u) << 24 | 0x7FC00000u) : with_sign(widen(magnitude, 3, 7), code >> 7);
}

uint8_t gyre_e5m2_from_float(float value)
{
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFFu, code = magnitude > 0x7F800000u ? 0x7Eu : narrow(magnitude, 2, 15);
    if (magnitude <= 0x7F800000u && code > 0x7Cu)
        code = 0x7Cu;
    return (uint8_t)((bits >> 24 & 0x80u) | code);
}

float gyre_e5m2_to_float(uint8_t code)
{
    uint32_t magnitude = code & 0x7Fu;
    if (magnitude >= 0x7Cu)
        return float_of((uint32_t)(code & 0x80u) << 24 | (magnitude == 0x7Cu ? 0x7F800000u : 0x7FC00000u));
    return with_sign(widen(magnitude, 2, 15), code >> 7);
}

uint8_t gyre_e2m1_from_float(float value)
{
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return 0;
    uint32_t code = narrow(magnitude, 1, 1);
    return (uint8_t)((bits >> 28 & 8u) | (code > 7u ? 7u : code));
}

float gyre_e2m1_to_float(uint8_t code)
{
    return with_sign(widen(code & 7u, 1, 1), code >> 3 & 1u);
}

uint8_t gyre_e8m0_from_float(float value)
{
    if (!(value > 0.0f))
        return 0xFFu;
    uint32_t code = narrow(bits_of(value), 0, 127);
    return (uint8_t)(code > 0xFEu ? 0xFFu : code);
}

float gyre_e8m0_to_float(uint8_t code)
{
    return code == 0xFFu ? float_of(0x7FC00000u) : float_of(code == 0 ? 0x00400000u : (uint32_t)code << 23);
}
