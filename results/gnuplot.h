/* gnuplot as a child process: a script goes in, the bytes of a picture come out.
 *
 * No shell, no start-up file of the user (gnuplot -d), no path in the script: the picture arrives on standard output and is whole before anyone names a
 * file after it. The locale and the time zone of the child are fixed, and so is the creation date of a PDF, so that equal scripts give equal bytes
 * wherever one set of library versions draws them. Source: gnuplot 5.4 manual, terminals pngcairo, svg, pdfcairo.
 *
 * gnuplot without its font exits 0 and draws no text; fontconfig replaces a missing font in silence. gyre_gnuplot_check therefore asks for the font first.
 * What it is not: a way to draw interactively, or to draw on a machine without gnuplot.
 */
#ifndef GYRE_RESULTS_GNUPLOT_H
#define GYRE_RESULTS_GNUPLOT_H

#include <stddef.h>

#include "core/status.h"

#define GYRE_GNUPLOT_FONT "DejaVu Sans"

typedef enum gyre_picture { GYRE_PICTURE_PNG = 0, GYRE_PICTURE_SVG, GYRE_PICTURE_PDF, GYRE_PICTURES } gyre_picture;

/* "png", "svg", "pdf": the extension of the file. */
const char *gyre_picture_name(gyre_picture kind);

/* Is everything there? GYRE_E_UNSUPPORTED with the name of the package to install. */
gyre_status gyre_gnuplot_check(gyre_error *err);

/* Draws script on a page of width x height inches. *out (freed by the caller) holds *size bytes, checked to be a picture of that kind; NULL on failure.
 * GYRE_E_UNSUPPORTED where gnuplot is missing or fails, with its own last words. */
gyre_status gyre_gnuplot_draw(gyre_picture kind, double width, double height, const char *script, size_t script_size, char **out, size_t *size,
                              gyre_error *err);

#endif
