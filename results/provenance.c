#define _POSIX_C_SOURCE 200809L
#include "results/provenance.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fftw3.h>
#include <gsl/gsl_version.h>
#include <hdf5.h>
#include <openssl/crypto.h>
#include <yaml.h>

#include "build_info.h"

/* Declared here because the header that does, OpenBLAS's own cblas.h, is one of several that a system may put in its place. */
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);

static void set(gyre_provenance_text out, const char *text)
{
    (void)snprintf(out, sizeof(gyre_provenance_text), "%s", text);
    for (size_t n = strlen(out); n > 0 && (out[n - 1] == ' ' || out[n - 1] == '\n'); n--)
        out[n - 1] = '\0';
}

static void build_facts(gyre_provenance *p)
{
    set(p->version, GYRE_VERSION);
    set(p->git_commit, GYRE_BUILD_COMMIT);
    p->git_dirty = GYRE_BUILD_DIRTY != 0;
    set(p->compiler, GYRE_BUILD_COMPILER);
    set(p->compiler_flags, GYRE_BUILD_FLAGS);
    set(p->value_code, GYRE_VALUE_CODE);
    (void)snprintf(p->build_id, sizeof p->build_id, "%s (%s%s)", GYRE_VERSION, GYRE_BUILD_COMMIT, p->git_dirty ? ", dirty" : "");
}

/* The first "model name" of /proc/cpuinfo; machines without one give their architecture. */
static void cpu_model(gyre_provenance_text out, const char *machine)
{
    char line[sizeof(gyre_provenance_text)];
    set(out, machine);
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            set(out, colon + 1 + strspn(colon + 1, " "));
            break;
        }
    }
    (void)fclose(f);
}

static gyre_status machine(gyre_provenance *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct utsname u;
    if (uname(&u) < 0)
        GYRE_FAIL(GYRE_E_IO, "the system does not say what it is");
    set(p->host, u.nodename);
    (void)snprintf(p->os, sizeof p->os, "%s %s %s", u.sysname, u.release, u.machine);
    cpu_model(p->cpu, u.machine);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    p->cpu_threads = n > 0 ? (uint32_t)n : 0;
done:
    return st;
}

static gyre_status libraries(gyre_provenance *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned major = 0, minor = 0, release = 0;
    if (H5get_libversion(&major, &minor, &release) < 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "HDF5 does not tell its version");
    (void)snprintf(p->hdf5, sizeof p->hdf5, "%u.%u.%u (header %d.%d.%d)", major, minor, release, H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
    (void)snprintf(p->fftw, sizeof p->fftw, "%s, %s", fftw_version, fftwf_version);
    (void)snprintf(p->openblas, sizeof p->openblas, "%.255s; core %.64s", openblas_get_config(), openblas_get_corename());
    (void)snprintf(p->gsl, sizeof p->gsl, "%s (header %s)", gsl_version, GSL_VERSION);
    set(p->libyaml, yaml_get_version_string());
    (void)snprintf(p->openssl, sizeof p->openssl, "%s (header %s)", OpenSSL_version(OPENSSL_VERSION), OPENSSL_VERSION_TEXT);
done:
    return st;
}

gyre_status gyre_provenance_gather(const char *kernels, uint32_t threads, gyre_provenance *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_provenance){ .threads = threads };
    set(out->kernels, kernels);
    build_facts(out);
    GYRE_TRY(machine(out, err));
    GYRE_TRY(libraries(out, err));
done:
    return st;
}
