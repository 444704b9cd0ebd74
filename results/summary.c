/* Summaries of single arms and pairs that two metrics order oppositely; definitions in summary.h.
 *
 * Both rest on the units of compare.h: u[s][j], mean over layers and heads of log(metric) (or of the metric), one number per seed and document. A summary
 * is the mean of u with the interval of the test for that shape; a discord needs the paired interval of u_one - u_other to exclude 0 for both metrics,
 * with opposite signs. An interval is NaN where the test does not apply, where u has no spread, or where its square leaves the range of double.
 *
 * What it is not: a place for verdicts. Nothing here is adjusted for a family and no margin is read.
 */
#include "results/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stats/stats.h"
#include "stats/verdict.h"

/* ---- what is to be summarised ---- */

typedef struct arm_point {
    size_t source;
    const char *arm, *point, *streams;
    double payload_bits, total_bits, read_bits; /* mean over the cells that are OK (blocks: by their chunks); NaN without any */
} arm_point;

static bool same(const arm_point *a, const gyre_cell *c)
{
    return a->source == c->source && strcmp(a->arm, c->arm) == 0 && strcmp(a->point, c->point) == 0;
}

/* Every (source, arm, point) of the table, in the order in which cells name them, source by source. */
static gyre_status list_arms(const gyre_table *table, arm_point **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t *cells = NULL;
    *count = 0;
    GYRE_NEW(out, table->n_cells);
    GYRE_NEW(&cells, table->n_cells);
    for (size_t source = 0; source < table->n_sources; source++)
        for (size_t i = 0, first = *count; i < table->n_cells; i++) {
            const gyre_cell *c = &table->cells[i];
            if (c->source != source)
                continue;
            size_t k = first;
            while (k < *count && !same(&(*out)[k], c))
                k++;
            arm_point *a = &(*out)[k];
            if (k == *count) {
                *a = (arm_point){ source, c->arm, c->point, c->streams, 0.0, 0.0, 0.0 };
                (*count)++;
            }
            if (c->status == GYRE_CELL_OK) {
                size_t weight = table->sources[source].kind == GYRE_SOURCE_MODEL ? c->n_documents : 1;
                a->payload_bits += c->payload_bits * (double)weight;
                a->total_bits += c->total_bits * (double)weight;
                a->read_bits += c->read_bits * (double)weight;
                cells[k] += weight;
            }
        }
    for (size_t k = 0; k < *count; k++) {
        double n = cells[k] == 0 ? (double)NAN : (double)cells[k];
        (*out)[k].payload_bits /= n;
        (*out)[k].total_bits /= n;
        (*out)[k].read_bits /= n;
    }
done:
    free(cells);
    return st;
}

/* ---- one number with an interval ---- */

static gyre_status interval_of(const double *d, size_t seeds, size_t documents, bool seeded, double alpha, gyre_interval *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_margin none = { false, 0.0, 0.0 };
    const gyre_test_type *test = seeded ? gyre_test_find("crossed") : gyre_test_default(1, documents);
    gyre_estimate e;
    gyre_judgement j;
    char why[GYRE_TEST_WHY];
    double sum = 0.0;
    for (size_t i = 0; i < seeds * documents; i++)
        sum += d[i];
    *out = (gyre_interval){ sum / (double)(seeds * documents), (double)NAN, (double)NAN };
    if (!test->applicable(seeds, documents, why, sizeof why))
        goto done;
    gyre_status tested = test->estimate(d, seeds, documents, &e, err);
    if (tested == GYRE_E_RANGE) /* too wide or too narrow for double: a mean without an interval */
        goto done;
    GYRE_TRY(tested);
    GYRE_TRY(gyre_judge(&e, &none, alpha, &j, err));
    *out = (gyre_interval){ e.mean, j.lo, j.hi };
done:
    return st;
}

/* u[seed][document] of an arm, its mean over layers; seeds may exceed those of an arm without seeds, which is the same for all. */
static void layer_average(const gyre_arm_units *arm, size_t seeds, double *u)
{
    size_t documents = arm->n_documents;
    for (size_t s = 0; s < seeds; s++)
        for (size_t j = 0; j < documents; j++) {
            double sum = 0.0;
            for (size_t l = 0; l < arm->n_layers; l++)
                sum += arm->values[(l * arm->n_seeds + (arm->seeded ? s : 0)) * documents + j];
            u[s * documents + j] = sum / (double)arm->n_layers;
        }
}

