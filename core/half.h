/* IEEE 754 binary16 in software: exact, the same on every machine.
 *
 * gyre_half_from_float rounds half to even, overflows to infinity from 65520 on, keeps subnormals and the sign of zero; NaN stays NaN (quiet).
 * gyre_half_to_floats widens n of them, each as gyre_half_to_float does.
 */
#ifndef GYRE_CORE_HALF_H
#define GYRE_CORE_HALF_H

#include <stddef.h>
#include <stdint.h>

uint16_t gyre_half_from_float(float value);
float gyre_half_to_float(uint16_t half);
void gyre_half_to_floats(const uint16_t *halves, size_t n, float *out);

#define GYRE_HALF_MAX 65504.0f

#endif
