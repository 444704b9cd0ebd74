#include "quant/grouped.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"

static const char *const row[] = {"row", NULL};
static const char *const formats[] = {"f32", "f16", NULL};
const gyre_option gyre_grouped_table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(gyre_grouped_options, bits), NULL, 2, 8, NULL, "bit", "width of a code"},
    {"group", GYRE_OPTION_INT, offsetof(gyre_grouped_options, group), "row", 1, GYRE_QUANTIZER_DIM, row, "coordinates", "what shares one scale: the row or a divisor of the head dimension"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(gyre_grouped_options, scale), "f32", 0, 0, formats, "", "format of the stored scale"},
    {0},
};

bool gyre_grouped_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const gyre_grouped_options *o = options;
    if (o->group > 0 && site->dim % (size_t)o->group != 0)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "the group %lld does not divide the head dimension %zu", (long long)o->group, site->dim);
    else
        return true;
    return false;
}

gyre_status gyre_grouped_init(size_t dim, const void *options, size_t parameters, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_grouped_options *o = options;
    gyre_grouped *g = NULL;
    GYRE_NEW(&g, 1);
    g->dim = dim;
    g->bits = (size_t)o->bits;
    g->group = o->group > 0 ? (size_t)o->group : dim;
    g->groups = dim / g->group;
    g->parameters = parameters;
    g->format = (gyre_scale_format)o->scale;
    *state = g;
done:
    return st;
}

static size_t code_bytes(const gyre_grouped *g)
{
    return (g->dim * g->bits + 7) / 8;
}

size_t gyre_grouped_row_bytes(const void *state)
{
    const gyre_grouped *g = state;
    return code_bytes(g) + g->groups * g->parameters * (g->format == GYRE_SCALE_F32 ? 4 : 2);
}

bool gyre_scale_round(gyre_scale_format format, float value, float *rounded)
{
    *rounded = format == GYRE_SCALE_F32 ? value : gyre_half_to_float(gyre_half_from_float(value));
    return isfinite(*rounded);
}

uint8_t *gyre_scale_put(gyre_scale_format format, float value, uint8_t *at)
{
    uint32_t bits;
    if (format == GYRE_SCALE_F16) {
        uint16_t half = gyre_half_from_float(value);
        at[0] = (uint8_t)(half & 0xFFu);
        at[1] = (uint8_t)(half >> 8);
        return at + 2;
    }
    memcpy(&bits, &value, sizeof bits);
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(bits >> (8 * i) & 0xFFu);
    return at + 4;
}

const uint8_t *gyre_scale_get(gyre_scale_format format, const uint8_t *at, float *value)
{
    if (format == GYRE_SCALE_F16) {
        *value = gyre_half_to_float((uint16_t)(at[0] | at[1] << 8));
        return at + 2;
    }
    uint32_t bits = 0;
    for (unsigned i = 0; i < 4; i++)
        bits |= (uint32_t)at[i] << (8 * i);
    memcpy(value, &bits, sizeof bits);
    return at + 4;
}

void gyre_pack(const uint8_t *codes, size_t n, size_t bits, uint8_t *bytes)
{
    unsigned mask = (1u << bits) - 1u, window = 0, filled = 0;
    size_t pairs = bits == 4 ? n / 2 : 0; /* the common width in a loop that vectorises; what is left goes the general way */
    for (size_t i = 0; i < pairs; i++)
        bytes[i] = (uint8_t)((codes[2 * i] & 15u) | (unsigned)codes[2 * i + 1] << 4);
    bytes += pairs;
    for (size_t i = 2 * pairs; i < n; i++) {
        window |= (codes[i] & mask) << filled;
        filled += (unsigned)bits;
        if (filled >= 8) {
            *bytes++ = (uint8_t)(window & 0xFFu);
            window >>= 8;
            filled -= 8;
        }
    }
    if (filled > 0)
        *bytes = (uint8_t)(window & 0xFFu);
}

void gyre_unpack(const uint8_t *bytes, size_t n, size_t bits, uint8_t *codes)
{
    unsigned mask = (1u << bits) - 1u, window = 0, filled = 0;
    size_t pairs = bits == 4 ? n / 2 : 0;
    for (size_t i = 0; i < pairs; i++) {
        codes[2 * i] = bytes[i] & 15u;
        codes[2 * i + 1] = bytes[i] >> 4;
    }
    bytes += pairs;
    for (size_t i = 2 * pairs; i < n; i++) {
        if (filled < bits) {
            window |= (unsigned)*bytes++ << filled;
            filled += 8;
        }
        codes[i] = (uint8_t)(window & mask);
        window >>= bits;
        filled -= (unsigned)bits;
    }
}

void gyre_pack_wide(const uint16_t *codes, size_t n, size_t bits, uint8_t *bytes)
{
    uint32_t mask = (1u << bits) - 1u, window = 0;
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        window |= (codes[i] & mask) << filled;
        for (filled += bits; filled >= 8; filled -= 8, window >>= 8)
            *bytes++ = (uint8_t)(window & 0xFFu);
    }
    if (filled > 0)
        *bytes = (uint8_t)(window & 0xFFu);
}

void gyre_unpack_wide(const uint8_t *bytes, size_t n, size_t bits, uint16_t *codes)
{
    uint32_t mask = (1u << bits) - 1u, window = 0;
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        for (; filled < bits; filled += 8)
            window |= (uint32_t)*bytes++ << filled;
        codes[i] = (uint16_t)(window & mask);
        window >>= bits;
        filled -= bits;
    }
}
