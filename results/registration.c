#define _DEFAULT_SOURCE /* timegm */
#include "results/registration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/commit.h"
#include "core/sha256.h"
#include "results/units.h"

enum { PATH_BYTES = 4096, TIME_TEXT = 32, REASON_TEXT = 400, SHOWN = 160, MAX_PLAN = 1 << 26, CLOCKS = 60 /* seconds that clocks of a cluster may differ */ };

static const char first_line[] = "gyre-plan 1\n", nothing[] = "nothing";

/* ---- lines ---- */

static size_t line_length(const char *line)
{
    return strcspn(line, "\n");
}

static const char *next_line(const char *line)
{
    size_t n = line_length(line);
    return line + n + (line[n] == '\n');
}

/* Is the line of n bytes one of the text's? */
static bool has_line(const char *text, const char *line, size_t n)
{
    for (const char *p = text; *p != '\0'; p = next_line(p))
        if (line_length(p) == n && memcmp(p, line, n) == 0)
            return true;
    return false;
}

static bool starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* ---- the text ---- */

static void print_comparison(const gyre_table *t, const gyre_comparison *c, FILE *out)
{
    (void)fprintf(out, "compare arm=%s against=%s metric=%s source=%s point=%s scale=%s margin=", c->arm, c->against, c->metric, t->sources[c->source].name, c->point, c->ratio ? "log" : "value");
    if (c->has_margin)
        (void)fprintf(out, "%.17g", c->margin);
    else
        (void)fprintf(out, "none");
    (void)fprintf(out, " alpha=%.17g test=%s goal=%s correction=%s predicts=%s family=%s\n", c->alpha, c->test_asked, c->goal, c->correction, c->predicts, c->family);
}

static void print_names(const gyre_source *s, const char *use, size_t n, const char *const *names, FILE *out)
{
    (void)fprintf(out, "source %s: %zu %s", s->name, n, use);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "%s %s", i > 0 ? "," : ":", names[i]);
    (void)fprintf(out, "\n");
}

static void print_source(const gyre_source *s, FILE *out)
{
    const char *queries = s->engine != NULL ? strstr(s->engine, "queries ") : NULL;
    (void)fprintf(out, "source %s: data %s%s\nsource %s: layers", s->name, s->digest, s->descriptive ? ", descriptive" : "", s->name);
    for (size_t i = 0; i < s->n_layers; i++)
        (void)fprintf(out, " %u", s->layers[i]);
    (void)fprintf(out, "\n");
    print_names(s, "documents", s->n_documents, s->documents, out);
    if (s->n_calibration > 0)
        print_names(s, "calibrate", s->n_calibration, s->calibration, out);
    if (s->n_validation > 0)
        print_names(s, "validate", s->n_validation, s->validation, out);
    if (queries != NULL)
        (void)fprintf(out, "source %s: %s\n", s->name, queries);
    if (s->fit_digest != NULL && s->fit_digest[0] != '\0')
        (void)fprintf(out, "source %s: fitted on %s\n", s->name, s->fit_digest);
}

/* Is it the line "arm NAME point=..." of that arm? */
static bool is_arm(const char *line, const char *arm, size_t n)
{
    return starts(line, "arm ") && strncmp(line + 4, arm, n) == 0 && starts(line + 4 + n, " point=");
}

/* The next arm in "... layers=0-1:NAME,4-5:NAME" of a line, from `at` on (NULL: the first); NULL behind the last. */
static const char *next_layer_arm(const char *line, const char *at, size_t *n)
{
    const char *end = line + line_length(line), *from = at == NULL ? strstr(line, " layers=") : at;
    if (from == NULL || from >= end)
        return NULL;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    if (colon == NULL)
        return NULL;
    *n = strcspn(colon + 1, ",\n");
    return colon + 1;
}

static bool is_compared(const gyre_table *t, const char *line)
{
    for (size_t i = 0; i < t->n_comparisons; i++)
        if (is_arm(line, t->comparisons[i].arm, strlen(t->comparisons[i].arm)) || is_arm(line, t->comparisons[i].against, strlen(t->comparisons[i].against)))
            return true;
    return false;
}

/* Is the line "arm NAME point=..." of an arm that is compared, or that one of those has in some layers? */
static bool takes_part(const gyre_table *t, const char *line)
{
    if (is_compared(t, line))
        return true;
    for (const char *p = t->config_canonical; *p != '\0'; p = next_line(p)) {
        size_t n = 0;
        for (const char *name = is_compared(t, p) ? next_layer_arm(p, NULL, &n) : NULL; name != NULL; name = next_layer_arm(p, name, &n))
            if (is_arm(line, name, n))
                return true;
    }
    return false;
}

