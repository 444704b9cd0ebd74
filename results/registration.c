#define _POSIX_C_SOURCE 200809L
#include "results/registration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/commit.h"
#include "core/sha256.h"

enum { PATH_BYTES = 4096, TIME_TEXT = 32, REASON_TEXT = 400, SHOWN = 160, MAX_PLAN = 1 << 26 };

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

/* Are all grid values of own[0..n) among those of `point`? */
static bool within(const char *own, size_t n, const char *point)
{
    for (const char *p = own; p < own + n;) {
        size_t length = strcspn(p, ","), at = 0;
        bool found = false;
        length = length < (size_t)(own + n - p) ? length : (size_t)(own + n - p);
        while (!found && point[at] != '\0') {
            size_t m = strcspn(point + at, ",");
            found = m == length && memcmp(point + at, p, m) == 0;
            at += m + (point[at + m] == ',');
        }
        if (!found)
            return false;
        p += length + (p + length < own + n);
    }
    return true;
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

static void print_source(const gyre_source *s, FILE *out)
{
    (void)fprintf(out, "source %s: data %s%s\nsource %s: layers", s->name, s->digest, s->descriptive ? ", descriptive" : "", s->name);
    for (size_t i = 0; i < s->n_layers; i++)
        (void)fprintf(out, " %u", s->layers[i]);
    (void)fprintf(out, "\nsource %s: %zu documents", s->name, s->n_documents);
    for (size_t i = 0; i < s->n_documents; i++)
        (void)fprintf(out, "%s %s", i > 0 ? "," : ":", s->documents[i]);
    (void)fprintf(out, "\n");
}

/* Is the line "arm NAME point=..." of an arm that is compared? */
static bool compared(const gyre_table *t, const char *line)
{
    for (size_t i = 0; i < t->n_comparisons; i++)
        for (int k = 0; k < 2; k++) {
            const char *arm = k == 0 ? t->comparisons[i].arm : t->comparisons[i].against;
            size_t n = strlen(arm);
            if (strncmp(line + 4, arm, n) == 0 && starts(line + 4 + n, " point="))
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
        if (starts(p, "arm ") && compared(t, p))
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

/* Lines "arm NAME point=OWN k=..." of one arm that the comparison's point holds: all registered? */
static bool arm_registered(const char *plan, const char *now, const char *arm, const char *point)
{
    size_t n = strlen(arm);
    for (const char *p = now; *p != '\0'; p = next_line(p)) {
        if (!starts(p, "arm ") || strncmp(p + 4, arm, n) != 0 || !starts(p + 4 + n, " point="))
            continue;
        const char *own = p + 4 + n + strlen(" point="), *end = strstr(own, " k=");
        if (end != NULL && end < p + line_length(p) && within(own, (size_t)(end - own), point) && !has_line(plan, p, line_length(p)))
            return false;
    }
    return true;
}

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
static gyre_status judge_line(const gyre_table *t, const gyre_comparison *c, const char *plan, const char *now, char why[REASON_TEXT], gyre_error *err)
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
    for (size_t i = 0; i < table->n_comparisons; i++)
        gyre_comparison_defaults(&table->comparisons[i]);
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
    }
    for (size_t i = 0; i < table->n_comparisons; i++) {
        gyre_comparison *c = &table->comparisons[i];
        why[0] = '\0';
        if (c->exploratory) { /* of a table that was held before */
            n++;
            continue;
        }
        if (all[0] == '\0')
            GYRE_TRY(judge_line(table, c, plan, now, why, err));
        if (all[0] != '\0' || why[0] != '\0') {
            GYRE_TRY(mark(table, c, all[0] != '\0' ? all : why, err));
            n++;
        }
    }
    if (n > 0)
        gyre_log_warning(log, "%zu of %zu comparisons are exploratory: %s", n, table->n_comparisons, all[0] != '\0' ? all : "they or their arms are not in the registered plan");
done:
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

gyre_status gyre_plan_dropped(const gyre_table *t, const char *family, size_t *out, gyre_error *err)
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
        *out += of_family(t, p, line_length(p), family) && !has_line(now, p, line_length(p));
done:
    free(now);
    return st;
}
