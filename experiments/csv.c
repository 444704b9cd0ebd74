#include "experiments/csv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"

enum { MOST_BYTES = 1 << 26, WHY = 256, SHOWN = 40 };

void gyre_csv_free(gyre_csv *csv)
{
    free(csv->names);
    free(csv->fields);
    free(csv->lines);
    free(csv->text);
    *csv = (gyre_csv){0};
}

/* The file as one text, without a byte order mark. */
static gyre_status slurp(const char *path, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot open %s: %s", path, strerror(errno));
    long size = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0)
        GYRE_FAIL(GYRE_E_IO, "%s is no file to be read from its start", path);
    if (size > MOST_BYTES)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %ld bytes: no table of a statistics desk", path, size);
    GYRE_NEW(out, (size_t)size + 1);
    if (fread(*out, 1, (size_t)size, f) != (size_t)size)
        GYRE_FAIL(GYRE_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (memchr(*out, '\0', (size_t)size) != NULL)
        GYRE_FAIL(GYRE_E_INPUT, "%s holds a zero byte: it is no text", path);
    if (strncmp(*out, "\xEF\xBB\xBF", 3) == 0)
        memmove(*out, *out + 3, (size_t)size - 2);
done:
    if (f != NULL)
        (void)fclose(f);
    return st;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts the field at *at out of the line and moves *at behind its comma, or to NULL behind the last. What comes out is where it stood: quotes only make it shorter. */
static const char *cut_field(char **at, const char **why)
{
    char *from = *at + strspn(*at, " \t"), *to = from, *end;
    if (*from != '"') {
        end = from + strcspn(from, ",");
        for (to = end; to > from && is_blank(to[-1]);)
            to--;
        if (memchr(from, '"', (size_t)(end - from)) != NULL)
            *why = "a quote inside a field without quotes";
    } else {
        char *read = from + 1;
        for (; *read != '\0' && (read[0] != '"' || read[1] == '"'); read++) {
            read += *read == '"';
            *to++ = *read;
        }
        end = read + (*read == '"');
        end += strspn(end, " \t");
        if (*read == '\0')
            *why = "a quote that does not end on its line";
        else if (*end != ',' && *end != '\0')
            *why = "something behind the closing quote";
    }
    *at = *end == ',' ? end + 1 : NULL;
    *to = '\0';
    return from;
}

/* Fields of a line into out[most]; *count is what there are, which may be more. */
static gyre_status cut_line(const char *path, size_t number, char *line, const char **out, size_t most, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *count = 0;
    for (char *at = line; at != NULL; (*count)++) {
        const char *why = NULL, *field = cut_field(&at, &why);
        if (why != NULL)
            GYRE_FAIL(GYRE_E_INPUT, "%s, line %zu, column %zu: %s", path, number, *count + 1, why);
        if (*count < most)
            out[*count] = field;
    }
done:
    return st;
}

/* Lines of the text, cut: pointers into it; freed by the caller. Empty ones at the end do not count. */
static gyre_status cut_text(char *text, char ***out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 1;
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n';
    GYRE_NEW(out, n);
    *count = 0;
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n'), *next = end != NULL ? end + 1 : NULL;
        if (end != NULL)
            *end = '\0';
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r')
            line[length - 1] = '\0';
        (*out)[(*count)++] = line;
        line = next;
    }
    while (*count > 0 && (*out)[*count - 1][strspn((*out)[*count - 1], " \t")] == '\0')
        (*count)--;
done:
    return st;
}

static gyre_status read_names(gyre_csv *csv, char *line, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t room = 1;
    for (const char *p = line; *p != '\0'; p++)
        room += *p == ',';
    GYRE_NEW(&csv->names, room);
    GYRE_TRY(cut_line(csv->path, 1, line, csv->names, room, &csv->n_columns, err));
    for (size_t i = 0; i < csv->n_columns; i++) {
        if (csv->names[i][0] == '\0')
            GYRE_FAIL(GYRE_E_INPUT, "%s, line 1, column %zu: it has no name", csv->path, i + 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(csv->names[i], csv->names[k]) == 0)
                GYRE_FAIL(GYRE_E_INPUT, "%s, line 1, column %zu: '%s' is the name of column %zu too", csv->path, i + 1, csv->names[i], k + 1);
    }
done:
    return st;
}

gyre_status gyre_csv_read(const char *path, gyre_csv *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char **lines = NULL;
    size_t n = 0, fields = 0;
    *out = (gyre_csv){ .path = path };
    GYRE_TRY(slurp(path, &out->text, err));
    GYRE_TRY(cut_text(out->text, &lines, &n, err));
    if (n < 2)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %s: a line of column names and then rows are wanted", path, n == 0 ? "nothing in it" : "one line");
    GYRE_TRY(read_names(out, lines[0], err));
    GYRE_NEW(&out->fields, (n - 1) * out->n_columns);
    GYRE_NEW(&out->lines, n - 1);
    for (; out->n_rows < n - 1; out->n_rows++) {
        size_t number = out->n_rows + 2;
        char *line = lines[number - 1];
        if (line[strspn(line, " \t")] == '\0')
            GYRE_FAIL(GYRE_E_INPUT, "%s, line %zu is empty", path, number);
        GYRE_TRY(cut_line(path, number, line, out->fields + out->n_rows * out->n_columns, out->n_columns, &fields, err));
        if (fields != out->n_columns)
            GYRE_FAIL(GYRE_E_INPUT, "%s, line %zu has %zu field%s, the line of names %zu", path, number, fields, fields == 1 ? "" : "s", out->n_columns);
        out->lines[out->n_rows] = number;
    }
done:
    free(lines);
    return st;
}

size_t gyre_csv_find(const gyre_csv *csv, const char *name)
{
    size_t i = 0;
    while (i < csv->n_columns && strcmp(csv->names[i], name) != 0)
        i++;
    return i;
}

gyre_status gyre_csv_fault(const gyre_csv *csv, size_t row, size_t column, gyre_error *err, const char *format, ...)
{
    char why[WHY];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%s, line %zu, column %zu (%s): %s", csv->path, csv->lines[row], column + 1, csv->names[column], why);
}

gyre_status gyre_csv_numbers(const gyre_csv *csv, size_t column, double **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, csv->n_rows);
    for (size_t i = 0; i < csv->n_rows; i++) {
        const char *field = csv->fields[i * csv->n_columns + column];
        if (!gyre_parse_real(field, &(*out)[i]))
            GYRE_TRY(gyre_csv_fault(csv, i, column, err, "'%.*s' is not a finite number", SHOWN, field));
    }
done:
    return st;
}
