/* Claims: what results files say of published statements, by a rule that was fixed before.
 *
 * A part of a claim is a comparison or an exact number of a results file whose configuration has a `claim`. Its state:
 *
 *   AS PREDICTED   an OK comparison whose verdict is among its `predicts`; an exact number that is EXACT
 *   CONTRADICTED   an OK comparison with another verdict than those, but INCONCLUSIVE; an exact number that is DIFFERENT
 *   UNDECIDED      NOT MEASURED, INCONCLUSIVE (unless predicted), DESCRIPTIVE, or not OK (SKIPPED, INCOMPLETE, DEGENERATE): the reason goes with it. A prediction that was registered and is not made, or not as
 *                  registered, counts here too: leaving out or rewording what failed turns no MIXED into HOLDS
 *   CONTROL        a comparison that predicts nothing, or an exploratory one, whatever it predicted: shown, decides nothing
 *
 * All parts of the files of one claim id together, with p, c, u of the first three states, give its word, the first line that applies:
 *
 *   UNDECIDED             a canary of one of its files failed: nothing that the file says is used
 *   NOT DECIDABLE HERE    p = c = u = 0: nothing was foretold that these runs could measure; the claim's `open` texts say why
 *   MIXED                 p > 0 and c > 0: some parts hold, some fail
 *   FAILS                 c > 0: every part that is decided contradicts
 *   UNDECIDED             p = 0
 *   PARTLY                u > 0, or there is an `open` text that all files of the claim have: what is decided holds, the rest is undecided or not decidable here
 *   EXACT                 all of p are exact numbers
 *   HOLDS                 every part is decided as predicted
 *
 * p values are corrected in the families of each file, not over files or claims. What it is not: a meta-analysis; parts are counted, not weighed, and a claim's parts depend on each other.
 */
#ifndef GYRE_RESULTS_CLAIMS_H
#define GYRE_RESULTS_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/log.h"
#include "core/status.h"
#include "results/provenance.h"
#include "results/table.h"

typedef enum gyre_part_state { GYRE_PART_PREDICTED = 0, GYRE_PART_CONTRADICTED, GYRE_PART_UNDECIDED, GYRE_PART_CONTROL, GYRE_PART_STATES } gyre_part_state;
const char *gyre_part_state_name(gyre_part_state state); /* "as predicted", "contradicts", "undecided", "control" */

/* One results file. */
typedef struct gyre_claim_file {
    const char *path;   /* as given, or found in the folder */
    const char *name;   /* its last part; of DIR/results.h5 both */
    gyre_table *table;
    gyre_provenance provenance;
    const char *canary; /* the first that failed; "" */
} gyre_claim_file;

typedef struct gyre_claim_part {
    const gyre_claim_file *file;
    const gyre_comparison *comparison; /* or NULL, and then: */
    const gyre_exact *exact;
    gyre_part_state state;
    const char *why;    /* UNDECIDED, and CONTROL where it is exploratory; "" */
} gyre_claim_part;

typedef struct gyre_claim {
    const char *id, *says, *source, *rule;
    const char **open;  /* what none of its files can decide */
    size_t n_open;
    gyre_claim_part *parts; /* in the order of files, and in that of their plans */
    size_t n_parts, count[GYRE_PART_STATES], n_exact; /* n_exact: exact numbers as predicted */
    size_t n_dropped;       /* registered predictions that its files do not make; not among the parts and counts */
    const char *word, *why; /* why: of UNDECIDED for a canary; "" */
} gyre_claim;

typedef struct gyre_claims {
    gyre_claim_file *files; /* by name */
    size_t n_files;
    gyre_claim *claims;     /* by id; those of files without a claim are none */
    size_t n_claims;
    struct gyre_claims_texts *texts;
} gyre_claims;

/* Reads results files, and all *.h5 of folders; paths is in any order. GYRE_E_INPUT for a folder without a results file, a file that stands twice (by its name, or the same configuration) and claims
 * of one id whose texts differ. Freed with gyre_claims_free, also after an error. */
gyre_status gyre_claims_read(const char *const *paths, size_t n_paths, gyre_claims *out, gyre_log *log, gyre_error *err);
void gyre_claims_free(gyre_claims *claims);

/* ---- the rules, for the reader above and for tests ---- */

/* *why is a text of the comparison or a constant. */
gyre_part_state gyre_claim_comparison_state(const gyre_comparison *comparison, const char **why);

/* counts by state; exact: numbers among those as predicted; open: texts of what cannot be decided. */
const char *gyre_claim_word(const size_t counts[GYRE_PART_STATES], size_t exact, size_t open, bool canary_failed);

/* Is `word` in the comma list? */
bool gyre_claim_predicted(const char *list, const char *word);

#endif
