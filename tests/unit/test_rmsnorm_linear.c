/* rmsnorm_linear: its reference on small rows whose results are known, and its spec as arithmetic. */
#include "device.h"
#include "kernels/gemm/gemm_config.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "kernels/gemm/rmsnorm_linears_params.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <tfops/tfops.h>

enum { M = 2, N = 3, K = 4 };

/* x[m][k] = m + k + 1, weight[n][k] = n - k, norm_weight[k] = k / 2: exact in every format. */
static uint8_t x[2 * M * K], weight[2 * N * K], norm_weight[2 * K];
static float bias[N] = {10, 20, 30}, residual[M * N] = {1, 2, 3, 4, 5, 6}, out[M * N];

struct call {
    bool with_norm_weight, with_bias, with_residual;
    int activation;
    double eps;
};

static double expected(const struct call *call, int m, int n)
{
    double sum = 0, squares = 0;
    for (int k = 0; k < K; k++) {
        sum += (m + k + 1) * (n - k) * (call->with_norm_weight ? k / 2.0 : 1);
        squares += (m + k + 1) * (m + k + 1);
    }
    double value = sum / sqrt(squares / K + call->eps);
    value += call->with_bias ? (double)bias[n] : 0;
    value = call->activation == GEMM_RELU ? fmax(value, 0) : value;
    return value + (call->with_residual ? (double)residual[m * N + n] : 0);
}

static void check(const struct call *call, enum tfops_dtype dtype)
{
    const int64_t x_shape[] = {M, K}, weight_shape[] = {N, K}, out_shape[] = {M, N};
    const int64_t k_shape[] = {K}, n_shape[] = {N};
    struct tfops_tensor tensors[] = {[GEMM_X] = tfops_tensor_contiguous(x, dtype, 2, x_shape),
        [GEMM_WEIGHT] = tfops_tensor_contiguous(weight, dtype, 2, weight_shape),
        [GEMM_BIAS] = tfops_tensor_contiguous(bias, TFOPS_F32, 1, n_shape),
        [GEMM_RESIDUAL] = tfops_tensor_contiguous(residual, TFOPS_F32, 2, out_shape),
        [GEMM_OUT] = tfops_tensor_contiguous(out, TFOPS_F32, 2, out_shape),
        [RMSNORM_LINEAR_NORM_WEIGHT] = tfops_tensor_contiguous(norm_weight, dtype, 1, k_shape)};
    struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    struct tfops_args args = {.size = sizeof args,
        .operands = {[GEMM_X] = &tensors[GEMM_X],
            [GEMM_WEIGHT] = &tensors[GEMM_WEIGHT],
            [GEMM_OUT] = &tensors[GEMM_OUT]}};
    struct tfops_engine *engine;
    args.operands[GEMM_BIAS] = call->with_bias ? &tensors[GEMM_BIAS] : NULL;
    args.operands[GEMM_RESIDUAL] = call->with_residual ? &tensors[GEMM_RESIDUAL] : NULL;
    args.operands[RMSNORM_LINEAR_NORM_WEIGHT] =
        call->with_norm_weight ? &tensors[RMSNORM_LINEAR_NORM_WEIGHT] : NULL;
    args.options[GEMM_ACTIVATION] = (uint8_t)call->activation;
    args.n_scalars = 1;
    args.scalars[RMSNORM_LINEAR_EPS] = call->eps;
    for (int64_t k = 0; k < K; k++) {
        host_store(norm_weight, dtype, k, (float)k / 2);
        for (int64_t m = 0; m < M; m++)
            host_store(x, dtype, m * K + k, (float)(m + k + 1));
        for (int64_t n = 0; n < N; n++)
            host_store(weight, dtype, n * K + k, (float)(n - k));
    }
    EXPECT_OK(tfops_engine_open(&options, &engine));
    EXPECT_OK(tfops_launch(engine, tfops_engine_operator(engine, "rmsnorm_linear"), &args, NULL));
    tfops_engine_close(engine);
    for (int i = 0; i < M * N; i++) {
        const double want = expected(call, i / N, i % N);
        cr_expect_float_eq((double)out[i], want, 1e-6 * (1 + fabs(want)), "%d: %g, not %g", i,
            (double)out[i], want);
    }
}

