/* Captures of wrong content: opened, every layer read, hashed. */
#include "fuzz/mutate.h"

#include <math.h>

#include "core/h5.h"
#include "tensors/capture.h"

enum { DOCUMENTS = 2, TOKENS = 5, QUERIES = 2, KV_HEADS = 2, Q_HEADS = 4, DIM = 4, LAYERS = 2 };

/* A small valid capture: the second layer has queries' map, key bias and RoPE factors. */
static void make(fuzz_file *pattern)
{
    static float rows[DOCUMENTS * TOKENS * Q_HEADS * DIM], bias[KV_HEADS * DIM] = {0.5f}, factors[DIM / 2] = {1, 2};
    static const uint32_t heads[Q_HEADS] = {0, 0, 1, 1};
    static uint32_t map[Q_HEADS];
    const gyre_capture_document documents[DOCUMENTS] = {{"one", "00", "CC0-1.0", ""}, {"two", "11", "CC0-1.0", "here"}};
    int32_t pos[DOCUMENTS * TOKENS], ids[DOCUMENTS * TOKENS], query_pos[DOCUMENTS * QUERIES];
    gyre_capture_layer layers[LAYERS];
    gyre_error error = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i] = sinf((float)i);
    for (size_t i = 0; i < Q_HEADS; i++)
        map[i] = heads[i];
    for (int i = 0; i < DOCUMENTS * TOKENS; i++)
        pos[i] = ids[i] = i % TOKENS;
    for (int i = 0; i < DOCUMENTS * QUERIES; i++)
        query_pos[i] = TOKENS - QUERIES + i % QUERIES;
    for (uint32_t l = 0; l < LAYERS; l++)
        layers[l] = (gyre_capture_layer){.layer = 3 * l, .n_kv_heads = KV_HEADS, .n_q_heads = Q_HEADS, .dim = DIM, .score_scale = 0.5f, .k = rows, .v = rows, .q = rows,
                                         .kv_head_of = map, .k_bias = l ? bias : NULL,
                                         .rope = {.kind = GYRE_ROPE_NEOX, .n_rot = DIM, .base = 1e4f, .freq_scale = 1, .attn_factor = 1, .factors = l ? factors : NULL}};
    gyre_capture_data data = {.model_name = "m", .architecture = "llama", .model_sha256 = "ab", .model_file_type = "F32", .model_licence = "CC0-1.0", .engine_version = "1",
                              .engine_flags = "", .command_line = "", .tokenizer_note = "", .n_documents = DOCUMENTS, .n_tokens = TOKENS, .n_queries = QUERIES,
                              .documents = documents, .pos = pos, .token_id = ids, .query_pos = query_pos, .n_layers = LAYERS, .layers = layers};
    FUZZ_MUST(gyre_capture_write(fuzz_path(), &data, false, &error) == GYRE_OK);
    fuzz_take(pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_file pattern;
    fuzz_input in = {data, size};
    gyre_error error = {0};
    gyre_capture *c = NULL;
    char hex[GYRE_SHA256_HEX] = "";
    gyre_h5_quiet();
    if (pattern.bytes == NULL)
        make(&pattern);
    if (!fuzz_change(&pattern, &in, NULL))
        return 0;
    gyre_status st = gyre_capture_open(fuzz_path(), &c, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST((st == GYRE_OK) == (c != NULL) && (size > 0 || st == GYRE_OK));
    if (st != GYRE_OK)
        return 0;
    for (size_t i = 0; i < gyre_capture_info(c)->n_layers; i++) {
        gyre_capture_layer layer;
        fuzz_reasoned(gyre_capture_read_layer(c, i, &layer, &error), &error);
        gyre_capture_layer_free(&layer);
    }
    st = gyre_capture_digest(c, hex, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST((st == GYRE_OK) == (hex[0] != '\0'));
    gyre_capture_close(c);
    return 0;
}
