/*
 * A small operator whose tables a test may change: one of everything a spec can have, a rank-3
 * output, an optional input and an optional output that may be its input. Header only.
 */
#ifndef TFOPS_TESTS_TOY_SPEC_H
#define TFOPS_TESTS_TOY_SPEC_H

#include <stdio.h>
#include <string.h>
#include <tfops/spec.h>

enum { TOY_M, TOY_N, TOY_K };
enum { TOY_X, TOY_Y, TOY_EXTRA, TOY_Z };
enum { TOY_THREADS, TOY_UNROLL };

struct toy_params {
    void *x, *y;
    long long m;
    double alpha;
};

struct toy {
    struct tfops_spec spec;
    struct tfops_dim_spec dims[9];
    struct tfops_dtype_spec dtypes[2];
    const char *modes[3], *flavours[2];
    struct tfops_option_spec options[2];
    struct tfops_scalar_spec scalars[2];
    struct tfops_operand_spec operands[4];
    int64_t threads[2], unrolls[3];
    struct tfops_tunable_spec tunables[2];
    struct tfops_constant_spec constants[1];
};

#define TOY_SOURCE                                                                                 \
    "#include \"device/core.cuh\"\n"                                                               \
    "#include \"device/num.cuh\"\n"                                                                \
    "#include \"device/thread.cuh\"\n"                                                             \
    "struct toy_params { void *x, *y; long long m; double alpha; };\n"                             \
    "template <class C> TF_DEV void toy(const toy_params &p)\n"                                    \
    "{ static_cast<int *>(p.y)[thread_index()] = C::UNROLL + C::N; }\n"                            \
    "template <class C> TF_DEV void toy_any(const toy_params &p)\n"                                \
    "{ static_cast<int *>(p.y)[thread_index()] = C::THREADS; }\n"

static inline bool toy_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)problem, (void)device;
    if (config->values[TOY_THREADS] == 64 && config->values[TOY_UNROLL] == 4) {
        snprintf(reason, TFOPS_REASON_BYTES, "four by 64 is not in the space");
        return false;
    }
    return true;
}

static inline void toy_default(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user, (void)device;
    *ret_config = (struct tfops_config){
        .values = {[TOY_THREADS] = 128, [TOY_UNROLL] = problem->dims[TOY_M] > 64 ? 2 : 1}};
}

static inline void toy_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user, (void)device;
    *ret_geometry = (struct tfops_geometry){
        .threads = config->generic ? 32 : (uint32_t)config->values[TOY_THREADS],
        .min_blocks = 1,
        .cluster = 1,
        .grid = {(uint32_t)problem->dims[TOY_M], 1, 1}};
}

static inline void toy_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct toy_params *params = (struct toy_params *)ret_params;
    params->x = launch->operands[TOY_X].data;
    params->y = launch->operands[TOY_Y].data;
    params->m = launch->problem->dims[TOY_M];
    params->alpha = launch->scalars[0];
}

static inline void toy_cost(
    void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user, (void)problem;
    *ret_cost = (struct tfops_cost){1, 1, 1};
}

static inline void toy_tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)problem, (void)operand;
    *ret_tolerance = (struct tfops_tolerance){1e-3, 1e-3, 1e-3};
}

static inline enum tfops_status toy_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    if (launch->problem->dims[TOY_M])
        *(char *)launch->operands[TOY_Y].data = 1;
    return TFOPS_OK;
}

#define TOY_FLOATS (1u << TFOPS_F16 | 1u << TFOPS_BF16 | 1u << TFOPS_F32)

/* Fills *toy, whose spec points into it. */
static inline void toy_init(struct toy *toy)
{
    *toy = (struct toy){
        .dims = {[TOY_M] = {"m", TFOPS_DIM_DYNAMIC, 0, 1ll << 40, "rows"},
            [TOY_N] = {"n", 0, 1, 1ll << 40, "columns"},
            [TOY_K] = {"k", 0, 1, 64, "depth"}},
        .dtypes = {{"dtype", TOY_FLOATS, "of x"},
            {"out_dtype", 1u << TFOPS_F32 | 1u << TFOPS_F16, "of y"}},
        .modes = {"first", "second", "third"},
        .flavours = {"sweet", "sour"},
        .scalars = {{"alpha", 0.5, -1, 1, NULL}, {"beta", 2, 0, 10, "a number"}},
        .operands = {[TOY_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, 0, 2, {TOY_M, TOY_N}, 0, NULL},
            [TOY_Y] = {"y", TFOPS_OUT, 0, 1, 3, {TOY_M, TOY_N, TOY_K}, 0, NULL},
            [TOY_EXTRA] = {"extra", TFOPS_IN, TFOPS_OPERAND_OPTIONAL, 0, 1, {TOY_N}, 0, NULL},
            [TOY_Z] = {"z", TFOPS_OUT, TFOPS_OPERAND_OPTIONAL, 0, 2, {TOY_M, TOY_N}, 1u << TOY_X,
                NULL}},
        .threads = {64, 128},
        .unrolls = {1, 2, 4},
        .constants = {{"SEVEN", 7}},
    };
    toy->options[0] = (struct tfops_option_spec){"mode", toy->modes, 3, "how"};
    toy->options[1] = (struct tfops_option_spec){"flavour", toy->flavours, 2, NULL};
    toy->tunables[TOY_THREADS] = (struct tfops_tunable_spec){"THREADS", toy->threads, 2, NULL};
    toy->tunables[TOY_UNROLL] = (struct tfops_tunable_spec){"UNROLL", toy->unrolls, 3, "steps"};
    toy->spec = (struct tfops_spec){
        .size = sizeof toy->spec,
        .abi = TFOPS_SPEC_ABI,
        .version = 1,
        .name = "toy",
        .summary = "an operator of the tests",
        .dims = toy->dims,
        .n_dims = 3,
        .dtypes = toy->dtypes,
        .n_dtypes = 2,
        .options = toy->options,
        .n_options = 2,
        .scalars = toy->scalars,
        .n_scalars = 2,
        .operands = toy->operands,
        .n_operands = 4,
        .tunables = toy->tunables,
        .n_tunables = 2,
        .constants = toy->constants,
        .n_constants = 1,
        .template_path = "toy.cu",
        .source = TOY_SOURCE,
        .body = "toy",
        .generic_body = "toy_any",
        .params_type = "toy_params",
        .param_bytes = sizeof(struct toy_params),
        .constraint = toy_constraint,
        .default_config = toy_default,
        .geometry = toy_geometry,
        .pack = toy_pack,
        .cost = toy_cost,
        .tolerance = toy_tolerance,
        .reference = toy_reference,
    };
}

#endif
