/* gyre plan: what a configuration would compute, as text or JSON. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "experiments/estimate.h"
#include "experiments/json.h"
#include "experiments/pass.h"
#include "experiments/pilot.h"
#include "experiments/verb.h"
#include "results/foresee.h"

/* What both forms tell. */
typedef struct shown {
    const gyre_config *config;
    const gyre_plan *plan;
    gyre_estimate estimate;
    gyre_estimate_models models;
    size_t skipped;
    const char *pilot; /* results file, NULL where none is stated */
    double bytes;   /* rows and scores of the largest layer */
    unsigned jobs;
} shown;

static size_t cells_of(const shown *x, size_t point)
{
    size_t cells = 0;
    for (size_t i = 0; i < x->plan->table->n_cells; i++)
        cells += x->plan->cell_point[i] == point;
    return cells;
}

/* The first SKIPPED cell of its source, arm and reason. */
static bool first_skip(const gyre_table *t, size_t i)
{
    const gyre_cell *cell = &t->cells[i];
    bool first = cell->status == GYRE_CELL_SKIPPED && cell->seed == 0;
    for (size_t j = 0; j < i && first; j++)
        first = !(t->cells[j].source == cell->source && strcmp(t->cells[j].arm, cell->arm) == 0 && strcmp(t->cells[j].reason, cell->reason) == 0);
    return first;
}

static double most_bytes(const gyre_plan *plan)
{
    size_t most = 0;
    for (size_t s = 0; s < plan->n_sources; s++) {
        const gyre_capture_data *info = gyre_capture_info(plan->sources[s].capture);
        if (plan->sources[s].model != NULL) {
            size_t logits = (size_t)gyre_pass_bytes(plan->sources[s].model);
            most = logits > most ? logits : most;
            continue;
        }
        for (size_t l = 0; l < plan->sources[s].n_layers; l++) {
            const gyre_capture_layer *raw = &info->layers[plan->sources[s].layer_index[l]];
            size_t rows = info->n_documents * info->n_tokens * raw->n_kv_heads * raw->dim * 2 * sizeof(float);
            size_t scores = plan->sources[s].split.use[GYRE_USE_EVALUATE].count * info->n_queries * raw->n_q_heads * info->n_tokens * (2 * sizeof(double) + sizeof(float));
            most = rows * 2 + scores > most ? rows * 2 + scores : most;
        }
    }
    return (double)most;
}

/* ---- text ---- */

static void text_model(const gyre_source *x)
{
    (void)printf("source %s (%s): the model, %zu chunks of %zu tokens in %zu blocks, %zu tokens scored, data %.12s%s\n", x->name, x->path, x->n_documents, x->context, x->n_layers,
                 x->n_documents * x->n_scored, x->digest, x->descriptive ? " (descriptive: no verdicts)" : "");
    for (const char *p = x->texts, *h = x->texts_sha256; *p != '\0';) {
        int n = (int)strcspn(p, "\n");
        (void)printf("  text %.*s, SHA-256 %.12s\n", n, p, h);
        p += n + (p[n] == '\n');
        h += strcspn(h, "\n") + 1;
    }
    if (x->n_calibration > 0)
        (void)printf("  arms are fitted to %zu documents of a capture of this model%s\n", x->n_calibration, x->leak ? " (LEAK: deliberate)" : "");
}

static void text_source(const gyre_source *x)
{
    if (x->kind == GYRE_SOURCE_MODEL) {
        text_model(x);
        return;
    }
    (void)printf("source %s (%s): %u-dimensional, %zu documents evaluated, %zu calibrate", x->name, x->path, x->dim, x->n_documents, x->n_calibration);
    if (x->n_validation > 0)
        (void)printf(", %zu validate", x->n_validation);
    (void)printf("%s, data %.12s, layers", x->leak ? " (LEAK: deliberate)" : "", x->digest);
    for (size_t l = 0; l < x->n_layers; l++)
        (void)printf(" %u", x->layers[l]);
    (void)printf("\n");
}

static void text_time(double seconds)
{
    if (seconds < 99.5)
        (void)printf("about %.0f s", seconds < 1.0 ? 1.0 : seconds);
    else if (seconds < 99.5 * 60)
        (void)printf("about %.0f min", seconds / 60);
    else
        (void)printf("about %.1f h", seconds / 3600);
}

/* What each comparison will be able to see. */
static void text_foreseen(const shown *x)
{
    const gyre_table *t = x->plan->table;
    if (t->n_comparisons == 0)
        return;
    if (x->pilot == NULL) {
        (void)printf("what the comparisons can see: no pilot stated (`pilot: RESULTS.h5` or --pilot)\n");
        return;
    }
    (void)printf("what the comparisons can see, by the spreads of %s, before adjustment for a family:\n", x->pilot);
    for (size_t i = 0; i < t->n_comparisons; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        char text[GYRE_FORESEEN_TEXT];
        gyre_foreseen_text(c, "sees", gyre_unit_word(&t->sources[c->source]), text);
        (void)printf("  %s vs %s%s%s, %s on %s: %s", c->arm, c->against, c->point[0] != '\0' ? " at " : "", c->point, c->metric, t->sources[c->source].name,
                     text[0] != '\0' ? text : "not known (the pilot has not both arms there with two seeds and two documents, or the plan has one seed)");
        (void)printf(c->power < GYRE_POWER_WANTED ? "; the plan has power %.3f\n" : "\n", c->power);
    }
}

