/* Plans of models: the model and its texts are looked at, chunks become documents and blocks of them cells; what arms are fitted to is a capture of the same model. */
#define _DEFAULT_SOURCE
#include "experiments/plan_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model_file.h"
#include "engine/probe.h"
#include "experiments/cell.h"

enum { PATH_BYTES = 4096, CHUNKS_MOST = 1 << 20 };

/* ---- looking ---- */

/* The facts go through a file that is gone again when it is open. */
static gyre_status look_at(const gyre_config *c, gyre_plan_source *s, const char *name, gyre_probe *seen, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *temp = getenv("TMPDIR");
    char folder[PATH_BYTES], path[PATH_BYTES + 16];
    const char *texts[GYRE_CONFIG_TEXTS];
    gyre_plan_model *m = s->model;
    (void)snprintf(folder, sizeof folder, "%.4000s/gyre.XXXXXX", temp != NULL && temp[0] != '\0' ? temp : "/tmp");
    if (mkdtemp(folder) == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot make a folder like %s for the facts of a model: set TMPDIR to one that can be written", folder);
    (void)snprintf(path, sizeof path, "%s/facts.h5", folder);
    for (size_t i = 0; i < m->n_texts; i++)
        texts[i] = m->texts[i];
    gyre_probe_request request = {.model_path = m->path, .model_name = name, .texts = texts, .n_texts = m->n_texts, .context = c->model.context, .facts_path = path};
    st = gyre_probe_model(&request, seen, err);
    if (st == GYRE_OK)
        st = gyre_capture_open(path, &s->capture, err);
    (void)unlink(path);
    (void)rmdir(folder);
done:
    return st;
}

/* ---- chunks ---- */

static gyre_status count_chunks(const gyre_config *c, const gyre_plan_model *m, const gyre_probe *seen, size_t text, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t there = seen->n_tokens[text] / m->context, first = c->model.first, wanted = c->model.chunks;
    *out = wanted > 0 ? wanted : there > first ? there - first : 0;
    if (*out == 0 || *out > CHUNKS_MOST || first + *out > there)
        GYRE_FAIL(GYRE_E_INPUT, "the text %s has %zu tokens: %zu chunks of %zu, and source asks for %zu behind the first %zu: a longer text, fewer chunks, or a smaller context", m->texts[text],
                  seen->n_tokens[text], there, m->context, wanted > 0 ? wanted : (size_t)1, first);
done:
    return st;
}

/* Chunks of the texts, in order, as documents "name#number". */
static gyre_status list_chunks(const gyre_config *c, gyre_table *t, const gyre_probe *seen, gyre_plan_model *m, gyre_source *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t total = 0, counts[GYRE_CONFIG_TEXTS], next = 0;
    const char **names = NULL;
    uint32_t *text_of = NULL;
    for (size_t i = 0; i < m->n_texts; i++) {
        GYRE_TRY(count_chunks(c, m, seen, i, &counts[i], err));
        total += counts[i];
    }
    GYRE_NEW(&m->chunk_text, total);
    GYRE_NEW(&m->chunk_number, total);
    GYRE_TRY(gyre_table_keep(t, total, sizeof *names, &names, err));
    GYRE_TRY(gyre_table_keep(t, total, sizeof *text_of, &text_of, err));
    for (size_t i = 0; i < m->n_texts; i++)
        for (size_t j = 0; j < counts[i]; j++, next++) {
            char name[512];
            (void)snprintf(name, sizeof name, "%.400s#%zu", m->text_names[i], c->model.first + j);
            GYRE_TRY(gyre_table_text(t, name, &names[next], err));
            m->chunk_text[next] = i;
            m->chunk_number[next] = c->model.first + j;
            text_of[next] = (uint32_t)i;
        }
    out->n_documents = total;
    out->documents = names;
    out->text_of = text_of;
    out->n_texts = m->n_texts;
    out->first_chunk = c->model.first;
    out->context = m->context;
    out->n_scored = m->context - 1 - m->context / 2;
    out->descriptive = c->model.descriptive;
done:
    return st;
}

static gyre_status make_blocks(gyre_table *t, const gyre_plan_model *m, gyre_source *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *layers, *heads;
    out->n_layers = (out->n_documents + m->block - 1) / m->block;
    GYRE_TRY(gyre_table_keep(t, out->n_layers, sizeof *layers, &layers, err));
    GYRE_TRY(gyre_table_keep(t, out->n_layers, sizeof *heads, &heads, err));
    for (size_t i = 0; i < out->n_layers; i++) {
        layers[i] = (uint32_t)i;
        heads[i] = 1;
    }
    out->layers = layers;
    out->n_heads = heads;
done:
    return st;
}

/* ---- texts ---- */

/* Every text has a name of its own; *paths and *digests receive them a line each. */
static gyre_status name_texts(gyre_table *t, gyre_plan_model *m, const gyre_config *c, const gyre_probe *seen, gyre_source *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *paths = NULL, *digests = NULL, *name = NULL;
    size_t room = 1, used = 0, placed = 0;
    for (size_t i = 0; i < m->n_texts; i++)
        room += strlen(c->model.texts[i]) + 1;
    GYRE_NEW(&paths, room);
    GYRE_NEW(&digests, m->n_texts * GYRE_SHA256_HEX + 1);
    for (size_t i = 0; i < m->n_texts; i++) {
        GYRE_TRY(gyre_file_stem(c->model.texts[i], &name, err));
        GYRE_TRY(gyre_table_text(t, name, &m->text_names[i], err));
        GYRE_TRY(gyre_table_text(t, seen->text_sha256[i], &m->text_sha256[i], err));
        free(name);
        name = NULL;
        for (size_t j = 0; j < i; j++)
            if (strcmp(m->text_sha256[i], m->text_sha256[j]) == 0)
                GYRE_FAIL(GYRE_E_CONFIG, "%s and %s are the same text: it would count twice; name one", c->model.texts[j], c->model.texts[i]);
            else if (strcmp(m->text_names[i], m->text_names[j]) == 0)
                GYRE_FAIL(GYRE_E_CONFIG, "%s and %s would both be called %s, and chunks are told apart by the names of their texts: rename one", c->model.texts[j], c->model.texts[i], m->text_names[i]);
        used += (size_t)snprintf(paths + used, room - used, "%s%s", i > 0 ? "\n" : "", c->model.texts[i]);
        placed += (size_t)snprintf(digests + placed, m->n_texts * GYRE_SHA256_HEX + 1 - placed, "%s%s", i > 0 ? "\n" : "", m->text_sha256[i]);
    }
    GYRE_TRY(gyre_table_text(t, paths, &out->texts, err));
    GYRE_TRY(gyre_table_text(t, digests, &out->texts_sha256, err));
done:
    free(paths);
    free(digests);
    free(name);
    return st;
}

/* ---- what arms are fitted to ---- */

/* The model's own text must not be what arms are fitted to, unless `leak: deliberate` (fit_leaks). */
static gyre_status check_leak(const gyre_config *c, gyre_plan_source *s, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_capture_data *info = gyre_capture_info(s->model->fit);
    for (int u = GYRE_USE_CALIBRATE; u <= GYRE_USE_VALIDATE; u++)
        for (size_t i = 0; i < s->split.use[u].count; i++)
            for (size_t j = 0; j < s->model->n_texts; j++) {
                if (strcmp(info->documents[s->split.use[u].index[i]].sha256, s->model->text_sha256[j]) != 0)
                    continue;
                s->model->fit_leaks = s->model->fit_leaks || u == GYRE_USE_CALIBRATE; /* in a model nothing is chosen by validation */
                if (!c->leak)
                    GYRE_FAIL(GYRE_E_CONFIG, "document '%s' of %s, which arms are fitted to, is the text %s: take another text, or say leak: deliberate", info->documents[s->split.use[u].index[i]].name,
                              path, s->model->texts[j]);
            }
done:
    return st;
}

/* The first capture of the list that is of this model. */
static gyre_status find_fit(const gyre_config *c, const gyre_search *search, gyre_plan_source *s, gyre_table *t, gyre_source *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], digest[GYRE_SHA256_HEX];
    gyre_plan_model *m = s->model;
    const gyre_capture_data *facts = gyre_capture_info(s->capture), *info = NULL;
    m->fit_digest = "";
    for (size_t i = 0; i < c->n_captures && m->fit == NULL; i++) {
        GYRE_TRY(gyre_search_find(search, c->captures[i], "capture", path, sizeof path, err));
        GYRE_TRY(gyre_capture_open(path, &m->fit, err));
        info = gyre_capture_info(m->fit);
        if (strcmp(info->model_sha256, facts->model_sha256) != 0) {
            gyre_capture_close(m->fit);
            m->fit = NULL;
        }
    }
    GYRE_NEW(&m->fit_layer, m->n_layers);
    for (size_t l = 0; l < m->n_layers; l++) {
        m->fit_layer[l] = SIZE_MAX;
        for (size_t i = 0; m->fit != NULL && i < info->n_layers; i++)
            if (info->layers[i].layer == facts->layers[l].layer)
                m->fit_layer[l] = i;
    }
    out->calibration = out->validation = NULL;
    if (m->fit == NULL)
        return GYRE_OK;
    GYRE_TRY(gyre_plan_split(c, info, path, s, err));
    GYRE_TRY(check_leak(c, s, path, err));
    GYRE_TRY(gyre_capture_digest(m->fit, digest, err));
    GYRE_TRY(gyre_table_text(t, digest, &m->fit_digest, err));
    out->fit_digest = m->fit_digest;
    out->n_calibration = s->split.use[GYRE_USE_CALIBRATE].count;
    out->n_validation = s->split.use[GYRE_USE_VALIDATE].count;
    GYRE_TRY(gyre_plan_keep_names(t, info, s->split.use[GYRE_USE_CALIBRATE], &out->calibration, err));
    GYRE_TRY(gyre_plan_keep_names(t, info, s->split.use[GYRE_USE_VALIDATE], &out->validation, err));
    s->split.use[GYRE_USE_EVALUATE].count = 0; /* its other documents are not looked at */
done:
    return st;
}

