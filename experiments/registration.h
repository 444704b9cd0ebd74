/* Registration of folders that an older program began: they have cells and no analysis.plan. */
#ifndef GYRE_EXPERIMENTS_REGISTRATION_H
#define GYRE_EXPERIMENTS_REGISTRATION_H

#include "core/log.h"
#include "core/status.h"

/* Where the folder has cells and no registered plan: registers what its config.yaml and run.txt say, as of the time they were written, where both are older than every cell; else nothing, so that all
 * comparisons are exploratory. To be called before either file is written again. */
gyre_status gyre_register_old(const char *folder, gyre_log *log, gyre_error *err);

#endif
