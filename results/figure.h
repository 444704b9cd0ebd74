/* What a figure is, and what figures draw with.
 *
 * One figure = one file with one const descriptor gyre_figure_NAME and one line in GYRE_FIGURE_LIST. draw() lays out pages: each page becomes
 * NAME.png, NAME.svg, NAME.pdf and NAME.csv (the numbers drawn, and what was not drawn with the reason). A page is a gnuplot script that draws panels
 * at places given in inches from the upper left corner; nothing is left to gnuplot's own layout, so the three formats look the same. Every text is
 * literal: no markup, and no text can act as a command.
 *
 * An arm has one colour and one marker in all figures of a table: the palette of Okabe and Ito (2008), readable with deficient colour vision, its
 * yellow replaced by grey for white paper; 8 colours and 7 open markers repeat after 56 arms.
 *
 * What it is not: a plotting library. There is what these figures need.
 */
#ifndef GYRE_RESULTS_FIGURE_H
#define GYRE_RESULTS_FIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/log.h"
#include "core/status.h"
#include "results/provenance.h"
#include "results/summary.h"
#include "results/table.h"

#define GYRE_FIGURE_LIST(X)                                                                                                    \
    X(error_bits)                                                                                                              \
    X(forest)                                                                                                                  \
    X(layers)                                                                                                                  \
    X(order)                                                                                                                   \
    X(pareto)                                                                                                                  \
    X(power)                                                                                                                   \
    X(ranks)                                                                                                                   \
    X(seeds)                                                                                                                   \
    X(training)

#define GYRE_FIGURE_ALPHA 0.05   /* intervals of single arms */
#define GYRE_FIGURE_WIDTH 7.2    /* inches: a page between margins */
#define GYRE_FIGURE_MARGIN 0.08  /* inches: nothing is drawn nearer to the edge */

typedef struct gyre_page {
    struct gyre_page *next;
    char *name;           /* of its files, without extension */
    double height;        /* inches; the width is GYRE_FIGURE_WIDTH */
    FILE *plot, *csv;     /* open while the page is drawn */
    char *script, *table; /* what was written there; complete after gyre_page_close */
    size_t script_size, table_size;
} gyre_page;

/* A results file, and the pages drawn from it so far. */
typedef struct gyre_figure_book {
    gyre_table *table;
    const gyre_provenance *provenance;
    const char *digest;            /* scientific digest of the file, hex */
    const gyre_summary *summaries; /* at 1 - GYRE_FIGURE_ALPHA */
    size_t n_summaries;
    const char **arms;             /* all of them, in plan order; gyre_styles_prepare */
    size_t n_arms;
    char *facts, *marks;           /* lines of every caption; gyre_caption_prepare */
    gyre_log *log;
    gyre_page *pages, **last;
} gyre_figure_book;

typedef struct gyre_figure_type {
    const char *name, *summary;
    /* One of the two. Adds pages to the book; none where the table has nothing to draw. draw says so in the log; draw_source draws one source after another, and the log says `nothing`
     * where none of them had a page. */
    gyre_status (*draw)(gyre_figure_book *book, gyre_error *err);
    gyre_status (*draw_source)(gyre_figure_book *book, size_t source, gyre_error *err);
    const char *title, *nothing; /* of the pages of a source (gyre_source_page_new) */
} gyre_figure_type;

#define GYRE_FIGURE_DECLARE(name) extern const gyre_figure_type gyre_figure_##name;
GYRE_FIGURE_LIST(GYRE_FIGURE_DECLARE)
#undef GYRE_FIGURE_DECLARE

/* All figures, in the order of the list, then NULL. */
extern const gyre_figure_type *const gyre_figure_types[];

/* Adds the pages of one figure to the book. */
gyre_status gyre_figure_draw(const gyre_figure_type *type, gyre_figure_book *book, gyre_error *err);

/* ---- pages ---- */

/* A page that the book owns, its streams open. Characters of name that are awkward in file names become '_'; names that meet get a number. */
gyre_status gyre_page_new(gyre_figure_book *book, const char *name, double height, gyre_page **out, gyre_error *err);
/* Closes the streams; reports what went wrong while writing to them. */
gyre_status gyre_page_close(gyre_page *page, gyre_error *err);
void gyre_pages_free(gyre_page *pages);
/* Draws all pages of the book, then writes them into the folder, which is made where it is missing. */
gyre_status gyre_book_write(const gyre_figure_book *book, const char *folder, gyre_error *err);

/* ---- texts ---- */

/* GYRE_UPWARD: centred, read from below. */
typedef enum gyre_align { GYRE_LEFT, GYRE_CENTRE, GYRE_RIGHT, GYRE_UPWARD } gyre_align;

#define GYRE_INK "#222222"
#define GYRE_GREY "#6E6E6E"
#define GYRE_ALARM "#D55E00"

enum { GYRE_LINE_TEXT = 512 };

/* Width in inches of a text at `size` points, from the widths of the font. */
double gyre_text_width(const char *text, double size);

/* Copies text into out (GYRE_LINE_TEXT bytes), its end replaced by an ellipsis where it is wider than `width` inches. */
void gyre_text_fit(const char *text, double size, double width, char *out);

/* A text with its middle at height y, and x its left end, middle or right end. Belongs to the next panel drawn. */
void gyre_draw_text(gyre_page *page, double x, double y, gyre_align align, double size, const char *colour, const char *text);

