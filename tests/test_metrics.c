/* metrics/: every metric against a plain double-precision program of its definition, and cases solved by hand. */
#include "tests/check.h"

#include "metrics/energy.h"

enum { T = 37, D = 16, Q = 3, G = 2, N = Q * G };

typedef struct rows {
    float k[T * D], v[T * D], k_hat[T * D], v_hat[T * D], q[N * D];
    int32_t pos[T], query_pos[Q];
} rows;

static void make(rows *r, float noise)
{
    float e[T * D];
    normals(r->k, T * D, 1);
    normals(r->v, T * D, 2);
    normals(r->q, N * D, 3);
    normals(e, T * D, 4);
    for (size_t i = 0; i < T * D; i++) {
        r->k_hat[i] = r->k[i] + noise * e[i];
        r->v_hat[i] = r->v[i] - noise * e[T * D - 1 - i];
    }
    for (int32_t i = 0; i < T; i++)
        r->pos[i] = 10 + i;
    for (int32_t i = 0; i < Q; i++)
        r->query_pos[i] = 10 + T - Q + i;
}

static gyre_unit unit_of(const rows *r, bool code_k, bool code_v, uint32_t window)
{
    gyre_unit u = {.tokens = T, .dim = D, .queries = Q, .group = G, .k = r->k, .v = r->v, .k_hat = code_k ? r->k_hat : NULL, .v_hat = code_v ? r->v_hat : NULL,
                   .q = r->q, .pos = r->pos, .query_pos = r->query_pos, .score_scale = 0.25, .window = window};
    double mean[2][D] = {{0}};
    for (size_t i = 0; i < T * D; i++) {
        mean[0][i % D] += (double)r->k[i] / T;
        mean[1][i % D] += (double)r->v[i] / T;
    }
    u.energy[0] = gyre_energy_about(r->k, NULL, T, D);
    u.energy[1] = gyre_energy_about(r->v, NULL, T, D);
    u.energy_centred[0] = gyre_energy_about(r->k, mean[0], T, D);
    u.energy_centred[1] = gyre_energy_about(r->v, mean[1], T, D);
    gyre_unit_errors(&u);
    return u;
}

/* The definitions, as docs/definitions.md has them, one query and head at a time. */
static void plain(const gyre_unit *u, double out[6])
{
    double nmse[2] = {0}, centred[2] = {0}, mean[2][D] = {{0}}, logit = 0, kl = 0, flip = 0, output = 0;
    const float *x[2] = {u->k, u->v}, *y[2] = {u->k_hat, u->v_hat};
    for (int s = 0; s < 2; s++) {
        double error = 0, energy = 0, about = 0;
        for (size_t i = 0; i < T * D; i++)
            mean[s][i % D] += (double)x[s][i] / T;
        for (size_t i = 0; i < T * D && y[s] != NULL; i++) {
            error += pow((double)y[s][i] - (double)x[s][i], 2);
            energy += pow((double)x[s][i], 2);
            about += pow((double)x[s][i] - mean[s][i % D], 2);
        }
        nmse[0] += error, nmse[1] += energy, centred[0] += error, centred[1] += about;
    }
    for (size_t h = 0; h < G; h++) {
        double off = 0, size = 0;
        for (size_t s = 0; s < Q; s++) {
            const float *q = u->q + (h * Q + s) * D;
            double a[T], b[T], za = 0, zb = 0, e = 0, e2 = 0, n = 0, divergence = 0;
            size_t top_a = T, top_b = T;
            bool sees[T];
            for (size_t j = 0; j < T; j++) {
                sees[j] = u->pos[j] <= u->query_pos[s] && (u->window == 0 || u->pos[j] > u->query_pos[s] - (int32_t)u->window);
                a[j] = b[j] = 0;
                for (size_t i = 0; i < D; i++) {
                    a[j] += u->score_scale * (double)q[i] * (double)u->k[j * D + i];
                    b[j] += u->score_scale * (double)q[i] * (double)(u->k_hat != NULL ? u->k_hat : u->k)[j * D + i];
                }
                if (!sees[j])
                    continue;
                za += exp(a[j]), zb += exp(b[j]);
                e += b[j] - a[j], e2 += (b[j] - a[j]) * (b[j] - a[j]), n += 1;
                top_a = top_a == T || a[j] > a[top_a] ? j : top_a;
                top_b = top_b == T || b[j] > b[top_b] ? j : top_b;
            }
            double o[D] = {0}, o_hat[D] = {0};
            for (size_t j = 0; j < T; j++)
                if (sees[j]) {
                    divergence += exp(a[j]) / za * (a[j] - log(za) - b[j] + log(zb));
                    for (size_t i = 0; i < D; i++) {
                        o[i] += exp(a[j]) / za * (double)u->v[j * D + i];
                        o_hat[i] += exp(b[j]) / zb * (double)(u->v_hat != NULL ? u->v_hat : u->v)[j * D + i];
                    }
                }
            for (size_t i = 0; i < D; i++)
                off += pow(o_hat[i] - o[i], 2), size += pow(o[i], 2);
            logit += sqrt(e2 / n - e * e / n / n) / N, kl += divergence / N, flip += (double)(top_a != top_b) / N;
        }
        output += off / size / G;
    }
    const double all[6] = {nmse[0] / nmse[1], centred[0] / centred[1], logit, kl, flip, output};
    memcpy(out, all, sizeof all);
}

