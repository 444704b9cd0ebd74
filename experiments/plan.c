#define _POSIX_C_SOURCE 200809L
#include "experiments/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "experiments/cell.h"
#include "experiments/plan_parts.h"
#include "results/cells.h"
#include "results/units.h"

/* ---- sources ---- */

gyre_status gyre_search_find(const gyre_search *search, const char *name, const char *what, char *path, size_t size, gyre_error *err)
{
    for (size_t i = 0; i < GYRE_PLAN_DIRS; i++) {
        const char *dir = name[0] == '/' ? "" : search->dirs[i];
        if (dir == NULL)
            continue;
        int n = snprintf(path, size, "%s%s%s", dir, dir[0] ? "/" : "", name);
        if (n > 0 && (size_t)n < size && access(path, R_OK) == 0)
            return GYRE_OK;
    }
    return gyre_error_set(err, GYRE_E_IO, __FILE__, __LINE__, "the %s %s is not there or not readable (looked from the working folder and from the configuration's)", what, name);
}

static gyre_status document_place(const gyre_capture_data *info, const char *name, const char *path, size_t *out, gyre_error *err)
{
    for (size_t i = 0; i < info->n_documents; i++)
        if (strcmp(info->documents[i].name, name) == 0) {
            *out = i;
            return GYRE_OK;
        }
    return gyre_error_set(err, GYRE_E_CONFIG, __FILE__, __LINE__, "%s has no document '%s': h5dump -d /document lists them", path, name);
}

static bool is_used(const gyre_split *split, gyre_use use, size_t place)
{
    for (size_t i = 0; i < split->use[use].count; i++)
        if (split->use[use].index[i] == place)
            return true;
    return false;
}

/* Named documents of one use, none of which may have another use that is settled already. */
static gyre_status take_named(const gyre_config *c, const gyre_capture_data *info, const char *path, const char *const *names, size_t n, gyre_use use, gyre_plan_source *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const char *const does[] = {"is evaluated", "calibrates", "validates"};
    for (size_t i = 0; i < n; i++) {
        size_t *place = &s->documents[use][i];
        GYRE_TRY(document_place(info, names[i], path, place, err));
        for (int u = 0; u < GYRE_USES; u++)
            if (u != (int)use && is_used(&s->split, (gyre_use)u, *place) && !c->leak)
                GYRE_FAIL(GYRE_E_CONFIG, "document '%s' %s and %s: name the %s documents too, or say leak: deliberate", names[i], does[u], does[use],
                          u == GYRE_USE_VALIDATE ? "validation" : "calibration");
        s->split.use[use].count++;
    }
done:
    return st;
}

static void take(gyre_plan_source *s, gyre_use use, size_t place)
{
    s->documents[use][s->split.use[use].count++] = place;
}

static bool config_learns(const gyre_config *c)
{
    bool learns = false;
    for (size_t i = 0; i < c->n_points; i++)
        learns = learns || gyre_arm_learns(&c->points[i].arm);
    return learns;
}

/* Named documents, or the default split: the first quarter calibrates, the rest is evaluated; where something is learned, the last quarter of the calibration documents validates. */
gyre_status gyre_plan_split(const gyre_config *c, const gyre_capture_data *info, const char *path, gyre_plan_source *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = info->n_documents, quarter = n / 4 > 0 ? n / 4 : 1;
    gyre_documents *use = s->split.use, *calibration = &use[GYRE_USE_CALIBRATE], *validation = &use[GYRE_USE_VALIDATE];
    if (n < 2)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %zu document; at least 2 are needed (one calibrates)", path, n);
    for (int u = 0; u < GYRE_USES; u++) {
        GYRE_NEW(&s->documents[u], n + c->n_calibration + c->n_validation + c->n_evaluation);
        use[u].index = s->documents[u];
    }
    GYRE_TRY(take_named(c, info, path, c->validation, c->n_validation, GYRE_USE_VALIDATE, s, err));
    GYRE_TRY(take_named(c, info, path, c->calibration, c->n_calibration, GYRE_USE_CALIBRATE, s, err));
    for (size_t i = 0; i < quarter && c->n_calibration == 0; i++)
        if (!is_used(&s->split, GYRE_USE_VALIDATE, i))
            take(s, GYRE_USE_CALIBRATE, i);
    if (calibration->count == 0)
        GYRE_FAIL(GYRE_E_CONFIG, "%s: the first quarter of the documents validates, and none is left to calibrate: name source.calibration", path);
    size_t last = calibration->count / 4 > 0 ? calibration->count / 4 : 1;
    for (size_t i = calibration->count - last; c->n_validation == 0 && config_learns(c) && calibration->count > 1 && i < calibration->count; i++)
        take(s, GYRE_USE_VALIDATE, s->documents[GYRE_USE_CALIBRATE][i]);
    if (c->n_validation == 0)
        calibration->count -= validation->count;
    GYRE_TRY(take_named(c, info, path, c->evaluation, c->n_evaluation, GYRE_USE_EVALUATE, s, err));
    for (size_t i = 0; i < n && c->n_evaluation == 0; i++)
        if (!is_used(&s->split, GYRE_USE_CALIBRATE, i) && !is_used(&s->split, GYRE_USE_VALIDATE, i))
            take(s, GYRE_USE_EVALUATE, i);
    if (use[GYRE_USE_EVALUATE].count == 0)
        GYRE_FAIL(GYRE_E_CONFIG, "%s: no document is left to evaluate", path);
done:
    return st;
}

