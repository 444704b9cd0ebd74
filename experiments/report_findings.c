/* The page of findings: English made from verdicts. Every sentence is a template that a verdict selects, and carries n, interval, corrected p or margin; no result is written here. */
#include <math.h>
#include <string.h>

#include "experiments/report_claims.h"
#include "experiments/report_parts.h"
#include "results/compare.h"
#include "results/order.h"
#include "results/verify.h"

enum { PAGE_DISCORDS = 8 };

/* What the verdict of an arm against another says in words. */
static const char *verb_of(const char *verdict)
{
    static const char *const words[][2] = {
        {"EQUIVALENT", "is the same within the margin as"}, {"BETTER", "is better than"},   {"WORSE", "is worse than"},
        {"NOT_WORSE", "is not worse than"},                 {"INCONCLUSIVE", "is not told apart from, nor shown to equal,"},
        {GYRE_DESCRIPTIVE, "was measured, without a verdict, against"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], verdict) == 0)
            return words[i][1];
    return "stands beside";
}

static const char *metric_words(const char *metric)
{
    static const char *const words[][2] = {
        {"nmse", "squared error of the rows"},
        {"nmse_centred", "squared error about the mean row"},
        {"logit_error", "error of the attention scores"},
        {"softmax_kl", "divergence of the attention weights"},
        {"output_error", "error of the attention output"},
        {"nll_change", "change of the NLL"},
        {"token_kl", "divergence of the next token"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], metric) == 0)
            return words[i][1];
    return metric;
}

/* "3 chunks" */
static void counted(size_t n, const char *word, char text[GYRE_CLAIM_TEXT])
{
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%zu %s%s", n, word, n == 1 ? "" : "s");
}

static void p_words(const gyre_comparison *c, char text[GYRE_CLAIM_TEXT])
{
    char p[GYRE_SHEET_NUMBER], tost[GYRE_SHEET_NUMBER];
    bool descriptive = strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    gyre_sheet_p_text(descriptive ? c->p : c->p_adjusted, p);
    gyre_sheet_p_text(descriptive ? c->p_tost : c->p_tost_adjusted, tost);
    if (c->has_margin)
        (void)snprintf(text, GYRE_CLAIM_TEXT, "p %s, TOST p %s", p, tost);
    else
        (void)snprintf(text, GYRE_CLAIM_TEXT, "p %s", p);
}

/* "On X, `a` is better than `b` by ...: x0.5 [.4, .6] (BETTER, p .01, TOST p 1, margin x1.05; 24 seeds, 12 documents, 3 layers; 4.500 against 5.031 bits; c04.h5)" */
static void comparison_sentence(const gyre_claim_file *f, const gyre_comparison *c, FILE *out)
{
    const gyre_source *s = &f->table->sources[c->source];
    char measured[GYRE_CLAIM_TEXT], p[GYRE_CLAIM_TEXT], margin[GYRE_CLAIM_TEXT], seeds[GYRE_CLAIM_TEXT], units[GYRE_CLAIM_TEXT], layers[GYRE_CLAIM_TEXT];
    if (strcmp(c->status, "OK") != 0) {
        (void)fprintf(out, "On %s `%s` was not compared with `%s` by %s: %s, %s (%s).", s->name, c->arm, c->against, metric_words(c->metric), c->status, c->reason, f->name);
        return;
    }
    gyre_claim_measured(c, measured);
    gyre_claim_margin(f->table, c, margin);
    p_words(c, p);
    counted(c->n_seeds, "seed", seeds);
    counted(c->n_documents, gyre_unit_word(s), units);
    counted(s->n_layers, "layer", layers);
    bool model = s->kind == GYRE_SOURCE_MODEL;
    (void)fprintf(out, "On %s%s `%s`%s%s %s `%s` by the %s: %s%s", s->name, model ? ", in the model," : "", c->arm, c->point[0] != '\0' ? " at " : "", c->point, verb_of(c->verdict), c->against,
                  metric_words(c->metric), measured, gyre_report_leak(f->table, c->source));
    (void)fprintf(out, " (%s, %s%s%s; %s, %s%s%s; %.3f against %.3f bits; %s).", c->verdict, p, margin[0] != '\0' ? ", margin " : "", margin, seeds, units, model ? "" : ", ", model ? "" : layers,
                  c->total_bits_arm, c->total_bits_against, f->name);
    if (strcmp(c->verdict, "INCONCLUSIVE") == 0 && isfinite(c->mde)) {
        char mde[GYRE_SHEET_NUMBER];
        gyre_sheet_number_text(c->ratio ? exp(c->mde) : c->mde, mde);
        (void)fprintf(out, " A difference of %s%s would have been seen with power .8.", c->ratio ? "x" : "", mde);
    }
    if (c->exploratory)
        (void)fprintf(out, " EXPLORATORY: %s.", c->exploratory_why);
}

