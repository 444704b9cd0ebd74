/* The report of Pareto fronts (results/pareto.h): front, dominated arms, where nmse says otherwise, the best at equal bits. One section for each source and stream. */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/pareto.h"

enum { BEST = 5, LEVEL_PAIRS = 2 * BEST }; /* the best 5 of fewer than 10 say no more than the table of arms */

static const char VECTOR_METRIC[] = "nmse";

typedef struct section {
    const gyre_table *table;
    const gyre_pareto *judged, *vector; /* fronts of the metric and of nmse */
    const char *metric;
    FILE *out;
} section;

/* ---- lines ---- */

/* Width of the arms, or of the points, of the fronts' pairs. */
static int width(const section *s, bool points)
{
    size_t most = 5;
    for (size_t i = 0; i < s->judged->n_pairs; i++) {
        size_t n = strlen(points ? s->judged->pairs[i].of->point : s->judged->pairs[i].of->arm);
        most = n > most ? n : most;
    }
    return (int)most;
}

/* "0.0147 (12)": nmse and its rank, here or among all pairs. */
static void vector_text(const gyre_pareto_pair *v, size_t rank, char text[GYRE_REPORT_NUMBER])
{
    if (v == NULL)
        (void)snprintf(text, GYRE_REPORT_NUMBER, "-");
    else
        (void)snprintf(text, GYRE_REPORT_NUMBER, "%.3g (%zu)", v->of->mean, rank);
}

static void pair_line(const section *s, const gyre_pareto_pair *p, size_t vector_rank, const char *before)
{
    char mean[GYRE_REPORT_NUMBER], vector[GYRE_REPORT_NUMBER];
    gyre_report_interval(p->of->mean, p->of->lo, p->of->hi, mean);
    vector_text(gyre_pareto_find(s->vector, p->of), vector_rank, vector);
    (void)fprintf(s->out, "    %s%-*s %-*s %7.3f  %-29s %s\n", before, width(s, false), p->of->arm, width(s, true), p->of->point, p->of->total_bits, mean, vector);
}

static void column_line(const section *s, const char *before, const char *rank)
{
    (void)fprintf(s->out, "    %s%-*s %-*s %7s  %-29s %s (%s)\n", before, width(s, false), "arm", width(s, true), "point", "total", s->metric, VECTOR_METRIC, rank);
}

static void front(const section *s)
{
    const gyre_pareto *p = s->judged;
    char rank[GYRE_REPORT_NUMBER];
    (void)snprintf(rank, sizeof rank, "rank of %zu", s->vector->n_pairs);
    (void)fprintf(s->out, "  front\n");
    column_line(s, "", rank);
    for (size_t i = 0; i < p->n_front; i++) {
        const gyre_pareto_pair *v = gyre_pareto_find(s->vector, p->pairs[p->front[i]].of);
        pair_line(s, &p->pairs[p->front[i]], v != NULL ? v->rank : 0, "");
    }
}

/* ---- dominated arms ---- */

typedef struct arm_tally {
    size_t points, dominated, undecided; /* undecided: without an interval */
    const gyre_pareto_pair *nearest; /* dominated, least ratio */
} arm_tally;

static bool same_arm(const gyre_pareto_pair *a, const gyre_pareto_pair *b)
{
    return strcmp(a->of->arm, b->of->arm) == 0;
}

/* Is it the first pair of its arm? Then *tally is that of the arm. */
static bool tally_arm(const gyre_pareto *p, size_t first, arm_tally *tally)
{
    *tally = (arm_tally){ 0, 0, 0, NULL };
    for (size_t i = 0; i < p->n_pairs; i++) {
        const gyre_pareto_pair *q = &p->pairs[i];
        if (!same_arm(q, &p->pairs[first]))
            continue;
        if (i < first)
            return false;
        tally->points++;
        tally->undecided += q->verdict == GYRE_PARETO_NO_INTERVAL;
        if (q->verdict != GYRE_PARETO_DOMINATED)
            continue;
        tally->dominated++;
        if (tally->nearest == NULL || q->ratio.mean < tally->nearest->ratio.mean)
            tally->nearest = q;
    }
    return true;
}

static void dominated_line(const section *s, const arm_tally *a)
{
    char ratio[GYRE_REPORT_NUMBER], points[GYRE_REPORT_NUMBER] = "";
    const gyre_summary *arm = a->nearest->of, *by = s->judged->pairs[a->nearest->dominator].of;
    gyre_report_interval(a->nearest->ratio.mean, a->nearest->ratio.lo, a->nearest->ratio.hi, ratio);
    if (a->points > 1)
        (void)snprintf(points, sizeof points, "at all %zu points; nearest ", a->points);
    (void)fprintf(s->out, "    %-*s %s%s%s x%s of %s%s%s\n", width(s, false), arm->arm, points, arm->point[0] != '\0' ? "at " : "", arm->point, ratio, by->arm,
                  by->point[0] != '\0' ? " at " : "", by->point);
}

