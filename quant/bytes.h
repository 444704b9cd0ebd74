/* Little-endian integers in packed blocks. */
#ifndef GYRE_QUANT_BYTES_H
#define GYRE_QUANT_BYTES_H

#include <stdint.h>

static inline uint8_t *gyre_put_u16(uint32_t value, uint8_t *at)
{
    at[0] = (uint8_t)(value & 0xFFu);
    at[1] = (uint8_t)(value >> 8 & 0xFFu);
    return at + 2;
}

static inline uint8_t *gyre_put_u32(uint32_t value, uint8_t *at)
{
    return gyre_put_u16(value >> 16, gyre_put_u16(value & 0xFFFFu, at));
}

static inline uint32_t gyre_get_u16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t gyre_get_u32(const uint8_t *at)
{
    return gyre_get_u16(at) | gyre_get_u16(at + 2) << 16;
}

#endif
