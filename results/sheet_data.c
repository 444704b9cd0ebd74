/* Sheets as data: CSV (RFC 4180) and JSON, a row at a time. */
#include <math.h>
#include <string.h>

#include "results/sheet_parts.h"

/* What a column is in data: its name with each of these behind it. */
static const char *const endings[][3] = {
    [GYRE_SHEET_WORD] = {""}, [GYRE_SHEET_COUNT] = {""}, [GYRE_SHEET_REAL] = {""}, [GYRE_SHEET_P] = {""}, [GYRE_SHEET_INTERVAL] = {"", "_low", "_high"}, [GYRE_SHEET_ERROR] = {"", "_se"},
    [GYRE_SHEET_CHANGE] = {"_start", "_end"},
};

static size_t fields_of(const gyre_sheet_column *column)
{
    size_t n = 0;
    while (n < 3 && endings[column->kind][n] != NULL)
        n++;
    return n;
}

static void field_name(const gyre_sheet_column *column, size_t field, char *text, size_t size)
{
    (void)snprintf(text, size, "%s%s", column->name, endings[column->kind][field]);
    for (; *text != '\0'; text++)
        *text = *text == ' ' ? '_' : *text;
}

static double field_value(const gyre_sheet_cell *cell, size_t field)
{
    return field == 0 ? cell->value : field == 1 ? cell->lo : cell->hi;
}

/* ---- CSV ---- */

static void put_csv(const char *text, FILE *out)
{
    size_t n = strlen(text);
    if (strpbrk(text, ",\"\r\n") == NULL && !(n > 0 && (text[0] == ' ' || text[n - 1] == ' '))) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)fputc('"', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void csv_facts(const gyre_sheet *s, bool head, FILE *out)
{
    const gyre_sheet_facts *f = s->book->facts;
    if (f != NULL && head)
        (void)fputs(",results_digest,dirty", out);
    else if (f != NULL)
        (void)fprintf(out, ",%.12s,%d", f->digest, f->dirty);
    (void)fputs("\r\n", out);
}

static void csv_head(const gyre_sheet *s, FILE *out)
{
    char name[256];
    size_t n = 0;
    for (size_t c = 0; c < s->n_columns; c++)
        for (size_t k = 0; s->columns[c].where != GYRE_SHEET_PRINTED && k < fields_of(&s->columns[c]); k++) {
            field_name(&s->columns[c], k, name, sizeof name);
            (void)fputs(n++ > 0 ? "," : "", out);
            put_csv(name, out);
        }
    csv_facts(s, true, out);
}

static void csv_row(const gyre_sheet *s, FILE *out)
{
    char number[GYRE_SHEET_NUMBER];
    size_t n = 0;
    for (size_t c = 0; c < s->n_columns; c++)
        for (size_t k = 0; s->columns[c].where != GYRE_SHEET_PRINTED && k < fields_of(&s->columns[c]); k++) {
            const gyre_sheet_cell *cell = &s->cells[c];
            (void)fputs(n++ > 0 ? "," : "", out);
            if (cell->text != NULL && !cell->rest)
                put_csv(cell->text, out);
            gyre_sheet_exact_text(field_value(cell, k), number);
            if (cell->text == NULL && !isnan(field_value(cell, k)))
                (void)fputs(number, out);
        }
    csv_facts(s, false, out);
}

/* ---- JSON ---- */

static void put_json(const char *text, FILE *out)
{
    (void)fputc('"', out);
    while (*text != '\0') {
        uint32_t c = gyre_sheet_character(&text);
        if (c == '"' || c == '\\')
            (void)fprintf(out, "\\%c", (int)c);
        else if (c < 0x20 || c == 0x7F)
            (void)fprintf(out, "\\u%04x", (unsigned)c);
        else
            gyre_sheet_put_character(c, out);
    }
    (void)fputc('"', out);
}

static void json_head(const gyre_sheet *s, FILE *out)
{
    const gyre_sheet_facts *f = s->book->facts;
    size_t n = 0;
    (void)fputs(s->book->n_printed > 0 ? ",\n{\"table\": " : "\n{\"table\": ", out);
    put_json(s->name, out);
    (void)fputs(", \"title\": ", out);
    put_json(s->title != NULL ? s->title : "", out);
    if (f != NULL) {
        (void)fputs(", \"results_digest\": ", out);
        put_json(f->digest, out);
        (void)fputs(", \"build\": ", out);
        put_json(f->build, out);
        (void)fprintf(out, ", \"dirty\": %s", f->dirty ? "true" : "false");
    }
    (void)fputs(", \"units\": {", out);
    for (size_t c = 0; c < s->n_columns; c++) {
        char name[256];
        const gyre_sheet_column *column = &s->columns[c];
        if (column->unit == NULL || column->unit[0] == '\0' || column->where == GYRE_SHEET_PRINTED)
            continue;
        field_name(column, 0, name, sizeof name);
        (void)fputs(n++ > 0 ? ", " : "", out);
        put_json(name, out);
        (void)fputs(": ", out);
        put_json(column->unit, out);
    }
    (void)fputs("}, \"rows\": [", out);
}

static void json_row(const gyre_sheet *s, FILE *out)
{
    char text[256];
    size_t n = 0;
    (void)fputs(s->n_rows > 0 ? ",\n  {" : "\n  {", out);
    for (size_t c = 0; c < s->n_columns; c++)
        for (size_t k = 0; s->columns[c].where != GYRE_SHEET_PRINTED && k < fields_of(&s->columns[c]); k++) {
            const gyre_sheet_cell *cell = &s->cells[c];
            field_name(&s->columns[c], k, text, sizeof text);
            (void)fputs(n++ > 0 ? ", " : "", out);
            put_json(text, out);
            (void)fputs(": ", out);
            gyre_sheet_exact_text(field_value(cell, k), text);
            if (s->columns[c].kind == GYRE_SHEET_WORD)
                put_json(cell->text != NULL && !cell->rest ? cell->text : "", out);
            else
                (void)fputs(isfinite(field_value(cell, k)) ? text : "null", out);
        }
    (void)fputc('}', out);
}

static void json_end(const gyre_sheet *s, FILE *out)
{
    (void)fputs("], \"notes\": [", out);
    for (size_t i = 0; i < s->n_notes; i++) {
        (void)fputs(i > 0 ? ", " : "", out);
        put_json(s->notes[i], out);
    }
    (void)fputs("]}", out);
}

/* ---- both ---- */

void gyre_sheet_data_begin(gyre_sheet *s)
{
    gyre_book *book = s->book;
    if (book->format == GYRE_SHEET_JSON) {
        json_head(s, book->stream);
    } else if (strcmp(book->last, s->name) != 0) {
        (void)fputs(book->n_printed > 0 ? "\r\n" : "", book->stream);
        csv_head(s, book->stream);
    }
    (void)snprintf(book->last, sizeof book->last, "%s", s->name);
    book->n_printed++;
}

void gyre_sheet_data_row(gyre_sheet *s)
{
    if (s->book->format == GYRE_SHEET_JSON)
        json_row(s, s->book->stream);
    else
        csv_row(s, s->book->stream);
}

void gyre_sheet_data_end(gyre_sheet *s)
{
    if (s->book->format == GYRE_SHEET_JSON)
        json_end(s, s->book->stream);
}
