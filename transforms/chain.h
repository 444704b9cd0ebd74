/* Chains: transforms one after another, themselves a transform.
 *
 * A spec is what a configuration says, in canonical form: aliases expanded (srft = signs, rfft), identity removed, so `[]` and `[identity]` are the
 * same chain. Frames are checked when the spec is made (gyre_chain_check), not when rows arrive.
 */
#ifndef GYRE_TRANSFORMS_CHAIN_H
#define GYRE_TRANSFORMS_CHAIN_H

#include "transforms/transform.h"

enum { GYRE_CHAIN_MOST = 16, GYRE_CHAIN_TEXT = 4096 };

typedef struct gyre_chain_spec {
    size_t count;
    struct {
        const gyre_transform_type *type;
        gyre_option_values options;
    } elements[GYRE_CHAIN_MOST];
} gyre_chain_spec;

/* Appends a variant with its options, or an alias (options NULL); identity adds nothing. GYRE_E_CONFIG when the chain is full. */
gyre_status gyre_chain_add(gyre_chain_spec *spec, const gyre_transform_type *type, const void *options, gyre_error *err);
gyre_status gyre_chain_add_alias(gyre_chain_spec *spec, const gyre_chain_alias *alias, gyre_error *err);

/* False with the reason when frames do not fit for this stream: "unrope needs keys after RoPE, but the row is mixed after hadamard". */
bool gyre_chain_check(const gyre_chain_spec *spec, gyre_stream stream, char why[GYRE_WHY]);

/* False with the reason where an element does not apply to the site. */
bool gyre_chain_applies(const gyre_chain_spec *spec, const gyre_site *site, char why[GYRE_WHY]);

/* Traits of the whole: flags and needs of all elements (LINEAR, ORTHOGONAL and DIAGONAL only when all are). */
gyre_traits gyre_chain_traits(const gyre_chain_spec *spec);

/* "[unrope,centre(by=bias,per=head),signs(per=layer),hadamard(form=sylvester)]". */
void gyre_chain_canonical(const gyre_chain_spec *spec, char *text, size_t size);

/* Builds the chain as one transform. Errors as gyre_transform_new, naming the element. */
gyre_status gyre_chain_new(const gyre_chain_spec *spec, const gyre_site *site, gyre_transform **out, gyre_error *err);

/* Elements of a built chain, in order; for calibration, which fits each on what the ones before it give. */
size_t gyre_chain_count(const gyre_transform *chain);
gyre_transform *gyre_chain_element(gyre_transform *chain, size_t index);

#endif
