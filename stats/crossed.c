/* crossed: S seeds x D documents, both random, one difference each.
 *
 *   d[s][j] = mu + seed[s] + document[j] + residual[s][j],   the three independent with variances a, b, e
 *
 *   MS_seed = D sum_s (d[s][.] - d[.][.])^2 / (S - 1)                                    expects e + D a
 *   MS_doc  = S sum_j (d[.][j] - d[.][.])^2 / (D - 1)                                    expects e + S b
 *   MS_res  = sum (d[s][j] - d[s][.] - d[.][j] + d[.][.])^2 / ((S - 1)(D - 1))           expects e
 *
 *   V = MS_seed + MS_doc - MS_res        se^2 = V / (S D)      because var(mean) = a/S + b/D + e/(SD)
 *   1/df = (MS_seed/V)^2 / (S - 1) + (MS_doc/V)^2 / (D - 1) + (MS_res/V)^2 / ((S - 1)(D - 1))
 *
 * References: Satterthwaite, Biometrics Bulletin 2 (1946) 110-114; Searle, Casella, McCulloch, "Variance Components" (1992), chapter 4.
 * Shapes: S >= 2, D >= 2. One document or one seed says nothing about others, whatever the other number is. Cost: O(S D).
 *
 * Two rules keep the test from claiming too much where the plain formula fails:
 * 1. A component below zero counts as zero: V = max(MS_seed, MS_res) + max(MS_doc, MS_res) - MS_res, in both lines above. This is the plain formula
 *    wherever that gives at least max(MS_seed, MS_doc), and continues it where it gives less or even a negative number. V is never below any mean
 *    square, so se = 0 only where all differences are equal.
 * 2. With two levels of a factor df is at most 1. Their mean square then has one degree of freedom, is small too often, and Satterthwaite's
 *    approximation with it.
 *
 * What it is not: a test of whether seeds or documents matter, or one for unbalanced samples. Satterthwaite's df is an approximation;
 * docs/statistics.md has measured error rates.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/stats.h"

typedef struct mean_squares {
    double seed, document, residual;
} mean_squares;

static bool applicable(size_t seeds, size_t documents, char *why, size_t why_size)
{
    if (seeds < 2) {
        (void)snprintf(why, why_size, "%zu seed(s) have no spread: draw at least 2, or use paired_t where neither arm is seeded", seeds);
        return false;
    }
    if (documents < 2) {
        (void)snprintf(why, why_size, "%zu document(s) have no spread and seeds cannot stand in for them: evaluate at least 2", documents);
        return false;
    }
    return true;
}

static gyre_status analyse(const double *d, size_t seeds, size_t documents, double mean, mean_squares *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *by_seed = NULL, *by_document = NULL;
    GYRE_NEW(&by_seed, seeds);
    GYRE_NEW(&by_document, documents);
    for (size_t s = 0; s < seeds; s++)
        by_seed[s] = gsl_stats_mean(d + s * documents, 1, documents);
    for (size_t j = 0; j < documents; j++)
        by_document[j] = gsl_stats_mean(d + j, documents, seeds);
    double sum = 0.0;
    for (size_t s = 0; s < seeds; s++)
        for (size_t j = 0; j < documents; j++) {
            double r = (d[s * documents + j] - by_seed[s]) - (by_document[j] - mean);
            sum += r * r;
        }
    out->seed = (double)documents * gsl_stats_variance_m(by_seed, 1, seeds, mean);
    out->document = (double)seeds * gsl_stats_variance_m(by_document, 1, documents, mean);
    out->residual = sum / ((double)(seeds - 1) * (double)(documents - 1));
done:
    free(by_seed);
    free(by_document);
    return st;
}

static double satterthwaite(const mean_squares *ms, double v, size_t seeds, size_t documents)
{
    double s = ms->seed / v, j = ms->document / v, r = ms->residual / v; /* at most 1 each: nothing overflows */
    double df_s = (double)(seeds - 1), df_j = (double)(documents - 1);
    double df = 1.0 / (s * s / df_s + j * j / df_j + r * r / (df_s * df_j));
    return seeds == 2 || documents == 2 ? fmin(df, 1.0) : df;
}

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_estimate_begin(&gyre_test_crossed, d, seeds, documents, out, err));
    mean_squares ms = { 0.0, 0.0, 0.0 };
    if (!out->degenerate)
        GYRE_TRY(analyse(d, seeds, documents, out->mean, &ms, err));
    double seed = fmax(ms.seed - ms.residual, 0.0), document = fmax(ms.document - ms.residual, 0.0);
    out->sd_seed = sqrt(seed / (double)documents);
    out->sd_document = sqrt(document / (double)seeds);
    out->sd_residual = sqrt(ms.residual);
    if (out->degenerate)
        goto done;
    double v = seed + document + ms.residual;
    double variance = v / ((double)seeds * (double)documents);
    GYRE_TRY(gyre_estimate_end(variance, satterthwaite(&ms, v, seeds, documents), out, err));
done:
    return st;
}

const gyre_test_type gyre_test_crossed = {
    .name = "crossed",
    .summary = "seeds x documents as crossed random factors, Satterthwaite degrees of freedom",
    .source = "Satterthwaite, Biometrics Bulletin 2 (1946) 110-114; Searle, Casella, McCulloch, Variance Components (1992)",
    .applicable = applicable,
    .estimate = estimate,
};
