#include "tests/null_campaign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>

#include "core/random.h"
#include "core/sha256.h"

enum { LAYERS = 2, HEADS = 2, CHUNKS_OF_BLOCK = 5, SCORED = 3, NAME = 32 };

static const uint32_t layer_numbers[LAYERS] = { 0, 7 }, layer_heads[LAYERS] = { HEADS, HEADS };
static const char *const capture_metrics[] = { "softmax_kl" }, *const model_metrics[] = { "nll_change" }, *const units[] = { "nat" };

double null_error(const null_design *d)
{
    double s = (double)d->seeds, n = (double)d->documents;
    return sqrt(d->seed * d->seed / s + d->document * d->document / n + d->residual * d->residual / (s * n));
}

/* ---- numbers ---- */

typedef struct numbers {
    gyre_random stream;
    uint32_t used;
} numbers;

static double uniform(numbers *n)
{
    return gyre_random_uniform(&n->stream, n->used++);
}

static double normal(numbers *n)
{
    return gsl_cdf_ugaussian_Pinv(uniform(n));
}

static double of_law(numbers *n, null_law law)
{
    if (law == NULL_HEAVY)
        return gsl_cdf_tdist_Pinv(uniform(n), 3.0) / sqrt(3.0);
    return law == NULL_SKEWED ? -log(uniform(n)) - 1.0 : normal(n);
}

/* ---- the plan ---- */

typedef struct plan {
    const null_design *design;
    gyre_table *table;
    size_t n_chunks; /* documents of the source: those of a capture, chunks of a model */
} plan;

/* Of text j; 1 where chunks are the units. */
static size_t chunks_of(const null_design *d, size_t j)
{
    return d->source == NULL_TEXTS ? 2 + j % 2 : 1;
}

static gyre_status describe_model(plan *p, gyre_source *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *text_of = NULL, *blocks = NULL, *heads = NULL;
    s->kind = GYRE_SOURCE_MODEL;
    s->n_layers = (p->n_chunks + CHUNKS_OF_BLOCK - 1) / CHUNKS_OF_BLOCK;
    s->context = 16;
    s->n_scored = SCORED;
    s->n_texts = p->design->source == NULL_TEXTS ? p->design->documents : 1;
    s->engine = "none";
    GYRE_TRY(gyre_table_keep(p->table, p->n_chunks, sizeof *text_of, &text_of, err));
    GYRE_TRY(gyre_table_keep(p->table, s->n_layers, sizeof *blocks, &blocks, err));
    GYRE_TRY(gyre_table_keep(p->table, s->n_layers, sizeof *heads, &heads, err));
    for (size_t j = 0, c = 0; j < s->n_texts && s->n_texts > 1; j++)
        for (size_t k = 0; k < chunks_of(p->design, j); k++)
            text_of[c++] = (uint32_t)j;
    for (uint32_t b = 0; b < s->n_layers; b++) {
        blocks[b] = b;
        heads[b] = 1;
    }
    s->text_of = text_of;
    s->layers = blocks;
    s->n_heads = heads;
done:
    return st;
}

static gyre_status describe_source(plan *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **names = NULL;
    char text[NAME];
    GYRE_TRY(gyre_table_keep(p->table, 1, sizeof *p->table->sources, &p->table->sources, err));
    GYRE_TRY(gyre_table_keep(p->table, p->n_chunks, sizeof *names, &names, err));
    for (size_t j = 0; j < p->n_chunks; j++) {
        (void)snprintf(text, sizeof text, "d%zu", j);
        GYRE_TRY(gyre_table_text(p->table, text, &names[j], err));
    }
    p->table->n_sources = 1;
    p->table->sources[0] = (gyre_source){ .name = "synthetic", .path = "synthetic", .digest = "0", .model_sha256 = "0", .architecture = "none", .n_documents = p->n_chunks, .documents = names,
                                          .n_layers = LAYERS, .layers = layer_numbers, .n_heads = layer_heads, .dim = 64, .texts = "", .texts_sha256 = "", .engine = "" };
    if (p->design->source != NULL_CAPTURE)
        GYRE_TRY(describe_model(p, &p->table->sources[0], err));
done:
    return st;
}

