/* Configuration: strict YAML -> arms, grid, seeds, metrics, comparisons (docs/configuration.md).
 *
 * All faults are reported in one run, each with file:line:col, a caret and the nearest valid name. Nothing here opens a capture.
 */
#ifndef GYRE_EXPERIMENTS_CONFIG_H
#define GYRE_EXPERIMENTS_CONFIG_H

#include "codec/codec.h"
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
    GYRE_CONFIG_SEEDS = 100000
};

typedef struct gyre_arm {
    const char *name;
    bool codes[2]; /* by gyre_stream */
    gyre_codec_spec codec[2];
} gyre_arm;

/* One axis of the grid: a place in codecs and the values it takes. An axis over whole chains or quantizers has a name for each, and the part itself. */
typedef enum gyre_axis_part { GYRE_AXIS_OPTION, GYRE_AXIS_CHAIN, GYRE_AXIS_QUANTIZER } gyre_axis_part;

typedef struct gyre_axis {
    const char *path;     /* as written */
    char *words;          /* the path, cut at its dots; what the texts below point into */
    const char *label;    /* the end of the path that tells it from the other axes */
    const char *arm;      /* restricts to one arm, or NULL */
    bool on[2];           /* streams it may act on */
    const char *element;  /* chain element whose option it is; NULL: the quantizer's, or the codec's own */
    bool own;             /* an option of the codec itself (order) */
    gyre_axis_part part;
    gyre_codec_spec *parts; /* [n_values] where part is no option: its chain, or its quantizer and options */
    const char *option;
    size_t n_values;
    const char *values[GYRE_CONFIG_VALUES];
} gyre_axis;

typedef struct gyre_compare_spec {
    const char *arm, *against, *metric, *family;
    bool ratio, has_margin;
    double margin, alpha;
} gyre_compare_spec;

/* An arm with one choice of grid values that act on it. */
typedef struct gyre_arm_point {
    gyre_arm arm;
    char point[GYRE_OPTION_TEXT]; /* "bits=4,group=32"; "" where no axis acts */
    bool seeded;
} gyre_arm_point;

typedef struct gyre_config {
    gyre_yaml *yaml; /* owns the texts */
    char *overrides; /* --set assignments, a line each */
    const char *experiment;
    size_t n_captures;
    const char *captures[GYRE_CONFIG_CAPTURES];
    bool all_layers;
    size_t n_layers;
    uint32_t layers[GYRE_CONFIG_LAYERS];
    size_t n_calibration, n_evaluation; /* named documents; 0: the default split */
    const char **calibration, **evaluation;
    bool leak;
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
    size_t n_points;
    gyre_arm_point *points; /* arms in order, grid values in order */
    char *canonical;        /* everything resolved, as text */
    char sha256[GYRE_SHA256_HEX];
    char analysis_sha256[GYRE_SHA256_HEX]; /* of the comparisons alone */
} gyre_config;

/* `sets`: n_sets assignments path=value, applied in order. On GYRE_E_CONFIG `report`, when not NULL, receives the whole list of faults (caller frees). */
gyre_status gyre_config_read(const char *path, const char *const *sets, size_t n_sets, gyre_config **out, char **report, gyre_error *err);
void gyre_config_free(gyre_config *config);

#endif
