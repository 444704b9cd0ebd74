/* gyre report --claims: what results files say of published claims (results/claims.h), as tables; gyre report --findings: the same as a page in English. Both read results files
 * alone, and their output is a function of the files: no date, no path of this machine. */
#ifndef GYRE_EXPERIMENTS_REPORT_CLAIMS_H
#define GYRE_EXPERIMENTS_REPORT_CLAIMS_H

#include <stdio.h>

#include "core/log.h"
#include "core/status.h"
#include "results/claims.h"
#include "results/sheet.h"

/* Two tables: parts (`claim_parts`), and a line for each claim (`claims`); only: one of them, or NULL. Paths: results files and folders of them. GYRE_E_INPUT where no file has a claim. */
gyre_status gyre_report_claims(const char *const *paths, size_t n_paths, gyre_sheet_format format, const char *only, FILE *out, gyre_log *log, gyre_error *err);

/* Markdown. What no paper states first, then claim by claim. */
gyre_status gyre_report_findings(const char *const *paths, size_t n_paths, FILE *out, gyre_log *log, gyre_error *err);

/* ---- for the page ---- */

enum { GYRE_CLAIM_TEXT = 512 };

/* The parts of one claim, or of all (NULL), as a table. */
gyre_status gyre_claims_parts_sheet(gyre_book *book, const gyre_claims *claims, const gyre_claim *only, gyre_error *err);
/* A line for each claim. */
gyre_status gyre_claims_words_sheet(gyre_book *book, const gyre_claims *claims, gyre_error *err);

/* What a claim was measured on: "rows" of captures, the "model", or "rows and model". Rows alone tell nothing of a perplexity. */
const char *gyre_claim_ground(const gyre_claims *claims, const gyre_claim *claim);

/* "C4" of c04; other ids as they are. */
void gyre_claim_title(const char *id, char text[GYRE_CLAIM_TEXT]);
/* "x1.05", "0.01 nat"; "" without a margin. */
void gyre_claim_margin(const gyre_table *table, const gyre_comparison *comparison, char text[GYRE_CLAIM_TEXT]);
/* "x0.69 [0.50, 0.96]". */
void gyre_claim_measured(const gyre_comparison *comparison, char text[GYRE_CLAIM_TEXT]);

#endif