/* ---- what orders the arms ---- */

/* Do the intervals of two correlations exclude each other? */
static const char *which_orders(const gyre_correlation *kl, const gyre_correlation *nmse)
{
    if (isnan(kl->lo) || isnan(nmse->lo))
        return "There is no interval for one of them, so which orders better is not said.";
    if (kl->lo > nmse->hi)
        return "The divergence of attention orders these arms better than the squared error: its interval lies above.";
    if (nmse->lo > kl->hi)
        return "The squared error orders these arms better than the divergence of attention: its interval lies above.";
    return "The intervals overlap: these runs do not say which orders better.";
}

static void correlation_words(const char *metric, const gyre_correlation *r, FILE *out)
{
    char text[GYRE_SHEET_NUMBER];
    gyre_sheet_interval_text(r->value, r->lo, r->hi, text);
    (void)fprintf(out, "%s %s", metric_words(metric), text);
}

/* Rows of the capture held against the model: Spearman's rho of nmse and softmax_kl, for each set of arms. */
static gyre_status orders_of(const gyre_claim_file *rows, const gyre_claim_file *model, bool *any, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_orders all = {0};
    gyre_error not_joined = {.status = GYRE_OK};
    if (gyre_order_join(rows->table, rows->name, model->table, model->name, "nll_change", &all, &not_joined) != GYRE_OK) {
        if (not_joined.status == GYRE_E_INPUT) /* nothing in common: no finding */
            return GYRE_OK;
        GYRE_FAIL(not_joined.status, "%s", not_joined.message);
    }
    size_t n_metrics = rows->table->n_metrics, nmse = gyre_metric_place(rows->table, "nmse"), kl = gyre_metric_place(rows->table, "softmax_kl");
    for (size_t i = 0; i < all.n_rows; i++) {
        const gyre_order_row *a = &all.rows[i], *b = NULL;
        for (size_t j = 0; j < all.n_rows && nmse < n_metrics && kl < n_metrics; j++) {
            const gyre_order_row *r = &all.rows[j];
            bool same = r->capture == a->capture && r->model == a->model && strcmp(r->streams, a->streams) == 0;
            if (same && r->point != NULL && a->point != NULL && strcmp(r->point, a->point) == 0 && a->metric == nmse && r->metric == kl)
                b = r;
        }
        if (b == NULL || strcmp(a->status, "DEGENERATE") == 0 || strcmp(b->status, "DEGENERATE") == 0)
            continue;
        (void)fprintf(out, "- %s, arms that code %s%s%s: Spearman's rho with the change of the NLL is, by ", model->table->sources[a->model].name, gyre_report_streams(a->streams),
                      a->point[0] != '\0' ? " at " : "", a->point);
        correlation_words("nmse", &a->rho, out);
        (void)fprintf(out, "; by ");
        correlation_words("softmax_kl", &b->rho, out);
        (void)fprintf(out, " (exploratory; n = %zu arms; %zu seeds, %zu documents, %zu chunks, 95 %% bootstrap intervals; discordant pairs %zu and %zu of %zu; %s against %s). %s\n", a->n_arms, a->n_seeds,
                      a->n_documents, a->n_chunks, a->n_discords, b->n_discords, a->n_pairs, rows->name, model->name, which_orders(&b->rho, &a->rho));
        *any = true;
    }
done:
    return st;
}