static gyre_status pick_layers(const gyre_config *c, const gyre_capture_data *info, const char *path, gyre_plan_source *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&s->layer_index, info->n_layers);
    for (size_t i = 0; i < info->n_layers; i++) {
        bool wanted = c->all_layers;
        for (size_t j = 0; j < c->n_layers; j++)
            wanted = wanted || c->layers[j] == info->layers[i].layer;
        if (wanted)
            s->layer_index[s->n_layers++] = i;
    }
    for (size_t j = 0; j < c->n_layers; j++) {
        bool found = false;
        for (size_t i = 0; i < info->n_layers; i++)
            found = found || info->layers[i].layer == c->layers[j];
        if (!found)
            GYRE_FAIL(GYRE_E_CONFIG, "%s has no layer %u", path, c->layers[j]);
    }
done:
    return st;
}

gyre_status gyre_plan_keep_names(gyre_table *t, const gyre_capture_data *info, gyre_documents which, const char *const **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **names = NULL;
    GYRE_TRY(gyre_table_keep(t, which.count, sizeof *names, &names, err));
    for (size_t i = 0; i < which.count; i++)
        GYRE_TRY(gyre_table_text(t, info->documents[which.index[i]].name, &names[i], err));
    *out = names;
done:
    return st;
}

/* Unique in the table: the same model captured twice gets its place as a suffix. */
gyre_status gyre_plan_name_source(gyre_table *t, size_t index, const char *model, gyre_error *err)
{
    char name[256];
    (void)snprintf(name, sizeof name, "%.200s", model);
    for (size_t i = 0; i < index; i++)
        if (strcmp(t->sources[i].name, name) == 0)
            (void)snprintf(name, sizeof name, "%.200s#%zu", model, index + 1);
    return gyre_table_text(t, name, &t->sources[index].name, err);
}

static gyre_status open_source(const gyre_config *c, const gyre_search *search, size_t index, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[4096], digest[GYRE_SHA256_HEX];
    gyre_plan_source *s = &plan->sources[index];
    gyre_table *t = plan->table;
    gyre_source *out = &t->sources[index];
    uint32_t *layers, *heads;
    GYRE_TRY(gyre_search_find(search, c->captures[index], "capture", path, sizeof path, err));
    GYRE_TRY(gyre_capture_open(path, &s->capture, err));
    const gyre_capture_data *info = gyre_capture_info(s->capture);
    for (size_t m = 0; m < c->n_metrics; m++)
        if ((c->metrics[m]->reads & GYRE_METRIC_QUERIES) && info->n_queries == 0)
            GYRE_FAIL(GYRE_E_INPUT, "%s holds no queries, which the metric %s needs: capture it again with --queries, or leave that metric out", path, c->metrics[m]->name);
    GYRE_TRY(gyre_plan_split(c, info, path, s, err));
    GYRE_TRY(pick_layers(c, info, path, s, err));
    GYRE_TRY(gyre_capture_digest(s->capture, digest, err));
    GYRE_TRY(gyre_plan_name_source(t, index, info->model_name, err));
    GYRE_TRY(gyre_table_text(t, c->captures[index], &out->path, err));
    GYRE_TRY(gyre_table_text(t, digest, &out->digest, err));
    GYRE_TRY(gyre_table_text(t, info->model_sha256, &out->model_sha256, err));
    GYRE_TRY(gyre_table_text(t, info->architecture, &out->architecture, err));
    out->n_documents = s->split.use[GYRE_USE_EVALUATE].count;
    out->n_calibration = s->split.use[GYRE_USE_CALIBRATE].count;
    out->n_validation = s->split.use[GYRE_USE_VALIDATE].count;
    GYRE_TRY(gyre_plan_keep_names(t, info, s->split.use[GYRE_USE_EVALUATE], &out->documents, err));
    GYRE_TRY(gyre_plan_keep_names(t, info, s->split.use[GYRE_USE_CALIBRATE], &out->calibration, err));
    GYRE_TRY(gyre_plan_keep_names(t, info, s->split.use[GYRE_USE_VALIDATE], &out->validation, err));
    out->leak = c->leak;
    out->n_layers = s->n_layers;
    GYRE_TRY(gyre_table_keep(t, s->n_layers, sizeof *layers, &layers, err));
    GYRE_TRY(gyre_table_keep(t, s->n_layers, sizeof *heads, &heads, err));
    for (size_t i = 0; i < s->n_layers; i++) {
        const gyre_capture_layer *l = &info->layers[s->layer_index[i]];
        layers[i] = l->layer;
        heads[i] = (uint32_t)l->n_kv_heads;
        out->dim = (uint32_t)l->dim;
        out->has_bias = out->has_bias || l->k_bias != NULL;
    }
    out->layers = layers;
    out->n_heads = heads;
done:
    return st;
}

