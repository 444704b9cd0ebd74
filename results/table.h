/* The table of an experiment in memory: what is planned, what each cell gave, how arms are compared.
 *
 * experiments/ fills a gyre_table from a configuration and hands it to cells.h (one file per cell), merge.h (one results file) and figures.h;
 * gyre_results_read (results_file.h) makes the same table from a results file alone. Texts are owned by the table (gyre_table_text).
 *
 * A column of /cells is one row of the schema list in schema.h; a struct field here that is stored there says so by having the column's name.
 */
#ifndef GYRE_RESULTS_TABLE_H
#define GYRE_RESULTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calibrate/fit.h"
#include "core/sha256.h"
#include "core/status.h"
#include "metrics/next_token.h"

/* What cells are made from. CAPTURE: rows of a capture file; a cell is a layer, its documents are texts. MODEL: a text through the model with a coded cache; a cell is a block of consecutive
 * chunks, `layers` are the numbers of the blocks (0, 1, ...), a document is a chunk, and there is one head. */
typedef enum gyre_source_kind { GYRE_SOURCE_CAPTURE = 0, GYRE_SOURCE_MODEL = 1 } gyre_source_kind;

/* Where values came from: one capture file, or one model and its texts. */
typedef struct gyre_source {
    gyre_source_kind kind;
    const char *name;      /* model name of the capture, unique in the table */
    const char *path;      /* as the configuration gives it: the capture, or the model */
    const char *digest;    /* scientific digest of the capture; of a model: of the model file, the texts' tokens, context and engine */
    const char *model_sha256, *architecture;
    size_t n_documents;    /* evaluation documents */
    const char *const *documents; /* their names */
    size_t n_calibration;  /* calibration documents */
    const char *const *calibration; /* their names */
    size_t n_validation;   /* validation documents */
    const char *const *validation; /* their names */
    bool leak;             /* calibration overlaps evaluation, deliberately */
    size_t n_layers;
    const uint32_t *layers; /* the model's layer numbers */
    const uint32_t *n_heads; /* kv heads, per layer */
    uint32_t dim;
    bool has_bias;
    /* MODEL; else "" and 0 */
    const char *texts;         /* paths of the texts, a line each */
    const char *texts_sha256;  /* SHA-256 of each, a line each */
    const char *fit_digest;    /* of the capture that closed forms are fitted on; of a plan, not of a file: "" or NULL there */
    const char *engine;        /* version and build flags of libllama, and the settings */
    size_t context;            /* tokens of a chunk */
    size_t n_scored;           /* of which are scored */
    size_t first_chunk;        /* number of the first chunk in its text */
    size_t n_texts;
    const uint32_t *text_of;   /* [n_documents]: which text a chunk is of; NULL for CAPTURE. With several texts the texts are the units, chunks are averaged within */
    bool descriptive;          /* too few chunks for verdicts, says the configuration: intervals and p values are shown, the verdict is DESCRIPTIVE */
} gyre_source;

typedef enum gyre_cell_status { GYRE_CELL_MISSING = 0, GYRE_CELL_OK, GYRE_CELL_SKIPPED, GYRE_CELL_FAILED } gyre_cell_status;
const char *gyre_cell_status_name(gyre_cell_status status); /* "MISSING", "OK", "SKIPPED", "FAILED" */

