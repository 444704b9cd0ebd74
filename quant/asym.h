/* How asym codes a group with a stored minimum, for the variants that code blocks with its grid. */
#ifndef GYRE_QUANT_ASYM_H
#define GYRE_QUANT_ASYM_H

#include "quant/grouped.h"

extern const gyre_grouped_way gyre_asym_minimum;

#endif