static void text_plan(const shown *x)
{
    const gyre_table *t = x->plan->table;
    const gyre_estimate *e = &x->estimate;
    (void)printf("experiment %s: %zu cells, %zu comparisons, %u seeds, configuration %.12s, analysis plan %.12s\n", t->experiment, t->n_cells, t->n_comparisons, t->n_seeds,
                 t->config_sha256, t->analysis_sha256);
    for (size_t s = 0; s < t->n_sources; s++)
        text_source(&t->sources[s]);
    for (size_t p = 0; p < x->config->n_points; p++) {
        const gyre_arm_point *point = &x->config->points[p];
        char k[GYRE_ARM_TEXT], v[GYRE_ARM_TEXT];
        gyre_arm_canonical(&point->arm, GYRE_K, k, sizeof k);
        gyre_arm_canonical(&point->arm, GYRE_V, v, sizeof v);
        (void)printf("arm %s %s: %zu cells, %s\n  k %s\n  v %s\n", point->arm.name, point->point, cells_of(x, p), point->seeded ? "seeded" : "no seeds", k, v);
        if (point->arm.n_ranges > 0) {
            gyre_arm_layers_text(&point->arm, k, sizeof k);
            (void)printf("  layers %s\n", k);
        }
    }
    for (size_t i = 0; i < t->n_cells; i++)
        if (first_skip(t, i))
            (void)printf("skipped: arm %s on %s: %s\n", t->cells[i].arm, t->sources[t->cells[i].source].name, t->cells[i].reason);
    (void)printf("to compute: %zu cells (%zu skipped); about %.0f MB of rows, scores or logits at a time\n", t->n_cells - x->skipped, x->skipped, x->bytes / 1e6);
    if (x->models.chunks > 0) {
        (void)printf("to run: %zu chunks through models, exact runs among them; ", x->models.chunks);
        text_time(x->models.seconds);
        (void)printf(" on %u thread%s, without what codecs cost (one chunk of each kind was timed)\n", x->jobs, x->jobs == 1 ? "" : "s");
    }
    text_foreseen(x);
    if (e->fits == 0)
        return;
    (void)printf("to fit: %zu fits, %zu steps or draws; ", e->fits, e->steps);
    if (isfinite(e->seconds)) {
        text_time(e->seconds / x->jobs);
        (void)printf(" on %u job%s (steps were timed)\n", x->jobs, x->jobs == 1 ? "" : "s");
    } else {
        (void)printf("they could not be timed: %s\n", e->why);
    }
}

/* ---- JSON ---- */

static void json_count(const char *key, size_t n)
{
    gyre_json_key(key);
    (void)printf("%zu", n);
}

static void json_source(const gyre_source *x)
{
    (void)printf("{\"name\": ");
    gyre_json_text(x->name);
    gyre_json_pair(x->kind == GYRE_SOURCE_MODEL ? "model" : "capture", x->path);
    gyre_json_pair("data", x->digest);
    json_count("dim", x->dim);
    json_count("evaluation", x->n_documents);
    json_count("calibration", x->n_calibration);
    json_count("validation", x->n_validation);
    gyre_json_key("leak");
    (void)printf("%s", x->leak ? "true" : "false");
    gyre_json_key("layers");
    for (size_t l = 0; l < x->n_layers; l++)
        (void)printf("%s%u", l == 0 ? "[" : ", ", x->layers[l]);
    (void)printf("]}");
}

static void json_point(const shown *x, size_t p)
{
    const gyre_arm_point *point = &x->config->points[p];
    char k[GYRE_ARM_TEXT], v[GYRE_ARM_TEXT];
    gyre_arm_canonical(&point->arm, GYRE_K, k, sizeof k);
    gyre_arm_canonical(&point->arm, GYRE_V, v, sizeof v);
    (void)printf("{\"arm\": ");
    gyre_json_text(point->arm.name);
    gyre_json_pair("point", point->point);
    json_count("cells", cells_of(x, p));
    gyre_json_key("seeded");
    (void)printf("%s", point->seeded ? "true" : "false");
    gyre_json_pair("k", k);
    gyre_json_pair("v", v);
    if (point->arm.n_ranges > 0) {
        gyre_arm_layers_text(&point->arm, k, sizeof k);
        gyre_json_pair("layers", k);
    }
    (void)printf("}");
}