/* ---- keys ---- */

/* Everything that determines a cell's value, in a fixed order; nothing else. fitted: in a model, something of the arm is found from rows of the capture that is named beside it. leaves: streams that the arm codes elsewhere and leaves exact at this layer, which have error 0 and 16 bits there. */
static gyre_status make_key(const gyre_config *c, const gyre_source *source, const gyre_plan_model *model, const gyre_cell *cell, bool fitted, const char *leaves, bool validates, char key[GYRE_SHA256_HEX],
                            gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    GYRE_TRY(gyre_sha256_new(&h, err));
    gyre_sha256_add_text(h, GYRE_CELL_SCHEMA " " GYRE_CELL_VERSION);
    gyre_sha256_add_text(h, GYRE_VALUE_CODE);
    if (model != NULL) {
        gyre_plan_model_key(c, source, model, cell, fitted, h);
    } else {
        gyre_sha256_add_text(h, source->digest);
        gyre_sha256_add_uint(h, cell->layer);
    }
    gyre_sha256_add_text(h, cell->codec_k);
    gyre_sha256_add_text(h, cell->codec_v);
    if (leaves[0] != '\0')
        gyre_sha256_add_text(h, leaves);
    gyre_sha256_add_uint(h, cell->seeded ? c->campaign_seed : 0);
    gyre_sha256_add_uint(h, cell->seed);
    gyre_sha256_add_uint(h, model != NULL ? 0 : source->n_documents);
    for (size_t i = 0; i < source->n_documents && model == NULL; i++)
        gyre_sha256_add_text(h, source->documents[i]);
    size_t n_calibration = model == NULL || fitted ? source->n_calibration : 0;
    gyre_sha256_add_uint(h, n_calibration);
    for (size_t i = 0; i < n_calibration; i++)
        gyre_sha256_add_text(h, source->calibration[i]);
    gyre_sha256_add_uint(h, validates ? source->n_validation : 0);
    for (size_t i = 0; validates && i < source->n_validation; i++)
        gyre_sha256_add_text(h, source->validation[i]);
    for (size_t i = 0; i < c->n_metrics; i++)
        gyre_sha256_add_text(h, c->metrics[i]->name);
    st = gyre_sha256_hex(h, key, err);
    h = NULL;
done:
    gyre_sha256_free(h);
    return st;
}

/* Does the arm apply to this layer? *why is "" when it does. */
void gyre_plan_applies(const gyre_arm *arm, const gyre_capture_layer *raw, const gyre_capture_data *info, char why[GYRE_WHY])
{
    gyre_layer shape = {.raw = *raw, .n_heads = raw->n_kv_heads, .dim = raw->dim, .tokens = info->n_tokens};
    gyre_site sites[2] = {gyre_cell_site(&shape, GYRE_K, 0, 0, 0), gyre_cell_site(&shape, GYRE_V, 0, 0, 0)};
    gyre_codec_group groups[2];
    size_t n = gyre_arm_groups(arm, groups);
    why[0] = '\0';
    for (size_t g = 0; g < n && why[0] == '\0'; g++) {
        gyre_codec_stream streams[2];
        for (size_t s = 0; s < groups[g].n; s++)
            streams[s] = (gyre_codec_stream){&arm->codec[groups[g].stream[s]], &sites[groups[g].stream[s]]};
        (void)gyre_codec_applies(streams, groups[g].n, why);
    }
    for (int i = 0; i < 2 && why[0] == '\0' && info->n_queries == 0; i++)
        if (arm->codes[i] && (arm->fit[i].objective->flags & GYRE_OBJECTIVE_QUERIES) && arm->fitted[i].selector == NULL && (gyre_arm_uses(arm, (gyre_stream)i) & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)))
            (void)snprintf(why, GYRE_WHY, "the objective %.60s needs queries, and the capture holds none: capture it again with --queries", arm->fit[i].objective->name);
    if (why[0] == '\0' && arm->codes[GYRE_K] && info->n_queries == 0 && (gyre_chain_traits(&arm->codec[GYRE_K].chain).needs & GYRE_NEEDS_QUERIES))
        (void)snprintf(why, GYRE_WHY, "the chain of keys is fitted to queries, and the capture holds none: capture it again with --queries");
}