/* One cell: (source, layer or block) x arm at a grid point x seed. */
typedef struct gyre_cell {
    char key[GYRE_SHA256_HEX]; /* names what determines the value and nothing else */
    size_t source;             /* index into table->sources */
    uint32_t layer;            /* the model's number; of a model: the number of the block */
    size_t first_document;     /* place of the cell's first document in the source: 0 but for blocks */
    const char *arm;           /* name in the configuration */
    const char *point;         /* grid values that act on this arm, "bits=4" or "bits=4,group=32"; "" without a grid */
    const char *streams;       /* "k", "v", "kv" or "none" (exact) */
    const char *codec_k, *codec_v; /* canonical text of the codecs; "exact" where a stream is untouched */
    bool seeded;
    uint32_t seed;             /* seed index; 0 for unseeded arms */

    gyre_cell_status status;
    const char *reason;        /* why SKIPPED or FAILED; "" otherwise */
    const char *flags;         /* "" or a comma list: "storage_floor" (result within 10x of the capture's storage error), "leak" (fitted to evaluation documents) */
    double payload_bits, side_bits, total_bits, read_bits; /* per value, mean over the coded streams; NaN unless OK */
    size_t n_documents, n_heads;
    double *values;            /* [metric][document][head], metrics in table order; NaN where a metric does not apply; NULL unless OK */
    size_t n_fits;             /* what was learned or drawn for this cell (calibrate/fit.h); 0 unless OK */
    const gyre_fit *fits;      /* kept by the table: not for gyre_fits_free */
    size_t n_tokens;           /* MODEL: scored tokens, chunk after chunk; 0 in a table that was read from a results file */
    const gyre_token *tokens;  /* kept by the table */
    double wall_s;             /* excluded from every digest */
} gyre_cell;

/* An arm at a grid point and seed over all scored tokens of a model source: what llama-perplexity prints, and the distribution of the change. Errors here are over tokens, as that program has
 * them; comparisons are over chunks or texts. */
typedef struct gyre_perplexity {
    size_t source;
    const char *arm, *point;
    uint32_t seed;
    size_t n_chunks, n_tokens;
    double nll, nll_se;               /* mean, nats; standard error of it */
    double ppl, ppl_error;            /* exp(nll); ppl * nll_se */
    double nll_change, nll_change_se; /* mean of the paired difference to the exact run, and its standard error */
    double kl, kl_se, kl_median, kl_90, kl_99, kl_999, kl_max;
    double same_top;                  /* share of tokens whose most likely successor stays */
    double p_rms;                     /* root mean square change of the probability of the token that follows */
    double total_bits;
} gyre_perplexity;

/* One planned comparison: arm - against at one grid point of one source. lower is better for every metric. */
typedef struct gyre_comparison {
    const char *arm, *against, *metric, *family, *point; /* point: the grid point shared by both arms */
    size_t source;
    bool ratio;                /* margin is on the log scale: {ratio: r} or {abs: a} */
    bool has_margin;
    double margin;             /* r > 1, or a > 0 in the metric's unit */
    double alpha;

    /* what compare.h fills */
    const char *status;        /* "OK", "SKIPPED" (an arm is), "INCOMPLETE", "DEGENERATE" */
    const char *reason;
    const char *test;          /* name in stats/ */
    size_t n_seeds, n_documents;
    double estimate, ci_low, ci_high; /* mean of log(arm/against), or of arm - against; interval at 1 - alpha */
    double df, sd_seed, sd_document;
    double p, p_adjusted;             /* two-sided */
    double p_tost, p_tost_adjusted;   /* NaN without a margin */
    double margin_needed;             /* the smallest margin that would pass at alpha, same scale as estimate; 0: any (goal not_worse) */
    const char *verdict;              /* EQUIVALENT, BETTER, WORSE, INCONCLUSIVE, or DESCRIPTIVE where the source is; "" unless OK */
    uint32_t worst_layer;             /* layer with the largest |estimate|; UINT32_MAX of a MODEL, which has none: worst_* are NaN */
    double worst_estimate, worst_low, worst_high;
    double total_bits_arm, total_bits_against; /* mean over layers */

    /* what the analysis plan says beside the arms and the margin; NULL of a comparison that nobody filled stands for the default */
    const char *test_asked;    /* "auto" (by the shape of the sample), or a name in stats/ */
    const char *goal;          /* "equivalent", or "not_worse": worse by the margin or more is what is to be excluded */
    const char *correction;    /* of its family: "holm", "bh" or "by" */
    const char *published;     /* what was reported elsewhere, as written; "" */
    const char *predicts;      /* verdicts that were foretold, a comma list; "" */
    bool exploratory;          /* not in the plan that was registered before data were read: of no confirmatory family */
    const char *exploratory_why; /* "" otherwise */
    /* what this sample could have seen, and what would be needed, from its components of variance; NaN where not known */
    double mde;                /* smallest true difference that the test finds with power 0.8, same scale as estimate */
    double power;              /* of equivalence (or of not worse) where there is no true difference, for the margin */
    double seeds_needed, documents_needed; /* of either, the other as it is: for that power to be 0.8; NaN too where no number is enough */
} gyre_comparison;

