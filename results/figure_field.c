/* Fields of figures (figure.h): the arms that stand beside each other, and by which metric.
 *
 * Where a source has comparisons, its fields are what they compare: (metric, streams of the arm, grid point), in plan order. Else one metric for each stream and point: that of
 * Pareto fronts, or the first of the file where it has not that one.
 *
 * What it is not: a choice by the results. No value is looked at.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"
#include "results/pareto.h"

static const char *streams_of(const gyre_figure_book *book, size_t source, const char *arm)
{
    for (size_t i = 0; i < book->n_summaries; i++)
        if (book->summaries[i].source == source && strcmp(book->summaries[i].arm, arm) == 0)
            return book->summaries[i].streams;
    return "none";
}

/* Is the point of a summary a part of a longer one of the same source and streams? Its arm then belongs to the fields of that. */
static bool part_of_another(const gyre_figure_book *book, const gyre_summary *s)
{
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *o = &book->summaries[i];
        if (o->source == s->source && strcmp(o->streams, s->streams) == 0 && strcmp(o->point, s->point) != 0 && gyre_point_within(s->point, o->point))
            return true;
    }
    return false;
}

static void add_field(gyre_field *fields, size_t *n, gyre_field f)
{
    for (size_t i = 0; i < *n; i++)
        if (fields[i].source == f.source && fields[i].metric == f.metric && strcmp(fields[i].streams, f.streams) == 0 && strcmp(fields[i].point, f.point) == 0)
            return;
    fields[(*n)++] = f;
}

static void compared_fields(const gyre_figure_book *book, size_t source, gyre_field *fields, size_t *n)
{
    for (size_t i = 0; i < book->table->n_comparisons; i++) {
        const gyre_comparison *c = &book->table->comparisons[i];
        size_t metric = gyre_metric_place(book->table, c->metric);
        const char *streams = streams_of(book, source, c->arm);
        if (c->source == source && metric < book->table->n_metrics && strcmp(streams, "none") != 0)
            add_field(fields, n, (gyre_field){ .source = source, .metric = metric, .streams = streams, .point = c->point, .compared = true });
    }
}

static void other_fields(const gyre_figure_book *book, size_t source, gyre_field *fields, size_t *n)
{
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        size_t metric = gyre_metric_place(book->table, gyre_pareto_metric(s->streams));
        if (s->source == source && s->metric == (metric < book->table->n_metrics ? metric : 0) && strcmp(s->streams, "none") != 0 && !part_of_another(book, s))
            add_field(fields, n, (gyre_field){ .source = source, .metric = s->metric, .streams = s->streams, .point = s->point });
    }
}

static gyre_status list_arms(const gyre_figure_book *book, gyre_field *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_table_keep(book->table, book->n_summaries, sizeof *f->arms, &f->arms, err));
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        if (s->source == f->source && s->metric == f->metric && strcmp(s->streams, f->streams) == 0 && gyre_point_within(s->point, f->point) && strcmp(s->status, "OK") == 0 &&
            isfinite(s->mean))
            f->arms[f->n_arms++] = s;
    }
done:
    return st;
}

gyre_status gyre_fields_get(gyre_figure_book *book, size_t source, gyre_field **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *count = 0;
    GYRE_TRY(gyre_table_keep(book->table, book->table->n_comparisons + book->n_summaries, sizeof **out, out, err));
    compared_fields(book, source, *out, count);
    if (*count == 0)
        other_fields(book, source, *out, count);
    for (size_t i = 0; i < *count; i++)
        GYRE_TRY(list_arms(book, &(*out)[i], err));
done:
    return st;
}
