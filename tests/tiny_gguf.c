#include "tests/tiny_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <ggml.h>
#include <gguf.h>

enum { N_SPECIAL = 3, N_VOCABULARY = N_SPECIAL + 256, MAX_NAME = 64, MAX_LAYERS = 16, CONTEXT_BYTES = 64 << 20 };

typedef struct writer {
    const tiny_model *model;
    struct gguf_context *file;
    struct ggml_context *tensors;
    uint64_t random;
} writer;

/* Sum of four uniforms, scaled to variance 1: near enough to normal here. splitmix64. */
static float next_random(writer *w)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t z = (w->random += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        sum += (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0 - 0.5;
    }
    return (float)(sum * sqrt(3.0));
}

static struct ggml_tensor *add(writer *w, const char *name, int64_t n0, int64_t n1, float mean, float sd)
{
    struct ggml_tensor *t = n1 > 0 ? ggml_new_tensor_2d(w->tensors, GGML_TYPE_F32, n0, n1) : ggml_new_tensor_1d(w->tensors, GGML_TYPE_F32, n0);
    float *x = ggml_get_data_f32(t);
    for (int64_t i = 0; i < ggml_nelements(t); i++)
        x[i] = mean + sd * next_random(w);
    ggml_set_name(t, name);
    gguf_add_tensor(w->file, t);
    return t;
}

static void add_in_layer(writer *w, uint32_t layer, const char *name, int64_t n0, int64_t n1, float mean, float sd)
{
    char full[MAX_NAME];
    (void)snprintf(full, sizeof full, "blk.%lu.%s", (unsigned long)layer, name);
    (void)add(w, full, n0, n1, mean, sd);
}

static bool is_gemma(const tiny_model *m)
{
    return strncmp(m->architecture, "gemma", 5) == 0;
}

static void add_layer(writer *w, uint32_t layer)
{
    const tiny_model *m = w->model;
    int64_t embd = (int64_t)m->n_heads * m->head_dim, kv = (int64_t)m->n_kv_heads * m->head_dim, ff = 2 * embd;
    float sd = 1.0f / sqrtf((float)embd);
    add_in_layer(w, layer, "attn_norm.weight", embd, 0, 1, 0.1f);
    if (layer + 1 != m->cacheless) {
        add_in_layer(w, layer, "attn_q.weight", embd, embd, 0, 2 * sd);
        add_in_layer(w, layer, "attn_k.weight", embd, kv, 0, 2 * sd);
        add_in_layer(w, layer, "attn_v.weight", embd, kv, 0, sd);
    }
    add_in_layer(w, layer, "attn_output.weight", embd, embd, 0, sd);
    add_in_layer(w, layer, "ffn_norm.weight", embd, 0, 1, 0.1f);
    add_in_layer(w, layer, "ffn_gate.weight", embd, ff, 0, sd);
    add_in_layer(w, layer, "ffn_up.weight", embd, ff, 0, sd);
    add_in_layer(w, layer, "ffn_down.weight", ff, embd, 0, sd);
    if (strcmp(m->architecture, "qwen2") == 0) {
        add_in_layer(w, layer, "attn_q.bias", embd, 0, 0, m->bias);
        add_in_layer(w, layer, "attn_k.bias", kv, 0, 0, m->bias);
        add_in_layer(w, layer, "attn_v.bias", kv, 0, 0, m->bias);
    }
    if (is_gemma(m)) {
        add_in_layer(w, layer, "post_attention_norm.weight", embd, 0, 1, 0.1f);
        add_in_layer(w, layer, "post_ffw_norm.weight", embd, 0, 1, 0.1f);
    }
    if (strcmp(m->architecture, "gemma3") == 0) {
        add_in_layer(w, layer, "attn_q_norm.weight", m->head_dim, 0, 1, 0.1f);
        add_in_layer(w, layer, "attn_k_norm.weight", m->head_dim, 0, 1, 0.1f);
    }
}

static void set_u32(writer *w, const char *key, uint32_t value)
{
    char full[MAX_NAME];
    (void)snprintf(full, sizeof full, "%s.%s", w->model->architecture, key);
    gguf_set_val_u32(w->file, full, value);
}

static void set_f32(writer *w, const char *key, float value)
{
    char full[MAX_NAME];
    (void)snprintf(full, sizeof full, "%s.%s", w->model->architecture, key);
    gguf_set_val_f32(w->file, full, value);
}

