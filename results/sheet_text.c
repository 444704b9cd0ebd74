/* Numbers and characters of tables.
 *
 *   digits of an interval = floor(log10 |value|) - floor(log10 ((hi - lo)/2)) + 1, at least 3 and at most 8; its ends have as many decimals as the value: 0.760 [0.660, 0.861]
 *
 * Widths are those of a terminal: combining marks 0, East Asian wide and emoji 2 (Unicode Standard Annex 11, by blocks). What it is not: a full table of Unicode.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/sheet_parts.h"

enum { DIGITS = 3, DIGITS_MOST = 8, DECIMALS_MOST = 6 };
#define FIXED_MOST 1e9 /* larger ones, and a value below 1e-4, take an exponent */

/* ---- numbers ---- */

static double plain(double x)
{
    return x == 0.0 ? 0.0 : x; /* no "-0" */
}

void gyre_sheet_number_text(double value, char text[GYRE_SHEET_NUMBER])
{
    if (isnan(value))
        (void)snprintf(text, GYRE_SHEET_NUMBER, "-");
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*g", DIGITS, plain(value));
}

static int digits_for(double value, double half)
{
    if (!isfinite(value) || !isfinite(half) || value == 0.0 || half <= 0.0)
        return DIGITS;
    double n = floor(log10(fabs(value))) - floor(log10(half)) + 1.0;
    return n < DIGITS ? DIGITS : n > DIGITS_MOST ? DIGITS_MOST : (int)n;
}

void gyre_sheet_interval_text(double value, double lo, double hi, char text[GYRE_SHEET_NUMBER])
{
    if (isnan(value) || isnan(lo) || isnan(hi)) {
        gyre_sheet_number_text(value, text);
        return;
    }
    int n = digits_for(value, 0.5 * (hi - lo)), decimals = value == 0.0 || !isfinite(value) ? -1 : n - 1 - (int)floor(log10(fabs(value)));
    bool fixed = decimals >= 0 && decimals <= DECIMALS_MOST && fabs(lo) < FIXED_MOST && fabs(hi) < FIXED_MOST;
    if (fixed)
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*f [%.*f, %.*f]", decimals, value, decimals, plain(lo), decimals, plain(hi));
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*g [%.*g, %.*g]", n, plain(value), n, plain(lo), n, plain(hi));
}

void gyre_sheet_p_text(double p, char text[GYRE_SHEET_NUMBER])
{
    if (isnan(p))
        (void)snprintf(text, GYRE_SHEET_NUMBER, "-");
    else if (p < 1e-300)
        (void)snprintf(text, GYRE_SHEET_NUMBER, "<1e-300");
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, p < 0.001 ? "%.1e" : "%.3f", p);
}

void gyre_sheet_exact_text(double value, char text[GYRE_SHEET_NUMBER])
{
    if (!isfinite(value)) {
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%s", isnan(value) ? "nan" : value > 0.0 ? "inf" : "-inf");
        return;
    }
    for (int n = 15; n <= 17; n++) {
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*g", n, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

static void error_text(const gyre_sheet_column *column, const gyre_sheet_cell *cell, char text[GYRE_SHEET_NUMBER])
{
    int n = digits_for(cell->value, cell->lo);
    if (isnan(cell->value) || isnan(cell->lo))
        gyre_sheet_number_text(cell->value, text);
    else if (column->decimals > 0)
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*f +- %.*f", column->decimals, cell->value, column->decimals, cell->lo);
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.*g +- %.2g", n, plain(cell->value), plain(cell->lo));
}

static void change_text(const gyre_sheet_cell *cell, char text[GYRE_SHEET_NUMBER])
{
    if (isnan(cell->value) || isnan(cell->lo))
        gyre_sheet_number_text(cell->value, text);
    else if (cell->value > 0.0)
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.3g -> %.3g (x%.3g)", cell->value, plain(cell->lo), plain(cell->lo / cell->value));
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.3g -> %.3g", plain(cell->value), plain(cell->lo));
}

const char *gyre_sheet_cell_text(const gyre_sheet_column *column, const gyre_sheet_cell *cell, char number[GYRE_SHEET_NUMBER])
{
    char *at = number;
    if (cell->text != NULL)
        return cell->text;
    if (cell->times && !isnan(cell->value))
        *at++ = 'x';
    char text[GYRE_SHEET_NUMBER];
    switch (column->kind) {
    case GYRE_SHEET_COUNT:
        (void)snprintf(text, sizeof text, isnan(cell->value) ? "-" : "%.0f", cell->value);
        break;
    case GYRE_SHEET_P:
        gyre_sheet_p_text(cell->value, text);
        break;
    case GYRE_SHEET_ERROR:
        error_text(column, cell, text);
        break;
    case GYRE_SHEET_CHANGE:
        change_text(cell, text);
        break;
    case GYRE_SHEET_WORD:
    case GYRE_SHEET_REAL:
    case GYRE_SHEET_INTERVAL:
        gyre_sheet_interval_text(cell->value, cell->lo, cell->hi, text);
        if (column->decimals > 0 && !isnan(cell->value))
            (void)snprintf(text, sizeof text, "%.*f", column->decimals, cell->value);
        break;
    }
    (void)snprintf(at, (size_t)(GYRE_SHEET_NUMBER - (at - number)), "%.*s", GYRE_SHEET_NUMBER - 2, text);
    return number;
}

/* ---- characters ---- */

uint32_t gyre_sheet_character(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    size_t more = p[0] < 0x80 ? 0 : p[0] >= 0xC2 && p[0] < 0xE0 ? 1 : p[0] >= 0xE0 && p[0] < 0xF0 ? 2 : p[0] >= 0xF0 && p[0] < 0xF5 ? 3 : 9;
    *at += 1;
    if (more == 9)
        return 0xFFFD;
    uint32_t c = more == 0 ? p[0] : p[0] & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10FFFF)) || (c >= 0xD800 && c < 0xE000))
        return 0xFFFD;
    *at += more;
    return c;
}

typedef struct range {
    uint32_t first, last;
} range;

static bool within(uint32_t c, const range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

int gyre_sheet_character_width(uint32_t c)
{
    static const range none[] = {{0x300, 0x36F}, {0x483, 0x489}, {0x591, 0x5BD}, {0x64B, 0x65F}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
    static const range wide[] = {{0x1100, 0x115F}, {0x2E80, 0x303E}, {0x3041, 0xA4CF}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
    if (within(c, none, sizeof none / sizeof *none))
        return 0;
    return within(c, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

bool gyre_sheet_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void gyre_sheet_put_character(uint32_t c, FILE *stream)
{
    if (c < 0x80) {
        (void)fputc((int)c, stream);
    } else if (c < 0x800) {
        (void)fputc((int)(0xC0 | c >> 6), stream);
        (void)fputc((int)(0x80 | (c & 0x3F)), stream);
    } else if (c < 0x10000) {
        (void)fputc((int)(0xE0 | c >> 12), stream);
        (void)fputc((int)(0x80 | (c >> 6 & 0x3F)), stream);
        (void)fputc((int)(0x80 | (c & 0x3F)), stream);
    } else {
        (void)fputc((int)(0xF0 | c >> 18), stream);
        (void)fputc((int)(0x80 | (c >> 12 & 0x3F)), stream);
        (void)fputc((int)(0x80 | (c >> 6 & 0x3F)), stream);
        (void)fputc((int)(0x80 | (c & 0x3F)), stream);
    }
}
