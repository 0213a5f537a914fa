/* The norm family's specs, and the positions of their operands, scalars and options. */
#ifndef TFOPS_KERNELS_NORM_SPECS_H
#define TFOPS_KERNELS_NORM_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec rmsnorm_spec, add_rmsnorm_spec;

enum { NORM_ROWS, NORM_HIDDEN };
enum { NORM_DTYPE, NORM_WEIGHT_DTYPE };
enum { NORM_WEIGHT_VARIANT, ADD_RMSNORM_RESIDUAL_ROUND };
enum { NORM_EPS };
enum { RMSNORM_X, RMSNORM_WEIGHT, RMSNORM_OUT };
enum {
    ADD_RMSNORM_X,
    ADD_RMSNORM_RESIDUAL,
    ADD_RMSNORM_WEIGHT,
    ADD_RMSNORM_OUT,
    ADD_RMSNORM_RESIDUAL_OUT,
};

/* The reference of both (rmsnorm_ref.c): fp64 sums on host memory. */
enum tfops_status rmsnorm_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status add_rmsnorm_reference(void *user, const struct tfops_launch_args *launch);

/* ---- layernorm (layernorm_spec.c): dims, dtypes, NORM_WEIGHT_VARIANT and NORM_EPS as above -------- */

extern const struct tfops_spec layernorm_spec, add_layernorm_spec;

enum { LAYERNORM_X, LAYERNORM_WEIGHT, LAYERNORM_BIAS, LAYERNORM_OUT };
enum {
    ADD_LAYERNORM_X,
    ADD_LAYERNORM_RESIDUAL,
    ADD_LAYERNORM_WEIGHT,
    ADD_LAYERNORM_BIAS,
    ADD_LAYERNORM_OUT,
    ADD_LAYERNORM_RESIDUAL_OUT,
};

enum tfops_status layernorm_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status add_layernorm_reference(void *user, const struct tfops_launch_args *launch);

/* ---- rmsnorm_quant (rmsnorm_quant_spec.c): NORM_ROWS, NORM_HIDDEN, NORM_EPS as above --------------- */

extern const struct tfops_spec rmsnorm_quant_spec, add_rmsnorm_quant_spec;

enum { NORM_QUANT_SCALE_ROWS = NORM_HIDDEN + 1, NORM_QUANT_SCALE_COLS };
enum { NORM_QUANT_OUT_DTYPE = NORM_WEIGHT_DTYPE + 1, NORM_QUANT_SCALE_DTYPE };
/* Beyond NORM_WEIGHT_VARIANT; the last is add_rmsnorm_quant's alone. */
enum {
    NORM_QUANT_GRANULARITY = NORM_WEIGHT_VARIANT + 1,
    NORM_QUANT_SCALE_MAJOR,
    ADD_RMSNORM_QUANT_RESIDUAL_ROUND,
};
enum { RMSNORM_QUANT_X, RMSNORM_QUANT_WEIGHT, RMSNORM_QUANT_OUT, RMSNORM_QUANT_SCALES };
enum {
    ADD_RMSNORM_QUANT_X,
    ADD_RMSNORM_QUANT_RESIDUAL,
    ADD_RMSNORM_QUANT_WEIGHT,
    ADD_RMSNORM_QUANT_OUT,
    ADD_RMSNORM_QUANT_SCALES,
    ADD_RMSNORM_QUANT_RESIDUAL_OUT,
};

enum tfops_status rmsnorm_quant_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status add_rmsnorm_quant_reference(void *user, const struct tfops_launch_args *launch);

#endif