static void dominated(const section *s)
{
    size_t n = 0;
    arm_tally a;
    for (size_t i = 0; i < s->judged->n_pairs; i++) {
        if (!tally_arm(s->judged, i, &a) || a.dominated < a.points)
            continue;
        if (n++ == 0)
            (void)fprintf(s->out, "  dominated wherever they were run (the paired interval over the best at the same bits or fewer excludes 1)\n");
        dominated_line(s, &a);
    }
    (void)fprintf(s->out, "  on the front or within noise of it:");
    n = 0;
    for (size_t i = 0; i < s->judged->n_pairs; i++)
        if (tally_arm(s->judged, i, &a) && a.dominated + a.undecided < a.points)
            (void)fprintf(s->out, "%s %s (%zu of %zu)", n++ > 0 ? "," : "", s->judged->pairs[i].of->arm, a.points - a.dominated - a.undecided, a.points);
    (void)fprintf(s->out, "\n");
    n = 0;
    for (size_t i = 0; i < s->judged->n_pairs; i++)
        if (tally_arm(s->judged, i, &a) && a.undecided > 0)
            (void)fprintf(s->out, "%s %s (%zu of %zu)", n++ > 0 ? "," : "  not judged, for want of documents, seeds or spread:", s->judged->pairs[i].of->arm, a.undecided, a.points);
    (void)fprintf(s->out, "%s", n > 0 ? "\n" : "");
}

/* ---- where nmse says otherwise ---- */

/* Pairs on the front of one metric that the other dominates, each with the ratio of the other. */
static void contradicted(const section *s, const gyre_pareto *on, const char *on_name, const gyre_pareto *by, const char *by_name)
{
    size_t n = 0;
    for (size_t i = 0; i < on->n_front; i++) {
        char ratio[GYRE_REPORT_NUMBER];
        const gyre_summary *pair = on->pairs[on->front[i]].of;
        const gyre_pareto_pair *other = gyre_pareto_find(by, pair);
        if (other == NULL || other->verdict != GYRE_PARETO_DOMINATED)
            continue;
        gyre_report_interval(other->ratio.mean, other->ratio.lo, other->ratio.hi, ratio);
        const gyre_summary *better = by->pairs[other->dominator].of;
        if (n++ == 0)
            (void)fprintf(s->out, "  on the front of %s, dominated by %s\n", on_name, by_name);
        (void)fprintf(s->out, "    %-*s %-*s x%s of %s%s%s\n", width(s, false), pair->arm, width(s, true), pair->point, ratio, better->arm,
                      better->point[0] != '\0' ? " at " : "", better->point);
    }
    if (n == 0)
        (void)fprintf(s->out, "  on the front of %s, dominated by %s: none\n", on_name, by_name);
}

/* ---- equal bits ---- */

/* 1 + the pairs of the level that nmse puts before this one. */
static size_t vector_rank(const section *s, const gyre_pareto_level *level, const gyre_pareto_pair *pair)
{
    const gyre_pareto_pair *v = gyre_pareto_find(s->vector, pair->of);
    size_t rank = 1;
    for (size_t i = 0; i < level->n_pairs && v != NULL; i++) {
        const gyre_pareto_pair *other = gyre_pareto_find(s->vector, level->pairs[i]->of);
        rank += other != NULL && other->of->mean < v->of->mean;
    }
    return rank;
}

static gyre_status equal_bits(gyre_table *table, const section *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_pareto_level *levels = NULL;
    size_t n = 0;
    GYRE_TRY(gyre_pareto_levels(table, s->judged, LEVEL_PAIRS, &levels, &n, err));
    for (size_t i = 0; i < n; i++) {
        const gyre_pareto_level *l = &levels[i];
        (void)fprintf(s->out, "  best %d of %zu pairs at payload %.2f, total %.3f to %.3f\n", BEST, l->n_pairs, l->payload_bits, l->least_bits, l->most_bits);
        column_line(s, "  ", "rank here");
        for (size_t k = 0; k < BEST && k < l->n_pairs; k++) {
            char before[GYRE_REPORT_NUMBER];
            (void)snprintf(before, sizeof before, "%zu ", k + 1);
            pair_line(s, l->pairs[k], vector_rank(s, l, l->pairs[k]), before);
        }
    }
done:
    return st;
}

/* ---- sections ---- */

static gyre_status one_section(gyre_table *t, const gyre_summary *all, size_t count, size_t source, const char *streams, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_pareto judged, vector;
    section s = { .table = t, .judged = &judged, .vector = &vector, .metric = gyre_pareto_metric(streams), .out = out };
    size_t metric = gyre_metric_place(t, s.metric), nmse = gyre_metric_place(t, VECTOR_METRIC);
    if (metric == t->n_metrics || nmse == t->n_metrics)
        goto done;
    GYRE_TRY(gyre_pareto_get(t, all, count, source, streams, metric, GYRE_REPORT_ALPHA, &judged, err));
    if (!gyre_pareto_enough(&judged))
        goto done;
    GYRE_TRY(gyre_pareto_get(t, all, count, source, streams, nmse, GYRE_REPORT_ALPHA, &vector, err));
    (void)fprintf(out, "\nPareto front of %s against total bits: %s%s, arms that code %s (%zu pairs of arm and point from %.3f to %.3f bits", s.metric,
                  t->sources[source].name, gyre_report_leak(t, source), gyre_report_streams(streams), judged.n_pairs, judged.least_bits, judged.most_bits);
    if (judged.n_left_out > 0)
        (void)fprintf(out, ", %zu without a value", judged.n_left_out);
    (void)fprintf(out, "; exploratory: 95 %% intervals, not adjusted; what dominates is chosen by the data that judge)\n");
    front(&s);
    dominated(&s);
    contradicted(&s, &vector, VECTOR_METRIC, &judged, s.metric);
    contradicted(&s, &judged, s.metric, &vector, VECTOR_METRIC);
    GYRE_TRY(equal_bits(t, &s, err));
done:
    return st;
}

gyre_status gyre_report_pareto(gyre_table *table, const gyre_summary *all, size_t count, FILE *out, gyre_error *err)
{
    static const char *const streams[] = { "k", "v", "kv" };
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < table->n_sources; s++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            GYRE_TRY(one_section(table, all, count, s, streams[i], out, err));
done:
    return st;
}
