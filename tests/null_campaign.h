/* A synthetic campaign whose truth is known: a gyre_table as a run leaves it, its cells filled with numbers of a declared law.
 *
 *   log metric of an arm (or the metric, of a model source) in (layer, head, seed s, document j)
 *       = difficulty of the document and of the stratum + truth + a_s + b_j + e        a, b, e: the arm's own, with standard deviations seed, document, residual
 *
 * Each comparison has an arm of its own; its reference has none of these effects (independent comparisons), or all have one reference with effects of its own, by which any two
 * differences have correlation 1/2 (shared). e is drawn anew in every layer and head, wide enough that its mean over them has the standard deviation `residual`: who counts layers
 * or heads as units is found out. Of texts, chunks are averaged.
 *
 * Every number comes from the stream of its campaign (core/random.h: campaign seed, row of the table, number of the campaign) and from no other.
 */
#ifndef GYRE_TESTS_NULL_CAMPAIGN_H
#define GYRE_TESTS_NULL_CAMPAIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "results/table.h"

/* Laws of document effects, mean 0 and standard deviation 1: the others are always normal. */
typedef enum null_law {
    NULL_NORMAL,
    NULL_HEAVY, /* Student's t with 3 degrees of freedom, over sqrt(3) */
    NULL_SKEWED /* exponential less 1 */
} null_law;

typedef enum null_source { NULL_CAPTURE, NULL_CHUNKS, NULL_TEXTS } null_source;

typedef struct null_design {
    null_source source;
    null_law law;
    size_t seeds, documents; /* seeds 1: neither arm has any */
    double seed, document, residual;
    double centre;           /* of the law: subtracted from every document effect before it is scaled (a median is not a mean) */
} null_design;

/* A comparison that is declared. */
typedef struct null_question {
    const char *test, *goal, *correction, *family;
    double truth, margin; /* on the scale of the difference; margin 0: none */
} null_question;

/* Standard error of a mean difference of the design. */
double null_error(const null_design *design);

/* computed false: the same plan, its cells MISSING. The table's texts, and the names in `questions`, outlive it. */
gyre_status null_campaign(const null_design *design, const null_question *questions, size_t n_questions, bool shared, uint64_t seed, uint32_t row, uint32_t number, bool computed,
                          gyre_table **out, gyre_error *err);

#endif