/* ---- fits ---- */

static size_t heads_together(const gyre_codec_spec *codec, size_t n_heads)
{
    for (size_t i = 0; i < codec->chain.count; i++) {
        gyre_traits t = gyre_transform_traits(codec->chain.elements[i].type, &codec->chain.elements[i].options);
        if (t.flags & GYRE_LEARNABLE)
            return t.pooled ? n_heads : 1;
    }
    return n_heads;
}

gyre_plan_fits gyre_plan_count_fits(const gyre_arm *arm, size_t n_heads)
{
    gyre_plan_fits all = {0, 0};
    for (int s = 0; s < 2; s++) {
        unsigned uses = gyre_arm_uses(arm, (gyre_stream)s);
        const gyre_fit_options *own = &arm->fit[s].own;
        if (arm->fitted[s].selector != NULL || !(uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)))
            continue;
        size_t fits = uses & GYRE_FIT_LEARNS ? n_heads / heads_together(&arm->codec[s], n_heads) : 1;
        all.fits += fits;
        all.steps += fits * (uses & GYRE_FIT_LEARNS ? (size_t)(own->steps * own->restarts) : (size_t)own->draws);
    }
    return all;
}

/* What a fit asks of the documents, known before anything is computed. */
gyre_status gyre_plan_check_fit(const gyre_arm *arm, const gyre_plan_source *s, const gyre_capture_data *info, const gyre_capture_layer *raw, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (int i = 0; i < 2; i++) {
        if (!arm->codes[i])
            continue;
        const gyre_fit_spec *fit = &arm->fit[i];
        unsigned uses = gyre_arm_uses(arm, (gyre_stream)i);
        size_t documents = s->split.use[fit->own.leak ? GYRE_USE_EVALUATE : GYRE_USE_CALIBRATE].count, total = documents * info->n_tokens, tokens = fit->own.tokens > 0 ? (size_t)fit->own.tokens : total;
        size_t heads = arm->codes[i] ? heads_together(&arm->codec[i], raw->n_kv_heads) : 1, batch = (size_t)fit->own.batch;
        bool whole = fit->objective->flags & GYRE_OBJECTIVE_DOCUMENTS, makes = (uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)) && arm->fitted[i].selector == NULL;
        if (uses != GYRE_FIT_NOTHING && tokens > total)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s: fit.tokens asks for %zu tokens, and the %zu %s documents have %zu: name more documents, take a larger capture, or fewer tokens", arm->name,
                      tokens, documents, fit->own.leak ? "evaluation" : "calibration", total);
        if (whole)
            tokens = (tokens + info->n_tokens - 1) / info->n_tokens * info->n_tokens;
        if (makes && (uses & GYRE_FIT_LEARNS) && batch > tokens * heads)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s: fit.batch asks for %zu rows, and the calibration set has %zu (%zu tokens of %zu heads that learn together): a smaller batch, batch: all, or more tokens",
                      arm->name, batch, tokens * heads, tokens, heads);
        if (makes && (uses & GYRE_FIT_LEARNS) && batch > 0 && batch < heads && !whole)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s: fit.batch of %zu rows is less than one for each of the %zu heads that learn together", arm->name, batch, heads);
        bool blind = makes && (uses & GYRE_FIT_LEARNS) && !fit->own.leak && s->split.use[GYRE_USE_VALIDATE].count == 0;
        if (blind && fit->own.keep == GYRE_KEEP_BEST)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s learns and keeps the best state on validation documents, and there is none (one calibration document): name source.calibration and source.validation, or "
                      "say fit.keep: last", arm->name);
        if (blind && fit->own.patience > 0)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s: fit.patience looks at validation documents, and there is none: name source.calibration and source.validation, or say patience: off", arm->name);
    }
done:
    return st;
}

