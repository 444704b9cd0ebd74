#include "tests/null_levels.h"

#include <math.h>
#include <string.h>

#define CAPTURE(law, S, D, a, b, e) { NULL_CAPTURE, NULL_##law, S, D, a, b, e, 0.0 }
#define CHUNKS(law, S, D, a, b, e) { NULL_CHUNKS, NULL_##law, S, D, a, b, e, 0.0 }
#define TEXTS(law, S, D, a, b, e) { NULL_TEXTS, NULL_##law, S, D, a, b, e, 0.0 }

/* paired_t is nominal for normal documents; crossed where one mean square rules or both are well above the residual. */
const null_level null_levels[] = {
    { "paired_t", CAPTURE(NORMAL, 1, 6, 0, 1, 0), NULL_EXACT, 0, 0, true },
    { "paired_t", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_EXACT, 0, 0, false },
    { "paired_t", CHUNKS(NORMAL, 1, 16, 0, 1, 0.5), NULL_EXACT, 0, 0, true },
    { "paired_t", TEXTS(NORMAL, 1, 12, 0, 1, 0.5), NULL_EXACT, 0, 0, true },
    { "paired_t", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_AT_MOST, 0, 0, false },
    { "paired_t", CAPTURE(SKEWED, 1, 12, 0, 1, 0), NULL_LIBERAL, 0.12, 0.16, false },
    { "paired_t", CAPTURE(SKEWED, 1, 40, 0, 1, 0), NULL_LIBERAL, 0.08, 0.11, false },
    { "crossed", CAPTURE(NORMAL, 8, 12, 1, 0.02, 0.1), NULL_APPROXIMATE, 0, 0, true },
    { "crossed", CAPTURE(NORMAL, 32, 12, 1, 0.02, 0.1), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 8, 12, 0, 1, 0.1), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 32, 12, 0, 1, 0.1), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 8, 12, 0.7, 0.9, 0.2), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 16, 12, 0.5, 0.5, 1), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 32, 12, 0.8, 0.5, 0.1), NULL_APPROXIMATE, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 32, 12, 0, 0, 1), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 8, 12, 0.05, 0.05, 1), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 3, 12, 1, 0.02, 0.5), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 32, 3, 0.3, 0.4, 1), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 2, 12, 1, 0.02, 0.5), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(NORMAL, 32, 2, 0.3, 0.4, 1), NULL_AT_MOST, 0, 0, false },
    { "crossed", CHUNKS(NORMAL, 8, 16, 0.5, 1, 0.5), NULL_APPROXIMATE, 0, 0, true },
    { "crossed", TEXTS(NORMAL, 8, 6, 1, 0.5, 0.5), NULL_APPROXIMATE, 0, 0, true },
    { "crossed", CAPTURE(HEAVY, 8, 12, 0.7, 0.9, 0.2), NULL_AT_MOST, 0, 0, false },
    { "crossed", CAPTURE(SKEWED, 8, 12, 0.7, 0.9, 0.2), NULL_LIBERAL, 0.09, 0.11, false },
    { "wilcoxon", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_EXACT, 0, 0, true },
    { "wilcoxon", CAPTURE(NORMAL, 1, 30, 0, 1, 0.5), NULL_EXACT, 0, 0, false },
    { "wilcoxon", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_EXACT, 0, 0, false },
    { "wilcoxon", CAPTURE(SKEWED, 1, 12, 0, 1, 0), NULL_LIBERAL, 0.08, 0.08, false },
    { "sign", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_EXACT, 0, 0, true },
    { "sign", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_EXACT, 0, 0, false },
    { "sign", CAPTURE(SKEWED, 1, 30, 0, 1, 0), NULL_EXACT, 0, 0, false },
    { "sign_flip", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_EXACT, 0, 0, true },
    { "sign_flip", CAPTURE(NORMAL, 1, 30, 0, 1, 0.5), NULL_EXACT, 0, 0, false },
    { "sign_flip", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_EXACT, 0, 0, false },
    { "sign_flip", CAPTURE(SKEWED, 1, 12, 0, 1, 0), NULL_LIBERAL, 0.12, 0.16, false },
    { "bootstrap", CAPTURE(NORMAL, 1, 8, 0, 1, 0.5), NULL_LIBERAL, 0.14, 0.11, true },
    { "bootstrap", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_LIBERAL, 0.11, 0.09, false },
    { "bootstrap", CAPTURE(NORMAL, 1, 30, 0, 1, 0.5), NULL_LIBERAL, 0.075, 0.07, false },
    { "bootstrap", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_LIBERAL, 0.14, 0.11, false },
    { "bootstrap", CAPTURE(SKEWED, 1, 30, 0, 1, 0), NULL_LIBERAL, 0.11, 0.12, false },
    { "bca", CAPTURE(NORMAL, 1, 8, 0, 1, 0.5), NULL_LIBERAL, 0.14, 0.11, true },
    { "bca", CAPTURE(NORMAL, 1, 12, 0, 1, 0.5), NULL_LIBERAL, 0.11, 0.09, false },
    { "bca", CAPTURE(NORMAL, 1, 30, 0, 1, 0.5), NULL_LIBERAL, 0.075, 0.07, false },
    { "bca", CAPTURE(HEAVY, 1, 12, 0, 1, 0), NULL_LIBERAL, 0.14, 0.11, false },
    { "bca", CAPTURE(SKEWED, 1, 30, 0, 1, 0), NULL_LIBERAL, 0.11, 0.12, false },
    { "crossed_bootstrap", CAPTURE(NORMAL, 8, 12, 1, 0.02, 0.1), NULL_LIBERAL, 0.14, 0.11, true },
    { "crossed_bootstrap", CAPTURE(NORMAL, 16, 12, 0.5, 0.5, 1), NULL_LIBERAL, 0.08, 0.08, false },
    { "crossed_bootstrap", CAPTURE(NORMAL, 16, 30, 0.8, 0.5, 0.1), NULL_LIBERAL, 0.1, 0.09, false },
    { "crossed_bootstrap", CAPTURE(NORMAL, 16, 12, 0.05, 0.05, 1), NULL_AT_MOST, 0, 0, false },
    { NULL, CAPTURE(NORMAL, 0, 0, 0, 0, 0), NULL_EXACT, 0, 0, false },
};