static gyre_status add_cells(plan *p, const char *arm, bool seeded, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &p->table->sources[0];
    bool model = s->kind == GYRE_SOURCE_MODEL;
    char text[96];
    for (size_t l = 0; l < s->n_layers; l++)
        for (uint32_t seed = 0; seed < (seeded ? p->table->n_seeds : 1); seed++) {
            gyre_cell *c = &p->table->cells[p->table->n_cells++];
            size_t first = model ? l * CHUNKS_OF_BLOCK : 0, left = p->n_chunks - first;
            *c = (gyre_cell){ .layer = s->layers[l], .first_document = first, .arm = arm, .point = "", .streams = "k", .codec_k = "synthetic", .codec_v = "exact", .seeded = seeded, .seed = seed,
                              .status = GYRE_CELL_MISSING, .reason = "", .flags = "", .n_documents = model && left > CHUNKS_OF_BLOCK ? CHUNKS_OF_BLOCK : left, .n_heads = s->n_heads[l],
                              .payload_bits = NAN, .side_bits = NAN, .total_bits = NAN, .read_bits = NAN };
            (void)snprintf(text, sizeof text, "%s/%zu/%u", arm, l, seed);
            GYRE_TRY(gyre_sha256_bytes(text, strlen(text), c->key, err));
        }
done:
    return st;
}

/* ---- values ---- */

/* What distinguishes an arm: its truth, and effects of seeds and documents. */
typedef struct effects {
    double truth, share; /* share: of its effects that count */
    double *seed, *document;
} effects;

static gyre_status draw(const null_design *d, size_t seeds, numbers *n, effects *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&out->seed, d->seeds);
    GYRE_NEW(&out->document, d->documents);
    for (size_t s = 0; s < seeds; s++)
        out->seed[s] = d->seed * normal(n);
    for (size_t j = 0; j < d->documents; j++)
        out->document[j] = d->document * (of_law(n, d->law) - d->centre);
done:
    return st;
}

/* Values of a cell; e NULL: a reference without effects. */
static gyre_status fill_cell(const plan *p, gyre_cell *c, const effects *e, numbers *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &p->table->sources[0];
    bool model = s->kind == GYRE_SOURCE_MODEL;
    gyre_token *tokens = NULL;
    GYRE_TRY(gyre_table_keep(p->table, c->n_documents * c->n_heads, sizeof *c->values, &c->values, err));
    for (size_t i = 0; i < c->n_documents; i++)
        for (size_t h = 0; h < c->n_heads; h++) {
            size_t place = c->first_document + i, unit = s->n_texts > 1 ? s->text_of[place] : place;
            size_t strata = model ? chunks_of(p->design, unit) : LAYERS * HEADS;
            double x = 0.3 * sin((double)(7 * place + 1)) + (model ? 0.0 : 0.2 * (double)h - 0.1 * (double)c->layer);
            if (e != NULL)
                x += e->truth + e->share * (e->seed[c->seed] + e->document[unit] + p->design->residual * sqrt((double)strata) * normal(n));
            c->values[i * c->n_heads + h] = model ? x : exp(x);
        }
    c->status = GYRE_CELL_OK;
    c->payload_bits = c->read_bits = 4.0;
    c->side_bits = 0.25;
    c->total_bits = 4.25;
    c->n_tokens = model ? c->n_documents * SCORED : 0;
    GYRE_TRY(gyre_table_keep(p->table, c->n_tokens, sizeof *tokens, &tokens, err));
    for (size_t i = 0; i < c->n_tokens; i++)
        tokens[i] = (gyre_token){ .nll = 2.0 + 0.01 * (double)i, .nll_change = c->values[i / SCORED], .kl = 0.01 };
    c->tokens = tokens;
done:
    return st;
}

static gyre_status fill_arm(const plan *p, size_t first, size_t count, const effects *e, numbers *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = first; i < first + count; i++)
        GYRE_TRY(fill_cell(p, &p->table->cells[i], e, n, err));
