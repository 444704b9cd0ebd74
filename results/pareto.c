/* Fronts of a metric against total bits; definitions in pareto.h.
 *
 * Pairs are sorted by (bits, mean, plan order); one pass then keeps the least mean so far. A pair is on the front where its mean is less than all at fewer
 * bits and not more than any at its own; its dominator is the pair that holds the least mean when it is passed. Cost: O(n log n), and one paired interval a
 * pair.
 *
 * What it is not: a hull. A pair above the line between two members of the front is still on it where none is better at its bits.
 */
#include "results/pareto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"

const char *gyre_pareto_verdict_name(gyre_pareto_verdict verdict)
{
    static const char *const names[] = { "front", "within noise", "dominated", "no interval" };
    return names[verdict];
}

const char *gyre_pareto_metric(const char *streams)
{
    return strcmp(streams, "k") == 0 ? "softmax_kl" : "output_error";
}

bool gyre_pareto_enough(const gyre_pareto *pareto)
{
    return pareto->n_pairs >= GYRE_PARETO_PAIRS && pareto->n_bits >= GYRE_PARETO_BITS;
}

const gyre_pareto_pair *gyre_pareto_find(const gyre_pareto *pareto, const gyre_summary *of)
{
    for (size_t i = 0; i < pareto->n_pairs; i++) {
        const gyre_summary *s = pareto->pairs[i].of;
        if (strcmp(s->arm, of->arm) == 0 && strcmp(s->point, of->point) == 0)
            return &pareto->pairs[i];
    }
    return NULL;
}

/* ---- order ---- */

/* A number of bits in steps, so that rounding errors of a mean do not part what is equal. */
static double in_steps(double bits, double step)
{
    return floor(bits / step + 0.5);
}

static int order_numbers(double a, double b)
{
    return (a > b) - (a < b);
}

/* What is sorted: a pair with its place in the plan. */
typedef struct sort_item {
    double first, second; /* growing; then the place */
    size_t place;
} sort_item;

static int order_items(const void *a, const void *b)
{
    const sort_item *x = a, *y = b;
    int by = order_numbers(x->first, y->first);
    if (by == 0)
        by = order_numbers(x->second, y->second);
    return by != 0 ? by : (x->place > y->place) - (x->place < y->place);
}

/* ---- pairs ---- */

static bool takes_part(const gyre_summary *s)
{
    return strcmp(s->status, "OK") == 0 && s->geometric && isfinite(s->mean) && s->mean > 0.0 && isfinite(s->total_bits);
}

static gyre_status find_pairs(gyre_table *table, const gyre_summary *all, size_t count, gyre_pareto *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (out->metric >= table->n_metrics)
        GYRE_FAIL(GYRE_E_INTERNAL, "metric %zu of a table with %zu", out->metric, table->n_metrics);
    GYRE_TRY(gyre_table_keep(table, count / table->n_metrics, sizeof *out->pairs, &out->pairs, err));
    for (size_t i = 0; i < count; i++) {
        const gyre_summary *s = &all[i];
        if (s->source != out->source || s->metric != out->metric || strcmp(s->streams, out->streams) != 0)
            continue;
        if (takes_part(s))
            out->pairs[out->n_pairs++] = (gyre_pareto_pair){ .of = s, .ratio = { 1.0, (double)NAN, (double)NAN } };
        else
            out->n_left_out++;
    }
    GYRE_TRY(gyre_table_keep(table, out->n_pairs, sizeof *out->front, &out->front, err));
done:
    return st;
}

/* Front, dominators and the number of different totals; items: room for n_pairs. */
static void find_front(gyre_pareto *out, sort_item *items)
{
    size_t n = out->n_pairs, best = 0;
    double centibits = -1.0;
    for (size_t i = 0; i < n; i++)
        items[i] = (sort_item){ in_steps(out->pairs[i].of->total_bits, 1e-9), out->pairs[i].of->mean, i };
    qsort(items, n, sizeof *items, order_items);
    for (size_t i = 0; i < n; i++) {
        const sort_item *least = &items[best];
        bool front = i == 0 || items[i].second < least->second || order_items(&items[i], &(sort_item){ least->first, least->second, items[i].place }) == 0;
        if (i > 0 && items[i].second < least->second)
            best = i;
        if (front)
            out->front[out->n_front++] = items[i].place;
        out->pairs[items[i].place].verdict = front ? GYRE_PARETO_FRONT : GYRE_PARETO_NO_INTERVAL;
        out->pairs[items[i].place].dominator = front ? items[i].place : items[best].place;
        double bits = out->pairs[items[i].place].of->total_bits, now = in_steps(bits, 0.01);
        out->n_bits += order_numbers(now, centibits) != 0;
        centibits = now;
        out->least_bits = i == 0 ? bits : fmin(out->least_bits, bits);
        out->most_bits = i == 0 ? bits : fmax(out->most_bits, bits);
    }
    for (size_t i = 0; i < n; i++)
        items[i] = (sort_item){ out->pairs[i].of->mean, 0.0, i };
    qsort(items, n, sizeof *items, order_items);
    for (size_t i = 0; i < n; i++)
        out->pairs[items[i].place].rank = i > 0 && order_numbers(items[i].first, items[i - 1].first) == 0 ? out->pairs[items[i - 1].place].rank : i + 1;
}

