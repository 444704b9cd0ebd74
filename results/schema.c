#include "results/schema.h"

#include <stdlib.h>
#include <string.h>

#include "results/fit_columns.h"
#include "results/provenance.h"
#include "results/table.h"

#define FILE_ATTRIBUTE(name, type, text, note) \
    { "/@" name, GYRE_SCHEMA_ATTRIBUTE, GYRE_SCHEMA_##type, {0}, GYRE_SCHEMA_FILE, 0, NULL, text, note, 0 }
#define TABLE_ATTRIBUTE(field, type, text, note) \
    { "/@" #field, GYRE_SCHEMA_ATTRIBUTE, GYRE_SCHEMA_##type, {0}, GYRE_SCHEMA_TABLE, offsetof(gyre_table, field), NULL, text, note, 0 }
#define SCALE(name, type, text, note) \
    { "/" name, GYRE_SCHEMA_SCALE, GYRE_SCHEMA_##type, { name }, GYRE_SCHEMA_FILE, 0, NULL, text, note, 0 }
#define SCALE_2(name, text, note) { "/" name, GYRE_SCHEMA_SCALE, GYRE_SCHEMA_SIZE, { name }, GYRE_SCHEMA_FILE, 0, NULL, text, note, 2 }
#define SCALE_3(name, text, note) { "/" name, GYRE_SCHEMA_SCALE, GYRE_SCHEMA_SIZE, { name }, GYRE_SCHEMA_FILE, 0, NULL, text, note, 3 }
#define GROUP(name, text, note) { "/" name, GYRE_SCHEMA_GROUP, GYRE_SCHEMA_ROW, {0}, GYRE_SCHEMA_FILE, 0, NULL, text, note, 0 }
#define CONFIG(name, field, text, note) \
    { "/config/" name, GYRE_SCHEMA_SCALAR, GYRE_SCHEMA_TEXT, {0}, GYRE_SCHEMA_TABLE, offsetof(gyre_table, field), NULL, text, note, 0 }
#define SOURCE(field, type, unit, text, note) \
    { "/sources/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "source" }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, field), unit, text, note, 0 }
#define SOURCE_LIST(name, field, type, scale, unit, text, note) \
    { "/sources/" name, GYRE_SCHEMA_LIST, GYRE_SCHEMA_##type, { "source", scale }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, field), unit, text, \
      note, 0 }
#define SOURCE_3(field, type, unit, text, note) \
    { "/sources/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "source" }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, field), unit, text, note, 3 }
#define PASS(field, type, unit, text, note) \
    { "/perplexity/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "pass" }, GYRE_SCHEMA_PERPLEXITY, offsetof(gyre_perplexity, field), unit, text, note, 3 }
#define FIT(name, field, type, text, note) \
    { "/fits/" name, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "fit" }, GYRE_SCHEMA_FITS, offsetof(gyre_fit_row, field), GYRE_SCHEMA_##type == GYRE_SCHEMA_STREAM ? NULL : "1", text, note, 2 }
#define POINT(name, field, type, text, note) \
    { "/fits/point_" name, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "point" }, GYRE_SCHEMA_POINTS, offsetof(gyre_fit_point, field), "1", text, note, 2 }
#define CELL(field, type, unit, text, note) \
    { "/cells/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "cell" }, GYRE_SCHEMA_CELLS, offsetof(gyre_cell, field), unit, text, note, 0 }
#define STATS(field, type, unit, text, note) \
    { "/stats/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "comparison" }, GYRE_SCHEMA_COMPARISONS, offsetof(gyre_comparison, field), unit, \
      text, note, 0 }
#define STATS_4(field, type, unit, text, note) \
    { "/stats/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "comparison" }, GYRE_SCHEMA_COMPARISONS, offsetof(gyre_comparison, field), unit, text, note, 4 }
#define SCALE_4(name, text, note) { "/" name, GYRE_SCHEMA_SCALE, GYRE_SCHEMA_SIZE, { name }, GYRE_SCHEMA_FILE, 0, NULL, text, note, 4 }
#define GROUP_4(name, text, note) { "/" name, GYRE_SCHEMA_GROUP, GYRE_SCHEMA_ROW, {0}, GYRE_SCHEMA_FILE, 0, NULL, text, note, 4 }
#define TEXT_4(path, kind, field, text, note) { path, GYRE_SCHEMA_##kind, GYRE_SCHEMA_TEXT, {0}, GYRE_SCHEMA_TABLE, offsetof(gyre_table, field), NULL, text, note, 4 }
#define CANARY(field, text, note) \
    { "/canaries/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_TEXT, { "canary" }, GYRE_SCHEMA_CANARIES, offsetof(gyre_canary, field), NULL, text, note, 4 }
#define EXACT(field, type, unit, text, note) \
    { "/exact/" #field, GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_##type, { "exact_value" }, GYRE_SCHEMA_EXACT, offsetof(gyre_exact, field), unit, text, note, 4 }
#define PROVENANCE(field, type, text, note) \
    { "/provenance@" #field, GYRE_SCHEMA_ATTRIBUTE, GYRE_SCHEMA_##type, {0}, GYRE_SCHEMA_PROVENANCE, offsetof(gyre_provenance, field), NULL, \
      text, note, 0 }

const gyre_schema_row gyre_schema[] = {
    FILE_ATTRIBUTE("schema", TEXT, "name of this schema", "`" GYRE_RESULTS_SCHEMA "`"),
    FILE_ATTRIBUTE("schema_version", TEXT, "MAJOR.MINOR.REV", "`" GYRE_RESULTS_VERSION "`"),
    FILE_ATTRIBUTE("creator", TEXT, "program that wrote the file", "`gyre`; its build is in /provenance"),
    FILE_ATTRIBUTE("default", TEXT, "group to look at first", "`metrics`"),
    TABLE_ATTRIBUTE(experiment, TEXT, "name of the experiment", ""),
    TABLE_ATTRIBUTE(config_sha256, CHARS, "SHA-256 of the resolved configuration", ""),
    TABLE_ATTRIBUTE(analysis_sha256, CHARS, "SHA-256 of the comparison block", "taken before data are read"),
    TABLE_ATTRIBUTE(value_code, CHARS, "hash of the sources that produce values", "of the program that computed the cells"),
    TABLE_ATTRIBUTE(campaign_seed, U64, "first part of the key of every random stream", ""),
    TABLE_ATTRIBUTE(n_seeds, U32, "sign seeds of seeded arms", ""),
    FILE_ATTRIBUTE("missing_cells", SIZE, "cells of the plan that are not here", "0 unless merged with --partial"),
    FILE_ATTRIBUTE("content_sha256", CHARS, "the scientific digest of the file", "as `gyre verify --digest` computes it"),

    SCALE("cell", SIZE, "place of a cell in the plan", ""),
    SCALE("document", SIZE, "place of an evaluation document in its source", "names are in /sources/document_name; of a model source: a chunk of text"),
    SCALE("calibration", SIZE, "place of a calibration document in its source", "names are in /sources/calibration_name"),
    SCALE("head", SIZE, "KV head", ""),
    SCALE("layer", SIZE, "place of a layer in its source", "the model's numbers are in /sources/layer_number; of a model source: a block of chunks"),
    SCALE("source", TEXT, "name of the source", ""),
    SCALE("comparison", SIZE, "place of a comparison in the plan", ""),
    SCALE_2("validation", "place of a validation document in its source", "names are in /sources/validation_name"),
    SCALE_2("fit", "place of a fit in /fits", ""),
    SCALE_2("parameter", "place of a parameter in /fits/parameters", ""),
    SCALE_2("point", "place of a point of a training curve", ""),
    SCALE_3("pass", "place of a pass in /perplexity", "an arm at a grid point and a seed, over all chunks of a model source"),

    SCALE_4("canary", "place of a canary in /canaries", ""),
    SCALE_4("exact_value", "place of a number in /exact", ""),

    GROUP("config", "what was asked for", ""),
    CONFIG("source", config_source, "the configuration as written", "YAML"),
    CONFIG("overrides", config_overrides, "assignments of --set", "one a line"),
    CONFIG("canonical", config_canonical, "the configuration resolved, defaults filled in", "what config_sha256 is taken of"),
    TEXT_4("/config/plan_registered", SCALAR, plan_registered, "the analysis plan as it was registered in the run folder",
           "before the first cell was computed; a comparison is a line; empty where none was registered"),

    GROUP_4("claim", "the published claim that the experiment decides", "attributes, empty without one"),
    TEXT_4("/claim@id", ATTRIBUTE, claim_id, "short name", ""),
    TEXT_4("/claim@says", ATTRIBUTE, claim_says, "what it says", ""),
    TEXT_4("/claim@source", ATTRIBUTE, claim_source, "where it was published", ""),
    TEXT_4("/claim@rule", ATTRIBUTE, claim_rule, "how the verdicts of /stats and /exact decide it", ""),
    TEXT_4("/claim@open", ATTRIBUTE, claim_open, "what cannot be decided here, with the reason", "a line each"),

    GROUP("sources", "where values came from", "of a model source a document is a chunk of text, and a layer is a block of chunks"),
    SOURCE(path, TEXT, NULL, "capture file", "as the configuration gives it; of a model source: the model file"),
    SOURCE(digest, TEXT, NULL, "scientific digest of the capture", "of a model source: of the model file, the tokens, the context and the engine"),
    SOURCE(model_sha256, TEXT, NULL, "SHA-256 of the model file", ""),
    SOURCE(architecture, TEXT, NULL, "architecture of the model", ""),
    SOURCE(dim, U32, "1", "head dimension", ""),
    SOURCE(has_bias, BOOL, "1", "the model has a key bias", ""),
    SOURCE(leak, BOOL, "1", "calibration overlaps evaluation", "1 only where the configuration says `leak: deliberate`"),
    SOURCE(n_documents, SIZE, "1", "evaluation documents", ""),
    SOURCE(n_calibration, SIZE, "1", "calibration documents", ""),
    SOURCE(n_layers, SIZE, "1", "layers", ""),
    SOURCE_LIST("document_name", documents, TEXT, "document", NULL, "names of the evaluation documents", "padded with empty texts"),
    SOURCE_LIST("calibration_name", calibration, TEXT, "calibration", NULL, "names of the calibration documents", "padded with empty texts"),
    SOURCE_LIST("layer_number", layers, U32, "layer", "1", "the model's number of a layer", "padded with 4294967295"),
    SOURCE_LIST("n_heads", n_heads, U32, "layer", "1", "KV heads of a layer", "padded with 4294967295"),

    { "/sources/n_validation", GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_SIZE, { "source" }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, n_validation), "1",
      "validation documents", "they choose among fits; 0 where nothing is chosen", 2 },
    { "/sources/validation_name", GYRE_SCHEMA_LIST, GYRE_SCHEMA_TEXT, { "source", "validation" }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, validation), NULL,
      "names of the validation documents", "padded with empty texts", 2 },
    SOURCE_3(kind, KIND, NULL, "what cells are made from", "`capture`: rows of a capture file; `model`: a text through the model with a coded cache"),
    SOURCE_3(texts, TEXT, NULL, "paths of the texts", "a line each; empty for a capture"),
    SOURCE_3(texts_sha256, TEXT, NULL, "SHA-256 of the texts", "a line each; empty for a capture"),
    SOURCE_3(engine, TEXT, NULL, "inference engine", "version, build flags and settings; empty for a capture"),
    SOURCE_3(context, SIZE, "1", "tokens of a chunk", "0 for a capture"),
    SOURCE_3(n_scored, SIZE, "1", "tokens of a chunk that are scored", "0 for a capture"),
    SOURCE_3(first_chunk, SIZE, "1", "number of the first chunk in its text", "0 for a capture"),
    SOURCE_3(n_texts, SIZE, "1", "texts", "with several they are the units of comparisons; 0 for a capture"),
    { "/sources/text_of", GYRE_SCHEMA_LIST, GYRE_SCHEMA_U32, { "source", "document" }, GYRE_SCHEMA_SOURCES, offsetof(gyre_source, text_of), "1",
      "which text a chunk is of", "padded with 4294967295, as all of a capture is", 3 },
    SOURCE_3(descriptive, BOOL, "1", "too few chunks for verdicts", "1 only where the configuration says `descriptive`: the verdict is DESCRIPTIVE"),

    GROUP("cells", "one row per cell: a layer, or block of chunks, of a source x an arm at a grid point x a seed", ""),
    CELL(key, CHARS, NULL, "SHA-256 of what determines the cell's values", "two arms with the same codecs share it"),
    CELL(source, SOURCE, NULL, "name of the source", ""),
    CELL(layer, U32, "1", "the model's number of the layer", "of a model source: the number of the block"),
    CELL(arm, TEXT, NULL, "name of the arm in the configuration", ""),
    CELL(point, TEXT, NULL, "grid values that act on the arm", "`bits=4,group=32`; empty without a grid"),
    CELL(streams, TEXT, NULL, "streams that are coded", "`k`, `v`, `kv` or `none`"),
    CELL(codec_k, TEXT, NULL, "codec of the keys, canonical", "`exact` where untouched"),
    CELL(codec_v, TEXT, NULL, "codec of the values, canonical", "`exact` where untouched"),
    CELL(seeded, BOOL, "1", "the arm draws random signs", ""),
    CELL(seed, U32, "1", "seed index", "0 for arms without seeds"),
    CELL(status, STATUS, NULL, "what became of the cell", "`OK`, `SKIPPED`, `FAILED`, `MISSING`"),
    CELL(reason, TEXT, NULL, "why SKIPPED or FAILED", "empty otherwise"),
    CELL(flags, TEXT, NULL, "marks", "comma list; `storage_floor`: within 10x of the capture's own storage error; `leak`: fitted to evaluation documents, deliberately"),
    CELL(payload_bits, REAL, "bit", "bits per value really packed", "mean over the coded streams; NaN unless OK"),
    CELL(side_bits, REAL, "bit", "bits per value that must be stored once", "at N = 4096 tokens; NaN unless OK"),
    CELL(total_bits, REAL, "bit", "payload and side bits per value", "NaN unless OK"),
    CELL(read_bits, REAL, "bit", "bits per visible value that a query fetched", "mean over the coded streams; payload bits for a stream that was not read by the query; NaN unless OK"),
    CELL(n_documents, SIZE, "1", "documents that the cell covers", ""),
    CELL(n_heads, SIZE, "1", "KV heads that the cell covers", "1 of a model source"),
    { "/cells/first_document", GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_SIZE, { "cell" }, GYRE_SCHEMA_CELLS, offsetof(gyre_cell, first_document), "1",
      "place of the cell's first document in its source", "0 but for blocks of chunks", 3 },

    GROUP("metrics", "one dataset per metric of the configuration", "lower is better for each"),
    { "/metrics/*", GYRE_SCHEMA_METRIC, GYRE_SCHEMA_REAL, { "cell", "document", "head" }, GYRE_SCHEMA_CELLS, offsetof(gyre_cell, values),
      "the metric's", "the metric of a document, layer and KV head",
      "attribute direction is `lower_better`; documents at their place in the source: a block of chunks begins at /cells/first_document; NaN where a cell has no such document or head, or is not OK", 0 },

    { "/perplexity", GYRE_SCHEMA_GROUP, GYRE_SCHEMA_ROW, {0}, GYRE_SCHEMA_FILE, 0, NULL, "one row per pass: an arm at a grid point and a seed over all scored tokens of a model source",
      "errors are over tokens, as llama-perplexity prints them; for comparisons see /stats; quantiles interpolate linearly at place q (n - 1) of the sorted values; "
      "no row where a cell of the pass is not OK", 3 },
    PASS(source, SOURCE, NULL, "name of the source", ""),
    PASS(arm, TEXT, NULL, "arm", ""),
    PASS(point, TEXT, NULL, "grid values that act on the arm", "empty without a grid"),
    PASS(seed, U32, "1", "seed index", "0 for arms without seeds"),
    PASS(n_chunks, SIZE, "1", "chunks", ""),
    PASS(n_tokens, SIZE, "1", "scored tokens", ""),
    PASS(nll, REAL, "nat", "mean of -log p of the token that follows", ""),
    PASS(nll_se, REAL, "nat", "its standard error", "sqrt((mean of squares - square of mean)/(n - 1)); NaN for one token"),
    PASS(ppl, REAL, "1", "perplexity", "exp(nll)"),
    PASS(ppl_error, REAL, "1", "its standard error", "ppl nll_se"),
    PASS(nll_change, REAL, "nat", "mean of nll minus the exact run's, token by token", ""),
    PASS(nll_change_se, REAL, "nat", "its standard error", "of the paired differences"),
    PASS(kl, REAL, "nat", "mean divergence KL(exact || arm) over the vocabulary", ""),
    PASS(kl_se, REAL, "nat", "its standard error", ""),
    PASS(kl_median, REAL, "nat", "median of the divergence", ""),
    PASS(kl_90, REAL, "nat", "its 0.9 quantile", ""),
    PASS(kl_99, REAL, "nat", "its 0.99 quantile", ""),
    PASS(kl_999, REAL, "nat", "its 0.999 quantile", ""),
    PASS(kl_max, REAL, "nat", "the largest divergence", ""),
    PASS(same_top, REAL, "1", "share of tokens whose most likely successor stays", "higher is better"),
    PASS(p_rms, REAL, "1", "root mean square change of the probability of the token that follows", ""),
    PASS(total_bits, REAL, "bit", "total bits per value", "mean over blocks"),

    { "/fits", GYRE_SCHEMA_GROUP, GYRE_SCHEMA_ROW, {0}, GYRE_SCHEMA_FILE, 0, NULL, "one row per fit: parameters that were learned, or the best of several draws",
      "the fits of a cell are neighbours; cells that share a key share their fits, which are here once; values of the objective are NaN where there are no validation rows", 2 },
    FIT("cell", cell, SIZE, "place of the cell", "the first in the plan of those that share its key"),
    FIT("stream", stream, STREAM, "stream that was fitted", "`k` or `v`"),
    FIT("pooled", pooled, BOOL, "one fit for all heads of the layer", "0: for one head"),
    FIT("head", head, U32, "KV head", "the first where pooled"),
    FIT("draw", draw, U32, "draw that was chosen", "0 unless the fit is the best of several draws"),
    FIT("restart", restart, U32, "restart that was chosen", ""),
    FIT("step", step, U32, "step that was chosen", "0: the start"),
    FIT("n_parameters", n_parameters, SIZE, "parameters", "0 where nothing is learned"),
    FIT("freedom", freedom, SIZE, "degrees of freedom of the parameters", "of a rotation fewer than its parameters"),
    FIT("start_calibration", start[0], REAL, "objective before the fit, all calibration rows", ""),
    FIT("start_validation", start[1], REAL, "objective before the fit, all validation rows", ""),
    FIT("end_calibration", end[0], REAL, "objective of what was chosen, all calibration rows", ""),
    FIT("end_validation", end[1], REAL, "objective of what was chosen, all validation rows", ""),
    FIT("parameters_offset", parameters_offset, SIZE, "place of the first parameter", "in /fits/parameters"),
    FIT("points_offset", points_offset, SIZE, "place of the first point of the training curve", "in /fits/point_step and its neighbours"),
    FIT("n_points", n_points, SIZE, "points of the training curve", "of the chosen restart; of several draws: one a draw"),
    { "/fits/parameters", GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_F32, { "parameter" }, GYRE_SCHEMA_PARAMETERS, 0, "1", "parameters",
      "of the learned elements in the order of the chain, then a learned clip ratio; fit after fit", 2 },
    POINT("step", step, U32, "step of a point", "of several draws: the draw"),
    POINT("calibration", value[0], REAL, "objective on calibration rows", "at most 4096 rows a head, evenly spread"),
    POINT("validation", value[1], REAL, "objective on validation rows", "at most 4096 rows a head, evenly spread"),

    GROUP("stats", "one row per comparison: arm against arm at a grid point of a source",
          "difference is arm minus against: negative speaks for the arm"),
    STATS(arm, TEXT, NULL, "arm", ""),
    STATS(against, TEXT, NULL, "arm it is compared with", ""),
    STATS(metric, TEXT, NULL, "metric", ""),
    STATS(family, TEXT, NULL, "family over which p values are adjusted (Holm)", ""),
    STATS(point, TEXT, NULL, "grid point that both arms share", ""),
    STATS(source, SOURCE, NULL, "name of the source", ""),
    STATS(ratio, BOOL, "1", "the difference is one of logarithms", "1: estimate is the mean of log(arm / against); 0: of arm - against"),
    STATS(has_margin, BOOL, "1", "a margin was declared", ""),
    STATS(margin, REAL, "1", "the margin", "a ratio above 1, or a distance in the metric's unit; NaN without one"),
    STATS(alpha, REAL, "1", "level of the test", ""),
    STATS(status, TEXT, NULL, "what became of the comparison", "`OK`, `SKIPPED`, `INCOMPLETE`, `DEGENERATE`"),
    STATS(reason, TEXT, NULL, "why not OK", "empty otherwise"),
    STATS(test, TEXT, NULL, "test", "unless another was asked for `paired_t` without seeds, else `crossed`; empty unless made"),
    STATS(n_seeds, SIZE, "1", "seeds that entered", "1 where neither arm is seeded"),
    STATS(n_documents, SIZE, "1", "documents that entered", "of a model source: texts, or chunks where there is one text"),
    STATS(estimate, REAL, "1", "mean difference", "over seeds and documents of the mean over layers and heads"),
    STATS(ci_low, REAL, "1", "lower end of the interval at 1 - alpha", "not adjusted for the family"),
    STATS(ci_high, REAL, "1", "upper end of the interval at 1 - alpha", "not adjusted for the family"),
    STATS(df, REAL, "1", "degrees of freedom", ""),
    STATS(sd_seed, REAL, "1", "standard deviation between seeds", "NaN where the test has no such component"),
    STATS(sd_document, REAL, "1", "standard deviation between documents", "NaN where the test has no such component"),
    STATS(p, REAL, "1", "two-sided p", ""),
    STATS(p_adjusted, REAL, "1", "two-sided p, adjusted", "NaN where DESCRIPTIVE"),
    STATS(p_tost, REAL, "1", "p of equivalence (TOST)", "of goal `not_worse` the one-sided p; NaN without a margin"),
    STATS(p_tost_adjusted, REAL, "1", "p of equivalence, adjusted", "NaN without a margin, and where DESCRIPTIVE"),
    STATS(margin_needed, REAL, "1", "smallest symmetric margin that passes TOST at alpha", "on the scale of the estimate; of goal `not_worse` the upper end of the 1 - 2 alpha interval, 0 where that is below 0: any margin"),
    STATS(verdict, TEXT, NULL, "verdict", "`EQUIVALENT`, `BETTER`, `NOT_WORSE`, `WORSE`, `INCONCLUSIVE`, or `DESCRIPTIVE` where the source is; empty unless OK"),
    STATS(worst_layer, U32, "1", "the layer with the largest difference either way", "the model's number; 4294967295 of a model source, which has none"),
    STATS(worst_estimate, REAL, "1", "mean difference of that layer", "NaN where there is none"),
    STATS(worst_low, REAL, "1", "lower end of its interval", "NaN where that layer has no spread"),
    STATS(worst_high, REAL, "1", "upper end of its interval", "NaN where that layer has no spread"),
    STATS(total_bits_arm, REAL, "bit", "total bits per value of the arm", "mean over layers and seeds"),
    STATS(total_bits_against, REAL, "bit", "total bits per value of the other arm", "mean over layers and seeds"),
    STATS_4(test_asked, TEXT, NULL, "test that was asked for", "`auto`: by the shape of the sample"),
    STATS_4(goal, TEXT, NULL, "what the margin is for", "`equivalent`, or `not_worse`: one-sided"),
    STATS_4(correction, TEXT, NULL, "adjustment over the family", "`holm`, `bh` or `by`"),
    STATS_4(published, TEXT, NULL, "what was reported elsewhere", "as the configuration writes it"),
    STATS_4(predicts, TEXT, NULL, "verdicts that were foretold", "comma list; empty without a prediction"),
    STATS_4(exploratory, BOOL, "1", "not in the plan that was registered before data were read", "1: of no confirmatory family"),
    STATS_4(exploratory_why, TEXT, NULL, "why exploratory", "empty otherwise"),
    STATS_4(mde, REAL, "1", "smallest true difference that the test finds with power 0.8", "on the scale of the estimate, before adjustment; NaN where not known"),
    STATS_4(power, REAL, "1", "power for the margin where there is no true difference", "before adjustment; NaN without a margin"),
    STATS_4(seeds_needed, REAL, "1", "seeds for which that power would be 0.8, documents as they are", "NaN where no number is enough, or not known"),
    STATS_4(documents_needed, REAL, "1", "documents for which that power would be 0.8, seeds as they are", "NaN where no number is enough, or not known"),

    GROUP_4("canaries", "checks of the wiring that every run makes", ""),
    CANARY(name, "canary", ""),
    CANARY(status, "what became of it", "`PASS`, `FAIL`, `NOT RUN`"),
    CANARY(detail, "what was looked at", "on FAIL which cell"),

    GROUP_4("exact", "numbers that arithmetic fixes, against published ones", ""),
    EXACT(arm, TEXT, NULL, "arm", ""),
    EXACT(point, TEXT, NULL, "grid values that act on the arm", "empty without a grid"),
    EXACT(source, SOURCE, NULL, "name of the source", ""),
    EXACT(quantity, TEXT, NULL, "what is counted", "`total_bits`, `payload_bits` (a value), or `compression`: 16 bits over total bits"),
    EXACT(published, REAL, "1", "published number", ""),
    EXACT(digits, U32, "1", "decimals of the published number", ""),
    EXACT(measured, REAL, "1", "counted here", "mean over layers; NaN unless all cells of the arm are OK"),
    EXACT(verdict, TEXT, NULL, "verdict", "`EXACT`: equal when rounded to those decimals; `NOT MEASURED` where that is NaN; else `DIFFERENT`"),

    GROUP("compat", "for readers of one big table", ""),
    { "/compat/table", GYRE_SCHEMA_COMPOUND, GYRE_SCHEMA_ROW, { "cell" }, GYRE_SCHEMA_CELLS, 0, NULL,
      "the columns of /cells and the mean of each metric", "fixed-length texts; mean over documents and heads; invisible to netCDF readers", 0 },

    GROUP("timing", "how long it took", "outside the digest"),
    { "/timing/wall_s", GYRE_SCHEMA_COLUMN, GYRE_SCHEMA_REAL, { "cell" }, GYRE_SCHEMA_CELLS, offsetof(gyre_cell, wall_s), "s",
      "wall time of the cell", "", 0 },

    GROUP("provenance", "by what and where the file was made", "outside the digest"),
    PROVENANCE(build_id, CHARS, "version and commit of the program", "ends in `dirty` when its tree had changes that were not committed"),
    PROVENANCE(version, CHARS, "version of the program", ""),
    PROVENANCE(git_commit, CHARS, "commit it was built from", ""),
    PROVENANCE(git_dirty, BOOL, "built from a changed tree", ""),
    PROVENANCE(compiler, CHARS, "compiler", ""),
    PROVENANCE(compiler_flags, CHARS, "its flags", ""),
    PROVENANCE(value_code, CHARS, "hash of the sources that produce values", "of the program that merged"),
    PROVENANCE(host, CHARS, "name of the machine", ""),
    PROVENANCE(os, CHARS, "operating system", ""),
    PROVENANCE(cpu, CHARS, "processor", ""),
    PROVENANCE(cpu_threads, U32, "threads that the machine offers", ""),
    PROVENANCE(threads, U32, "threads used", ""),
    PROVENANCE(kernels, CHARS, "fast paths selected at run time", ""),
    PROVENANCE(hdf5, CHARS, "HDF5 version", "linked, and of the header"),
    PROVENANCE(fftw, CHARS, "FFTW version", "double, float"),
    PROVENANCE(openblas, CHARS, "OpenBLAS configuration", ""),
    PROVENANCE(gsl, CHARS, "GSL version", "linked, and of the header"),
    PROVENANCE(libyaml, CHARS, "libyaml version", ""),
    PROVENANCE(openssl, CHARS, "OpenSSL version", "linked, and of the header"),
    TEXT_4("/provenance@plan_time", ATTRIBUTE, plan_time, "when the analysis plan was registered", "UTC; empty where none was"),

    { NULL, GYRE_SCHEMA_GROUP, GYRE_SCHEMA_ROW, {0}, GYRE_SCHEMA_FILE, 0, NULL, NULL, NULL, 0 },
};

/* ---- looking things up ---- */

const gyre_schema_row *gyre_schema_find(const char *path)
{
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        if (strcmp(row->path, path) == 0)
            return row;
    return NULL;
}

size_t gyre_schema_rank(const gyre_schema_row *row)
{
    size_t rank = 0;
    while (row->dims[rank] != NULL)
        rank++;
    return rank;
}

const char *gyre_schema_name(const gyre_schema_row *row)
{
    const char *at = strchr(row->path, '@');
    return at != NULL ? at + 1 : strrchr(row->path, '/') + 1;
}

void gyre_schema_group(const gyre_schema_row *row, char group[GYRE_SCHEMA_GROUP_TEXT])
{
    size_t n = strcspn(row->path, "@");
    n = n < GYRE_SCHEMA_GROUP_TEXT ? n : GYRE_SCHEMA_GROUP_TEXT - 1;
    memcpy(group, row->path, n);
    group[n] = '\0';
}

bool gyre_schema_is_text(gyre_schema_type type)
{
    return type <= GYRE_SCHEMA_SOURCE;
}

const char *gyre_schema_type_name(gyre_schema_type type)
{
    switch (type) {
    case GYRE_SCHEMA_TEXT:
    case GYRE_SCHEMA_CHARS:
    case GYRE_SCHEMA_STATUS:
    case GYRE_SCHEMA_STREAM:
    case GYRE_SCHEMA_KIND:
    case GYRE_SCHEMA_SOURCE:
        return "text";
    case GYRE_SCHEMA_REAL:
        return "float64";
    case GYRE_SCHEMA_F32:
        return "float32";
    case GYRE_SCHEMA_U32:
        return "uint32";
    case GYRE_SCHEMA_SIZE:
    case GYRE_SCHEMA_U64:
        return "uint64";
    case GYRE_SCHEMA_BOOL:
        return "uint8";
    case GYRE_SCHEMA_ROW:
        break;
    }
    return "compound";
}

/* ---- versions ---- */

static bool parse_version(const char *text, unsigned long out[3])
{
    for (int i = 0; i < 3; i++) {
        char *end = NULL;
        if (*text < '0' || *text > '9')
            return false;
        out[i] = strtoul(text, &end, 10);
        if (*end != (i < 2 ? '.' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

bool gyre_schema_has(const gyre_schema_row *row, const char *version)
{
    unsigned long theirs[3] = {0};
    return !parse_version(version, theirs) || theirs[1] >= row->since;
}

gyre_status gyre_schema_check(const char *path, const char *name, const char *version, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned long own[3] = {0}, theirs[3] = {0};
    if (strcmp(name, GYRE_RESULTS_SCHEMA) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s is a '%s' file, not '%s': give a results.h5", path, name, GYRE_RESULTS_SCHEMA);
    if (!parse_version(GYRE_RESULTS_VERSION, own) || !parse_version(version, theirs))
        GYRE_FAIL(GYRE_E_INPUT, "%s: schema_version '%s' is not MAJOR.MINOR.REV", path, version);
    if (theirs[0] != own[0])
        GYRE_FAIL(GYRE_E_INPUT, "%s has schema version %s, this program reads %lu.x: use a program of that version", path, version, own[0]);
    if (theirs[1] > own[1])
        gyre_log_warning(log, "%s has schema version %s, newer than %s: what this program does not know is ignored", path, version,
                         GYRE_RESULTS_VERSION);
done:
    return st;
}

/* ---- the page ---- */

static void print_shape(FILE *stream, const gyre_schema_row *row)
{
    if (row->kind == GYRE_SCHEMA_ATTRIBUTE)
        (void)fputs("attribute", stream);
    else if (gyre_schema_rank(row) == 0)
        (void)fputs("scalar", stream);
    for (size_t i = 0; row->dims[i] != NULL; i++)
        (void)fprintf(stream, "%s%s", i > 0 ? ", " : "", row->dims[i]);
}

static void print_row(FILE *stream, const gyre_schema_row *row)
{
    (void)fprintf(stream, "| `%s` | %s | ", row->path, gyre_schema_type_name(row->type));
    print_shape(stream, row);
    (void)fprintf(stream, " | %s | %s%s%s", row->unit != NULL ? row->unit : "", row->long_name, row->note[0] != '\0' ? "; " : "", row->note);
    if (row->since > 0)
        (void)fprintf(stream, " (since 1.%u)", row->since);
    (void)fputs(" |\n", stream);
}

static const char table_head[] = "\n| object | type | scales | unit | meaning |\n|---|---|---|---|---|\n";

void gyre_schema_print(FILE *stream)
{
    (void)fprintf(stream,
                  "# The results file\n\n"
                  "<!-- Printed from the table in results/schema.c; a test compares the two. -->\n\n"
                  "Schema `%s`, version %s: a reader takes its own MAJOR only, and warns of a newer MINOR. `gyre run` and `gyre merge` write\n"
                  "the file, `gyre verify` holds a file against this page, and `gyre verify --digest` prints the scientific digest: a SHA-256 over\n"
                  "every name, type, shape, value and attribute except /timing, /provenance, the stored digest itself and the references that tie\n"
                  "datasets to scales.\n\n"
                  "HDF5 with checksummed metadata (1.10 format), fletcher32 on numbers, texts as variable-length UTF-8, creation order tracked, no\n"
                  "times. Every dataset has scales on all of its dimensions, and the scales lie in the root group, so that netCDF-4 readers see\n"
                  "every column. Behind the HDF5 content, where HDF5 does not look, lies a seal of 72 bytes: `GYRESEAL` and the SHA-256 of all\n"
                  "before, which Gyre checks before it reads.\n\n"
                  "    ncdump -h results.h5\n"
                  "    python3 -c 'import h5py; f = h5py.File(\"results.h5\"); print(f[\"metrics/nmse\"][:], f[\"cells/arm\"].asstr()[:])'\n"
                  "    python3 -c 'import xarray; print(xarray.open_dataset(\"results.h5\", group=\"metrics\", engine=\"h5netcdf\"))'\n"
                  "    python3 -c 'import h5py, pandas; print(pandas.DataFrame.from_records(h5py.File(\"results.h5\")[\"compat/table\"][:]))'\n\n"
                  "Every numeric dataset has an attribute `units`, every dataset with dimensions a `long_name`. A number that does not exist is NaN\n"
                  "beside a status, never zero.\n\n"
                  "## Root\n",
                  GYRE_RESULTS_SCHEMA, GYRE_RESULTS_VERSION);
    (void)fputs(table_head, stream);
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        if (row->kind != GYRE_SCHEMA_GROUP) {
            print_row(stream, row);
            continue;
        }
        (void)fprintf(stream, "\n## %s\n\n%s%s%s.\n", row->path, row->long_name, row->note[0] != '\0' ? "; " : "", row->note);
        (void)fputs(table_head, stream);
    }
    (void)fputs("\nWhat it is not: a dump of rows or bytes. Captures and cell files have schemas of their own.\n", stream);
}
