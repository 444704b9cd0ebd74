/* Axes of figures (figure.h): ranges, and ticks with their labels.
 *
 * Ticks are chosen here, not by gnuplot, because labels with exponents would need its markup. A logarithmic axis has whole decades where three fit, else
 * 1-2-5 (1-3 where those are too many), else even steps (powers of two where asked); a linear one has even steps of 1, 2 or 5 times a power of ten.
 *
 * What it is not: for dates, categories or broken axes.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "results/figure.h"

gyre_axis gyre_axis_new(bool logarithmic, size_t most)
{
    return (gyre_axis){ (double)INFINITY, -(double)INFINITY, logarithmic, false, most };
}

void gyre_axis_hold(gyre_axis *axis, double value)
{
    if (!isfinite(value) || (axis->logarithmic && value <= 0.0))
        return;
    axis->lo = fmin(axis->lo, value);
    axis->hi = fmax(axis->hi, value);
}

void gyre_axis_pad(gyre_axis *axis, double share, double least)
{
    bool l = axis->logarithmic;
    if (axis->lo > axis->hi)
        axis->lo = axis->hi = l ? 1.0 : 0.0;
    double lo = l ? log(axis->lo) : axis->lo, hi = l ? log(axis->hi) : axis->hi;
    double length = fmax((hi - lo) * (1.0 + 2.0 * share), l ? log(least) : least), middle = lo + 0.5 * (hi - lo);
    axis->lo = l ? exp(middle - 0.5 * length) : middle - 0.5 * length;
    axis->hi = l ? exp(middle + 0.5 * length) : middle + 0.5 * length;
}

double gyre_axis_place(const gyre_axis *axis, double value)
{
    return axis->logarithmic ? log(value / axis->lo) / log(axis->hi / axis->lo) : (value - axis->lo) / (axis->hi - axis->lo);
}

/* 10 to the k, as people write it. */
static void power_text(int k, char *out, size_t size)
{
    static const char *const digits[] = { "\xE2\x81\xB0", "\xC2\xB9", "\xC2\xB2", "\xC2\xB3", "\xE2\x81\xB4", "\xE2\x81\xB5", "\xE2\x81\xB6", "\xE2\x81\xB7",
                                          "\xE2\x81\xB8", "\xE2\x81\xB9" };
    char plain[16];
    (void)snprintf(plain, sizeof plain, "%d", k < 0 ? -k : k);
    int n = snprintf(out, size, "10%s", k < 0 ? "\xE2\x81\xBB" : "");
    for (const char *p = plain; *p != '\0' && n > 0 && (size_t)n < size; p++)
        n += snprintf(out + n, size - (size_t)n, "%s", digits[*p - '0']);
}

static void tick(FILE *f, bool *first, const char *label, double value, bool minor)
{
    (void)fprintf(f, "%s'%s' %.12g%s", *first ? "" : ", ", label, value, minor ? " 1" : "");
    *first = false;
}

/* Whole decades lo <= 10^k <= hi. */
static void decades(const gyre_axis *a, int *from, int *to)
{
    *from = (int)ceil(log10(a->lo) - 1e-9);
    *to = (int)floor(log10(a->hi) + 1e-9);
}

static void decade_ticks(FILE *f, const gyre_axis *a, int from, int to)
{
    bool first = true;
    int step = 1 + (to - from) / (int)a->most;
    bool plain = from >= -2 && to <= 3;
    for (int k = from - 1; k <= to; k++) {
        char label[64] = "";
        double value = pow(10.0, k);
        if (plain)
            (void)snprintf(label, sizeof label, "%g", value);
        else
            power_text(k, label, sizeof label);
        if (k >= from)
            tick(f, &first, (k - from) % step == 0 ? label : "", value, (k - from) % step != 0);
        for (int m = 2; m <= 9 && to - from < 7; m++)
            if (m * value >= a->lo && m * value <= a->hi)
                tick(f, &first, "", m * value, true);
    }
}