Test(rmsnorm_linear, rows_are_normalised_and_weighted)
{
    check(&(struct call){.with_norm_weight = true, .eps = 1e-6}, TFOPS_F16);
    check(&(struct call){.with_norm_weight = true, .eps = 2}, TFOPS_BF16);
}

Test(rmsnorm_linear, no_norm_weight_is_one_of_ones)
{
    check(&(struct call){.eps = 0.5}, TFOPS_F16);
}

Test(rmsnorm_linear, bias_activation_and_residual_follow)
{
    check(&(struct call){true, true, true, GEMM_RELU, 1e-5}, TFOPS_BF16);
}

static struct tfops_problem make(int64_t m, int64_t n, int64_t k, bool with_norm_weight)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(&rmsnorm_linear_spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_K] = k;
    problem.present |= (uint32_t)with_norm_weight << RMSNORM_LINEAR_NORM_WEIGHT;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

Test(rmsnorm_linear, default_is_in_the_space)
{
    static const int64_t M_VALUES[] = {1, 16, 64, 65, 129, 257, 4096};
    static const int64_t NK[][2] = {{1, 1}, {16, 16}, {77, 333}, {18944, 3584}, {64, 65536}};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        struct tfops_device device;
        EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
        for (size_t i = 0; i < sizeof M_VALUES / sizeof M_VALUES[0] * 5; i++) {
            const struct tfops_problem problem =
                make(M_VALUES[i / 5], NK[i % 5][0], NK[i % 5][1], i % 2);
            const struct tfops_spec *spec = &rmsnorm_linear_spec;
            char reason[TFOPS_REASON_BYTES] = "", text[512];
            struct tfops_config config;
            memset(&config, 0xff, sizeof config);
            spec->default_config(spec->user, &problem, &device, &config);
            tfops_config_format(spec, &config, text, sizeof text);
            cr_assert(spec->constraint(spec->user, &problem, &device, &config, reason),
                "%s: %s: %s", device.arch, text, reason);
            cr_assert(config.values[GEMM_MAINLOOP] != GEMM_WGMMA || !config.values[GEMM_SWAP] ||
                          config.values[GEMM_BLOCK_N] <= 128,
                "%s: more rows than are normalised", text);
        }
    }
}

Test(rmsnorm_linear, parameters_are_those_of_linear_and_its_own)
{
    static char memory[8];
    const struct tfops_problem problem = make(3, 16, 32, true);
    const struct tfops_view operands[TFOPS_MAX_OPERANDS] = {[GEMM_X] = {memory, {40, 1}},
        [GEMM_WEIGHT] = {memory + 1, {48, 1}},
        [GEMM_OUT] = {memory + 2, {56, 1}},
        [RMSNORM_LINEAR_NORM_WEIGHT] = {memory + 3, {1}}};
    const double scalars[] = {[RMSNORM_LINEAR_EPS] = 0.25};
    const struct tfops_config config = {.generic = true};
    const struct tfops_launch_args launch = {
        .problem = &problem, .config = &config, .operands = operands, .scalars = scalars};
    struct rmsnorm_linear_params params;
    rmsnorm_linear_spec.pack(rmsnorm_linear_spec.user, &launch, &params);
    cr_expect_eq(params.gemm.x, memory);
    cr_expect_eq(params.gemm.weight, memory + 1);
    cr_expect_eq(params.gemm.out, memory + 2);
    cr_expect_eq(params.norm_weight, memory + 3);
    cr_expect_eq(params.gemm.weight_stride, 48);
    cr_expect_eq(params.gemm.scaling, GEMM_UNSCALED);
    cr_expect_eq(params.eps, 0.25f);
}

/* ---- tensor maps ------------------------------------------------------------------------------- */

/* Of a launch with all operands, as its default config has them. */
static size_t maps_of(const struct tfops_problem *problem, struct tfops_tensor_map *ret_maps)
{
    static char memory[64];
    const struct tfops_spec *spec = problem->spec;
    struct tfops_view operands[TFOPS_MAX_OPERANDS] = {{0}};
    for (size_t i = 0; i < spec->n_operands; i++)
        operands[i] = (struct tfops_view){memory + i, {4096, 1}};
    struct tfops_device device;
    struct tfops_config config;
    EXPECT_OK(device_nominal("sm_90a", &device));
    spec->default_config(spec->user, problem, &device, &config);
    const double scalars[] = {1e-6};
    const struct tfops_launch_args launch = {
        .problem = problem, .config = &config, .operands = operands, .scalars = scalars};
    return spec->tensor_maps(spec->user, &launch, ret_maps);
}