/* Sample, arms and comparisons, without a time; freed by the caller. */
static gyre_status plan_text(const gyre_table *t, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 0;
    *out = NULL;
    FILE *f = open_memstream(out, &size);
    if (f == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the analysis plan");
    (void)fprintf(f, "analysis %s\ncampaign_seed %" PRIu64 "\nseeds %u\n", t->analysis_sha256, t->campaign_seed, t->n_seeds);
    for (size_t i = 0; i < t->n_sources; i++)
        print_source(&t->sources[i], f);
    for (const char *p = t->config_canonical; *p != '\0'; p = next_line(p))
        if (starts(p, "arm ") && takes_part(t, p))
            (void)fprintf(f, "%.*s\n", (int)line_length(p), p);
    for (size_t i = 0; i < t->n_comparisons; i++)
        print_comparison(t, &t->comparisons[i], f);
    if (fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the analysis plan");
done:
    if (st != GYRE_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

/* ---- the file ---- */

bool gyre_plan_registered(const char *folder)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/analysis.plan", folder);
    return access(path, F_OK) == 0;
}

/* Gives the file its name unless there is one: link() never replaces. */
static gyre_status write_once(const char *path, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit c = {0};
    FILE *f = NULL;
    GYRE_TRY(gyre_commit_begin(&c, path, err));
    f = fopen(c.temp, "wb");
    if (f == NULL || fputs(text, f) < 0 || fflush(f) != 0 || fsync(fileno(f)) != 0 || (link(c.temp, path) != 0 && errno != EEXIST))
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s: choose another folder with --out", path, strerror(errno));
done:
    if (f != NULL)
        (void)fclose(f);
    gyre_commit_abort(&c);
    return st;
}

static gyre_status write_plan(const char *folder, const char *when, const char *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], *text = NULL, hash[GYRE_SHA256_HEX];
    size_t size = sizeof first_line + TIME_TEXT + strlen(plan) + GYRE_SHA256_HEX + 16;
    GYRE_NEW(&text, size);
    int n = snprintf(text, size, "%stime %s\n%s", first_line, when, plan);
    GYRE_TRY(gyre_sha256_bytes(text, (size_t)n, hash, err));
    (void)snprintf(text + n, size - (size_t)n, "sha256 %s\n", hash);
    (void)snprintf(path, sizeof path, "%s/analysis.plan", folder);
    GYRE_TRY(write_once(path, text, err));
done:
    free(text);
    return st;
}

gyre_status gyre_plan_register(const char *folder, const gyre_table *table, time_t when, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *plan = NULL, text[TIME_TEXT];
    struct tm utc;
    if (gyre_plan_registered(folder))
        goto done;
    if (gmtime_r(&when, &utc) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "the clock gives no date");
    GYRE_TRY(plan_text(table, &plan, err));
    GYRE_TRY(write_plan(folder, text, plan, err));
done:
    free(plan);
    return st;
}

gyre_status gyre_plan_register_nothing(const char *folder, gyre_error *err)
{
    return gyre_plan_registered(folder) ? GYRE_OK : write_plan(folder, nothing, "", err);
}

/* The file's text; NULL where there is none. */
static gyre_status read_plan(const char *folder, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], *text = NULL;
    long size = 0;
    *out = NULL;
    (void)snprintf(path, sizeof path, "%s/analysis.plan", folder);
    FILE *f = fopen(path, "rb");
    if (f == NULL && errno == ENOENT)
        goto done;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || size > MAX_PLAN || fseek(f, 0, SEEK_SET) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot read %s", path);
    GYRE_NEW(&text, (size_t)size + 1);
    if (fread(text, 1, (size_t)size, f) != (size_t)size)
        GYRE_FAIL(GYRE_E_IO, "cannot read %s", path);
    *out = text;
    text = NULL;
done:
    free(text);
    if (f != NULL)
        (void)fclose(f);
    return st;
}

/* Cuts the text to the plan between time and hash; false where the hash is not that of what is above it. */
static bool open_plan(char *text, char **when, char **plan)
{
    char hash[GYRE_SHA256_HEX];
    size_t n = strlen(text), tail = strlen("sha256 \n") + GYRE_SHA256_HEX - 1;
    if (!starts(text, first_line) || !starts(text + sizeof first_line - 1, "time ") || n < tail + sizeof first_line)
        return false;
    char *last = text + n - tail;
    if (!starts(last, "sha256 ") || gyre_sha256_bytes(text, n - tail, hash, NULL) != GYRE_OK || strncmp(last + 7, hash, GYRE_SHA256_HEX - 1) != 0)
        return false;
    *last = '\0';
    *when = text + sizeof first_line - 1 + strlen("time ");
    char *end = strchr(*when, '\n');
    if (end == NULL)
        return false;
    *end = '\0';
    *plan = end + 1;
    return true;
}

/* ---- holding a table against it ---- */

/* Why the sample is another; "" where it is the registered one. */
static void sample_changed(const char *plan, const char *now, char why[REASON_TEXT])
{
    static const char *const parts[] = {"seeds ", "campaign_seed ", "source "};
    why[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts && why[0] == '\0'; i++)
        for (const char *p = plan; *p != '\0' && why[0] == '\0'; p = next_line(p)) {
            int n = (int)line_length(p);
            if (!starts(p, parts[i]) || has_line(now, p, (size_t)n))
                continue;
            if (i == 0)
                (void)snprintf(why, REASON_TEXT, "sample changed: %.*s seeds were registered", n - 6, p + 6);
            else
                (void)snprintf(why, REASON_TEXT, "sample changed: registered was '%.*s%s'", n < SHOWN ? n : SHOWN, p, n < SHOWN ? "" : "...");
        }
    for (const char *p = now; *p != '\0' && why[0] == '\0'; p = next_line(p)) {
        int n = (int)line_length(p);
        if (starts(p, "source ") && !has_line(plan, p, (size_t)n))
            (void)snprintf(why, REASON_TEXT, "sample changed: '%.*s%s' was not registered", n < SHOWN ? n : SHOWN, p, n < SHOWN ? "" : "...");
    }
}

/* Are all lines of the arm registered, at whatever point? */
static bool all_registered(const char *plan, const char *now, const char *arm, size_t n)
{
    for (const char *p = now; *p != '\0'; p = next_line(p))
        if (is_arm(p, arm, n) && !has_line(plan, p, line_length(p)))
            return false;
    return true;
}

/* Lines "arm NAME point=OWN k=..." of one arm that the comparison's point holds, and those of the arms that it has in some layers: all registered? */
static bool arm_registered(const char *plan, const char *now, const char *arm, const char *point)
{
    size_t n = strlen(arm), m = 0;
    for (const char *p = now; *p != '\0'; p = next_line(p)) {
        if (!is_arm(p, arm, n))
            continue;
        const char *own = p + 4 + n + strlen(" point="), *end = strstr(own, " k=");
        if (end == NULL || end >= p + line_length(p) || !gyre_point_part_within(own, (size_t)(end - own), point))
            continue;
        if (!has_line(plan, p, line_length(p)))
            return false;
        for (const char *name = next_layer_arm(p, NULL, &m); name != NULL; name = next_layer_arm(p, name, &m))
            if (!all_registered(plan, now, name, m))
                return false;
    }
    return true;
}

/* ---- cells that were there before ---- */

/* "2026-11-22T14:39:52Z"; false where it is no time. */
static bool read_time(const char *text, time_t *out)
{
    struct tm utc = {0};
    if (sscanf(text, "%d-%d-%dT%d:%d:%dZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour, &utc.tm_min, &utc.tm_sec) != 6)
        return false;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    *out = timegm(&utc);
    return true;
}

/* older[i]: the file of cell i was written before the plan. */
static void find_older(const char *folder, const gyre_table *t, time_t planned, bool *older)
{
    char path[PATH_BYTES];
    struct stat info;
    for (size_t i = 0; i < t->n_cells; i++) {
        (void)snprintf(path, sizeof path, "%.2000s/cells/%s.h5", folder, t->cells[i].key);
        older[i] = stat(path, &info) == 0 && info.st_mtime + CLOCKS < planned;
    }
}

static bool arm_older(const gyre_table *t, const gyre_comparison *c, const char *arm, const bool *older)
{
    for (size_t i = 0; i < t->n_cells; i++)
        if (older[i] && t->cells[i].source == c->source && strcmp(t->cells[i].arm, arm) == 0 && gyre_point_within(t->cells[i].point, c->point))
            return true;
    return false;
}

/* ---- comparison by comparison ---- */

static gyre_status comparison_line(const gyre_table *t, const gyre_comparison *c, char **out, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = NULL;
    FILE *f = open_memstream(out, size);
    if (f != NULL)
        print_comparison(t, c, f);
    if (f == NULL || fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a line of the analysis plan");
done:
    return st;
}

/* Why this comparison is exploratory; "" where it is not. */
static gyre_status judge_line(const gyre_table *t, const gyre_comparison *c, const char *plan, const char *now, const bool *older, char why[REASON_TEXT], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *line = NULL;
    size_t size = 0;
    why[0] = '\0';
    GYRE_TRY(comparison_line(t, c, &line, &size, err));
    if (!has_line(plan, line, line_length(line)))
        (void)snprintf(why, REASON_TEXT, "not in the registered plan");
    else if (!arm_registered(plan, now, c->arm, c->point) || !arm_registered(plan, now, c->against, c->point))
        (void)snprintf(why, REASON_TEXT, "arm %s was registered with another codec", arm_registered(plan, now, c->arm, c->point) ? c->against : c->arm);
    else if (arm_older(t, c, c->arm, older) && arm_older(t, c, c->against, older)) /* of one alone nobody knew the difference */
        (void)snprintf(why, REASON_TEXT, "cells of both arms are older than the registered plan");
done:
    free(line);
    return st;
}

static gyre_status mark(gyre_table *t, gyre_comparison *c, const char *why, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char family[REASON_TEXT];
    c->exploratory = true;
    (void)snprintf(family, sizeof family, "%.300s (exploratory)", c->family);
    GYRE_TRY(gyre_table_text(t, why, &c->exploratory_why, err));
    GYRE_TRY(gyre_table_text(t, family, &c->family, err));
done:
    return st;
}

gyre_status gyre_plan_hold(const char *folder, gyre_table *table, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL, *when = NULL, *plan = NULL, *now = NULL, all[REASON_TEXT] = "", why[REASON_TEXT];
    size_t n = 0;
    time_t planned = 0;
    bool *older = NULL;
    for (size_t i = 0; i < table->n_comparisons; i++)
        gyre_comparison_defaults(&table->comparisons[i]);
    GYRE_NEW(&older, table->n_cells);
    GYRE_TRY(read_plan(folder, &text, err));
    GYRE_TRY(plan_text(table, &now, err));
    if (text == NULL)
        (void)snprintf(all, sizeof all, "no plan was registered");
    else if (!open_plan(text, &when, &plan))
        (void)snprintf(all, sizeof all, "the registered plan is damaged or was changed");
    else if (strcmp(when, nothing) == 0)
        (void)snprintf(all, sizeof all, "cells were there before a plan was registered");
    else
        sample_changed(plan, now, all);
    if (plan != NULL && strcmp(when, nothing) != 0) {
        GYRE_TRY(gyre_table_text(table, plan, &table->plan_registered, err));
        GYRE_TRY(gyre_table_text(table, when, &table->plan_time, err));
        if (read_time(when, &planned))
            find_older(folder, table, planned, older);
    }
    for (size_t i = 0; i < table->n_comparisons; i++) {
        gyre_comparison *c = &table->comparisons[i];
        why[0] = '\0';
        if (c->exploratory) { /* of a table that was held before */
            n++;
            continue;
        }
        if (all[0] == '\0')
            GYRE_TRY(judge_line(table, c, plan, now, older, why, err));
        if (all[0] != '\0' || why[0] != '\0') {
            GYRE_TRY(mark(table, c, all[0] != '\0' ? all : why, err));
            n++;
        }
    }
    if (n > 0)
        gyre_log_warning(log, "%zu of %zu comparisons are exploratory: %s: what is planned anew and not yet computed goes into a folder of its own (--out)", n, table->n_comparisons,
                         all[0] != '\0' ? all : "they or their arms are not in the registered plan, or were computed before it");
done:
    free(older);
    free(text);
    free(now);
    return st;
}

/* Does the line of a comparison end in that family, and is its source one that is judged? */
static bool of_family(const gyre_table *t, const char *line, size_t n, const char *family)
{
    char source[REASON_TEXT];
    size_t length = family != NULL ? strlen(family) : 0, key = strlen(" family=");
    if (!starts(line, "compare "))
        return false;
    if (family != NULL && (n < length + key || strncmp(line + n - length - key, " family=", key) != 0 || strncmp(line + n - length, family, length) != 0))
        return false;
    for (size_t i = 0; i < t->n_sources; i++) {
        (void)snprintf(source, sizeof source, " source=%.300s point=", t->sources[i].name);
        const char *at = strstr(line, source);
        if (t->sources[i].descriptive && at != NULL && at < line + n)
            return false;
    }
    return true;
}

/* "compare ... predicts=WORDS family=..." */
static bool predicts(const char *line, size_t n)
{
    const char *at = strstr(line, " predicts=");
    return at != NULL && at < line + n && at[strlen(" predicts=")] != ' ';
}

static gyre_status count_dropped(const gyre_table *t, const char *family, bool predicting, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *now = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&now, &size);
    *out = 0;
    for (size_t i = 0; f != NULL && i < t->n_comparisons; i++)
        if (!t->comparisons[i].exploratory)
            print_comparison(t, &t->comparisons[i], f);
    if (f == NULL || fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the analysis plan");
    for (const char *p = t->plan_registered; *p != '\0'; p = next_line(p))
        *out += of_family(t, p, line_length(p), family) && (!predicting || predicts(p, line_length(p))) && !has_line(now, p, line_length(p));
done:
    free(now);
    return st;
}

gyre_status gyre_plan_dropped(const gyre_table *t, const char *family, size_t *out, gyre_error *err)
{
    return count_dropped(t, family, false, out, err);
}

gyre_status gyre_plan_dropped_predictions(const gyre_table *t, size_t *out, gyre_error *err)
{
    return count_dropped(t, NULL, true, out, err);
}
