/* Configuration: strict YAML -> arms, grid, seeds, metrics, comparisons (docs/configuration.md).
 *
 * All faults are reported in one run, each with file:line:col, a caret and the nearest valid name. Nothing here opens a capture.
 */
#ifndef GYRE_EXPERIMENTS_CONFIG_H
#define GYRE_EXPERIMENTS_CONFIG_H

#include "calibrate/fit.h"
#include "core/sha256.h"
#include "core/yaml.h"
#include "metrics/metric.h"

enum {
    GYRE_CONFIG_CAPTURES = 16,
    GYRE_CONFIG_LAYERS = 256,
    GYRE_CONFIG_ARMS = 64,
    GYRE_CONFIG_AXES = 8,
    GYRE_CONFIG_VALUES = 32,
    GYRE_CONFIG_COMPARE = 128,
    GYRE_CONFIG_METRICS = 16,
    GYRE_CONFIG_DOCUMENTS = 1024,
    GYRE_CONFIG_SEEDS = 100000,
    GYRE_CONFIG_TEXTS = 256,
    GYRE_CONFIG_RANGES = 32,
    GYRE_CONFIG_OPEN = 16,
    GYRE_CONFIG_EXACT = 32,
    GYRE_CONFIG_VERDICTS = 64, /* room for a comma list of verdicts */
    GYRE_ARM_TEXT = GYRE_CODEC_TEXT + GYRE_FIT_TEXT + 512
};

/* `fitted: RESULTS.h5#SELECTOR`: parameters that another run found. */
typedef struct gyre_fitted_from {
    gyre_option_file file;
    const char *selector; /* NULL: the codec learns its own */
} gyre_fitted_from;

/* `layers: {0-1: exact, 29: int8}`: layers first..last are coded as another arm says, as written there, or left exact. */
typedef struct gyre_arm_range {
    uint32_t first, last;
    const char *arm; /* NULL: exact */
} gyre_arm_range;

typedef struct gyre_arm {
    const char *name;
    bool codes[2]; /* by gyre_stream */
    gyre_codec_spec codec[2];
    gyre_fit_spec fit[2];
    gyre_fitted_from fitted[2];
    size_t n_ranges;
    gyre_arm_range ranges[GYRE_CONFIG_RANGES];
} gyre_arm;

/* One axis of the grid: a place in codecs and the values it takes (OWN: an option of the codec itself). An axis over whole parts (chains, quantizers, objectives) has a name for each, and the part itself. */
typedef enum gyre_axis_place { GYRE_AXIS_QUANTIZER, GYRE_AXIS_CHAIN, GYRE_AXIS_OWN, GYRE_AXIS_FIT, GYRE_AXIS_OBJECTIVE, GYRE_AXIS_OPTIMISER } gyre_axis_place;

typedef struct gyre_axis {
    const char *path;     /* as written */
    char *words;          /* the path, cut at its dots; what the texts below point into */
    const char *label;    /* the end of the path that tells it from the other axes */
    const char *arm;      /* restricts to one arm, or NULL */
    bool on[2];           /* streams it may act on */
    gyre_axis_place place;
    bool whole;           /* replaces all of the place, not an option there */
    const char *element;  /* CHAIN: the element whose option it is */
    const char *option;
    gyre_codec_spec *parts;    /* [n_values] of whole chains and quantizers */
    gyre_fit_spec *objectives; /* [n_values] of whole objectives */
    bool acts;            /* on some point */
    size_t n_values;
    const char *values[GYRE_CONFIG_VALUES];
} gyre_axis;

typedef struct gyre_compare_spec {
    const char *arm, *against, *metric, *family;
    bool ratio, has_margin;
    double margin, alpha;
    const char *test, *goal, *correction; /* "auto", "equivalent", "holm" where not said */
    const char *published;                /* "" */
    char predicts[GYRE_CONFIG_VERDICTS];  /* verdicts, a comma list; "" */
} gyre_compare_spec;

/* `claim`: a published claim that the experiment decides. */
typedef struct gyre_exact_spec {
    const char *arm, *point, *quantity; /* point NULL: every point of the arm */
    double published;
    uint32_t digits;
} gyre_exact_spec;