/* ---- the source ---- */

/* Model, engine, texts and chunks. */
static gyre_status digest_source(gyre_table *t, const gyre_plan_model *m, gyre_source *out, const char *version, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    char digest[GYRE_SHA256_HEX];
    GYRE_TRY(gyre_sha256_new(&h, err));
    gyre_sha256_add_text(h, "gyre-model");
    gyre_sha256_add_text(h, out->model_sha256);
    gyre_sha256_add_text(h, version);
    gyre_sha256_add_uint(h, m->context);
    for (size_t i = 0; i < out->n_documents; i++) {
        gyre_sha256_add_text(h, m->text_sha256[m->chunk_text[i]]);
        gyre_sha256_add_uint(h, m->chunk_number[i]);
    }
    st = gyre_sha256_hex(h, digest, err);
    h = NULL;
    GYRE_TRY(st);
    GYRE_TRY(gyre_table_text(t, digest, &out->digest, err));
done:
    gyre_sha256_free(h);
    return st;
}

static gyre_status describe_model(gyre_table *t, size_t index, const gyre_config *c, const gyre_capture_data *info, const gyre_probe *seen, gyre_source *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char engine[2 * GYRE_PROBE_WORDS + 64];
    (void)snprintf(engine, sizeof engine, "libllama %s; %s; queries %s", seen->version, seen->flags, c->model.round_queries ? "through q8_0" : "exact");
    out->kind = GYRE_SOURCE_MODEL;
    out->leak = c->leak;
    GYRE_TRY(gyre_plan_name_source(t, index, info->model_name, err));
    GYRE_TRY(gyre_table_text(t, c->model.models[index], &out->path, err));
    GYRE_TRY(gyre_table_text(t, info->model_sha256, &out->model_sha256, err));
    GYRE_TRY(gyre_table_text(t, info->architecture, &out->architecture, err));
    GYRE_TRY(gyre_table_text(t, engine, &out->engine, err));
    for (size_t i = 0; i < info->n_layers; i++) {
        out->dim = (uint32_t)info->layers[i].dim;
        out->has_bias = out->has_bias || info->layers[i].k_bias != NULL;
    }
done:
    return st;
}