/* A filled box, a line and a point of gnuplot's type in inches from the upper left corner. They belong to the next panel drawn. */
void gyre_draw_box(gyre_page *page, double x0, double x1, double y0, double y1, const char *colour);
void gyre_draw_line(gyre_page *page, double x0, double y0, double x1, double y1, double width, const char *colour);
void gyre_draw_mark(gyre_page *page, double x, double y, int type, double size, const char *colour);
/* Draws what waits for a panel, without one. */
void gyre_draw_now(gyre_page *page);

/* One field of a CSV line (RFC 4180), `end` after it; a number that is not finite is empty. */
void gyre_csv_text(FILE *csv, const char *text, char end);
/* "deliberate" where calibration overlaps evaluation, or an arm was fitted to evaluation documents (gyre_arm_leaks), else "none". */
const char *gyre_csv_leak(const gyre_table *table, size_t source, const char *arm, const char *point);
void gyre_csv_real(FILE *csv, double value, char end);

/* ---- panels ---- */

typedef struct gyre_panel {
    double x, y, w, h; /* inches, of the plotting area; y is its upper edge */
} gyre_panel;

typedef struct gyre_axis {
    double lo, hi;
    bool logarithmic, binary; /* binary: a logarithmic axis with ticks at 1, 1.5, 2, 3, 4, 6, 8, ... */
    size_t most; /* labels that fit, about */
} gyre_axis;

/* Grows the range to hold value, where value is finite (and positive, on a logarithmic axis). An axis begins with lo > hi. */
gyre_axis gyre_axis_new(bool logarithmic, size_t most);
void gyre_axis_hold(gyre_axis *axis, double value);
/* Adds `share` of the length at both ends, and widens to at least `least` (a ratio on a logarithmic axis); an empty axis becomes a default one. */
void gyre_axis_pad(gyre_axis *axis, double share, double least);
/* Where value is on the axis: 0 at lo, 1 at hi. */
double gyre_axis_place(const gyre_axis *axis, double value);

void gyre_panel_place(gyre_page *page, const gyre_panel *panel);
/* Range and ticks of 'x' or 'y'. */
void gyre_panel_axis(gyre_page *page, char which, const gyre_axis *axis);
/* After the plot command of a panel: forgets its texts, arrows and boxes. */
void gyre_panel_done(gyre_page *page);

/* ---- arms ---- */

typedef struct gyre_arm_style {
    const char *colour;
    int marker;
} gyre_arm_style;

/* Lists the arms of the book (freed by its owner). */
gyre_status gyre_styles_prepare(gyre_figure_book *book, gyre_error *err);
gyre_arm_style gyre_style_of(const gyre_figure_book *book, const char *arm);

/* "sym_f16" for "quantizer=sym_f16": a point without the axes whose values name themselves (quantizer, chain). Into out (GYRE_LINE_TEXT bytes). */
void gyre_point_label(const char *point, char *out);

/* A marker of a legend with its middle at (x, y), a short line through it where asked. Belongs to the next panel drawn. */
#define GYRE_SAMPLE_WIDTH 0.24
void gyre_draw_sample(gyre_page *page, double x, double y, gyre_arm_style style, double size, bool line);

/* A legend of the n arms in a strip of `width` inches from (x, y), y the middle of its first line; lines are GYRE_LEGEND_LINE inches apart.
 * Returns the number of lines. page NULL only counts. */
#define GYRE_LEGEND_LINE 0.16
size_t gyre_draw_legend(gyre_page *page, const gyre_figure_book *book, double x, double y, double width, const char *const *arms, size_t n);

/* ---- fields ---- */

/* Arms that code the same streams at one grid point of one source, seen by one metric. */
typedef struct gyre_field {
    size_t source, metric;
    const char *streams, *point;
    bool compared;             /* some comparison is about it */
    const gyre_summary **arms; /* those that have a mean, in plan order; kept by the table */
    size_t n_arms;
} gyre_field;

/* What a source's figures of arms are about: what is compared there; where nothing is, one metric for each stream and point. Kept by the table. */
gyre_status gyre_fields_get(gyre_figure_book *book, size_t source, gyre_field **out, size_t *count, gyre_error *err);

/* Pages that a figure of one source takes: where things are compared, and where the choice was the program's. What is beyond is named in the CSV file. */
enum { GYRE_PAGES_COMPARED = 4, GYRE_PAGES_CHOSEN = 1 };

/* ---- caption ---- */

/* Writes facts and marks of the book (freed by its owner). */
gyre_status gyre_caption_prepare(gyre_figure_book *book, gyre_error *err);
/* Inches that the caption takes at the foot of a page: `what` in a few lines, then experiment, digest, n and marks (dirty build, leak). */
double gyre_caption_height(const gyre_figure_book *book, const char *what);
void gyre_draw_caption(gyre_page *page, const gyre_figure_book *book, const char *what);
/* A page of a source, `body` inches high above its caption, named NAME_SOURCE after its type; on top its title and the source, in at most `room` inches (0: the page's width). */
gyre_status gyre_source_page_new(gyre_figure_book *book, const gyre_figure_type *type, size_t source, double body, double room, const char *what, gyre_page **out, gyre_error *err);

/* "softmax_kl (nat)". */
void gyre_metric_label(const gyre_table *table, size_t metric, char *out, size_t size);

#endif
