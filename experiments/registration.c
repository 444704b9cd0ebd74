#define _POSIX_C_SOURCE 200809L
#include "experiments/registration.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "experiments/plan.h"
#include "experiments/runner.h"
#include "results/registration.h"

enum { PATH_BYTES = 4096 };

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

/* The time of the oldest cell file; false where there is none. */
static bool oldest_cell(const char *folder, struct timespec *oldest)
{
    char path[PATH_BYTES];
    bool any = false;
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/cells", folder);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name);
        (void)snprintf(path, sizeof path, "%.2000s/cells/%.1000s", folder, e->d_name);
        if (n < 4 || e->d_name[0] == '.' || strcmp(e->d_name + n - 3, ".h5") != 0 || stat(path, &info) != 0)
            continue;
        if (!any || later(*oldest, info.st_mtim))
            *oldest = info.st_mtim;
        any = true;
    }
    if (d != NULL)
        (void)closedir(d);
    return any;
}

/* When the later of config.yaml and run.txt was written; false where one is missing or younger than the cell. */
static bool older_than(const char *folder, struct timespec cell, time_t *when)
{
    static const char *const names[] = {"config.yaml", "run.txt"};
    char path[PATH_BYTES];
    struct stat info;
    *when = 0;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (stat(path, &info) != 0 || later(info.st_mtim, cell))
            return false;
        *when = info.st_mtim.tv_sec > *when ? info.st_mtim.tv_sec : *when;
    }
    return true;
}

/* The plan of the configuration that the folder was begun with. */
static gyre_status plan_saved(const char *folder, gyre_config **config, gyre_plan **plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_run_saved saved = {0};
    GYRE_TRY(gyre_run_saved_read(folder, &saved, err));
    GYRE_TRY(gyre_config_read(saved.config_path, NULL, (const char *const *)saved.sets, saved.n_sets, config, NULL, err));
    GYRE_TRY(gyre_plan_make(*config, &(gyre_search){{saved.dirs[0], saved.dirs[1], saved.dirs[2]}}, plan, err));
done:
    gyre_run_saved_free(&saved);
    return st;
}

gyre_status gyre_register_old(const char *folder, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct timespec cell = {0, 0};
    time_t when = 0;
    gyre_error why = {0};
    gyre_config *config = NULL;
    gyre_plan *plan = NULL;
    if (gyre_plan_registered(folder) || !oldest_cell(folder, &cell))
        goto done;
    if (!older_than(folder, cell, &when)) {
        gyre_log_warning(log, "%s has cells that are older than its configuration, and no analysis.plan: all comparisons there are exploratory", folder);
        GYRE_TRY(gyre_plan_register_nothing(folder, err));
        goto done;
    }
    gyre_status planned = plan_saved(folder, &config, &plan, &why);
    if (planned == GYRE_OK) {
        GYRE_TRY(gyre_plan_register(folder, plan->table, when, err));
    } else if (planned == GYRE_E_MEMORY || planned == GYRE_E_INTERRUPTED) {
        *err = why;
        st = planned;
    } else { /* its data may be gone: that must not hinder what is run there now */
        gyre_log_warning(log, "what %s was begun with cannot be planned again (%s): all comparisons there are exploratory", folder, why.message);
        GYRE_TRY(gyre_plan_register_nothing(folder, err));
    }
done:
    gyre_plan_free(plan);
    gyre_config_free(config);
    return st;
}