static bool is_kind(const gyre_table *t, gyre_source_kind kind)
{
    return t->n_sources > 0 && t->sources[0].kind == kind;
}

/* One file of rows and one of a model, of one experiment. */
static gyre_status orders(const gyre_claims *c, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool any = false;
    for (size_t i = 0; i < c->n_files; i++)
        for (size_t j = 0; j < c->n_files; j++)
            if (is_kind(c->files[i].table, GYRE_SOURCE_CAPTURE) && is_kind(c->files[j].table, GYRE_SOURCE_MODEL) &&
                strcmp(c->files[i].table->experiment, c->files[j].table->experiment) == 0)
                GYRE_TRY(orders_of(&c->files[i], &c->files[j], &any, out, err));
    if (!any)
        (void)fprintf(out, "No results of rows and of a model have three arms of one experiment in common, so nothing is said of what orders arms as the NLL does.\n");
    (void)fprintf(out, "\n");
done:
    return st;
}

/* Within rows alone: pairs of arms that nmse and softmax_kl order oppositely. */
static void discord_words(const gyre_claim_file *f, const gyre_discord *first, size_t n, size_t examined, FILE *out)
{
    char ra[GYRE_SHEET_NUMBER], rb[GYRE_SHEET_NUMBER];
    gyre_sheet_interval_text(first->ratio_a, first->ratio_a_lo, first->ratio_a_hi, ra);
    gyre_sheet_interval_text(first->ratio_b, first->ratio_b_lo, first->ratio_b_hi, rb);
    (void)fprintf(out, "- %s: %zu of %zu pairs of arms are ordered oppositely by squared error and divergence of attention; the first: on %s%s%s `%s` has x%s of the squared error of `%s` "
                       "and x%s of its divergence.\n",
                  f->name, n, examined, f->table->sources[first->source].name, first->point[0] != '\0' ? " at " : "", first->point, first->better_by_a, ra, first->better_by_b, rb);
}

static gyre_status discords(const gyre_claims *c, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t quiet = 0, quiet_files = 0;
    (void)fprintf(out, "By rows alone (pairs of arms at equal grid points whose paired 95 %% intervals over seeds and documents both exclude no difference; exploratory, not corrected):\n\n");
    for (size_t i = 0; i < c->n_files; i++) {
        gyre_table *t = c->files[i].table;
        size_t a = gyre_metric_place(t, "nmse"), b = gyre_metric_place(t, "softmax_kl"), n = 0, examined = 0;
        const gyre_discord *pairs = NULL;
        if (!is_kind(t, GYRE_SOURCE_CAPTURE) || a == t->n_metrics || b == t->n_metrics)
            continue;
        GYRE_TRY(gyre_discords(t, a, b, GYRE_REPORT_ALPHA, &pairs, &n, &examined, err));
        if (n > 0)
            discord_words(&c->files[i], &pairs[0], n, examined, out);
        quiet += n == 0 ? examined : 0;
        quiet_files += n == 0 && examined > 0;
    }
    if (quiet > 0)
        (void)fprintf(out, "- %zu other file%s: none of %zu pairs.\n", quiet_files, quiet_files == 1 ? "" : "s", quiet);
    (void)fprintf(out, "\nOf the declared comparisons:\n\n");
done:
    return st;
}

/* Are these comparisons of the same arms, a by nmse and b by another error, one BETTER and the other WORSE? */
static bool opposite(const gyre_comparison *a, const gyre_comparison *b)
{
    bool same = a->source == b->source && strcmp(a->arm, b->arm) == 0 && strcmp(a->against, b->against) == 0 && strcmp(a->point, b->point) == 0;
    bool ok = strcmp(a->metric, "nmse") == 0 && strcmp(b->metric, "nmse") != 0 && strcmp(a->status, "OK") == 0 && strcmp(b->status, "OK") == 0;
    bool up = strcmp(a->verdict, "BETTER") == 0 && strcmp(b->verdict, "WORSE") == 0, down = strcmp(a->verdict, "WORSE") == 0 && strcmp(b->verdict, "BETTER") == 0;
    return same && ok && (up || down);
}