static void json_foreseen(const shown *x)
{
    const gyre_table *t = x->plan->table;
    if (x->pilot == NULL)
        return;
    gyre_json_pair("pilot", x->pilot);
    gyre_json_key("foreseen");
    for (size_t i = 0; i < t->n_comparisons; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        (void)printf("%s{\"arm\": ", i == 0 ? "[" : ", ");
        gyre_json_text(c->arm);
        gyre_json_pair("against", c->against);
        gyre_json_pair("metric", c->metric);
        gyre_json_pair("source", t->sources[c->source].name);
        gyre_json_pair("point", c->point);
        gyre_json_number("mde", c->mde);
        gyre_json_number("power", c->power);
        gyre_json_number("seeds_needed", c->seeds_needed);
        gyre_json_number("documents_needed", c->documents_needed);
        (void)printf("}");
    }
    (void)printf(t->n_comparisons == 0 ? "[]" : "]");
}

static void json_plan(const shown *x)
{
    const gyre_table *t = x->plan->table;
    const char *comma = "";
    (void)printf("{\"experiment\": ");
    gyre_json_text(t->experiment);
    json_count("cells", t->n_cells);
    json_count("comparisons", t->n_comparisons);
    json_count("seeds", t->n_seeds);
    gyre_json_pair("configuration", t->config_sha256);
    gyre_json_pair("analysis_plan", t->analysis_sha256);
    gyre_json_key("sources");
    for (size_t s = 0; s < t->n_sources; s++) {
        (void)printf("%s", s == 0 ? "[" : ", ");
        json_source(&t->sources[s]);
    }
    (void)printf("], \"arms\": ");
    for (size_t p = 0; p < x->config->n_points; p++) {
        (void)printf("%s", p == 0 ? "[" : ", ");
        json_point(x, p);
    }
    (void)printf("], \"reasons\": [");
    for (size_t i = 0; i < t->n_cells; i++) {
        if (!first_skip(t, i))
            continue;
        (void)printf("%s{\"arm\": ", comma);
        gyre_json_text(t->cells[i].arm);
        gyre_json_pair("source", t->sources[t->cells[i].source].name);
        gyre_json_pair("reason", t->cells[i].reason);
        (void)printf("}");
        comma = ", ";
    }
    (void)printf("]");
    json_count("skipped", x->skipped);
    json_count("to_compute", t->n_cells - x->skipped);
    json_count("fits", x->estimate.fits);
    json_count("steps", x->estimate.steps);
    json_count("jobs", x->jobs);
    gyre_json_number("fit_seconds", x->estimate.seconds / x->jobs);
    json_count("chunks", x->models.chunks);
    gyre_json_number("chunk_seconds", x->models.seconds);
    gyre_json_number("bytes", x->bytes);
    json_foreseen(x);
    (void)printf("}\n");
}

/* ---- the verb ---- */

gyre_status gyre_verb_show_plan(const gyre_config *config, gyre_plan *plan, const char *pilot, unsigned jobs, bool json, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    shown x = {.config = config, .plan = plan, .pilot = pilot, .bytes = most_bytes(plan), .jobs = jobs};
    if (pilot != NULL)
        GYRE_TRY(gyre_pilot_foresee(pilot, plan->table, context->log, err));
    for (size_t i = 0; i < plan->table->n_cells; i++)
        x.skipped += plan->table->cells[i].status == GYRE_CELL_SKIPPED;
    GYRE_TRY(gyre_plan_estimate(config, plan, context->stop, &x.estimate, err));
    GYRE_TRY(gyre_plan_estimate_models(config, plan, &(gyre_run_options){.jobs = jobs, .n_shards = 1, .stop = context->stop}, &x.models, err));
    if (json)
        json_plan(&x);
    else
        text_plan(&x);
done:
    return st;
}

gyre_status gyre_verb_plan(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL, *sets[GYRE_SETS_MOST], *size = NULL, *jobs_text = NULL, *pilot = NULL;
    char found[4096];
    size_t n_sets = 0, words = 0;
    bool json = false;
    long jobs = sysconf(_SC_NPROCESSORS_ONLN);
    const gyre_argument options[] = {{.name = "--set", .list = sets, .list_count = &n_sets, .list_most = GYRE_SETS_MOST},
                                     {.name = "--size", .value = &size}, {.name = "--pilot", .value = &pilot},
                                     {.name = "--jobs", .value = &jobs_text}, {.name = "--json", .flag = &json}, {0}};
    gyre_config *config = NULL;
    gyre_search search = {{0}};
    gyre_plan *plan = NULL;
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a configuration, as in gyre plan configs/demo.yaml");
    if (jobs_text != NULL)
        GYRE_TRY(gyre_argument_int("--jobs", jobs_text, 1, 1024, &jobs, err));
    GYRE_TRY(gyre_verb_config(path, size, sets, n_sets, &config, err));
    GYRE_TRY(gyre_search_from(path, &search, err));
    GYRE_TRY(gyre_plan_make(config, &search, &plan, err));
    if (pilot == NULL && config->pilot != NULL) {
        GYRE_TRY(gyre_search_find(&search, config->pilot, "pilot", found, sizeof found, err));
        pilot = found;
    }
    GYRE_TRY(gyre_verb_show_plan(config, plan, pilot, jobs < 1 ? 1 : (unsigned)jobs, json, context, err));
done:
    gyre_plan_free(plan);
    gyre_search_free(&search);
    gyre_config_free(config);
    return st;
}