gyre_status gyre_plan_open_model(const gyre_config *c, const gyre_search *search, size_t index, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_plan_source *s = &plan->sources[index];
    gyre_source *out = &plan->table->sources[index];
    char path[PATH_BYTES], *name = NULL;
    gyre_probe *seen = NULL;
    gyre_plan_model *m;
    GYRE_NEW(&seen, 1);
    GYRE_NEW(&s->model, 1);
    m = s->model;
    m->context = c->model.context;
    m->block = c->model.block;
    GYRE_TRY(gyre_model_find(c->model.models[index], &m->path, err));
    for (; m->n_texts < c->model.n_texts; m->n_texts++) {
        GYRE_TRY(gyre_search_find(search, c->model.texts[m->n_texts], "text", path, sizeof path, err));
        GYRE_NEW(&m->texts[m->n_texts], strlen(path) + 1);
        memcpy(m->texts[m->n_texts], path, strlen(path) + 1);
    }
    GYRE_TRY(gyre_file_stem(m->path, &name, err));
    GYRE_TRY(look_at(c, s, name, seen, err));
    const gyre_capture_data *info = gyre_capture_info(s->capture);
    m->n_layers = info->n_layers;
    m->n_vocabulary = seen->n_vocabulary;
    GYRE_TRY(describe_model(plan->table, index, c, info, seen, out, err));
    GYRE_TRY(name_texts(plan->table, m, c, seen, out, err));
    GYRE_TRY(list_chunks(c, plan->table, seen, m, out, err));
    GYRE_TRY(make_blocks(plan->table, m, out, err));
    GYRE_TRY(find_fit(c, search, s, plan->table, out, err));
    GYRE_TRY(digest_source(plan->table, m, out, seen->version, err));
done:
    free(name);
    free(seen);
    return st;
}