/* Exponential less 1: median log 2 - 1; of the mean of two, a gamma variable with shape 2 (median 1.678346990016661) over 2, less 1. */
double null_centre(const char *test, null_law law)
{
    if (law != NULL_SKEWED)
        return 0.0;
    return strcmp(test, "sign") == 0 ? log(2.0) - 1.0 : strcmp(test, "wilcoxon") == 0 ? 0.5 * 1.678346990016661 - 1.0 : 0.0;
}

/* ---- levels of tests with countable outcomes ---- */

/* Largest probability of a lower tail that is below a, of a whole number whose outcomes 0..n have these chances. */
static double largest_tail(const double *chance, size_t n, double a)
{
    double sum = 0.0, most = 0.0;
    for (size_t k = 0; k <= n && sum < a; k++) {
        most = sum;
        sum += chance[k];
    }
    return sum < a ? sum : most;
}

enum { MOST_DOCUMENTS = 40, MOST_SUM = MOST_DOCUMENTS * (MOST_DOCUMENTS + 1) / 2 };

/* One-sided: rank sums of n fair coins, coin i worth i + 1 (ranks) or 1 (signs). */
static double coin_level(size_t n, bool ranks, double a)
{
    double chance[MOST_SUM + 1] = { 1.0 };
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        size_t worth = ranks ? i + 1 : 1;
        most += worth;
        for (size_t k = most + 1; k-- > 0;)
            chance[k] = 0.5 * chance[k] + (k >= worth ? 0.5 * chance[k - worth] : 0.0);
    }
    return largest_tail(chance, most, a);
}

/* Places 1..n that a sample has with equal chances among its flips: those whose share is below a. */
static double place_level(double n, double a)
{
    return (ceil(a * n) - 1.0) / n;
}

static double one_sided_level(const char *test, size_t documents, double a)
{
    if (strcmp(test, "wilcoxon") == 0 || strcmp(test, "sign") == 0)
        return coin_level(documents, test[0] == 'w', a);
    if (strcmp(test, "sign_flip") == 0)
        return place_level(documents <= 25 ? ldexp(1.0, (int)documents) : 10000.0, a);
    return a;
}

