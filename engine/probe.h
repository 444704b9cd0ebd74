/* Looking at a model and its texts without running them: what a plan needs to know.
 *
 * The model is opened, the texts are tokenized as llama-perplexity does (special tokens first, as the model asks), and the first tokens of the first text are captured, all layers, into a file of the
 * caller's, which is where the facts of the layers are read from. Everything happens in child processes.
 * Errors: as gyre_capture_run; GYRE_E_INPUT where the context exceeds the model's.
 */
#ifndef GYRE_ENGINE_PROBE_H
#define GYRE_ENGINE_PROBE_H

#include "core/sha256.h"
#include "core/status.h"

enum { GYRE_PROBE_TEXTS = 256, GYRE_PROBE_TOKENS = 16, GYRE_PROBE_WORDS = 1024 };

typedef struct gyre_probe {
    char version[GYRE_PROBE_WORDS], flags[GYRE_PROBE_WORDS];
    size_t n_vocabulary;
    size_t n_tokens[GYRE_PROBE_TEXTS];                 /* of each text */
    char text_sha256[GYRE_PROBE_TEXTS][GYRE_SHA256_HEX];
} gyre_probe;

typedef struct gyre_probe_request {
    const char *model_path, *model_name;
    const char *const *texts; /* paths */
    size_t n_texts, context;
    unsigned threads;         /* 0: all processors */
    const char *facts_path;   /* the capture file to write */
} gyre_probe_request;

gyre_status gyre_probe_model(const gyre_probe_request *request, gyre_probe *out, gyre_error *err);

#endif