/* 0.02, or 2 times a power of ten where that is long. */
static void value_text(double value, bool plain, char *out, size_t size)
{
    char power[48];
    if (plain || fabs(value) < DBL_MIN) {
        (void)snprintf(out, size, "%.6g", value);
        return;
    }
    int k = (int)floor(log10(fabs(value)) + 1e-9);
    double mantissa = value / pow(10.0, k);
    power_text(k, power, sizeof power);
    if (fabs(mantissa - 1.0) < 1e-9)
        (void)snprintf(out, size, "%s", power);
    else
        (void)snprintf(out, size, "%.4g\xC3\x97%s", mantissa, power);
}

static bool plain_values(const gyre_axis *a)
{
    double most = fmax(fabs(a->lo), fabs(a->hi));
    return most >= 2e-3 && most < 1e5;
}

/* 1, 2, 5 (or 1, 3 where those are too many) times powers of ten; returns how many labels, and draws where f is not NULL. */
static size_t digit_ticks(FILE *f, const gyre_axis *a, bool coarse)
{
    bool first = true;
    size_t n = 0;
    for (int k = (int)floor(log10(a->lo)); k <= (int)ceil(log10(a->hi)); k++)
        for (int m = 1; m <= 9; m++) {
            double value = m * pow(10.0, k);
            bool labelled = coarse ? m == 1 || m == 3 : m == 1 || m == 2 || m == 5;
            char label[64] = "";
            if (value < a->lo || value > a->hi)
                continue;
            n += labelled;
            if (f == NULL)
                continue;
            if (labelled)
                value_text(value, a->lo >= 1e-3 && plain_values(a), label, sizeof label);
            tick(f, &first, label, value, !labelled);
        }
    return n;
}

/* Powers of two, and one and a half times them where those fit too. */
static void binary_ticks(FILE *f, const gyre_axis *a)
{
    bool first = true, halves = 2.0 * log2(a->hi / a->lo) <= (double)a->most;
    for (int k = (int)floor(log2(a->lo)); k <= (int)ceil(log2(a->hi)); k++)
        for (int half = 0; half < 2; half++) {
            double value = (half == 0 ? 1.0 : 1.5) * pow(2.0, k);
            char label[64] = "";
            if (value < a->lo || value > a->hi)
                continue;
            if (half == 0 || halves)
                value_text(value, true, label, sizeof label);
            tick(f, &first, label, value, half == 1 && !halves);
        }
}

/* Even steps of 1, 2 or 5 times a power of ten. */
static void even_ticks(FILE *f, const gyre_axis *a)
{
    static const double steps[] = { 1.0, 2.0, 5.0, 10.0 };
    bool first = true;
    double raw = (a->hi - a->lo) / (double)a->most, power = pow(10.0, floor(log10(raw))), step = steps[3] * power;
    for (size_t i = 4; i-- > 0;)
        if (steps[i] * power >= raw)
            step = steps[i] * power;
    for (double k = ceil(a->lo / step - 1e-9); k * step <= a->hi + 1e-9 * step; k += 1.0) {
        char label[64];
        value_text(fabs(k) < 0.5 ? 0.0 : k * step, plain_values(a), label, sizeof label);
        tick(f, &first, label, k * step, false);
    }
}

void gyre_panel_axis(gyre_page *page, char which, const gyre_axis *axis)
{
    FILE *f = page->plot;
    int from = 0, to = -1;
    (void)fprintf(f, "set %crange [%.12g:%.12g]\n%s logscale %c\nset %ctics (", which, axis->lo, axis->hi, axis->logarithmic ? "set" : "unset", which, which);
    if (axis->logarithmic)
        decades(axis, &from, &to);
    if (axis->logarithmic && axis->binary && axis->hi / axis->lo > 2.0)
        binary_ticks(f, axis);
    else if (to - from >= 2)
        decade_ticks(f, axis, from, to);
    else if (axis->logarithmic && digit_ticks(NULL, axis, false) > axis->most && digit_ticks(NULL, axis, true) >= 2)
        (void)digit_ticks(f, axis, true);
    else if (axis->logarithmic && digit_ticks(NULL, axis, false) >= 3)
        (void)digit_ticks(f, axis, false);
    else
        even_ticks(f, axis);
    (void)fputs(")\n", f);
}
