/* Narrow binary floating-point formats in software: exact, the same on every machine. Rounding is half to even throughout.
 *
 *   bf16   bfloat16: binary32's upper half. Rounds to infinity beyond the largest finite value; NaN becomes quiet.
 *   e4m3   OCP FP8 E4M3 (the kind without infinities), bias 7, largest 448: above 464, and for infinity and NaN, the NaN of that sign.
 *   e5m2   OCP FP8 E5M2, bias 15, largest 57344: from 61440 on infinity.
 *   e2m1   OCP FP4, bias 1, +-{0, 0.5, 1, 1.5, 2, 3, 4, 6}: saturates at 6, infinity too; it has no NaN, NaN becomes 0.
 *   e8m0   OCP MX scale 2^(code - 127), code 255 NaN. No sign and no zero: 0, negative values, NaN, infinity and 1.5 * 2^127 and above become NaN; what is below 2^-127
 *          becomes 2^-127. A power of two counts as odd, so that the middle between two of them rounds up.
 *
 * Subnormals and the sign of zero are kept. (Open Compute Project, OFP8 1.0 and Microscaling Formats 1.0.)
 */
#ifndef GYRE_CORE_MINIFLOAT_H
#define GYRE_CORE_MINIFLOAT_H

#include <stdint.h>

uint16_t gyre_bf16_from_float(float value);
float gyre_bf16_to_float(uint16_t code);
uint8_t gyre_e4m3_from_float(float value);
float gyre_e4m3_to_float(uint8_t code);
uint8_t gyre_e5m2_from_float(float value);
float gyre_e5m2_to_float(uint8_t code);
uint8_t gyre_e2m1_from_float(float value); /* 0..15 */
float gyre_e2m1_to_float(uint8_t code);    /* the low four bits */
uint8_t gyre_e8m0_from_float(float value);
float gyre_e8m0_to_float(uint8_t code);

#define GYRE_E4M3_MAX 448.0f
#define GYRE_E5M2_MAX 57344.0f
#define GYRE_E2M1_MAX 6.0f

#endif