static const char *const names[6] = {"nmse", "nmse_centred", "logit_error", "softmax_kl", "flip", "output_error"};

static void measure(gyre_unit *u, double out[6])
{
    gyre_error error;
    gyre_attention *exact;
    gyre_attention_work *work;
    CHECK_OK(gyre_attention_new(u, &exact, &error), &error);
    CHECK_OK(gyre_attention_work_new(N, T, D, &work, &error), &error);
    u->exact = exact;
    CHECK_OK(gyre_attention_decoded(u, GYRE_METRIC_LOGITS | GYRE_METRIC_OUTPUT, work, &error), &error);
    for (size_t m = 0; m < 6; m++) {
        const gyre_metric_type *type = gyre_metric_find(names[m]);
        assert_non_null(type);
        out[m] = u->k_hat == NULL && type->streams == GYRE_METRIC_OF_K ? (double)NAN : type->measure(u);
    }
    gyre_attention_work_free(work);
    gyre_attention_free(exact);
}

static void all_metrics_as_defined(void **state)
{
    (void)state;
    static const float noises[] = {1e-3f, 0.1f, 1.0f};
    static const uint32_t windows[] = {0, 9};
    for (size_t k = 0; k < 3; k++)
        for (size_t w = 0; w < 2; w++)
            for (int arm = 1; arm < 4; arm++) {
                rows r;
                double got[6], want[6];
                make(&r, noises[k]);
                gyre_unit u = unit_of(&r, arm & 1, arm & 2, windows[w]);
                measure(&u, got);
                plain(&u, want);
                for (size_t m = 0; m < 6; m++)
                    if ((arm & 1) || !(gyre_metric_find(names[m])->streams == GYRE_METRIC_OF_K))
                        CHECK_CLOSE(got[m], want[m], m == 3 && k == 0 ? 1e-3 : 2e-5, 1e-9);
            }
    assert_null(gyre_metric_find("mse"));
}

/* A shift of all keys along one direction changes every score of a query alike: no error of attention, whatever nmse says. */
static void constant_shift_is_harmless(void **state)
{
    (void)state;
    rows r;
    double got[6];
    make(&r, 0.0f);
    for (size_t i = 0; i < T * D; i++)
        r.k_hat[i] = r.k[i] + (i % D == 3 ? 5.0f : 0.0f);
    gyre_unit u = unit_of(&r, true, false, 0);
    measure(&u, got);
    assert_true(got[0] > 1.0);
    CHECK_CLOSE(got[2], 0.0, 0, 1e-6);
    CHECK_CLOSE(got[3], 0.0, 0, 1e-12);
    assert_true(got[4] == 0.0);
    CHECK_CLOSE(got[5], 0.0, 0, 1e-11);
}