/* A check of the wiring that every run makes (canary.h). */
typedef struct gyre_canary {
    const char *name;
    const char *status;        /* "PASS", "FAIL", "NOT RUN" */
    const char *detail;        /* what was looked at, and on FAIL which cell */
} gyre_canary;

/* A number that arithmetic fixes, against the published one. */
typedef struct gyre_exact {
    const char *arm, *point;
    size_t source;
    const char *quantity;      /* "total_bits", "payload_bits", "compression" (16 bits over total bits) */
    double published, measured;
    uint32_t digits;           /* decimals that were published */
    const char *verdict;       /* "EXACT", "DIFFERENT", "NOT MEASURED" */
} gyre_exact;

typedef struct gyre_table {
    const char *experiment;
    const char *config_source;    /* the YAML as written */
    const char *config_overrides; /* --set assignments, one a line; "" */
    const char *config_canonical; /* resolved, defaults filled */
    char config_sha256[GYRE_SHA256_HEX];
    char analysis_sha256[GYRE_SHA256_HEX]; /* of the comparison block alone, taken before data are read */
    char value_code[GYRE_SHA256_HEX];      /* value-code digest of the program that computed the cells */
    uint64_t campaign_seed;
    uint32_t n_seeds;
    size_t n_sources;
    gyre_source *sources;
    size_t n_metrics;
    const char *const *metrics;       /* names */
    const char *const *metric_units;  /* "", "nat", ... */
    size_t n_cells;
    gyre_cell *cells;                 /* in plan order */
    size_t n_comparisons;
    gyre_comparison *comparisons;
    size_t n_perplexity;
    gyre_perplexity *perplexity;      /* in plan order; made by merge, read from a results file */
    const char *plan_registered;      /* the analysis plan as it was registered in the run folder before data were read (registration.h); "" where none was */
    const char *plan_time;            /* when; outside the digest */
    const char *claim_id, *claim_says, *claim_source, *claim_rule; /* the published claim that the experiment decides; "" without one */
    const char *claim_open;           /* what it cannot decide, a line each */
    size_t n_canaries;
    gyre_canary *canaries;
    size_t n_exact;
    gyre_exact *exact;
    struct gyre_table_block *blocks;  /* texts and arrays owned by the table */
} gyre_table;

gyre_status gyre_table_new(gyre_table **out, gyre_error *err);
void gyre_table_free(gyre_table *table);

/* Zeroed memory / a copy of a text that lives as long as the table. */
gyre_status gyre_table_keep(gyre_table *table, size_t count, size_t size, void *out, gyre_error *err);
gyre_status gyre_table_text(gyre_table *table, const char *text, const char **out, gyre_error *err);

/* The same of a text that is printed, cut to GYRE_TABLE_PRINTED bytes. */
enum { GYRE_TABLE_PRINTED = 640 };
gyre_status gyre_table_printf(gyre_table *table, const char **out, gyre_error *err, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "layer" or "block": what the cells of a source are numbered by. "document", "chunk" or "text": what is counted in comparisons; and how many there are. */
const char *gyre_layer_word(const gyre_source *source);
const char *gyre_unit_word(const gyre_source *source);
size_t gyre_n_units(const gyre_source *source);

/* Fills what nobody said of a comparison with the defaults: test auto, goal equivalent, correction holm, no prediction, numbers NaN. */
void gyre_comparison_defaults(gyre_comparison *comparison);

/* Index of a metric in the table, or n_metrics. */
size_t gyre_metric_place(const gyre_table *table, const char *name);

/* Is `flag` one of the cell's flags? */
bool gyre_cell_flagged(const gyre_cell *cell, const char *flag);

/* Was an arm of that source fitted to evaluation documents? point NULL: at any point; arm NULL: was any? */
bool gyre_arm_leaks(const gyre_table *table, size_t source, const char *arm, const char *point);

/* Value of metric m of a cell; NaN when the cell has none. */
double gyre_cell_value(const gyre_cell *cell, size_t metric, size_t document, size_t head);

#endif
