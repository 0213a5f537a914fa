/* The specs of the gated products as arithmetic: defaults in the space, tensor maps, tiles. */
#include "device.h"
#include "kernels/gemm/gated_mlp_params.h"
#include "kernels/gemm/gemm_config.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <string.h>
#include <tfops/plan.h>

static const struct tfops_spec *const SPECS[] = {&gated_mlp_spec, &fp8_gated_mlp_spec};
enum { N_SPECS = sizeof SPECS / sizeof SPECS[0] };

static struct tfops_problem make(
    const struct tfops_spec *spec, int64_t m, int64_t n, int64_t k, enum tfops_dtype out)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_K] = k;
    problem.dtypes[GEMM_OUT_DTYPE] = (uint8_t)out;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static struct tfops_device device_named(const char *arch)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal(arch, &device));
    return device;
}

static struct tfops_config default_of(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    struct tfops_config config;
    memset(&config, 0xff, sizeof config);
    problem->spec->default_config(problem->spec->user, problem, device, &config);
    return config;
}

Test(gated_mlp_spec, default_is_in_the_space)
{
    static const int64_t M[] = {1, 16, 64, 65, 200, 257, 4096};
    static const int64_t NK[][2] = {{1, 1}, {16, 16}, {77, 333}, {1000, 100}, {14336, 4096}};
    static const enum tfops_dtype OUTS[] = {TFOPS_F16, TFOPS_F32, TFOPS_E4M3};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = device_named(tfops_arch_name(arch));
        for (int s = 0; s < N_SPECS; s++)
            for (size_t i = 0; i < sizeof M / sizeof M[0] * (sizeof NK / sizeof NK[0]); i++) {
                const int64_t *nk = NK[i % (sizeof NK / sizeof NK[0])];
                const struct tfops_problem problem =
                    make(SPECS[s], M[i / (sizeof NK / sizeof NK[0])], nk[0], nk[1], OUTS[i % 3]);
                char reason[TFOPS_REASON_BYTES] = "", text[512];
                const struct tfops_config config = default_of(&problem, &device);
                tfops_config_format(problem.spec, &config, text, sizeof text);
                cr_assert(SPECS[s]->constraint(SPECS[s]->user, &problem, &device, &config, reason),
                    "%s: %s: %s", device.arch, text, reason);
            }
    }
}

/* Half of a tile's weight rows are gate's, so it has half as many outputs along n. */
Test(gated_mlp_spec, a_tile_has_half_as_many_outputs)
{
    const struct tfops_device hopper = device_named("sm_90a");
    for (int64_t m = 1; m <= 2048; m *= 2) {
        const struct tfops_problem problem = make(&gated_mlp_spec, m, 14336, 4096, TFOPS_F16);
        const struct tfops_config config = default_of(&problem, &hopper);
        const struct gemm_layout l = gemm_lay_out(&problem, &config);
        const int64_t *v = config.values;
        const bool swap = v[GEMM_SWAP];
        cr_expect_eq(v[GEMM_MAINLOOP], GEMM_WGMMA);
        cr_expect_eq(l.tile_rows, v[GEMM_BLOCK_M] / (swap ? 2 : 1));
        cr_expect_eq(l.tile_cols, v[GEMM_BLOCK_N] / (swap ? 1 : 2));
        cr_expect_geq(l.tile_rows * v[GEMM_CLUSTER_M] * l.down, swap ? 14336 : m);
        cr_expect_geq(l.tile_cols * v[GEMM_CLUSTER_N] * l.across, swap ? m : 14336);
    }
}

/* Measured with ptxas 13.0: what joins 16-bit pairs fits beside 192 sums. fp8 ones keep the bound of 160. */
Test(gated_mlp_spec, wide_pairs_take_turns_where_they_fit)
{
    const struct tfops_device hopper = device_named("sm_90a");
    const struct tfops_config config = {.values = {[GEMM_MAINLOOP] = GEMM_WGMMA,
                                            [GEMM_BLOCK_M] = 128,
                                            [GEMM_BLOCK_N] = 192,
                                            [GEMM_STAGES] = 5,
                                            [GEMM_DEPTH] = 1,
                                            [GEMM_CONSUMERS] = 2,
                                            [GEMM_PINGPONG] = 1,
                                            [GEMM_CLUSTER_M] = 1,
                                            [GEMM_CLUSTER_N] = 1,
                                            [GEMM_SPLIT_K] = 1,
                                            [GEMM_GROUP] = 8}};
    char reason[TFOPS_REASON_BYTES] = "";
    struct tfops_problem problem = make(&gated_mlp_spec, 8192, 14336, 4096, TFOPS_F16);
    struct gemm_layout layout = gemm_lay_out(&problem, &config);
    cr_expect(gemm_possible(&problem, &hopper, &config, &layout, reason), "%s", reason);
    problem = make(&fp8_gated_mlp_spec, 8192, 14336, 4096, TFOPS_F16);
    problem.options[GEMM_FAST_ACCUM] = 1;
    layout = gemm_lay_out(&problem, &config);
    cr_expect(!gemm_possible(&problem, &hopper, &config, &layout, reason));
    cr_expect(strstr(reason, "pair"), "expected a reason that names it, got '%s'", reason);
}

