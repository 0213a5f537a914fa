/* The matrix family's specs, and the positions of their dimensions (linear: the first three), dtypes, options and operands. */
#ifndef TFOPS_KERNELS_GEMM_SPECS_H
#define TFOPS_KERNELS_GEMM_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec linear_spec, fp8_gemm_spec, gated_mlp_spec, fp8_gated_mlp_spec,
    rmsnorm_linear_spec, rmsnorm_linears_spec, linear_add_rmsnorm_spec;

enum {
    GEMM_M,
    GEMM_N,
    GEMM_K,
    GEMM_X_SCALE_ROWS,
    GEMM_X_SCALE_COLS,
    GEMM_WEIGHT_SCALE_ROWS,
    GEMM_WEIGHT_SCALE_COLS,
};
/* rmsnorm_linears: behind K, 0 where there is no third weight. */
enum { GEMM_N2 = GEMM_K + 1, GEMM_N3 };
/* linear has the first two: its weight is of dtype. */
enum { GEMM_DTYPE, GEMM_OUT_DTYPE, GEMM_WEIGHT_DTYPE, GEMM_SCALE_DTYPE };
/* linear and rmsnorm_linear: the first, and then (rmsnorm_linears: nothing else) */
enum { GEMM_WEIGHTS = 1 };
/* linear */
enum { LINEAR_WORKSPACE = GEMM_WEIGHTS + 1 };
/* fp8_gemm. */
enum { GEMM_ACTIVATION, GEMM_FAST_ACCUM, GEMM_SCALING, GEMM_SCALE_MAJOR, FP8_GEMM_WORKSPACE };
/* linear: the first five. */
enum {
    GEMM_X,
    GEMM_WEIGHT,
    GEMM_BIAS,
    GEMM_RESIDUAL,
    GEMM_OUT,
    GEMM_X_SCALE,
    GEMM_WEIGHT_SCALE,
};

/* gated_mlp: the first five. Options: act first, activates and workspace last, between them those of
 * fp8_gemm. */
enum {
    GATED_MLP_X,
    GATED_MLP_GATE_WEIGHT,
    GATED_MLP_UP_WEIGHT,
    GATED_MLP_OUT,
    GATED_MLP_OUT_SCALE,
    GATED_MLP_X_SCALE,
    GATED_MLP_GATE_SCALE,
    GATED_MLP_UP_SCALE,
};
enum { GATED_MLP_ACTIVATES = 1, GATED_MLP_WORKSPACE };
enum { FP8_GATED_MLP_ACTIVATES = GEMM_SCALING + 1, FP8_GATED_MLP_WORKSPACE };

/* rmsnorm_linear: the operands of linear, then */
enum { RMSNORM_LINEAR_NORM_WEIGHT = GEMM_OUT + 1 };
enum { RMSNORM_LINEAR_EPS };

/* linear_add_rmsnorm: the operands of linear, of which out is the normalised one, then */
enum {
    LINEAR_ADD_RMSNORM_NORM_WEIGHT = GEMM_OUT + 1,
    LINEAR_ADD_RMSNORM_RESIDUAL_OUT,
};
enum { LINEAR_ADD_RMSNORM_WEIGHT_VARIANT, LINEAR_ADD_RMSNORM_WORKSPACE };
enum { LINEAR_ADD_RMSNORM_EPS };

/* rmsnorm_linears: x, norm_weight, then of each weight i from 0 on */
enum { LINEARS_NORM_WEIGHT = 1 };
#define LINEARS_WEIGHT(i) (2 + 3 * (i))
#define LINEARS_BIAS(i) (3 + 3 * (i))
#define LINEARS_OUT(i) (4 + 3 * (i))

/* What tells operators apart that share callbacks: a spec's user. */
struct gemm_kind {
    bool paired;     /* two weights, whose products are joined */
    bool normed;     /* rows of x are normalised */
    bool parted;     /* two or three weights, each with an output */
    bool lasting;    /* its option GEMM_WEIGHTS says whether the weight is constant */
    bool scaled;     /* fp8: with scales, and a dtype of the weight */
    bool add_normed; /* rows of the output are normalised */
    int workspace;   /* the option that says whether the caller has one; 0: none is used */
    int given;       /* the value of it that says yes */
};

static inline bool gemm_paired(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->paired;
}

static inline bool gemm_normed(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->normed;
}

static inline bool gemm_add_normed(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->add_normed;
}

static inline bool gemm_has_workspace(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->workspace && problem->options[kind->workspace] == kind->given;
}

/* Whether several blocks may leave parts of a sum in the workspace. */
static inline bool gemm_cuts_sums(const struct tfops_problem *problem)
{
    return gemm_has_workspace(problem) && !gemm_normed(problem) && !gemm_add_normed(problem);
}

static inline bool gemm_parted(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->parted;
}

/* Whether no earlier kernel of the stream may still be writing the weight. */
static inline bool gemm_constant(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->lasting && problem->options[gemm_parted(problem) ? 0 : GEMM_WEIGHTS];
}

/* Rows of all weights. */
static inline int64_t gemm_weight_rows(const struct tfops_problem *problem)
{
    const int64_t *dims = problem->dims;
    if (gemm_parted(problem))
        return dims[GEMM_N] + dims[GEMM_N2] + dims[GEMM_N3];
    return dims[GEMM_N] * (gemm_paired(problem) ? 2 : 1);
}

/* The references (gemm_ref.c, gated_mlp_ref.c, rmsnorm_linear_ref.c, linear_add_rmsnorm_ref.c): fp64 sums on host memory. */
enum tfops_status gemm_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status gated_mlp_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status rmsnorm_linear_reference(void *user, const struct tfops_launch_args *launch);
enum tfops_status linear_add_rmsnorm_reference(void *user, const struct tfops_launch_args *launch);
/* Which of a pair is activated: a value of gated_mlp_params.h's activates. */
int gated_mlp_activates(const struct tfops_problem *problem);
/* A value of gemm_params.h's activation. */
double gemm_ref_activate(int activation, double x);

/* Which factors the operands have: a value of gemm_params.h's scaling. */
int gemm_scaling(const struct tfops_problem *problem);
enum tfops_dtype gemm_weight_dtype(const struct tfops_problem *problem);

#endif
