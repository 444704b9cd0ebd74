/* The results file as one table of rows: what is in it, on which scales, in which unit, and where it lives in memory.
 *
 * The writer, the reader, `gyre verify` and docs/results-schema.md are all driven by this table; to add a column, add a row (and a field to table.h).
 * Rows are in the order in which objects are created in the file. What it is not: the layout of cell files (cells.h) or capture files.
 *
 * Versions are MAJOR.MINOR.REV: a reader takes its own MAJOR only; a file of a newer MINOR holds more than the reader knows, which is a warning; one of an
 * older MINOR lacks the rows that say `since`, which is as if it had none of what they hold.
 */
#ifndef GYRE_RESULTS_SCHEMA_H
#define GYRE_RESULTS_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/log.h"
#include "core/status.h"

#define GYRE_RESULTS_SCHEMA "gyre-results"
#define GYRE_RESULTS_VERSION "1.4.0"

typedef enum gyre_schema_kind {
    GYRE_SCHEMA_ATTRIBUTE, /* scalar attribute of the root or of a group: "/provenance@host", "/claim@id" */
    GYRE_SCHEMA_SCALE,     /* dimension scale in the root group: 0, 1, 2, ..., or the names of the sources */
    GYRE_SCHEMA_GROUP,
    GYRE_SCHEMA_SCALAR,    /* dataset without dimensions */
    GYRE_SCHEMA_COLUMN,    /* one value per source, cell, comparison, fit, parameter, point, pass, canary or exact value */
    GYRE_SCHEMA_LIST,      /* several values per source, padded: [source, other scale] */
    GYRE_SCHEMA_METRIC,    /* "/metrics/(name)", one dataset per metric of the configuration */
    GYRE_SCHEMA_COMPOUND
} gyre_schema_kind;

/* How a value is held in memory, hence how it is stored. */
typedef enum gyre_schema_type {
    GYRE_SCHEMA_TEXT,   /* const char *              -> variable-length UTF-8 */
    GYRE_SCHEMA_CHARS,  /* char[]                    -> variable-length UTF-8 */
    GYRE_SCHEMA_STATUS, /* gyre_cell_status          -> variable-length UTF-8 */
    GYRE_SCHEMA_STREAM, /* gyre_stream               -> "k" or "v", variable-length UTF-8 */
    GYRE_SCHEMA_KIND,   /* gyre_source_kind          -> "capture" or "model", variable-length UTF-8 */
    GYRE_SCHEMA_SOURCE, /* size_t, index of a source -> its name, variable-length UTF-8 */
    GYRE_SCHEMA_REAL,   /* double                    -> float64 */
    GYRE_SCHEMA_F32,    /* float                     -> float32 */
    GYRE_SCHEMA_U32,    /* uint32_t                  -> uint32 */
    GYRE_SCHEMA_SIZE,   /* size_t                    -> uint64 */
    GYRE_SCHEMA_U64,    /* uint64_t                  -> uint64 */
    GYRE_SCHEMA_BOOL,   /* bool                      -> uint8, 0 or 1 */
    GYRE_SCHEMA_ROW     /* compound */
} gyre_schema_type;

/* The struct that holds it; FILE: made by the writer. */
typedef enum gyre_schema_owner {
    GYRE_SCHEMA_FILE,
    GYRE_SCHEMA_TABLE,
    GYRE_SCHEMA_SOURCES,
    GYRE_SCHEMA_CELLS,
    GYRE_SCHEMA_COMPARISONS,
    GYRE_SCHEMA_FITS,       /* gyre_fit_row: fit_columns.h */
    GYRE_SCHEMA_PARAMETERS, /* float */
    GYRE_SCHEMA_POINTS,     /* gyre_fit_point */
    GYRE_SCHEMA_PERPLEXITY, /* gyre_perplexity */
    GYRE_SCHEMA_CANARIES,   /* gyre_canary */
    GYRE_SCHEMA_EXACT,      /* gyre_exact */
    GYRE_SCHEMA_PROVENANCE
} gyre_schema_owner;

enum { GYRE_SCHEMA_MAX_DIMS = 3 };

typedef struct gyre_schema_row {
    const char *path;
    gyre_schema_kind kind;
    gyre_schema_type type;
    const char *dims[GYRE_SCHEMA_MAX_DIMS + 1]; /* names of scales, then NULL */
    gyre_schema_owner owner;
    size_t offset;                              /* in the owner's struct */
    const char *unit;                           /* "1" where dimensionless, NULL for texts */
    const char *long_name;
    const char *note;                           /* for the page: values, padding, exceptions; "" */
    unsigned since;                             /* MINOR that brought it: files before have none; 0: every file has it */
} gyre_schema_row;

/* Ends with a row whose path is NULL. */
extern const gyre_schema_row gyre_schema[];

/* The row of this path, or NULL. */
const gyre_schema_row *gyre_schema_find(const char *path);

size_t gyre_schema_rank(const gyre_schema_row *row);

/* Do files of that schema version have the row? */
bool gyre_schema_has(const gyre_schema_row *row, const char *version);

/* Last component of the path: the name of a dataset or attribute. */
const char *gyre_schema_name(const gyre_schema_row *row);

/* The group of an attribute's object: "/", "/provenance", ...; room for every path of the table. */
enum { GYRE_SCHEMA_GROUP_TEXT = 32 };
void gyre_schema_group(const gyre_schema_row *row, char group[GYRE_SCHEMA_GROUP_TEXT]);

/* Name of the stored type: "text", "float64", ... */
const char *gyre_schema_type_name(gyre_schema_type type);

/* Stored as variable-length text? */
bool gyre_schema_is_text(gyre_schema_type type);

/* Refuses another name or another MAJOR (GYRE_E_INPUT); warns of a newer MINOR. `path` names the file in messages; log may be NULL. */
gyre_status gyre_schema_check(const char *path, const char *name, const char *version, gyre_log *log, gyre_error *err);

/* docs/results-schema.md. */
void gyre_schema_print(FILE *stream);

#endif