static void expect_maps(int64_t m, bool with_norm_weight, size_t want)
{
    const struct tfops_problem problem = make(m, 512, 3584, with_norm_weight);
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    cr_expect_eq(maps_of(&problem, maps), want, "%lld tokens", (long long)m);
}

/* Few tokens stand across a tile and are normalised by the producers. */
Test(rmsnorm_linear, norm_weight_has_a_map_where_consumers_need_it)
{
    expect_maps(2048, true, 4);
    expect_maps(2048, false, 3);
    expect_maps(32, true, 3);
}

/* ---- several weights --------------------------------------------------------------------------- */

static struct tfops_problem make_several(int64_t m, int64_t n, int64_t n2, int64_t n3, int64_t k)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(&rmsnorm_linears_spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_N2] = n2;
    problem.dims[GEMM_N3] = n3;
    problem.dims[GEMM_K] = k;
    if (n3)
        problem.present |= 1u << LINEARS_WEIGHT(2) | 1u << LINEARS_OUT(2);
    problem.present |= 1u << LINEARS_NORM_WEIGHT;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

Test(rmsnorm_linears, default_is_in_the_space)
{
    static const int64_t M_VALUES[] = {1, 16, 65, 4096};
    static const int64_t SHAPES[][4] = {
        {3584, 512, 512, 3584}, {77, 33, 0, 333}, {8, 1, 1, 8}, {14336, 14336, 0, 4096}};
    const struct tfops_spec *spec = &rmsnorm_linears_spec;
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        struct tfops_device device;
        EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
        for (size_t i = 0; i < 16; i++) {
            const int64_t *shape = SHAPES[i % 4];
            const struct tfops_problem problem =
                make_several(M_VALUES[i / 4], shape[0], shape[1], shape[2], shape[3]);
            char reason[TFOPS_REASON_BYTES] = "";
            struct tfops_config config;
            spec->default_config(spec->user, &problem, &device, &config);
            cr_assert(spec->constraint(spec->user, &problem, &device, &config, reason), "%s: %s",
                device.arch, reason);
        }
    }
}

/* Tiles lie in one weight each: as many as three products have. */
Test(rmsnorm_linears, tiles_are_those_of_each_weight)
{
    const struct tfops_problem problem = make_several(2048, 3584, 520, 504, 3584);
    struct tfops_device device;
    struct tfops_config config;
    EXPECT_OK(device_nominal("sm_90a", &device));
    problem.spec->default_config(problem.spec->user, &problem, &device, &config);
    const struct gemm_layout l = gemm_lay_out(&problem, &config);
    const int64_t cols = l.tile_cols * config.values[GEMM_CLUSTER_N];
    cr_expect_eq(config.values[GEMM_SWAP], 0);
    cr_expect_eq(
        l.across, gemm_ceil_div(3584, cols) + gemm_ceil_div(520, cols) + gemm_ceil_div(504, cols));
}

Test(rmsnorm_linears, maps_stand_in_the_part_of_their_weight)
{
    const struct tfops_problem problem = make_several(2048, 3584, 512, 256, 3584);
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    cr_assert_eq(maps_of(&problem, maps), 8);
    cr_expect_eq(maps[3].operand, LINEARS_NORM_WEIGHT);
    cr_expect_eq(maps[3].rank, 1);
    cr_expect_eq(maps[3].dims[0], 3584);
    cr_expect_eq(maps[3].box[0], 64);
    cr_expect_eq(maps[3].param_offset, offsetof(struct rmsnorm_linear_params, norm_map));
    for (int i = 0; i < LINEARS_MOST; i++) {
        const struct tfops_tensor_map *map = &maps[i ? 2 + 2 * i : 1];
        cr_expect_eq(map->operand, LINEARS_WEIGHT(i));
        cr_expect_eq(map->dims[1], (uint64_t)problem.dims[i ? GEMM_N2 + i - 1 : GEMM_N]);
        cr_expect_eq(map->param_offset, offsetof(struct rmsnorm_linears_params, part[i]) +
                                            offsetof(struct gemm_params, weight_map));
        cr_expect_eq(map[1].operand, LINEARS_OUT(i));
    }
}
