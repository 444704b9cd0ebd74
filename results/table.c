/* Memory of a table: every text and array is one block on a list, freed with the table. A lock makes keeping safe from several threads. */
#include "results/table.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct block {
    struct block *next;
    max_align_t memory[];
} block;

struct gyre_table_block {
    pthread_mutex_t lock;
    block *first;
};

const char *gyre_cell_status_name(gyre_cell_status status)
{
    static const char *const names[] = { "MISSING", "OK", "SKIPPED", "FAILED" };
    return names[status];
}

gyre_status gyre_table_new(gyre_table **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *table = NULL;
    *out = NULL;
    GYRE_NEW(&table, 1);
    GYRE_NEW(&table->blocks, 1);
    if (pthread_mutex_init(&table->blocks->lock, NULL) != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "cannot make a lock for the table");
    table->experiment = table->config_source = table->config_overrides = table->config_canonical = "";
    table->plan_registered = table->plan_time = table->claim_id = table->claim_says = table->claim_source = table->claim_rule = table->claim_open = "";
    *out = table;
    table = NULL;
done:
    if (table != NULL)
        free(table->blocks);
    free(table);
    return st;
}

void gyre_table_free(gyre_table *table)
{
    if (table == NULL)
        return;
    for (block *b = table->blocks->first, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    (void)pthread_mutex_destroy(&table->blocks->lock);
    free(table->blocks);
    free(table);
}

gyre_status gyre_table_keep(gyre_table *table, size_t count, size_t size, void *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    block *b = NULL;
    void *memory = NULL;
    if (size != 0 && count > (SIZE_MAX - sizeof *b) / size)
        GYRE_FAIL(GYRE_E_MEMORY, "%zu x %zu bytes overflow the address space", count, size);
    GYRE_TRY(gyre_calloc((void **)&b, 1, sizeof *b + count * size, err));
    memory = b->memory;
    (void)pthread_mutex_lock(&table->blocks->lock);
    b->next = table->blocks->first;
    table->blocks->first = b;
    (void)pthread_mutex_unlock(&table->blocks->lock);
done:
    memcpy(out, &memory, sizeof memory); /* out is the address of a pointer of any type */
    return st;
}

gyre_status gyre_table_text(gyre_table *table, const char *text, const char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *copy = NULL;
    size_t size = strlen(text) + 1;
    GYRE_TRY(gyre_table_keep(table, size, 1, &copy, err));
    memcpy(copy, text, size);
done:
    *out = copy;
    return st;
}

gyre_status gyre_table_printf(gyre_table *table, const char **out, gyre_error *err, const char *format, ...)
{
    char text[GYRE_TABLE_PRINTED];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gyre_table_text(table, text, out, err);
}

const char *gyre_layer_word(const gyre_source *source)
{
    return source->kind == GYRE_SOURCE_MODEL ? "block" : "layer";
}

const char *gyre_unit_word(const gyre_source *source)
{
    return source->kind != GYRE_SOURCE_MODEL ? "document" : source->n_texts > 1 ? "text" : "chunk";
}

size_t gyre_n_units(const gyre_source *source)
{
    return source->kind == GYRE_SOURCE_MODEL && source->n_texts > 1 ? source->n_texts : source->n_documents;
}

void gyre_comparison_defaults(gyre_comparison *c)
{
    const char **const texts[] = { &c->published, &c->predicts, &c->exploratory_why };
    double *const numbers[] = { &c->mde, &c->power, &c->seeds_needed, &c->documents_needed };
    if (c->test_asked == NULL)
        c->test_asked = "auto";
    if (c->goal == NULL)
        c->goal = "equivalent";
    if (c->correction == NULL)
        c->correction = "holm";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i] == NULL)
            *texts[i] = "";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = (double)NAN;
}

size_t gyre_metric_place(const gyre_table *table, const char *name)
{
    size_t m = 0;
    while (m < table->n_metrics && strcmp(table->metrics[m], name) != 0)
        m++;
    return m;
}

bool gyre_cell_flagged(const gyre_cell *cell, const char *flag)
{
    size_t n = strlen(flag);
    for (const char *p = cell->flags != NULL ? cell->flags : ""; *p != '\0';) {
        size_t length = strcspn(p, ",");
        if (length == n && strncmp(p, flag, n) == 0)
            return true;
        p += length + (p[length] == ',');
    }
    return false;
}

bool gyre_arm_leaks(const gyre_table *table, size_t source, const char *arm, const char *point)
{
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        if (gyre_cell_flagged(c, "leak") && c->source == source && (arm == NULL || strcmp(c->arm, arm) == 0) && (point == NULL || strcmp(c->point, point) == 0))
            return true;
    }
    return false;
}

double gyre_cell_value(const gyre_cell *cell, size_t metric, size_t document, size_t head)
{
    return cell->values == NULL ? NAN : cell->values[(metric * cell->n_documents + document) * cell->n_heads + head];
}