null_bounds null_level_bounds(const null_level *l)
{
    double two = 2.0 * one_sided_level(l->test, l->design.documents, 0.025), one = one_sided_level(l->test, l->design.documents, 0.05);
    if (l->kind == NULL_EXACT)
        return (null_bounds){ two, two, one, one };
    if (l->kind == NULL_APPROXIMATE)
        return (null_bounds){ 0.04, 0.05, 0.04, 0.05 };
    return l->kind == NULL_AT_MOST ? (null_bounds){ 0.0, 0.05, 0.0, 0.05 } : (null_bounds){ 0.0, l->two, 0.0, l->one };
}

/* ---- families ---- */

#define TWELVE CAPTURE(NORMAL, 1, 12, 0, 1, 0.5)
#define EIGHT_BY_TWELVE CAPTURE(NORMAL, 8, 12, 0.7, 0.9, 0.2)

const null_family null_families[] = {
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 0, false, false, true },
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 0, true, false, false },
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 3, false, false, false },
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 0, false, true, true },
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_WITHIN, 0, false, false, true },
    { "auto", "holm", "equivalent", TWELVE, NULL_FALSE_WITHIN, 0, true, false, false },
    { "auto", "holm", "not_worse", TWELVE, NULL_FALSE_WITHIN, 0, false, false, true },
    { "auto", "holm", "equivalent", EIGHT_BY_TWELVE, NULL_FALSE_DIFFERS, 0, false, false, false },
    { "auto", "holm", "equivalent", EIGHT_BY_TWELVE, NULL_FALSE_WITHIN, 0, false, false, false },
    { "auto", "holm", "not_worse", EIGHT_BY_TWELVE, NULL_FALSE_WITHIN, 0, true, false, false },
    { "wilcoxon", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 0, false, false, false },
    { "sign_flip", "holm", "equivalent", TWELVE, NULL_FALSE_DIFFERS, 0, false, false, false },
    { "auto", "bh", "equivalent", TWELVE, NULL_FALSE_SHARE, 3, false, false, true },
    { "auto", "bh", "equivalent", TWELVE, NULL_FALSE_SHARE, 3, true, false, false },
    { "auto", "by", "equivalent", TWELVE, NULL_FALSE_SHARE, 3, false, false, true },
    { "auto", "by", "equivalent", TWELVE, NULL_FALSE_SHARE, 3, true, false, false },
    { "auto", "bh", "equivalent", EIGHT_BY_TWELVE, NULL_FALSE_SHARE, 3, false, false, false },
    { NULL, NULL, NULL, TWELVE, NULL_FALSE_DIFFERS, 0, false, false, false },
};

double null_family_rate(const null_family *f, size_t m)
{
    double n = (double)m, harmonic = 0.0;
    for (size_t i = 1; i <= m; i++)
        harmonic += 1.0 / (double)i;
    if (f->what == NULL_FALSE_SHARE)
        return 0.05 * (n - (double)f->effects) / n / (f->exact && strcmp(f->correction, "by") == 0 ? harmonic : 1.0);
    return f->exact ? 1.0 - pow(1.0 - 0.05 / n, n) : 0.05;
}

/* ---- power ---- */

#define CROSSED CAPTURE(NORMAL, 16, 12, 0.5, 0.5, 1)

const null_power null_powers[] = {
    { "equivalent", TWELVE, 1.0, 0.0 }, { "equivalent", TWELVE, 2.0, 0.0 },  { "equivalent", TWELVE, 3.0, 0.0 },  { "equivalent", TWELVE, 4.0, 0.0 },  { "equivalent", TWELVE, 0.0, 2.5 },
    { "equivalent", TWELVE, 0.0, 3.5 }, { "equivalent", TWELVE, 1.0, 3.5 },  { "equivalent", TWELVE, 2.0, 3.5 },  { "not_worse", TWELVE, 0.0, 2.5 },   { "not_worse", TWELVE, -1.0, 2.5 },
    { "equivalent", CROSSED, 1.0, 0.0 }, { "equivalent", CROSSED, 2.0, 0.0 }, { "equivalent", CROSSED, 3.0, 0.0 }, { "equivalent", CROSSED, 4.0, 0.0 }, { "equivalent", CROSSED, 0.0, 2.5 },
    { "equivalent", CROSSED, 0.0, 3.5 }, { "equivalent", CROSSED, 1.0, 3.5 }, { "equivalent", CROSSED, 2.0, 3.5 }, { "not_worse", CROSSED, 0.0, 2.5 },  { NULL, TWELVE, 0.0, 0.0 },
};