/* Declared comparisons of the same arms that come out BETTER by nmse and WORSE by attention, or the other way. */
static void opposite_verdicts(const gyre_claims *c, FILE *out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_files; i++) {
        const gyre_claim_file *f = &c->files[i];
        for (size_t j = 0; j < f->table->n_comparisons; j++)
            for (size_t k = 0; k < f->table->n_comparisons; k++) {
                const gyre_comparison *a = &f->table->comparisons[j], *b = &f->table->comparisons[k];
                if (!opposite(a, b) || n++ >= PAGE_DISCORDS)
                    continue;
                (void)fprintf(out, "- The squared error says the opposite of what attention says. ");
                comparison_sentence(f, a, out);
                (void)fprintf(out, " ");
                comparison_sentence(f, b, out);
                (void)fprintf(out, "\n");
            }
    }
    if (n > PAGE_DISCORDS)
        (void)fprintf(out, "- And %zu more declared pairs.\n", n - PAGE_DISCORDS);
    if (n == 0)
        (void)fprintf(out, "- No declared pair of comparisons came out BETTER by squared error and WORSE by another error, or the reverse.\n");
}

/* ---- what the key bias does: the parts of claim C4 ---- */

/* The comparisons of a claim on one file that have no verdict, in one line. */
static bool unjudged(const gyre_claim *claim, const gyre_claim_file *f, FILE *out)
{
    const gyre_comparison *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < claim->n_parts; i++) {
        const gyre_comparison *p = claim->parts[i].comparison;
        if (p == NULL || claim->parts[i].file != f || strcmp(p->status, "OK") == 0)
            continue;
        first = first == NULL ? p : first;
        n++;
    }
    if (n > 0)
        (void)fprintf(out, "- %zu comparison%s of %s ha%s no verdict; the first, `%s` with `%s`: %s, %s.\n", n, n == 1 ? "" : "s", f->name, n == 1 ? "s" : "ve", first->arm, first->against, first->status,
                      first->reason);
    return n > 0;
}

static void key_bias(const gyre_claims *c, FILE *out)
{
    bool any = false;
    for (size_t i = 0; i < c->n_claims; i++) {
        const gyre_claim *claim = &c->claims[i];
        if (strcmp(claim->id, "c04") != 0)
            continue;
        for (size_t j = 0; j < claim->n_parts; j++) {
            const gyre_claim_part *p = &claim->parts[j];
            if (p->comparison == NULL || strcmp(p->comparison->metric, "nmse") == 0 || strcmp(p->comparison->status, "OK") != 0)
                continue;
            (void)fprintf(out, "- ");
            comparison_sentence(p->file, p->comparison, out);
            (void)fprintf(out, "\n");
            any = true;
        }
        for (size_t j = 0; j < c->n_files; j++)
            any = unjudged(claim, &c->files[j], out) || any;
    }
    if (!any)
        (void)fprintf(out, "No results of claim C4 are here.\n");
}

/* Perplexities of the claim's arms in each model. */
static gyre_status bias_perplexities(const gyre_claims *c, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_book *book = NULL;
    for (size_t i = 0; i < c->n_files; i++) {
        const gyre_claim_file *f = &c->files[i];
        if (strcmp(f->table->experiment, "c04") != 0 || !is_kind(f->table, GYRE_SOURCE_MODEL))
            continue;
        (void)fprintf(out, "\n%s:\n\n", f->name);
        GYRE_TRY(gyre_book_open(out, GYRE_SHEET_MARKDOWN, "perplexity", NULL, &book, err));
        GYRE_TRY(gyre_report_perplexity(f->table, book, err));
        GYRE_TRY(gyre_book_finish(book, err));
        gyre_book_free(book);
        book = NULL;
    }
done:
    gyre_book_free(book);
    return st;
}

/* A figure of a file that is there; scripts/findings draws what the page shows. */
static void figure(const gyre_claims *c, const char *file, const char *name, const char *caption, FILE *out)
{
    for (size_t i = 0; i < c->n_files; i++)
        if (strncmp(c->files[i].name, file, strlen(file)) == 0 && strcmp(c->files[i].name + strlen(file), ".h5") == 0)
            (void)fprintf(out, "\n![%s](images/findings-%s_%s.png)\n", caption, file, name);
}

