/* One scored token of metrics/next_token.h at vocabularies of real models: kernels/softmax.h, fast against reference, and two threads against one.
 *
 *     cmake --preset release -DGYRE_BENCH=ON && cmake --build --preset release && build/bench/bench_next_token
 *
 * Kernels are timed in processor time, threads by the clock: with other work on the machine the second ratio falls below what is there.
 */
#include "bench/interleaved.h"

#include "core/random.h"
#include "kernels/selected.h"
#include "kernels/softmax.h"
#include "metrics/next_token.h"

enum { TOKENS = 16, MOST = 262144 };

typedef struct row {
    size_t n;
    const float *a, *b;
    float max_a;
    double sink;
} row;

/* What gyre_exact_tokens_compare does with a token. */
static void fast(void *data)
{
    row *r = data;
    double sum;
    size_t top = gyre_softmax_top(r->b, r->n);
    r->sink += gyre_softmax_against(r->a, r->max_a, r->b, r->b[top], r->n, &sum) / sum;
}

static void reference(void *data)
{
    row *r = data;
    double sum;
    size_t top = gyre_softmax_top_ref(r->b, r->n);
    r->sink += gyre_softmax_against_ref(r->a, r->max_a, r->b, r->b[top], r->n, &sum) / sum;
}

typedef struct chunk {
    gyre_exact_tokens *exact;
    const float *b;
    double sink;
} chunk;

static double turn(chunk *c)
{
    gyre_token out[TOKENS];
    struct timespec from, to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    c->sink += gyre_exact_tokens_compare(c->exact, 0, c->b, TOKENS, out, NULL) == GYRE_OK ? out[TOKENS - 1].kl : 0.0;
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

/* Time of a token on one and on two threads, turn about. */
static int threads(const float *a, const float *b, size_t n)
{
    chunk c[2] = {{.b = b}, {.b = b}};
    static double time[2][ROUNDS];
    int32_t next[TOKENS] = {0};
    gyre_token out[TOKENS];
    gyre_status st = GYRE_OK;
    for (unsigned k = 0; k < 2 && st == GYRE_OK; k++) {
        st = gyre_exact_tokens_new(TOKENS, n, k + 1, &c[k].exact, NULL);
        if (st == GYRE_OK)
            st = gyre_exact_tokens_add(c[k].exact, a, next, TOKENS, out, NULL);
    }
    for (int i = 0; i < ROUNDS && st == GYRE_OK; i++)
        for (int k = 0; k < 2; k++)
            time[k][i] = turn(&c[k]);
    if (st == GYRE_OK) {
        for (int k = 0; k < 2; k++)
            qsort(time[k], ROUNDS, sizeof **time, ascending);
        (void)printf("%zu logits, a token of an arm: %.0f us on one thread; one/two threads best %.2f, median %.2f; one median/best %.2f\n", n,
                     1e6 * time[0][0] / TOKENS, time[0][0] / time[1][0], time[0][ROUNDS / 2] / time[1][ROUNDS / 2], time[0][ROUNDS / 2] / time[0][0]);
    }
    for (int k = 0; k < 2; k++)
        gyre_exact_tokens_free(c[k].exact);
    return st == GYRE_OK && c[0].sink == c[1].sink ? 0 : 1;
}

/* Logits of a model's spread, and what some bits fewer make of them. */
static void fill(float *a, float *b)
{
    static double normals[2 * MOST];
    gyre_site site = {.seed_index = 1};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    gyre_random_normals(&stream, normals, 2 * (size_t)MOST);
    for (size_t i = 0; i < (size_t)TOKENS * MOST; i++) {
        a[i] = (float)(3.0 * normals[(i * 7) % MOST]);
        b[i] = a[i] + (float)(0.1 * normals[MOST + (i * 11) % MOST]);
    }
}

int main(void)
{
    static const size_t sizes[] = {49152, 151936, 262144};
    float *a = malloc(sizeof *a * TOKENS * MOST), *b = malloc(sizeof *b * TOKENS * MOST);
    int failed = a == NULL || b == NULL;
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    if (!failed)
        fill(a, b);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !failed; i++) {
        row r = {.n = sizes[i], .a = a, .b = b, .max_a = a[gyre_softmax_top(a, sizes[i])]};
        char what[32];
        (void)snprintf(what, sizeof what, "%zu logits", r.n);
        interleaved(what, fast, reference, &r);
        (void)printf("check sum %.6f\n", r.sink);
        failed = threads(a, b, sizes[i]);
    }
    free(b);
    free(a);
    return failed;
}
