/* Figures from a results file alone: `gyre figures`.
 *
 * Each figure gives one or more pages, and each page FOLDER/NAME.png, .svg, .pdf and .csv (the numbers drawn). The list is GYRE_FIGURE_LIST in figure.h.
 * Equal results files give equal bytes, wherever they lie, with one set of versions of gnuplot, cairo and the font. Every page carries the scientific
 * digest of its file, n, and a mark where the program was built from a changed tree or a calibration saw evaluation documents.
 *
 * All pages are drawn before the first file is written, and each file is whole or absent.
 * What it is not: a way to plot anything else; tables and verdicts as text are the report's.
 */
#ifndef GYRE_RESULTS_FIGURES_H
#define GYRE_RESULTS_FIGURES_H

#include "core/log.h"
#include "core/status.h"

/* `only` names one figure; NULL draws all. The folder is made where it is missing. GYRE_E_USAGE for an unknown name, GYRE_E_INPUT for a file that cannot be
 * used, GYRE_E_UNSUPPORTED where gnuplot or its font is missing (the message names the package), GYRE_E_IO where the folder cannot be written. */
gyre_status gyre_figures(const char *results_path, const char *folder, const char *only, gyre_log *log, gyre_error *err);

#endif