/* An exact codec is exactly zero everywhere. A catastrophic one is finite. */
static void ends_of_the_scale(void **state)
{
    (void)state;
    rows r;
    double got[6], want[6];
    make(&r, 0.0f);
    gyre_unit u = unit_of(&r, true, true, 0);
    measure(&u, got);
    for (size_t m = 0; m < 6; m++)
        assert_true(got[m] == 0.0);
    for (size_t i = 0; i < T * D; i++)
        r.k_hat[i] = r.k[i] * -900.0f;
    u = unit_of(&r, true, false, 0);
    measure(&u, got);
    plain(&u, want); /* exp overflows there; the KL does not */
    for (size_t m = 0; m < 6; m++)
        assert_true(isfinite(got[m]));
    assert_true(got[3] > 300.0 && got[4] > 0.5);
    CHECK_CLOSE(got[2], want[2], 1e-5, 0);
}

/* A reader that computes plainly from the decoded rows gives what the decoded rows give; its failure is reported. */
typedef struct plain_reader {
    const gyre_unit *u;
    const float *k, *v;
    bool fails;
} plain_reader;

static gyre_status plain_scores(void *context, size_t r, float *scores, gyre_error *err)
{
    const plain_reader *p = context;
    const gyre_attention *a = p->u->exact;
    if (p->fails)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "unreadable");
    for (size_t j = a->first[r]; j < a->last[r]; j++) {
        double sum = 0;
        for (size_t i = 0; i < D; i++)
            sum += (double)p->u->q[r * D + i] * (double)p->k[j * D + i];
        scores[j - a->first[r]] = (float)sum;
    }
    return GYRE_OK;
}

static gyre_status plain_output(void *context, size_t r, const float *weights, float *output, gyre_error *err)
{
    (void)err;
    const plain_reader *p = context;
    const gyre_attention *a = p->u->exact;
    for (size_t i = 0; i < D; i++) {
        double sum = 0;
        for (size_t j = a->first[r]; j < a->last[r]; j++)
            sum += (double)weights[j - a->first[r]] * (double)p->v[j * D + i];
        output[i] = (float)sum;
    }
    return GYRE_OK;
}

static void readers_stand_for_rows(void **state)
{
    (void)state;
    for (int arm = 1; arm < 4; arm++)
        for (uint32_t window = 0; window < 10; window += 9) {
            rows r;
            double rows_say[6], reader_says[6];
            make(&r, 0.1f);
            gyre_unit u = unit_of(&r, arm & 1, arm & 2, window);
            measure(&u, rows_say);
            plain_reader p = {&u, r.k_hat, r.v_hat, false};
            gyre_reader reader = {&p, arm & 1 ? plain_scores : NULL, arm & 2 ? plain_output : NULL};
            u.reader = &reader;
            measure(&u, reader_says);
            for (size_t m = 2; m < 6; m++)
                if ((arm & 1) || m == 5)
                    CHECK_CLOSE(reader_says[m], rows_say[m], 2e-5, 1e-9);
        }
    rows r;
    gyre_error error;
    gyre_attention *exact;
    gyre_attention_work *work;
    make(&r, 0.1f);
    gyre_unit u = unit_of(&r, true, false, 0);
    plain_reader p = {&u, r.k_hat, r.v_hat, true};
    gyre_reader reader = {&p, plain_scores, NULL};
    u.reader = &reader;
    CHECK_OK(gyre_attention_new(&u, &exact, &error), &error);
    CHECK_OK(gyre_attention_work_new(N, T, D, &work, &error), &error);
    u.exact = exact;
    assert_int_equal(gyre_attention_decoded(&u, GYRE_METRIC_LOGITS, work, &error), GYRE_E_INPUT);
    gyre_attention_work_free(work);
    gyre_attention_free(exact);
}

static void blind_query_is_an_error(void **state)
{
    (void)state;
    rows r;
    gyre_error error;
    gyre_attention *a;
    make(&r, 0.1f);
    r.query_pos[1] = 3; /* before every key */
    gyre_unit u = unit_of(&r, true, false, 0);
    assert_int_equal(gyre_attention_new(&u, &a, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "position 3 sees no key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_metrics_as_defined), cmocka_unit_test(constant_shift_is_harmless), cmocka_unit_test(ends_of_the_scale),
                                       cmocka_unit_test(readers_stand_for_rows), cmocka_unit_test(blind_query_is_an_error)};
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