/* Opens the results files that arms take parameters from, each once. */
static gyre_status open_fitted(const gyre_config *c, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&plan->fitted, 2 * c->n_points);
    plan->n_points = c->n_points;
    for (size_t i = 0; i < 2 * c->n_points; i++) {
        const gyre_fitted_from *own = &c->points[i / 2].arm.fitted[i % 2];
        if (own->selector == NULL)
            continue;
        for (size_t j = 0; j < i && plan->fitted[i] == NULL; j++)
            if (plan->fitted[j] != NULL && strcmp(c->points[j / 2].arm.fitted[j % 2].file.sha256, own->file.sha256) == 0)
                plan->fitted[i] = plan->fitted[j];
        if (plan->fitted[i] != NULL)
            continue;
        GYRE_TRY(gyre_option_file_check(&own->file, err));
        GYRE_TRY(gyre_fitted_open(own->file.path, &plan->fitted[i], err));
    }
done:
    return st;
}

static gyre_fitted_want fitted_want(const gyre_config *c, const gyre_plan *plan, size_t cell, size_t layer, gyre_stream stream)
{
    const gyre_cell *x = &plan->table->cells[cell];
    const gyre_arm *arm = &c->points[plan->cell_point[cell]].arm;
    const gyre_capture_layer *raw = &gyre_capture_info(plan->sources[x->source].capture)->layers[layer];
    return (gyre_fitted_want){.selector = arm->fitted[stream].selector, .model_sha256 = plan->table->sources[x->source].model_sha256, .layer = raw->layer, .seed = x->seed,
                              .campaign_seed = c->campaign_seed, .stream = stream, .codec = &arm->codec[stream], .dim = raw->dim, .n_heads = raw->n_kv_heads};
}

size_t gyre_plan_layer(const gyre_plan *plan, size_t cell)
{
    return plan->sources[plan->table->cells[cell].source].layer_index[plan->cell_layer[cell]];
}

gyre_status gyre_plan_fitted(const gyre_config *c, const gyre_plan *plan, size_t cell, size_t layer, gyre_stream stream, gyre_fits *out, gyre_error *err)
{
    const gyre_arm *arm = &c->points[plan->cell_point[cell]].arm;
    const gyre_capture_layer *raw = &gyre_capture_info(plan->sources[plan->table->cells[cell].source].capture)->layers[layer];
    *out = (gyre_fits){0};
    if (arm->fitted[stream].selector == NULL || gyre_arm_at(c, arm, raw->layer) != arm)
        return GYRE_OK;
    gyre_fitted_want want = fitted_want(c, plan, cell, layer, stream);
    gyre_status st = gyre_fitted_find(plan->fitted[2 * plan->cell_point[cell] + stream], &want, out, err);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "arm %s, %s, layer %u", arm->name, stream == GYRE_K ? "K" : "V", raw->layer);
    return st;
}

/* ---- cells ---- */

/* Parameters that a cell takes over must be there, and not from documents that it evaluates (unless `leak: deliberate`, which marks the cell). */
static gyre_status check_fitted(const gyre_config *c, gyre_plan *plan, size_t cell, size_t layer, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *source = &plan->table->sources[plan->table->cells[cell].source];
    const gyre_plan_model *model = plan->sources[plan->table->cells[cell].source].model;
    const gyre_arm *arm = &c->points[plan->cell_point[cell]].arm;
    const char *const *names = model != NULL ? model->text_names : source->documents;
    size_t n_names = model != NULL ? model->n_texts : source->n_documents;
    for (int i = 0; i < 2; i++) {
        gyre_fits ignored;
        const char *seen = NULL;
        GYRE_TRY(gyre_plan_fitted(c, plan, cell, layer, (gyre_stream)i, &ignored, err));
        if (arm->fitted[i].selector == NULL || ignored.count == 0)
            continue;
        gyre_fitted_want want = fitted_want(c, plan, cell, layer, (gyre_stream)i);
        GYRE_TRY(gyre_fitted_saw(plan->fitted[2 * plan->cell_point[cell] + (size_t)i], &want, names, n_names, &seen, err));
        if (seen != NULL && !c->leak)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s, %s: the parameters of %s#%s were found on document '%s', which is evaluated here: name source.evaluation without it, or say leak: deliberate", arm->name,
                      i == GYRE_K ? "K" : "V", arm->fitted[i].file.path, arm->fitted[i].selector, seen);
        plan->cell_leaks[cell] = plan->cell_leaks[cell] || seen != NULL;
    }
done:
    return st;
}

static size_t seeds_of(const gyre_config *c, const gyre_arm_point *p)
{
    return p->seeded ? c->seeds : 1;
}