void gyre_plan_model_free(gyre_plan_model *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < GYRE_CONFIG_TEXTS; i++)
        free(m->texts[i]);
    free(m->path);
    free(m->chunk_text);
    free(m->chunk_number);
    free(m->fit_layer);
    gyre_capture_close(m->fit);
    free(m);
}

/* ---- arms and keys ---- */

void gyre_plan_round_queries(gyre_codec_spec *keys)
{
    keys->quantizer = gyre_quantizer_find("q8_0");
    if (keys->quantizer->options != NULL)
        (void)gyre_options_defaults(keys->quantizer->options, &keys->options);
}

/* Queries meet keys of every position behind the chain, so it must turn them as it turns any key. */
static void queries_apply(const gyre_arm *arm, const gyre_capture_layer *raw, const gyre_capture_data *info, char why[GYRE_WHY])
{
    char reason[GYRE_WHY] = "";
    gyre_traits traits = gyre_chain_traits(&arm->codec[GYRE_K].chain);
    gyre_arm queries = {.name = arm->name, .codes = {true, false}, .codec = {arm->codec[GYRE_K]}, .fit = {arm->fit[GYRE_K]}};
    if (~traits.flags & (GYRE_LINEAR | GYRE_ORTHOGONAL) || (traits.needs & GYRE_NEEDS_POSITION)) {
        (void)snprintf(why, GYRE_WHY, "queries: q8_0 rounds queries behind the chain of the keys, which must be linear, orthogonal and the same at every position");
        return;
    }
    gyre_plan_round_queries(&queries.codec[GYRE_K]);
    gyre_plan_applies(&queries, raw, info, reason);
    if (reason[0] != '\0')
        (void)snprintf(why, GYRE_WHY, "queries: %.*s", GYRE_WHY - 16, reason);
}