/* ---- claims ---- */

static void claim_sentence(const gyre_claims *all, const gyre_claim *claim, FILE *out)
{
    size_t p = claim->count[GYRE_PART_PREDICTED], c = claim->count[GYRE_PART_CONTRADICTED], u = claim->count[GYRE_PART_UNDECIDED];
    (void)fprintf(out, "**%s**%s%s", claim->word, claim->why[0] != '\0' ? ", " : "", claim->why);
    if (p + c + u == 0)
        (void)fprintf(out, ": nothing that the claim foretells was measured.");
    else
        (void)fprintf(out, ": of %zu part%s %zu %s as predicted, %zu contradict%s, %zu %s undecided.", p + c + u, p + c + u == 1 ? "" : "s", p, p == 1 ? "is" : "are", c, c == 1 ? "s" : "", u,
                      u == 1 ? "is" : "are");
    if (p + c + u > claim->n_exact && strcmp(gyre_claim_ground(all, claim), "rows") == 0) // arithmetic is the same in a model
        (void)fprintf(out, " Measured on rows of captures alone: what is published of perplexity, speed or tasks is not measured here.");
    if (claim->n_dropped > 0)
        (void)fprintf(out, " Predictions that were registered and are not made, or not as registered: %zu; they count as undecided.", claim->n_dropped);
    (void)fprintf(out, "\n\nRule: %s.\n\n", claim->rule);
}

static void exact_sentence(const gyre_claim_part *p, FILE *out)
{
    const gyre_exact *e = p->exact;
    if (isnan(e->measured))
        (void)fprintf(out, "%s of `%s` is not measured: %s; published %.*f (%s).\n", e->quantity, e->arm, p->why, (int)e->digits, e->published, p->file->name);
    else
        (void)fprintf(out, "%s of `%s` is %.*f, published %.*f (exact to %u decimals; %s).\n", e->quantity, e->arm, (int)e->digits + 2, e->measured, (int)e->digits, e->published, e->digits, p->file->name);
}

/* What the same comparison, declared before the data are read, would have to give on other documents, seeds or layers. */
static void would_change(const gyre_table *t, const gyre_comparison *c, FILE *out)
{
    static const char *const words[] = {"EQUIVALENT", "NOT_WORSE", "BETTER", "WORSE"};
    char margin[GYRE_CLAIM_TEXT];
    size_t n = 0;
    gyre_claim_margin(t, c, margin);
    (void)fprintf(out, " Predicted: %s. What would change our mind: an interval ", c->predicts);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!gyre_claim_predicted(c->predicts, words[i]))
            continue;
        (void)fprintf(out, "%s", n++ > 0 ? ", or " : "");
        if (i == 0)
            (void)fprintf(out, "inside the margin of %s", margin);
        else if (i == 1)
            (void)fprintf(out, "below the margin of %s", margin);
        else
            (void)fprintf(out, "%s %d", i == 2 ? "below" : "above", c->ratio ? 1 : 0);
    }
    (void)fprintf(out, ", corrected, on other documents, seeds or layers.\n");
}

static void claim_contradictions(const gyre_claim *claim, FILE *out)
{
    if (claim->count[GYRE_PART_CONTRADICTED] == 0)
        return;
    (void)fprintf(out, "\nAgainst the claim:\n\n");
    for (size_t i = 0; i < claim->n_parts; i++) {
        const gyre_claim_part *p = &claim->parts[i];
        if (p->state != GYRE_PART_CONTRADICTED)
            continue;
        (void)fprintf(out, "- ");
        if (p->comparison != NULL) {
            comparison_sentence(p->file, p->comparison, out);
            would_change(p->file->table, p->comparison, out);
        } else {
            exact_sentence(p, out);
        }
    }
}

