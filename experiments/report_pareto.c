/* The report of Pareto fronts (results/pareto.h): front, dominated arms, where nmse says otherwise, the best at equal bits. One section of tables for each source and stream. */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/pareto.h"

enum { BEST = 5, LEVEL_PAIRS = 2 * BEST }; /* the best 5 of fewer than 10 say no more than the table of arms */

static const char VECTOR_METRIC[] = "nmse";

typedef struct section {
    gyre_table *table;
    const gyre_pareto *judged, *vector; /* fronts of the metric and of nmse */
    const char *metric;
    gyre_book *book;
} section;

static void add_section(const section *q, gyre_sheet *s)
{
    gyre_sheet_word(s, q->table->sources[q->judged->source].name);
    gyre_sheet_word(s, q->judged->streams);
}

/* ---- the front, and the best at equal bits ---- */

enum { PAIR_COLUMNS = 11 };

/* Columns of both tables; printed forms name the metric. */
static void pair_columns(const section *q, const char *rank, gyre_sheet_column columns[PAIR_COLUMNS])
{
    bool data = gyre_book_is_data(q->book);
    const gyre_sheet_column all[PAIR_COLUMNS] = {
        {.name = "source", .where = GYRE_SHEET_DATA},
        {.name = "streams", .where = GYRE_SHEET_DATA},
        {.name = "metric", .where = GYRE_SHEET_DATA},
        {.name = "payload", .kind = GYRE_SHEET_REAL, .decimals = 3, .where = GYRE_SHEET_DATA},
        {.name = "place", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
        {.name = "arm"},
        {.name = "point"},
        {.name = "total", .kind = GYRE_SHEET_REAL, .decimals = 3},
        {.name = data ? "value" : q->metric, .kind = GYRE_SHEET_INTERVAL},
        {.name = VECTOR_METRIC, .kind = GYRE_SHEET_REAL},
        {.name = rank, .kind = GYRE_SHEET_COUNT},
    };
    memcpy(columns, all, sizeof all);
}

static void pair_row(const section *q, const gyre_pareto_pair *p, size_t place, size_t vector_rank, gyre_sheet *s)
{
    const gyre_pareto_pair *v = gyre_pareto_find(q->vector, p->of);
    add_section(q, s);
    gyre_sheet_word(s, q->metric);
    gyre_sheet_number(s, p->of->payload_bits);
    gyre_sheet_number(s, (double)place);
    gyre_sheet_word(s, p->of->arm);
    gyre_sheet_word(s, p->of->point);
    gyre_sheet_number(s, p->of->total_bits);
    gyre_sheet_interval(s, p->of->mean, p->of->lo, p->of->hi);
    gyre_sheet_number(s, v != NULL ? v->of->mean : (double)NAN);
    gyre_sheet_number(s, v != NULL ? (double)vector_rank : (double)NAN);
}

static gyre_status front(const section *q, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_pareto *p = q->judged;
    gyre_sheet_column columns[PAIR_COLUMNS];
    gyre_sheet *s = NULL;
    char rank[64];
    (void)snprintf(rank, sizeof rank, gyre_book_is_data(q->book) ? "rank" : "rank of %zu", q->vector->n_pairs);
    pair_columns(q, rank, columns);
    GYRE_TRY(gyre_sheet_open(q->book, "front", columns, PAIR_COLUMNS, &s, err));
    gyre_sheet_title(s, "%s, %s of %s: front", q->table->sources[p->source].name, q->metric, gyre_report_streams(p->streams));
    for (size_t i = 0; i < p->n_front; i++) {
        const gyre_pareto_pair *v = gyre_pareto_find(q->vector, p->pairs[p->front[i]].of);
        pair_row(q, &p->pairs[p->front[i]], i + 1, v != NULL ? v->rank : 0, s);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* 1 + the pairs of the level that nmse puts before this one. */
static size_t vector_rank(const section *q, const gyre_pareto_level *level, const gyre_pareto_pair *pair)
{
    const gyre_pareto_pair *v = gyre_pareto_find(q->vector, pair->of);
    size_t rank = 1;
    for (size_t i = 0; i < level->n_pairs && v != NULL; i++) {
        const gyre_pareto_pair *other = gyre_pareto_find(q->vector, level->pairs[i]->of);
        rank += other != NULL && other->of->mean < v->of->mean;
    }
    return rank;
}

static gyre_status best_of(const section *q, const gyre_pareto_level *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet_column columns[PAIR_COLUMNS];
    gyre_sheet *s = NULL;
    pair_columns(q, "rank here", columns);
    columns[4].where = GYRE_SHEET_EVERYWHERE;
    GYRE_TRY(gyre_sheet_open(q->book, "best", columns, PAIR_COLUMNS, &s, err));
    gyre_sheet_title(s, "%s, %s of %s: best %d of %zu pairs at payload %.2f, total %.3f to %.3f", q->table->sources[q->judged->source].name, q->metric, gyre_report_streams(q->judged->streams), BEST,
                     l->n_pairs, l->payload_bits, l->least_bits, l->most_bits);
    for (size_t k = 0; k < BEST && k < l->n_pairs; k++)
        pair_row(q, l->pairs[k], k + 1, vector_rank(q, l, l->pairs[k]), s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

static gyre_status equal_bits(const section *q, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_pareto_level *levels = NULL;
    size_t n = 0;
    GYRE_TRY(gyre_pareto_levels(q->table, q->judged, LEVEL_PAIRS, &levels, &n, err));
    for (size_t i = 0; i < n; i++)
        GYRE_TRY(best_of(q, &levels[i], err));
done:
    return st;
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

static const gyre_sheet_column dominated_columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA}, {.name = "streams", .where = GYRE_SHEET_DATA}, {.name = "metric", .where = GYRE_SHEET_DATA}, {.name = "arm"}, {.name = "points", .kind = GYRE_SHEET_COUNT},
    {.name = "nearest at"}, {.name = "ratio", .kind = GYRE_SHEET_INTERVAL}, {.name = "of"}, {.name = "of point", .where = GYRE_SHEET_DATA}, {.name = "at", .where = GYRE_SHEET_PRINTED},
};

static void dominated_row(const section *q, const arm_tally *a, gyre_sheet *s)
{
    const gyre_summary *arm = a->nearest->of, *by = q->judged->pairs[a->nearest->dominator].of;
    add_section(q, s);
    gyre_sheet_word(s, q->metric);
    gyre_sheet_word(s, arm->arm);
    gyre_sheet_number(s, (double)a->points);
    gyre_sheet_word(s, arm->point);
    gyre_sheet_interval_times(s, a->nearest->ratio.mean, a->nearest->ratio.lo, a->nearest->ratio.hi);
    gyre_sheet_word(s, by->arm);
    gyre_sheet_word(s, by->point);
    gyre_sheet_word(s, by->point);
}

static gyre_status dominated(const section *q, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    arm_tally a;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(q->book, "dominated", dominated_columns, sizeof dominated_columns / sizeof *dominated_columns, &s, err));
    gyre_sheet_title(s, "%s, %s of %s: dominated wherever they were run (the paired interval over the best at the same bits or fewer excludes 1)", q->table->sources[q->judged->source].name, q->metric,
                     gyre_report_streams(q->judged->streams));
    for (size_t i = 0; i < q->judged->n_pairs; i++)
        if (tally_arm(q->judged, i, &a) && a.dominated == a.points)
            dominated_row(q, &a, s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* "one (2 of 3), five (3 of 3)": arms with points that are not dominated, or that cannot be judged. Long lists are several lines. */
static void standing(const section *q, bool undecided, const char *words)
{
    char line[1024];
    size_t at = 0, n = 0;
    arm_tally a;
    (void)snprintf(line, sizeof line, "%s", words);
    at = strlen(line);
    for (size_t i = 0; i < q->judged->n_pairs; i++) {
        size_t points = tally_arm(q->judged, i, &a) ? (undecided ? a.undecided : a.points - a.dominated - a.undecided) : 0;
        if (points == 0)
            continue;
        if (at > sizeof line / 2) {
            gyre_book_line(q->book, "%s,", line);
            at = 0;
        }
        at += (size_t)snprintf(line + at, sizeof line - at, "%s %.200s (%zu of %zu)", n++ > 0 && at > 0 ? "," : "", q->judged->pairs[i].of->arm, points, a.points);
    }
    if (n > 0 || !undecided)
        gyre_book_line(q->book, "%s", line);
}

/* ---- where nmse says otherwise ---- */

static const gyre_sheet_column contradicted_columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA}, {.name = "streams", .where = GYRE_SHEET_DATA}, {.name = "front of", .where = GYRE_SHEET_DATA}, {.name = "dominated by", .where = GYRE_SHEET_DATA},
    {.name = "arm"}, {.name = "point"}, {.name = "ratio", .kind = GYRE_SHEET_INTERVAL}, {.name = "of"}, {.name = "of point", .where = GYRE_SHEET_DATA}, {.name = "at", .where = GYRE_SHEET_PRINTED},
};

/* Pairs on the front of one metric that the other dominates, each with the ratio of the other. */
static gyre_status contradicted(const section *q, const gyre_pareto *on, const char *on_name, const gyre_pareto *by, const char *by_name, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 0;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(q->book, "contradicted", contradicted_columns, sizeof contradicted_columns / sizeof *contradicted_columns, &s, err));
    gyre_sheet_title(s, "%s, arms that code %s: on the front of %s, dominated by %s", q->table->sources[on->source].name, gyre_report_streams(on->streams), on_name, by_name);
    for (size_t i = 0; i < on->n_front; i++) {
        const gyre_summary *pair = on->pairs[on->front[i]].of;
        const gyre_pareto_pair *other = gyre_pareto_find(by, pair);
        if (other == NULL || other->verdict != GYRE_PARETO_DOMINATED)
            continue;
        const gyre_summary *better = by->pairs[other->dominator].of;
        const char *const words[] = {on_name, by_name, pair->arm, pair->point};
        add_section(q, s);
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            gyre_sheet_word(s, words[k]);
        gyre_sheet_interval_times(s, other->ratio.mean, other->ratio.lo, other->ratio.hi);
        gyre_sheet_word(s, better->arm);
        gyre_sheet_word(s, better->point);
        gyre_sheet_word(s, better->point);
        n++;
    }
    GYRE_TRY(gyre_sheet_close(s, err));
    if (n == 0)
        gyre_book_line(q->book, "  on the front of %s, dominated by %s: none", on_name, by_name);
done:
    return st;
}

/* ---- sections ---- */

static gyre_status tables_of(const section *q, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_pareto *p = q->judged;
    char missing[64] = "";
    if (p->n_left_out > 0)
        (void)snprintf(missing, sizeof missing, ", %zu without a value", p->n_left_out);
    gyre_book_words(q->book,
                    "Pareto front of %s against total bits: %s%s, arms that code %s (%zu pairs of arm and point from %.3f to %.3f bits%s; exploratory: 95 %% intervals, not adjusted; what dominates "
                    "is chosen by the data that judge)",
                    q->metric, q->table->sources[p->source].name, gyre_report_leak(q->table, p->source), gyre_report_streams(p->streams), p->n_pairs, p->least_bits, p->most_bits, missing);
    standing(q, false, "  on the front or within noise of it:");
    standing(q, true, "  not judged, for want of documents, seeds or spread:");
    GYRE_TRY(front(q, err));
    GYRE_TRY(dominated(q, err));
    GYRE_TRY(contradicted(q, q->vector, VECTOR_METRIC, p, q->metric, err));
    GYRE_TRY(contradicted(q, p, q->metric, q->vector, VECTOR_METRIC, err));
    GYRE_TRY(equal_bits(q, err));
done:
    return st;
}

static gyre_status one_section(gyre_table *t, const gyre_summary *all, size_t count, size_t source, const char *streams, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_pareto judged, vector;
    section q = { .table = t, .judged = &judged, .vector = &vector, .metric = gyre_pareto_metric(streams), .book = book };
    size_t metric = gyre_metric_place(t, q.metric), nmse = gyre_metric_place(t, VECTOR_METRIC);
    if (metric == t->n_metrics || nmse == t->n_metrics)
        goto done;
    GYRE_TRY(gyre_pareto_get(t, all, count, source, streams, metric, GYRE_REPORT_ALPHA, &judged, err));
    if (!gyre_pareto_enough(&judged))
        goto done;
    GYRE_TRY(gyre_pareto_get(t, all, count, source, streams, nmse, GYRE_REPORT_ALPHA, &vector, err));
    GYRE_TRY(tables_of(&q, err));
done:
    return st;
}

gyre_status gyre_report_pareto(gyre_table *table, const gyre_summary *all, size_t count, gyre_book *book, gyre_error *err)
{
    static const char *const streams[] = { "k", "v", "kv" };
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < table->n_sources; s++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            GYRE_TRY(one_section(table, all, count, s, streams[i], book, err));
done:
    return st;
}