done:
    return st;
}

/* An arm of the plan, and its values. truth NAN: a reference without effects. */
static gyre_status add_arm(plan *p, const char *prefix, size_t index, double truth, double share, bool computed, numbers *n, const char **name, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    effects e = { .truth = truth, .share = share };
    char text[NAME];
    bool plain = isnan(truth), seeded = !plain && p->design->seeds > 1;
    size_t first = p->table->n_cells;
    (void)snprintf(text, sizeof text, "%s%zu", prefix, index);
    GYRE_TRY(gyre_table_text(p->table, text, name, err));
    GYRE_TRY(add_cells(p, *name, seeded, err));
    if (!computed)
        goto done;
    if (!plain)
        GYRE_TRY(draw(p->design, seeded ? p->design->seeds : 0, n, &e, err));
    GYRE_TRY(fill_arm(p, first, p->table->n_cells - first, plain ? NULL : &e, n, err));
done:
    free(e.seed);
    free(e.document);
    return st;
}

static void declare(gyre_comparison *c, const null_question *q, const char *arm, const char *against, bool ratio)
{
    *c = (gyre_comparison){ .arm = arm, .against = against, .metric = ratio ? capture_metrics[0] : model_metrics[0], .family = q->family, .point = "", .ratio = ratio,
                            .has_margin = q->margin > 0.0, .margin = ratio ? exp(q->margin) : q->margin, .alpha = 0.05 };
    gyre_comparison_defaults(c);
    c->test_asked = q->test;
    c->goal = q->goal;
    c->correction = q->correction;
}

static gyre_status head(plan *p, uint64_t seed, uint32_t number, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = p->table;
    bool model = p->design->source != NULL_CAPTURE;
    t->experiment = "null";
    t->config_canonical = "experiment=null";
    memset(t->config_sha256, 'a', sizeof t->config_sha256 - 1);
    memset(t->analysis_sha256, 'b', sizeof t->analysis_sha256 - 1);
    memset(t->value_code, 'c', sizeof t->value_code - 1);
    t->campaign_seed = seed + ((uint64_t)number << 32); /* the key of resampling: another one each campaign */
    t->n_seeds = (uint32_t)p->design->seeds;
    t->n_metrics = 1;
    t->metrics = model ? model_metrics : capture_metrics;
    t->metric_units = units;
    for (size_t j = 0; j < p->design->documents; j++)
        p->n_chunks += chunks_of(p->design, j);
    GYRE_TRY(describe_source(p, err));
done:
    return st;
}

gyre_status null_campaign(const null_design *design, const null_question *questions, size_t n_questions, bool shared, uint64_t seed, uint32_t row, uint32_t number, bool computed,
                          gyre_table **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_site site = { .campaign_seed = seed, .layer = row, .seed_index = number };
    numbers n = { gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false), 0 };
    plan p = { .design = design };
    double share = shared ? sqrt(0.5) : 1.0;
    GYRE_TRY(gyre_table_new(&p.table, err));
    GYRE_TRY(head(&p, seed, number, err));
    GYRE_TRY(gyre_table_keep(p.table, 2 * n_questions * p.table->sources[0].n_layers * design->seeds, sizeof *p.table->cells, &p.table->cells, err));
    GYRE_TRY(gyre_table_keep(p.table, n_questions, sizeof *p.table->comparisons, &p.table->comparisons, err));
    const char *against = NULL;
    for (size_t i = 0; i < n_questions; i++) {
        const char *arm = NULL;
        if (i == 0 || !shared)
            GYRE_TRY(add_arm(&p, "ref", i, shared ? 0.0 : (double)NAN, share, computed, &n, &against, err));
        GYRE_TRY(add_arm(&p, "arm", i, questions[i].truth, share, computed, &n, &arm, err));
        declare(&p.table->comparisons[p.table->n_comparisons++], &questions[i], arm, against, design->source == NULL_CAPTURE);
    }
    *out = p.table;
    p.table = NULL;
done:
    gyre_table_free(p.table);
    return st;
}