/* One number for all layers, or one for each. */
static void set_kv_heads(writer *w)
{
    const tiny_model *m = w->model;
    char full[MAX_NAME];
    int32_t heads[MAX_LAYERS];
    if (m->cacheless == 0 || m->n_layers > MAX_LAYERS) {
        set_u32(w, "attention.head_count_kv", m->n_kv_heads);
        return;
    }
    for (uint32_t i = 0; i < m->n_layers; i++)
        heads[i] = i + 1 == m->cacheless ? 0 : (int32_t)m->n_kv_heads;
    (void)snprintf(full, sizeof full, "%s.attention.head_count_kv", m->architecture);
    gguf_set_arr_data(w->file, full, GGUF_TYPE_INT32, heads, m->n_layers);
}

static void describe(writer *w)
{
    const tiny_model *m = w->model;
    gguf_set_val_str(w->file, "general.architecture", m->architecture);
    gguf_set_val_str(w->file, "general.name", "tiny random model");
    set_u32(w, "context_length", m->n_context);
    set_u32(w, "embedding_length", m->n_heads * m->head_dim);
    set_u32(w, "feed_forward_length", 2 * m->n_heads * m->head_dim);
    set_u32(w, "block_count", m->n_layers);
    set_u32(w, "attention.head_count", m->n_heads);
    set_kv_heads(w);
    set_u32(w, "rope.dimension_count", m->head_dim);
    set_u32(w, "vocab_size", N_VOCABULARY);
    set_f32(w, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (is_gemma(m)) {
        set_u32(w, "attention.key_length", m->head_dim);
        set_u32(w, "attention.value_length", m->head_dim);
        set_u32(w, "attention.sliding_window", m->window);
        set_f32(w, "rope.freq_base", 1e6f);
        set_f32(w, "rope.freq_base_swa", 10000.0f);
    } else {
        set_f32(w, "rope.freq_base", 10000.0f);
    }
}

static void add_tokenizer(writer *w)
{
    char names[N_VOCABULARY][8];
    const char *tokens[N_VOCABULARY];
    float scores[N_VOCABULARY] = {0};
    int32_t types[N_VOCABULARY];
    (void)snprintf(names[0], sizeof names[0], "<unk>");
    (void)snprintf(names[1], sizeof names[1], "<s>");
    (void)snprintf(names[2], sizeof names[2], "</s>");
    for (int i = 0; i < N_VOCABULARY; i++) {
        if (i >= N_SPECIAL)
            (void)snprintf(names[i], sizeof names[i], "<0x%02X>", (unsigned)(i - N_SPECIAL) & 0xFFu);
        types[i] = i == 0 ? 2 : i < N_SPECIAL ? 3 : 6; /* unknown, control, byte */
        tokens[i] = names[i];
    }
    if (w->model->repeat_a_token)
        tokens[N_VOCABULARY - 1] = tokens[N_VOCABULARY - 2];
    gguf_set_val_str(w->file, "tokenizer.ggml.model", w->model->no_tokenizer ? "no_vocab" : "llama");
    if (w->model->no_tokenizer)
        return;
    gguf_set_arr_str(w->file, "tokenizer.ggml.tokens", tokens, N_VOCABULARY);
    gguf_set_arr_data(w->file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores, N_VOCABULARY);
    gguf_set_arr_data(w->file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, N_VOCABULARY);
    gguf_set_val_u32(w->file, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(w->file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(w->file, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_bool(w->file, "tokenizer.ggml.add_bos_token", w->model->adds_bos);
    gguf_set_val_bool(w->file, "tokenizer.ggml.add_space_prefix", false);
}

static void add_rope_factors(writer *w)
{
    int64_t half = w->model->head_dim / 2;
    float *factors = ggml_get_data_f32(add(w, "rope_freqs.weight", half, 0, 1, 0));
    for (int64_t i = half / 2; i < half; i++)
        factors[i] = 1.0f + (float)(i - half / 2) / 4.0f;
}

bool tiny_gguf_write(const char *path, const tiny_model *model)
{
    struct ggml_init_params memory = {.mem_size = CONTEXT_BYTES, .mem_buffer = NULL, .no_alloc = false};
    writer w = {.model = model, .file = gguf_init_empty(), .tensors = ggml_init(memory), .random = model->seed};
    bool good = false;
    if (w.file != NULL && w.tensors != NULL) {
        int64_t embd = (int64_t)model->n_heads * model->head_dim;
        describe(&w);
        add_tokenizer(&w);
        (void)add(&w, "token_embd.weight", embd, N_VOCABULARY, 0, 1);
        (void)add(&w, "output_norm.weight", embd, 0, 1, 0.1f);
        if (!is_gemma(model))
            (void)add(&w, "output.weight", embd, N_VOCABULARY, 0, 1.0f / sqrtf((float)embd));
        if (model->rope_factors)
            add_rope_factors(&w);
        for (uint32_t i = 0; i < model->n_layers; i++)
            add_layer(&w, i);
        good = gguf_write_to_file(w.file, path, false);
    }
    gguf_free(w.file);
    ggml_free(w.tensors);
    return good;
}