gyre_status gyre_paired_interval(const gyre_arm_units *one, const gyre_arm_units *other, double alpha, gyre_interval *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool seeded = one->seeded || other->seeded;
    size_t seeds = one->n_seeds > other->n_seeds ? one->n_seeds : other->n_seeds, n = seeds * one->n_documents;
    double *d = NULL, *u = NULL;
    GYRE_NEW(&d, n);
    GYRE_NEW(&u, n);
    layer_average(one, seeds, d);
    layer_average(other, seeds, u);
    for (size_t i = 0; i < n; i++)
        d[i] -= u[i];
    GYRE_TRY(interval_of(d, seeds, one->n_documents, seeded, alpha, out, err));
done:
    free(d);
    free(u);
    return st;
}

/* ---- summaries ---- */

static gyre_status layer_means(gyre_table *table, const gyre_arm_units *units, gyre_summary *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = units->n_seeds * units->n_documents;
    GYRE_TRY(gyre_table_keep(table, units->n_layers, sizeof *s->layer_mean, &s->layer_mean, err));
    for (size_t l = 0; l < units->n_layers; l++) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++)
            sum += units->values[l * n + i];
        s->layer_mean[l] = s->geometric ? exp(sum / (double)n) : sum / (double)n;
    }
done:
    return st;
}

static gyre_status fill_numbers(gyre_table *table, const gyre_arm_units *units, double alpha, gyre_summary *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *u = NULL;
    gyre_interval i;
    s->n_seeds = units->n_seeds;
    s->n_documents = units->n_documents;
    GYRE_NEW(&u, units->n_seeds * units->n_documents);
    layer_average(units, units->n_seeds, u);
    GYRE_TRY(interval_of(u, units->n_seeds, units->n_documents, units->seeded, alpha, &i, err));
    s->mean = s->geometric ? exp(i.mean) : i.mean;
    s->lo = s->geometric ? exp(i.lo) : i.lo;
    s->hi = s->geometric ? exp(i.hi) : i.hi;
    GYRE_TRY(layer_means(table, units, s, err));
done:
    free(u);
    return st;
}

static gyre_status summarise_one(gyre_table *table, const arm_point *a, size_t metric, double alpha, gyre_summary *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units units;
    bool model = table->sources[a->source].kind == GYRE_SOURCE_MODEL;
    *s = (gyre_summary){ .source = a->source, .metric = metric, .arm = a->arm, .point = a->point, .streams = a->streams, .geometric = !model && strcmp(table->metric_units[metric], "share") != 0,
                         .mean = (double)NAN, .lo = (double)NAN, .hi = (double)NAN, .payload_bits = a->payload_bits, .total_bits = a->total_bits, .read_bits = a->read_bits };
    GYRE_TRY(gyre_arm_units_get(table, a->source, a->arm, a->point, metric, s->geometric, &units, err));
    if (s->geometric && strcmp(units.status, "DEGENERATE") == 0) {
        s->geometric = false;
        GYRE_TRY(gyre_arm_units_get(table, a->source, a->arm, a->point, metric, false, &units, err));
    }
    s->status = strcmp(units.status, "DEGENERATE") == 0 ? "UNDEFINED" : units.status;
    s->reason = units.reason;
    s->seeded = units.seeded;
    if (units.values != NULL)
        GYRE_TRY(fill_numbers(table, &units, alpha, s, err));
done:
    return st;
}

gyre_status gyre_summarise(gyre_table *table, double alpha, const gyre_summary **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    arm_point *arms = NULL;
    gyre_summary *all = NULL;
    size_t n = 0;
    *out = NULL;
    *count = 0;
    GYRE_TRY(list_arms(table, &arms, &n, err));
    GYRE_TRY(gyre_table_keep(table, n * table->n_metrics, sizeof *all, &all, err));
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < table->n_metrics; m++)
            GYRE_TRY(summarise_one(table, &arms[i], m, alpha, &all[i * table->n_metrics + m], err));
    *out = all;
    *count = n * table->n_metrics;