/* Why the arm's cells of a layer or block are SKIPPED; "" where they are not. Arms that cannot work for another reason are errors. */
static gyre_status judge_point(const gyre_config *c, const gyre_plan *plan, size_t source, size_t layer, const gyre_arm_point *p, char why[GYRE_WHY], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_plan_source *s = &plan->sources[source];
    if (s->model != NULL)
        return gyre_plan_model_applies(c, s, p, why, err);
    const gyre_capture_data *info = gyre_capture_info(s->capture);
    const gyre_capture_layer *raw = &info->layers[s->layer_index[layer]];
    const gyre_arm *arm = gyre_arm_at(c, &p->arm, raw->layer);
    gyre_plan_applies(arm, raw, info, why);
    if (!why[0])
        GYRE_TRY(gyre_plan_check_fit(arm, s, info, raw, err));
done:
    return st;
}

/* Codec of a stream as the cell's text has it. In a model all layers are in one cell, so the ranges of the arm are told too. */
static gyre_status codec_text(const gyre_config *c, gyre_table *t, const gyre_arm *arm, bool model, uint32_t layer, gyre_stream stream, const char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    size_t size = (size_t)GYRE_ARM_TEXT * (arm->n_ranges + 1) + 64, used;
    GYRE_NEW(&text, size);
    gyre_arm_canonical(model ? arm : gyre_arm_at(c, arm, layer), stream, text, size);
    used = strlen(text);
    for (size_t i = 0; model && i < arm->n_ranges; i++) {
        const gyre_arm_range *r = &arm->ranges[i];
        used += (size_t)snprintf(text + used, size - used, ";layers %u-%u=", r->first, r->last);
        gyre_arm_canonical(gyre_arm_at(c, arm, r->first), stream, text + used, size - used);
        used += strlen(text + used);
    }
    GYRE_TRY(gyre_table_text(t, text, out, err));
done:
    free(text);
    return st;
}

/* "k", "v" or "kv" that the whole arm codes and the arm of this layer does not; "" where there is none. */
static const char *leaves_exact(const gyre_arm *whole, const gyre_arm *here)
{
    static const char *const streams[] = {"", "k", "v", "kv"};
    return streams[(whole->codes[0] && !here->codes[0] ? 1 : 0) + (whole->codes[1] && !here->codes[1] ? 2 : 0)];
}

static gyre_cell planned_cell(const gyre_plan *plan, size_t source, size_t layer, const gyre_arm_point *p)
{
    static const char *const streams[] = {"none", "k", "v", "kv"};
    const gyre_plan_source *s = &plan->sources[source];
    const gyre_source *out = &plan->table->sources[source];
    gyre_cell cell = {.source = source,
                      .layer = out->layers[layer],
                      .streams = streams[(p->arm.codes[0] ? 1 : 0) + (p->arm.codes[1] ? 2 : 0)],
                      .seeded = p->seeded,
                      .flags = "",
                      .payload_bits = (double)NAN,
                      .side_bits = (double)NAN,
                      .total_bits = (double)NAN,
                      .read_bits = (double)NAN,
                      .n_documents = out->n_documents,
                      .n_heads = out->n_heads[layer]};
    if (s->model != NULL) {
        cell.first_document = layer * s->model->block;
        cell.n_documents = out->n_documents - cell.first_document < s->model->block ? out->n_documents - cell.first_document : s->model->block;
    }
    return cell;
}

/* Is anything of the arm found from rows, at any layer? */
static bool is_fitted(const gyre_config *c, const gyre_plan_model *m, const gyre_arm *whole)
{
    bool fitted = false;
    for (size_t l = 0; l < m->n_layers; l++) {
        const gyre_arm *arm = gyre_arm_at(c, whole, (uint32_t)l);
        for (int s = 0; s < 2; s++)
            fitted = fitted || (arm->codes[s] && gyre_arm_uses(arm, (gyre_stream)s) != GYRE_FIT_NOTHING);
    }
    return fitted;
}

/* Parameters of other runs, at every layer that the cell is made of. */
static gyre_status check_cell_fitted(const gyre_config *c, gyre_plan *plan, size_t cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_plan_source *s = &plan->sources[plan->table->cells[cell].source];
    if (s->model == NULL)
        return check_fitted(c, plan, cell, gyre_plan_layer(plan, cell), err);
    for (size_t l = 0; l < s->model->n_layers; l++)
        GYRE_TRY(check_fitted(c, plan, cell, l, err));
    plan->cell_leaks[cell] = plan->cell_leaks[cell] || (s->model->fit_leaks && is_fitted(c, s->model, &c->points[plan->cell_point[cell]].arm));
done:
    return st;
}

