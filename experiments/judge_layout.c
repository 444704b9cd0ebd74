/* Rows of a table as cells of a complete layout. O(n log n). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/judge.h"

enum { SHOWN = 40, COMBINATION = 4 * (2 * SHOWN + 16) };

typedef struct label {
    const char *text;
    size_t row;
} label;

static int by_text(const void *a, const void *b)
{
    const label *x = a, *y = b;
    int c = strcmp(x->text, y->text);
    return c != 0 ? c : (x->row > y->row) - (x->row < y->row);
}

/* level[row] of a column, numbered in order of appearance. */
static gyre_status number_levels(const gyre_csv *csv, size_t column, size_t *level, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    label *labels = NULL;
    size_t *first = NULL; /* [row]: the first row with its label */
    GYRE_NEW(&labels, csv->n_rows);
    GYRE_NEW(&first, csv->n_rows);
    for (size_t i = 0; i < csv->n_rows; i++) {
        labels[i] = (label){ csv->fields[i * csv->n_columns + column], i };
        if (labels[i].text[0] == '\0')
            GYRE_TRY(gyre_csv_fault(csv, i, column, err, "it is empty"));
    }
    qsort(labels, csv->n_rows, sizeof *labels, by_text);
    for (size_t i = 0; i < csv->n_rows; i++)
        first[labels[i].row] = i > 0 && strcmp(labels[i].text, labels[i - 1].text) == 0 ? first[labels[i - 1].row] : labels[i].row;
    *count = 0;
    for (size_t i = 0; i < csv->n_rows; i++)
        level[i] = first[i] == i ? (*count)++ : level[first[i]];
done:
    free(labels);
    free(first);
    return st;
}

/* "seed '1', document 'b'" of the factors' levels: label_row[factor][level] is a row that has it. */
static void name_cell(const gyre_csv *csv, const char *const *roles, const size_t *columns, size_t *const *label_row, const gyre_layout *l, size_t cell, char text[COMBINATION])
{
    size_t used = 0, level[GYRE_LAYOUT_MOST];
    for (size_t f = l->n_factors; f-- > 0; cell /= l->levels[f])
        level[f] = cell % l->levels[f];
    for (size_t f = 0; f < l->n_factors; f++)
        used += (size_t)snprintf(text + used, COMBINATION - used, "%s%s '%.*s'", f > 0 ? ", " : "", roles[f], SHOWN, csv->fields[label_row[f][level[f]] * csv->n_columns + columns[f]]);
}

/* One row a cell, or the fault. */
static gyre_status check_complete(const gyre_csv *csv, const char *const *roles, const size_t *columns, size_t *const *label_row, const gyre_layout *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t *row_of = NULL; /* [cell]: row + 1 */
    char text[COMBINATION];
    GYRE_NEW(&row_of, l->cells);
    for (size_t i = 0; i < csv->n_rows; i++) {
        if (row_of[l->place[i]] != 0) {
            name_cell(csv, roles, columns, label_row, l, l->place[i], text);
            GYRE_FAIL(GYRE_E_INPUT, "%s, line %zu: %s is on line %zu already%s", csv->path, csv->lines[i], text, csv->lines[row_of[l->place[i]] - 1],
                      l->n_factors == 1 ? ": if the rows are different sign seeds, give a column 'seed'" : "");
        }
        row_of[l->place[i]] = i + 1;
    }
    for (size_t c = 0; c < l->cells; c++)
        if (row_of[c] == 0) {
            name_cell(csv, roles, columns, label_row, l, c, text);
            GYRE_FAIL(GYRE_E_INPUT, "%s has no row with %s: %zu rows of %zu, and there is no test of an incomplete layout", csv->path, text, csv->n_rows, l->cells);
        }
done:
    free(row_of);
    return st;
}

static gyre_status factor(const gyre_desk *desk, const char *role, gyre_layout *l, size_t *column, size_t **label_row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_csv *csv = &desk->csv;
    size_t *level = NULL, count = 0;
    GYRE_TRY(gyre_desk_column(desk, role, column, err));
    GYRE_NEW(&level, csv->n_rows);
    GYRE_TRY(number_levels(csv, *column, level, &count, err));
    GYRE_NEW(label_row, count);
    if (l->cells * count / count != l->cells || l->cells * count > 64 * csv->n_rows + 4096)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %zu rows, and its labels make more than %zu combinations: the layout is far from complete", csv->path, csv->n_rows, l->cells * (count - 1));
    for (size_t i = csv->n_rows; i-- > 0;) {
        (*label_row)[level[i]] = i;
        l->place[i] = l->place[i] * count + level[i];
    }
    l->levels[l->n_factors++] = count;
    l->cells *= count;
done:
    free(level);
    return st;
}

gyre_status gyre_desk_layout(const gyre_desk *desk, const char *const *roles, size_t n_roles, gyre_layout *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t columns[GYRE_LAYOUT_MOST], *label_row[GYRE_LAYOUT_MOST] = { NULL };
    *out = (gyre_layout){ .cells = 1 };
    GYRE_NEW(&out->place, desk->csv.n_rows);
    if (n_roles == 0) { /* every row is a document */
        for (size_t i = 0; i < desk->csv.n_rows; i++)
            out->place[i] = i;
        out->cells = desk->csv.n_rows;
        goto done;
    }
    for (size_t f = 0; f < n_roles; f++)
        GYRE_TRY(factor(desk, roles[f], out, &columns[f], &label_row[f], err));
    GYRE_TRY(check_complete(&desk->csv, roles, columns, label_row, out, err));
done:
    for (size_t f = 0; f < GYRE_LAYOUT_MOST; f++)
        free(label_row[f]);
    return st;
}

void gyre_layout_free(gyre_layout *layout)
{
    free(layout->place);
    *layout = (gyre_layout){0};
}

/* Numbers of a role, in the layout's order. */
static gyre_status ordered(const gyre_desk *desk, const char *role, const gyre_layout *l, double **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *rows = NULL;
    GYRE_TRY(gyre_desk_numbers(desk, role, &rows, err));
    GYRE_NEW(out, l->cells);
    for (size_t i = 0; i < desk->csv.n_rows; i++)
        (*out)[l->place[i]] = rows[i];
done:
    free(rows);
    return st;
}

gyre_status gyre_desk_differences(const gyre_desk *desk, const gyre_layout *layout, double **arm, double **against, double **d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool given = gyre_desk_has(desk, "difference");
    if (given && (gyre_desk_has(desk, "arm") || gyre_desk_has(desk, "against")))
        GYRE_FAIL(GYRE_E_INPUT, "%s, line 1: it has a column 'difference' and one of 'arm' and 'against': which is it?", desk->csv.path);
    if (given && desk->ratio)
        GYRE_FAIL(GYRE_E_INPUT, "%s: differences have no ratio: give columns 'arm' and 'against', or say --margin abs:...", desk->csv.path);
    if (given) {
        GYRE_TRY(ordered(desk, "difference", layout, d, err));
        goto done;
    }
    GYRE_TRY(ordered(desk, "arm", layout, arm, err));
    GYRE_TRY(ordered(desk, "against", layout, against, err));
    GYRE_NEW(d, layout->cells);
    for (size_t i = 0; i < layout->cells; i++)
        (*d)[i] = (*arm)[i] - (*against)[i];
done:
    return st;
}