/* ---- ratios ---- */

static gyre_status find_ratio(gyre_pareto *out, const gyre_arm_units *units, size_t i, double alpha, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_pareto_pair *p = &out->pairs[i];
    gyre_interval d;
    if (p->verdict == GYRE_PARETO_FRONT || units[i].values == NULL || units[p->dominator].values == NULL)
        goto done;
    GYRE_TRY(gyre_paired_interval(&units[i], &units[p->dominator], alpha, &d, err));
    p->ratio = (gyre_interval){ exp(d.mean), exp(d.lo), exp(d.hi) };
    if (!isnan(d.lo) && !isnan(d.hi))
        p->verdict = d.lo > 0.0 || d.hi < 0.0 ? GYRE_PARETO_DOMINATED : GYRE_PARETO_NOISE;
done:
    return st;
}

gyre_status gyre_pareto_get(gyre_table *table, const gyre_summary *all, size_t count, size_t source, const char *streams, size_t metric, double alpha,
                            gyre_pareto *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units *units = NULL;
    sort_item *items = NULL;
    *out = (gyre_pareto){ .source = source, .metric = metric, .streams = streams, .least_bits = (double)NAN, .most_bits = (double)NAN };
    GYRE_TRY(find_pairs(table, all, count, out, err));
    GYRE_NEW(&items, out->n_pairs);
    GYRE_NEW(&units, out->n_pairs);
    find_front(out, items);
    for (size_t i = 0; i < out->n_pairs; i++)
        GYRE_TRY(gyre_arm_units_get(table, source, out->pairs[i].of->arm, out->pairs[i].of->point, metric, true, &units[i], err));
    for (size_t i = 0; i < out->n_pairs; i++)
        GYRE_TRY(find_ratio(out, units, i, alpha, err));
done:
    free(items);
    free(units);
    return st;
}

/* ---- levels ---- */

/* Pairs items[first .. end) of one payload whose totals lie within the width of the first. */
static size_t level_end(const sort_item *items, size_t first, size_t n)
{
    size_t end = first + 1;
    while (end < n && order_numbers(items[end].first, items[first].first) == 0 && items[end].second <= items[first].second + GYRE_PARETO_LEVEL_WIDTH + 1e-9)
        end++;
    return end;
}

static gyre_status fill_level(gyre_table *table, const gyre_pareto *pareto, sort_item *items, size_t n, gyre_pareto_level *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_pareto_level){ .payload_bits = 0.01 * items[0].first, .least_bits = items[0].second, .most_bits = items[n - 1].second, .n_pairs = n };
    GYRE_TRY(gyre_table_keep(table, n, sizeof *out->pairs, &out->pairs, err));
    for (size_t i = 0; i < n; i++)
        items[i] = (sort_item){ pareto->pairs[items[i].place].of->mean, 0.0, items[i].place };
    qsort(items, n, sizeof *items, order_items);
    for (size_t i = 0; i < n; i++)
        out->pairs[i] = &pareto->pairs[items[i].place];
done:
    return st;
}

gyre_status gyre_pareto_levels(gyre_table *table, const gyre_pareto *pareto, size_t least, const gyre_pareto_level **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    sort_item *items = NULL;
    gyre_pareto_level *levels = NULL;
    size_t n = pareto->n_pairs;
    *out = NULL;
    *count = 0;
    GYRE_NEW(&items, n);
    GYRE_TRY(gyre_table_keep(table, n, sizeof *levels, &levels, err));
    for (size_t i = 0; i < n; i++)
        items[i] = (sort_item){ in_steps(pareto->pairs[i].of->payload_bits, 0.01), pareto->pairs[i].of->total_bits, i };
    qsort(items, n, sizeof *items, order_items);
    for (size_t first = 0, end; first < n; first = end) {
        end = level_end(items, first, n);
        if (end - first >= least)
            GYRE_TRY(fill_level(table, pareto, items + first, end - first, &levels[(*count)++], err));
    }
    *out = levels;
done:
    free(items);
    return st;
}
