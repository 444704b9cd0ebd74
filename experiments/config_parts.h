/* What the parts of the configuration reader share: config.c (whole, comparisons), config_source.c, config_arms.c, config_fit.c, config_grid.c, config_claim.c. */
#ifndef GYRE_EXPERIMENTS_CONFIG_PARTS_H
#define GYRE_EXPERIMENTS_CONFIG_PARTS_H

#include "experiments/config.h"

enum { GYRE_CONFIG_PATH = 256, GYRE_CONFIG_NAMES = 128 };

/* One item, or every item of a list; a fault when there are more than `most`. */
size_t gyre_config_items(const gyre_yaml_node *node);
const gyre_yaml_node *gyre_config_item(const gyre_yaml_node *node, size_t i);
bool gyre_config_fits(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, size_t count, size_t most);

/* The fault "unknown KIND 'name' (did you mean ...?): one of {...}". */
void gyre_config_unknown(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *kind, const char *name, const char *const *names);

/* A name of letters, digits, - and _, at most 60; a fault otherwise. */
bool gyre_config_name(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *what);

/* "name" or {name: {options}}; false with a fault otherwise. */
bool gyre_config_named(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char **name, const gyre_yaml_node **name_node, const gyre_yaml_node **options);

/* Parts of a codec. */
void gyre_config_read_chain(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_chain_spec *chain);
void gyre_config_read_quantizer(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_codec_spec *codec);

/* Fits (config_fit.c): a block over the defaults that *fit holds, an objective alone, where the parameters of another run are. */
void gyre_config_read_fit(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fit_spec *fit);
void gyre_config_read_objective(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fit_spec *fit);
void gyre_config_read_fitted(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fitted_from *fitted);

/* Every point of every arm against what it fits, one fault a codec. */
void gyre_config_check_fits(gyre_config *c, const gyre_yaml_node *root);

/* `source`, and the layers of arms, once all arms are known (config_source.c). */
gyre_status gyre_config_read_source(gyre_config *c, const gyre_yaml_node *root, gyre_error *err);
void gyre_config_read_layers(gyre_config *c, const gyre_yaml_node *root);

/* Every point of every arm whose K and V one codec codes: window and sink have to be the same; one fault an arm. */
void gyre_config_check_windows(gyre_config *c, const gyre_yaml_node *root);

/* What a comparison says beside arms, metric and margin, and `claim` and `pilot` (config_claim.c). Points are known by then. */
void gyre_config_read_judging(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_compare_spec *s);
void gyre_config_read_claim(gyre_config *c, const gyre_yaml_node *root);

gyre_status gyre_config_read_arms(gyre_config *c, const gyre_yaml_node *root, gyre_error *err);
const gyre_arm *gyre_config_arm(const gyre_config *c, const char *name);

gyre_status gyre_config_read_grid(gyre_config *c, const gyre_yaml_node *root, gyre_error *err);

/* Appends all points of all arms: grid values that act on them, first axis slowest. A fault for an axis that acts nowhere. */
gyre_status gyre_config_expand(gyre_config *c, const gyre_yaml_node *root, gyre_error *err);

#endif