done:
    free(arms);
    return st;
}

/* ---- discords ---- */

/* The units of one arm for the two metrics; usable where both have logarithms. */
typedef struct arm_pair {
    gyre_arm_units a, b;
    bool usable;
} arm_pair;

static bool excludes_zero(const gyre_interval *i)
{
    return i->lo > 0.0 || i->hi < 0.0; /* false for NaN */
}

/* Is the pair in discord? Then *out is filled, the better one by metric a first. */
static gyre_status examine(const arm_point *one, const arm_pair *u, const arm_point *other, const arm_pair *v, double alpha, gyre_discord *out,
                           bool *found, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_interval a, b;
    *found = false;
    GYRE_TRY(gyre_paired_interval(&u->a, &v->a, alpha, &a, err));
    GYRE_TRY(gyre_paired_interval(&u->b, &v->b, alpha, &b, err));
    if (!excludes_zero(&a) || !excludes_zero(&b) || (a.mean < 0.0) == (b.mean < 0.0))
        goto done;
    bool turn = a.mean > 0.0;
    if (turn) {
        a = (gyre_interval){ -a.mean, -a.hi, -a.lo };
        b = (gyre_interval){ -b.mean, -b.hi, -b.lo };
    }
    *out = (gyre_discord){ one->source, one->point, one->streams, turn ? other->arm : one->arm, turn ? one->arm : other->arm,
                           exp(a.mean), exp(a.lo), exp(a.hi), exp(b.mean), exp(b.lo), exp(b.hi) };
    *found = true;
done:
    return st;
}

static gyre_status load_pairs(gyre_table *table, size_t metric_a, size_t metric_b, const arm_point *arms, size_t n, arm_pair *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < n; i++) {
        GYRE_TRY(gyre_arm_units_get(table, arms[i].source, arms[i].arm, arms[i].point, metric_a, true, &out[i].a, err));
        GYRE_TRY(gyre_arm_units_get(table, arms[i].source, arms[i].arm, arms[i].point, metric_b, true, &out[i].b, err));
        out[i].usable = out[i].a.values != NULL && out[i].b.values != NULL;
    }
done:
    return st;
}

static bool comparable(const arm_point *one, const arm_pair *u, const arm_point *other, const arm_pair *v)
{
    return u->usable && v->usable && one->source == other->source && strcmp(one->point, other->point) == 0 && strcmp(one->streams, other->streams) == 0;
}

static gyre_status examine_all(gyre_table *table, const arm_point *arms, const arm_pair *pairs, size_t n, double alpha, const gyre_discord **out,
                               size_t *count, size_t *examined, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_discord *all = NULL;
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            room += comparable(&arms[i], &pairs[i], &arms[j], &pairs[j]);
    GYRE_TRY(gyre_table_keep(table, room, sizeof *all, &all, err));
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            bool found = false;
            if (!comparable(&arms[i], &pairs[i], &arms[j], &pairs[j]))
                continue;
            GYRE_TRY(examine(&arms[i], &pairs[i], &arms[j], &pairs[j], alpha, &all[*count], &found, err));
            *count += found;
        }
    *out = all;
    *examined = room;
done:
    return st;
}

gyre_status gyre_discords(gyre_table *table, size_t metric_a, size_t metric_b, double alpha, const gyre_discord **out, size_t *count, size_t *examined,
                          gyre_error *err)
{
    gyre_status st = GYRE_OK;
    arm_point *arms = NULL;
    arm_pair *pairs = NULL;
    size_t n = 0;
    *out = NULL;
    *count = *examined = 0;
    if (metric_a >= table->n_metrics || metric_b >= table->n_metrics)
        GYRE_FAIL(GYRE_E_INTERNAL, "metrics %zu and %zu of a table with %zu", metric_a, metric_b, table->n_metrics);
    GYRE_TRY(list_arms(table, &arms, &n, err));
    GYRE_NEW(&pairs, n);
    GYRE_TRY(load_pairs(table, metric_a, metric_b, arms, n, pairs, err));
    GYRE_TRY(examine_all(table, arms, pairs, n, alpha, out, count, examined, err));
done:
    free(arms);
    free(pairs);
    return st;
}