/* One layer of the model under the codecs that the arm has there. */
static gyre_status layer_applies(const gyre_config *c, const gyre_plan_source *s, const gyre_arm *whole, size_t layer, char why[GYRE_WHY], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_plan_model *m = s->model;
    const gyre_capture_data *facts = gyre_capture_info(s->capture), *info = m->fit != NULL ? gyre_capture_info(m->fit) : facts;
    const gyre_capture_layer *raw = &facts->layers[layer];
    const gyre_arm *arm = gyre_arm_at(c, whole, raw->layer);
    gyre_plan_applies(arm, raw, info, why);
    for (int i = 0; i < 2 && why[0] == '\0'; i++) {
        unsigned uses = gyre_arm_uses(arm, (gyre_stream)i);
        const gyre_quantizer_type *q = arm->codec[i].quantizer;
        if (arm->codes[i] && (q->read_scores != NULL || q->read_output != NULL))
            (void)snprintf(why, GYRE_WHY, "%.60s is read by the query: a model's cache holds rows, so it cannot run there", q->name);
        else if ((uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)) && arm->fitted[i].selector == NULL)
            (void)snprintf(why, GYRE_WHY, "it learns or draws: fit it on a capture of the model (all layers) first, and name the results with fitted: RESULTS.h5#ARM");
        else if (arm->fit[i].own.leak && uses != GYRE_FIT_NOTHING)
            (void)snprintf(why, GYRE_WHY, "leak: true fits to evaluation documents, and a model's text is not among a capture's");
        else if (uses != GYRE_FIT_NOTHING && m->fit_layer[layer] == SIZE_MAX)
            (void)snprintf(why, GYRE_WHY, "it is fitted to calibration rows: name in source.capture a capture of this model with all layers (gyre capture --layers all)%s",
                           m->fit != NULL ? "; the one named has not this layer" : "");
    }
    if (why[0] == '\0' && c->model.round_queries && arm->codes[GYRE_K])
        queries_apply(arm, raw, info, why);
    if (why[0] == '\0' && m->fit_layer[layer] != SIZE_MAX)
        GYRE_TRY(gyre_plan_check_fit(arm, s, info, raw, err));
done:
    return st;
}

gyre_status gyre_plan_model_applies(const gyre_config *c, const gyre_plan_source *s, const gyre_arm_point *p, char why[GYRE_WHY], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char reason[GYRE_WHY] = "";
    why[0] = '\0';
    for (size_t i = 0; i < p->arm.n_ranges; i++)
        if (p->arm.ranges[i].last >= s->model->n_layers)
            GYRE_FAIL(GYRE_E_CONFIG, "arm %s names layer %u, and the model has layers 0 to %zu", p->arm.name, p->arm.ranges[i].last, s->model->n_layers - 1);
    for (size_t l = 0; l < s->model->n_layers && why[0] == '\0'; l++) {
        GYRE_TRY(layer_applies(c, s, &p->arm, l, reason, err));
        if (reason[0] != '\0')
            (void)snprintf(why, GYRE_WHY, "layer %zu: %.*s", l, GYRE_WHY - 32, reason);
    }
done:
    return st;
}

void gyre_plan_model_key(const gyre_config *c, const gyre_source *source, const gyre_plan_model *m, const gyre_cell *cell, bool fitted, gyre_sha256 *h)
{
    gyre_sha256_add_text(h, "model");
    gyre_sha256_add_text(h, source->model_sha256);
    gyre_sha256_add_text(h, source->engine);
    gyre_sha256_add_uint(h, m->context);
    gyre_sha256_add_uint(h, cell->n_documents);
    for (size_t i = cell->first_document; i < cell->first_document + cell->n_documents; i++) {
        gyre_sha256_add_text(h, m->text_sha256[m->chunk_text[i]]);
        gyre_sha256_add_uint(h, m->chunk_number[i]);
    }
    gyre_sha256_add_text(h, fitted ? m->fit_digest : "");
    gyre_sha256_add_uint(h, c->model.round_queries);
}
