/* How far an element may be from its reference (struct tfops_tolerance), as every verifier has it. */
#ifndef TFOPS_TUNER_TOLERANCE_H
#define TFOPS_TUNER_TOLERANCE_H

#include <math.h>
#include <tfops/spec.h>

/* Of n elements whose squares sum up to ref_squares, beside rtol · |ref|. atol is for sums of large values:
 * where no values are `special`, one element is at most off by what the norm allows, sixteenfold, or by two
 * of the least steps of f16. */
static inline double tolerance_of_element(
    const struct tfops_tolerance *tolerance, bool special, double ref_squares, double n)
{
    enum { SPREAD = 16 };
    const double usual = SPREAD * tolerance->relative * sqrt(n > 0 ? ref_squares / n : 0);
    return special ? tolerance->atol : fmin(tolerance->atol, fmax(usual, 0x1p-23));
}

/* ‖out − ref‖ / ‖ref‖ of elements of which `largest` is the largest |ref|. Where values are special a few of them
 * hold the norm, and of fp8 one that is rounded the other way moves it by itself: two of those may be off as far as
 * rtol says. */
static inline double tolerance_of_norm(const struct tfops_tolerance *tolerance,
    enum tfops_dtype dtype, bool special, double largest, double ref_squares)
{
    if (!special || tfops_dtype_bytes(dtype) > 1 || ref_squares <= 0)
        return tolerance->relative;
    return fmax(tolerance->relative, 2 * tolerance->rtol * largest / sqrt(ref_squares));
}

#endif