/* Parameters and maps of a launch; the maps' number. */
static size_t launch_of(const struct tfops_problem *problem, const struct tfops_config *config,
    struct gated_mlp_params *params, struct tfops_tensor_map *ret_maps)
{
    static char memory[8];
    const int64_t k = problem->dims[GEMM_K], n = problem->dims[GEMM_N];
    const struct tfops_view operands[TFOPS_MAX_OPERANDS] = {[GATED_MLP_X] = {memory, {k + 16, 1}},
        [GATED_MLP_GATE_WEIGHT] = {memory + 1, {k + 32, 1}},
        [GATED_MLP_UP_WEIGHT] = {memory + 2, {k + 48, 1}},
        [GATED_MLP_OUT] = {memory + 3, {n + 8, 1}},
        [GATED_MLP_OUT_SCALE] = {memory + 4, {1}},
        [GATED_MLP_X_SCALE] = {memory + 5, {1}},
        [GATED_MLP_GATE_SCALE] = {memory + 6, {1}},
        [GATED_MLP_UP_SCALE] = {memory + 7, {1}}};
    const struct tfops_launch_args launch = {
        .problem = problem, .config = config, .operands = operands};
    problem->spec->pack(problem->spec->user, &launch, params);
    return problem->spec->tensor_maps(problem->spec->user, &launch, ret_maps);
}

Test(gated_mlp_spec, maps_describe_both_weights)
{
    const struct tfops_device hopper = device_named("sm_90a");
    static const int OPERANDS[] = {
        GATED_MLP_X, GATED_MLP_GATE_WEIGHT, GATED_MLP_UP_WEIGHT, GATED_MLP_OUT};
    for (int64_t m = 1; m <= 4096; m *= 8) {
        const struct tfops_problem problem = make(&fp8_gated_mlp_spec, m, 4096, 2048, TFOPS_BF16);
        const struct tfops_config config = default_of(&problem, &hopper);
        struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
        struct gated_mlp_params params;
        cr_assert_eq(launch_of(&problem, &config, &params, maps), 4);
        for (int i = 0; i < 4; i++) {
            cr_expect_eq(maps[i].operand, OPERANDS[i]);
            cr_expect_eq(maps[i].param_offset % 64, 0);
            cr_expect_eq(maps[i].dims[1], i % 3 ? 4096 : (uint64_t)m);
            cr_expect_leq(maps[i].box[1], 256);
        }
        cr_expect_eq(maps[1].strides_bytes[0], 2048 + 32);
        cr_expect_eq(maps[2].strides_bytes[0], 2048 + 48);
        cr_expect_eq(maps[1].box[1], maps[2].box[1]);
    }
}

Test(gated_mlp_spec, parameters_name_every_operand)
{
    const struct tfops_device hopper = device_named("sm_90a");
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    struct gated_mlp_params params;
    struct tfops_problem problem = make(&fp8_gated_mlp_spec, 3, 16, 32, TFOPS_E4M3);
    problem.options[0] = GATED_MLP_BY_GELU_TANH;
    problem.options[3] = GATED_MLP_UP;
    const struct tfops_config config = default_of(&problem, &hopper);
    launch_of(&problem, &config, &params, maps);
    const char *first = params.gemm.x;
    cr_expect_eq((const char *)params.gemm.weight - first, GATED_MLP_GATE_WEIGHT);
    cr_expect_eq((const char *)params.up - first, GATED_MLP_UP_WEIGHT);
    cr_expect_eq((const char *)params.gemm.out - first, GATED_MLP_OUT);
    cr_expect_eq((const char *)params.out_scale - first, GATED_MLP_OUT_SCALE);
    cr_expect_eq((const char *)params.gemm.x_scale - first, GATED_MLP_X_SCALE);
    cr_expect_eq((const char *)params.gemm.weight_scale - first, GATED_MLP_GATE_SCALE);
    cr_expect_eq((const char *)params.up_scale - first, GATED_MLP_UP_SCALE);
    cr_expect_eq(params.act, GATED_MLP_BY_GELU_TANH);
    cr_expect_eq(params.activates, GATED_MLP_UP);
    cr_expect_eq(params.gemm.bias, NULL);
    cr_expect_eq(params.gemm.residual, NULL);
}

Test(gated_mlp_spec, both_weights_are_read)
{
    struct tfops_cost cost;
    const struct tfops_problem problem = make(&gated_mlp_spec, 64, 1000, 100, TFOPS_F16);
    gated_mlp_spec.cost(gated_mlp_spec.user, &problem, &cost);
    cr_expect_eq(cost.bytes_read, 2 * (64 + 2 * 1000) * 100);
    cr_expect_eq(cost.bytes_written, 2 * 64 * 1000);
    cr_expect_eq(cost.flops, 2ull * 2 * 64 * 1000 * 100);
}