static gyre_status fill_cells(const gyre_config *c, gyre_plan *plan, size_t source, size_t layer, size_t point, size_t *next, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = plan->table;
    const gyre_plan_source *s = &plan->sources[source];
    const gyre_arm_point *p = &c->points[point];
    gyre_cell model = planned_cell(plan, source, layer, p);
    bool fitted = s->model != NULL && is_fitted(c, s->model, &p->arm);
    const gyre_arm *here = s->model != NULL ? &p->arm : gyre_arm_at(c, &p->arm, model.layer);
    char why[GYRE_WHY] = "";
    GYRE_TRY(judge_point(c, plan, source, layer, p, why, err));
    GYRE_TRY(codec_text(c, t, &p->arm, s->model != NULL, model.layer, GYRE_K, &model.codec_k, err));
    GYRE_TRY(codec_text(c, t, &p->arm, s->model != NULL, model.layer, GYRE_V, &model.codec_v, err));
    GYRE_TRY(gyre_table_text(t, p->arm.name, &model.arm, err));
    GYRE_TRY(gyre_table_text(t, p->point, &model.point, err));
    GYRE_TRY(gyre_table_text(t, why, &model.reason, err));
    model.status = why[0] ? GYRE_CELL_SKIPPED : GYRE_CELL_MISSING;
    for (size_t seed = 0; seed < seeds_of(c, p); seed++) {
        gyre_cell *cell = &t->cells[*next];
        *cell = model;
        cell->seed = (uint32_t)seed;
        GYRE_TRY(make_key(c, &t->sources[source], s->model, cell, fitted, leaves_exact(&p->arm, here), gyre_plan_count_fits(here, 1).fits > 0, cell->key, err));
        plan->cell_point[*next] = point;
        plan->cell_layer[*next] = layer;
        if (!why[0])
            GYRE_TRY(check_cell_fitted(c, plan, *next, err));
        (*next)++;
    }
done:
    return st;
}

static gyre_status make_cells(const gyre_config *c, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t count = 0, next = 0;
    for (size_t s = 0; s < plan->n_sources; s++)
        for (size_t p = 0; p < c->n_points; p++)
            count += plan->table->sources[s].n_layers * seeds_of(c, &c->points[p]);
    GYRE_TRY(gyre_table_keep(plan->table, count, sizeof *plan->table->cells, &plan->table->cells, err));
    GYRE_NEW(&plan->cell_point, count);
    GYRE_NEW(&plan->cell_layer, count);
    GYRE_NEW(&plan->cell_leaks, count);
    plan->table->n_cells = count;
    for (size_t s = 0; s < plan->n_sources; s++)
        for (size_t l = 0; l < plan->table->sources[s].n_layers; l++)
            for (size_t p = 0; p < c->n_points; p++)
                GYRE_TRY(fill_cells(c, plan, s, l, p, &next, err));
done:
    return st;
}

/* ---- comparisons ---- */

/* Grid values of an axis that does not act on an arm leave it as it is: two points meet where one's values are among the other's, and the comparison is at the longer. */
static const char *meeting_point(const char *a, const char *b)
{
    return gyre_point_within(b, a) ? a : gyre_point_within(a, b) ? b : NULL;
}

static gyre_status add_comparison(gyre_table *t, const gyre_compare_spec *spec, size_t source, const char *point, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_comparison *x = &t->comparisons[t->n_comparisons++];
    x->source = source;
    x->ratio = spec->ratio;
    x->has_margin = spec->has_margin;
    x->margin = spec->has_margin ? spec->margin : (double)NAN;
    x->alpha = spec->alpha;
    GYRE_TRY(gyre_table_text(t, spec->arm, &x->arm, err));
    GYRE_TRY(gyre_table_text(t, spec->against, &x->against, err));
    GYRE_TRY(gyre_table_text(t, spec->metric, &x->metric, err));
    GYRE_TRY(gyre_table_text(t, spec->family, &x->family, err));
    GYRE_TRY(gyre_table_text(t, point, &x->point, err));
    GYRE_TRY(gyre_table_text(t, spec->test, &x->test_asked, err));
    GYRE_TRY(gyre_table_text(t, spec->goal, &x->goal, err));
    GYRE_TRY(gyre_table_text(t, spec->correction, &x->correction, err));
    GYRE_TRY(gyre_table_text(t, spec->published, &x->published, err));
    GYRE_TRY(gyre_table_text(t, spec->predicts, &x->predicts, err));
    gyre_comparison_defaults(x);
done:
    return st;
}

