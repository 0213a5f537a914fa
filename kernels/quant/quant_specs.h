/* The quant family's specs, and the positions of their dimensions, dtypes, options and operands. */
#ifndef TFOPS_KERNELS_QUANT_SPECS_H
#define TFOPS_KERNELS_QUANT_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec quantize_spec, dequantize_spec;

/* Of both; dequantize has no QUANTIZE_ONE and no QUANTIZE_COUNT_DTYPE. */
enum { QUANT_ROWS, QUANT_HIDDEN, QUANT_SCALE_ROWS, QUANT_SCALE_COLS, QUANTIZE_ONE };
enum { QUANT_DTYPE, QUANT_OUT_DTYPE, QUANT_SCALE_DTYPE, QUANTIZE_COUNT_DTYPE };
enum { QUANT_GRANULARITY, QUANT_SCALE_MAJOR, QUANTIZE_OVERFLOW };
enum { QUANTIZE_MAX_RETRIES };
enum {
    QUANTIZE_X,
    QUANTIZE_STATIC_SCALE,
    QUANTIZE_OUT,
    QUANTIZE_SCALES,
    QUANTIZE_SATURATED,
    QUANTIZE_RETRIES,
};
enum { DEQUANTIZE_X, DEQUANTIZE_SCALES, DEQUANTIZE_OUT };

enum tfops_status quantize_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status dequantize_reference(void *user, const struct tfops_launch_args *launch);

#endif