static gyre_status claim_section(const gyre_claims *all, const gyre_claim *claim, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_book *book = NULL;
    char title[GYRE_CLAIM_TEXT];
    gyre_claim_title(claim->id, title);
    (void)fprintf(out, "\n### %s. %s\n\nPublished: %s.\n\n", title, claim->says, claim->source);
    claim_sentence(all, claim, out);
    if (claim->n_open > 0) {
        (void)fprintf(out, "Not decidable here:\n\n");
        for (size_t i = 0; i < claim->n_open; i++)
            (void)fprintf(out, "- %s\n", claim->open[i]);
        (void)fprintf(out, "\n");
    }
    GYRE_TRY(gyre_book_open(out, GYRE_SHEET_MARKDOWN, NULL, NULL, &book, err));
    GYRE_TRY(gyre_claims_parts_sheet(book, all, claim, err));
    GYRE_TRY(gyre_book_finish(book, err));
    claim_contradictions(claim, out);
done:
    gyre_book_free(book);
    return st;
}

/* ---- the page ---- */

static gyre_status sources(const gyre_claims *c, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)fprintf(out, "\n## Made from\n\n| file | digest | configuration | plan | code | sources |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < c->n_files; i++) {
        const gyre_claim_file *f = &c->files[i];
        char hex[GYRE_SHA256_HEX];
        GYRE_TRY(gyre_verify_digest(f->path, hex, err));
        (void)fprintf(out, "| %s | %.12s | %.12s | %.12s | %.12s%s | ", f->name, hex, f->table->config_sha256, f->table->analysis_sha256, f->table->value_code,
                      f->provenance.git_dirty ? ", DIRTY build" : "");
        for (size_t s = 0; s < f->table->n_sources; s++)
            (void)fprintf(out, "%s%s, %s", s > 0 ? "; " : "", f->table->sources[s].name, f->table->sources[s].kind == GYRE_SOURCE_MODEL ? "model" : "rows");
        (void)fprintf(out, " |\n");
    }
done:
    return st;
}

gyre_status gyre_report_findings(const char *const *paths, size_t n_paths, FILE *out, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_claims claims = {0};
    gyre_book *book = NULL;
    GYRE_TRY(gyre_claims_read(paths, n_paths, &claims, log, err));
    if (claims.n_claims == 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s%s: no results of a configuration with a `claim`: see configs/claims", claims.files[0].path, claims.n_files > 1 ? " and the others" : "");
    (void)fprintf(out, "# Findings\n\nMade by `gyre report --findings` from results files alone (listed at the end); another result makes another sentence. A ratio below 1, or a difference below 0, "
                       "speaks for the arm that is named first; all errors are better when lower. Brackets are 95 %% intervals over seeds and documents; p and TOST p are corrected in their family, "
                       "not over families, files or claims; the parts of a claim are counted, and depend on each other. Margins and predictions were registered before the cells were computed, but where a "
                       "sentence says EXPLORATORY ([statistics.md](statistics.md)). Captures are of models with 4-bit weights ([data/README.md](../data/README.md)).\n");
    (void)fprintf(out, "\n## What no paper states\n\n### What orders the arms\n\n");
    GYRE_TRY(orders(&claims, out, err));
    GYRE_TRY(discords(&claims, out, err));
    opposite_verdicts(&claims, out);
    figure(&claims, "c03", "order", "squared error against divergence of attention, arms of c03.h5", out);
    (void)fprintf(out, "\n### What the key bias does\n\n");
    key_bias(&claims, out);
    GYRE_TRY(bias_perplexities(&claims, out, err));
    figure(&claims, "c04", "forest", "comparisons of c04.h5", out);
    (void)fprintf(out, "\n## Eighteen claims\n\n");
    GYRE_TRY(gyre_book_open(out, GYRE_SHEET_MARKDOWN, NULL, NULL, &book, err));
    GYRE_TRY(gyre_claims_words_sheet(book, &claims, err));
    GYRE_TRY(gyre_book_finish(book, err));
    for (size_t i = 0; i < claims.n_claims; i++)
        GYRE_TRY(claim_section(&claims, &claims.claims[i], out, err));
    GYRE_TRY(sources(&claims, out, err));
    if (fflush(out) != 0 || ferror(out))
        GYRE_FAIL(GYRE_E_IO, "cannot write the page: is the disk full, or standard output closed?");
done:
    gyre_book_free(book);
    gyre_claims_free(&claims);
    return st;
}