static gyre_status make_comparisons(const gyre_config *c, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = plan->table;
    GYRE_TRY(gyre_table_keep(t, c->n_compare * plan->n_sources * c->n_points * c->n_points, sizeof *t->comparisons, &t->comparisons, err));
    for (size_t s = 0; s < plan->n_sources; s++)
        for (size_t i = 0; i < c->n_compare; i++) {
            size_t before = t->n_comparisons;
            for (size_t p = 0; p < c->n_points * c->n_points; p++) {
                const gyre_arm_point *a = &c->points[p / c->n_points], *b = &c->points[p % c->n_points];
                const char *point = strcmp(a->arm.name, c->compare[i].arm) == 0 && strcmp(b->arm.name, c->compare[i].against) == 0 ? meeting_point(a->point, b->point) : NULL;
                if (point != NULL)
                    GYRE_TRY(add_comparison(t, &c->compare[i], s, point, err));
            }
            if (t->n_comparisons == before)
                GYRE_FAIL(GYRE_E_CONFIG, "compare[%zu]: %s and %s have no grid point in common", i, c->compare[i].arm, c->compare[i].against);
        }
done:
    return st;
}

/* ---- whole ---- */

static gyre_status fill_head(const gyre_config *c, gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **names, **units;
    GYRE_TRY(gyre_table_text(t, c->experiment, &t->experiment, err));
    GYRE_TRY(gyre_table_text(t, gyre_yaml_source(c->yaml), &t->config_source, err));
    GYRE_TRY(gyre_table_text(t, c->overrides, &t->config_overrides, err));
    GYRE_TRY(gyre_table_text(t, c->canonical, &t->config_canonical, err));
    memcpy(t->config_sha256, c->sha256, sizeof t->config_sha256);
    memcpy(t->analysis_sha256, c->analysis_sha256, sizeof t->analysis_sha256);
    (void)snprintf(t->value_code, sizeof t->value_code, "%s", GYRE_VALUE_CODE);
    t->campaign_seed = c->campaign_seed;
    t->n_seeds = c->seeds;
    GYRE_TRY(gyre_table_keep(t, c->n_metrics, sizeof *names, &names, err));
    GYRE_TRY(gyre_table_keep(t, c->n_metrics, sizeof *units, &units, err));
    for (size_t i = 0; i < c->n_metrics; i++) {
        names[i] = c->metrics[i]->name;
        units[i] = c->metrics[i]->unit;
    }
    t->n_metrics = c->n_metrics;
    t->metrics = names;
    t->metric_units = units;
done:
    return st;
}

gyre_status gyre_plan_make(const gyre_config *c, const gyre_search *search, gyre_plan **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_plan *plan = NULL;
    *out = NULL;
    GYRE_NEW(&plan, 1);
    GYRE_TRY(gyre_table_new(&plan->table, err));
    GYRE_TRY(fill_head(c, plan->table, err));
    size_t n = c->model.n_models > 0 ? c->model.n_models : c->n_captures;
    const char *const *names = c->model.n_models > 0 ? c->model.models : c->captures;
    GYRE_NEW(&plan->sources, n);
    plan->n_sources = plan->table->n_sources = n;
    GYRE_TRY(gyre_table_keep(plan->table, n, sizeof *plan->table->sources, &plan->table->sources, err));
    for (size_t i = 0; i < n; i++) {
        if (c->model.n_models > 0)
            GYRE_TRY(gyre_plan_open_model(c, search, i, plan, err));
        else
            GYRE_TRY(open_source(c, search, i, plan, err));
        for (size_t j = 0; j < i; j++)
            if (strcmp(plan->table->sources[i].digest, plan->table->sources[j].digest) == 0)
                GYRE_FAIL(GYRE_E_CONFIG, "%s and %s hold the same data: comparisons would count it twice; name one", names[j], names[i]);
    }
    GYRE_TRY(open_fitted(c, plan, err));
    GYRE_TRY(make_cells(c, plan, err));
    GYRE_TRY(make_comparisons(c, plan, err));
    GYRE_TRY(gyre_plan_claim(c, plan->table, err));
    *out = plan;
    plan = NULL;
done:
    gyre_plan_free(plan);
    return st;
}

void gyre_plan_free(gyre_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; plan->sources != NULL && i < plan->n_sources; i++) {
        gyre_capture_close(plan->sources[i].capture);
        gyre_plan_model_free(plan->sources[i].model);
        free(plan->sources[i].layer_index);
        for (int u = 0; u < GYRE_USES; u++)
            free(plan->sources[i].documents[u]);
    }
    free(plan->sources);
    for (size_t i = 0; plan->fitted != NULL && i < 2 * plan->n_points; i++) {
        bool owned = true;
        for (size_t j = 0; j < i; j++)
            owned = owned && plan->fitted[j] != plan->fitted[i];
        if (owned)
            gyre_fitted_free(plan->fitted[i]);
    }
    free(plan->fitted);
    free(plan->cell_point);
    free(plan->cell_layer);
    free(plan->cell_leaks);
    gyre_table_free(plan->table);
    free(plan);
}
