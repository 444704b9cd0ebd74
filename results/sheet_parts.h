/* What the files of the formatter share: sheet.c (filling), sheet_text.c (numbers, characters), sheet_print.c (text, Markdown, LaTeX), sheet_data.c (CSV, JSON). */
#ifndef GYRE_RESULTS_SHEET_PARTS_H
#define GYRE_RESULTS_SHEET_PARTS_H

#include <stdint.h>

#include "results/sheet.h"

typedef struct gyre_sheet_cell {
    char *text;           /* WORD, and the words of a rest; else NULL */
    double value, lo, hi; /* NaN: none */
    bool times, rest;     /* rest: the words stand for this cell and all behind it */
} gyre_sheet_cell;

struct gyre_sheet {
    gyre_book *book;
    const char *name;
    char *title, **notes;
    gyre_sheet_column columns[GYRE_SHEET_COLUMNS];
    gyre_sheet_cell *cells; /* whole rows, then the row that is being filled; of data the latter alone */
    size_t n_columns, n_cells, room, n_rows, n_notes;
    bool silent;            /* not the one that is wanted */
    gyre_status status;     /* the first thing that went wrong */
    gyre_error error;
};

struct gyre_book {
    FILE *stream;
    gyre_sheet_format format;
    const char *only;
    const gyre_sheet_facts *facts;
    gyre_sheet *sheet;      /* that is open */
    char last[64];          /* name of the sheet before */
    size_t n_printed;       /* sheets and paragraphs of the stream so far */
    size_t n_floats;        /* tables of LaTeX */
};

/* ---- characters ---- */

/* The character at *at, which moves behind it; U+FFFD for a byte that begins none. */
uint32_t gyre_sheet_character(const char **at);

/* Columns that a terminal gives it: 0, 1 or 2. */
int gyre_sheet_character_width(uint32_t c);

/* As UTF-8. */
void gyre_sheet_put_character(uint32_t c, FILE *stream);

/* Has no place in a line: controls, and marks that turn the direction of writing. */
bool gyre_sheet_control(uint32_t c);

/* ---- cells ---- */

/* What printed forms show of a cell: its words, or its number put into `number`. */
const char *gyre_sheet_cell_text(const gyre_sheet_column *column, const gyre_sheet_cell *cell, char number[GYRE_SHEET_NUMBER]);

void gyre_sheet_print(gyre_sheet *sheet);        /* text, Markdown, LaTeX */
void gyre_sheet_print_words(gyre_book *book, const char *words, bool fresh);

void gyre_sheet_data_begin(gyre_sheet *sheet);   /* head, row, end of CSV and JSON */
void gyre_sheet_data_row(gyre_sheet *sheet);
void gyre_sheet_data_end(gyre_sheet *sheet);

#endif
