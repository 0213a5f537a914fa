/* How a weight enters, in the CPU references of all RMS norms. */
#ifndef TFOPS_KERNELS_NORM_REF_H
#define TFOPS_KERNELS_NORM_REF_H

#include "base/half.h"

/* `variant` indexes weight_variant: plain, one_plus, round_before (to `dtype`, that of x). */
static inline double norm_weighted(
    enum tfops_dtype dtype, int variant, double normed, double weight)
{
    switch (variant) {
    case 1:
        return normed * (1 + weight);
    case 2:
        return half_round(dtype, normed) * weight;
    default:
        return normed * weight;
    }
}

#endif
