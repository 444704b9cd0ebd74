/* A null campaign twice: judged in memory, and as a run leaves it on disk: plan registered, cell files written, merged into a results file by a second plan, and that read. */
#ifndef GYRE_TESTS_NULL_FILES_H
#define GYRE_TESTS_NULL_FILES_H

#include "tests/null_campaign.h"

/* GYRE_E_INTERNAL where a number or word of a comparison differs. */
gyre_status null_through_files(const null_design *design, const null_question *questions, size_t n_questions, uint64_t seed, uint32_t row, uint32_t number, gyre_error *err);

#endif