typedef struct gyre_claim_spec {
    const char *id, *says, *source, *rule; /* id NULL: no claim */
    size_t n_open, n_exact;
    const char *open[GYRE_CONFIG_OPEN];
    gyre_exact_spec exact[GYRE_CONFIG_EXACT];
} gyre_claim_spec;

/* An arm with one choice of grid values that act on it. */
typedef struct gyre_arm_point {
    gyre_arm arm;
    char point[GYRE_OPTION_TEXT]; /* "bits=4,group=32"; "" where no axis acts */
    bool seeded; /* draws random numbers: in the chain, in the quantizer, or for the batches of a fit */
} gyre_arm_point;

/* `source: {model: ..., text: ...}`: the arms run inside models, on chunks of texts. */
typedef struct gyre_config_model {
    size_t n_models, n_texts;
    const char *models[GYRE_CONFIG_CAPTURES], *texts[GYRE_CONFIG_TEXTS];
    size_t context, chunks, first, block; /* chunks: of each text; 0: all that are behind the first */
    bool round_queries;                   /* queries through Q8_0, as llama.cpp's kernels do over a quantized cache */
    bool descriptive;
} gyre_config_model;

typedef struct gyre_config {
    gyre_yaml *yaml; /* owns the texts */
    char *overrides; /* --set assignments, a line each */
    const char *experiment;
    gyre_config_model model;              /* n_models 0: the captures are evaluated */
    size_t n_captures;
    const char *captures[GYRE_CONFIG_CAPTURES]; /* with a model: what arms are fitted to, of the same model */
    bool all_layers;
    size_t n_layers;
    uint32_t layers[GYRE_CONFIG_LAYERS];
    size_t n_calibration, n_validation, n_evaluation; /* named documents; 0: the default split */
    const char **calibration, **validation, **evaluation;
    bool leak;
    gyre_fit_spec fit; /* defaults of all arms */
    size_t n_arms;
    gyre_arm *arms;
    size_t n_axes;
    gyre_axis axes[GYRE_CONFIG_AXES];
    uint32_t seeds;
    uint64_t campaign_seed;
    size_t n_metrics;
    const gyre_metric_type *metrics[GYRE_CONFIG_METRICS];
    size_t n_compare;
    gyre_compare_spec *compare;
    gyre_claim_spec claim;
    const char *pilot;      /* results file that `gyre plan` takes spreads from; NULL */
    size_t n_points;
    gyre_arm_point *points; /* arms in order, grid values in order */
    char *canonical;        /* everything resolved, as text */
    char sha256[GYRE_SHA256_HEX];
    char analysis_sha256[GYRE_SHA256_HEX]; /* of the comparisons alone */
} gyre_config;

/* `size`: NULL, or the name of an item of `sizes`, whose assignments are applied first. `sets`: n_sets assignments path=value, applied in order. On GYRE_E_CONFIG `report`, when not NULL, receives the whole list of faults (caller frees). */
gyre_status gyre_config_read(const char *path, const char *size, const char *const *sets, size_t n_sets, gyre_config **out, char **report, gyre_error *err);
void gyre_config_free(gyre_config *config);

/* What codes a layer under this arm: the arm itself, the one that its ranges name, or an exact one. */
const gyre_arm *gyre_arm_at(const gyre_config *config, const gyre_arm *arm, uint32_t layer);

/* "0-1:exact,5-5:int8"; "" where an arm has no layers of its own. */
void gyre_arm_layers_text(const gyre_arm *arm, char *text, size_t size);

/* What a stream of an arm has to fit (gyre_fit_use); nothing where it is left exact. */
unsigned gyre_arm_uses(const gyre_arm *arm, gyre_stream stream);

/* Does a stream learn, or take over what was learned? */
bool gyre_arm_learns(const gyre_arm *arm);

/* Everything that a stream's values depend on in the configuration: the codec, and ";fit=..." with what acts there: the whole fit where something is learned or drawn, tokens and leak where
 * closed forms are fitted and they are not the defaults; ";fitted=sha256:HEX#SELECTOR" instead of a fit that another run made. "exact" for a stream that is left as it is. */
void gyre_arm_canonical(const gyre_arm *arm, gyre_stream stream, char *text, size_t size);

#endif
