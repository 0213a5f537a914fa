/*
 * linear_add_rmsnorm: its reference on small rows whose results are known, and its spec as arithmetic: no
 * config whose blocks could wait for one that is not there, and what of it needs a workspace.
 */
#include "device.h"
#include "kernels/gemm/gemm_config.h"
#include "kernels/gemm/gemm_launch.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "kernels/gemm/linear_add_rmsnorm_params.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <tfops/tfops.h>

enum { M = 2, N = 3, K = 4 };
enum { PLAIN, ONE_PLUS, ROUND_BEFORE };

/* x[m][k] = m + k + 1, weight[n][k] = n - k, residual m - n, bias n: h is exact in every format. */
static uint8_t x[2 * M * K], weight[2 * N * K], bias[2 * N], norm_weight[2 * N];
static uint8_t residual[2 * M * N], sum[2 * M * N], out[2 * M * N];

struct call {
    enum tfops_dtype dtype;
    bool with_bias, with_sum;
    int variant;
    double eps;
    uint32_t flags;
};

static float expected_sum(const struct call *call, int m, int n)
{
    float value = (float)(m - n) + (call->with_bias ? (float)n : 0);
    for (int k = 0; k < K; k++)
        value += (float)((m + k + 1) * (n - k));
    return value;
}

static float expected(const struct call *call, int m, int n)
{
    double squares = 0, gamma = (n + 1) / 2.0;
    for (int i = 0; i < N; i++)
        squares += pow((double)expected_sum(call, m, i), 2);
    double value = (double)expected_sum(call, m, n) / sqrt(squares / N + call->eps);
    if (call->variant == ROUND_BEFORE)
        value = (double)host_round((float)value, call->dtype);
    return host_round(
        (float)(value * (call->variant == ONE_PLUS ? 1 + gamma : gamma)), call->dtype);
}

static void fill(enum tfops_dtype dtype)
{
    for (int k = 0; k < K; k++)
        for (int i = 0; i < N; i++) {
            host_store(weight, dtype, i * K + k, (float)(i - k));
            if (i < M)
                host_store(x, dtype, i * K + k, (float)(i + k + 1));
        }
    for (int n = 0; n < N; n++) {
        host_store(bias, dtype, n, (float)n);
        host_store(norm_weight, dtype, n, (float)(n + 1) / 2);
        for (int m = 0; m < M; m++)
            host_store(residual, dtype, m * N + n, (float)(m - n));
    }
}

static void launch(const struct call *call)
{
    const int64_t x_shape[] = {M, K}, weight_shape[] = {N, K}, out_shape[] = {M, N};
    const int64_t n_shape[] = {N};
    const enum tfops_dtype dtype = call->dtype;
    const struct tfops_tensor tensors[] = {[GEMM_X] = tfops_tensor_contiguous(x, dtype, 2, x_shape),
        [GEMM_WEIGHT] = tfops_tensor_contiguous(weight, dtype, 2, weight_shape),
        [GEMM_BIAS] = tfops_tensor_contiguous(bias, dtype, 1, n_shape),
        [GEMM_RESIDUAL] = tfops_tensor_contiguous(residual, dtype, 2, out_shape),
        [GEMM_OUT] = tfops_tensor_contiguous(out, dtype, 2, out_shape),
        [LINEAR_ADD_RMSNORM_NORM_WEIGHT] = tfops_tensor_contiguous(norm_weight, dtype, 1, n_shape),
        [LINEAR_ADD_RMSNORM_RESIDUAL_OUT] = tfops_tensor_contiguous(sum, dtype, 2, out_shape)};
    const struct tfops_gemm_args args = {.size = sizeof args,
        .x = &tensors[GEMM_X],
        .weight = &tensors[GEMM_WEIGHT],
        .bias = call->with_bias ? &tensors[GEMM_BIAS] : NULL,
        .residual = &tensors[GEMM_RESIDUAL],
        .out = &tensors[GEMM_OUT],
        .flags = call->flags};
    const struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    struct tfops_engine *engine;
    EXPECT_OK(tfops_engine_open(&options, &engine));
    EXPECT_OK(tfops_linear_add_rmsnorm(engine, &args, &tensors[LINEAR_ADD_RMSNORM_NORM_WEIGHT],
        call->with_sum ? &tensors[LINEAR_ADD_RMSNORM_RESIDUAL_OUT] : NULL, call->eps,
        (enum tfops_weight_variant)call->variant, NULL));
    tfops_engine_close(engine);
}

static void check(const struct call *call)
{
    fill(call->dtype);
    launch(call);
    for (int i = 0; i < M * N; i++) {
        const float h = host_load(call->with_sum ? sum : residual, call->dtype, i);
        const float y = host_load(out, call->dtype, i), want = expected(call, i / N, i % N);
        cr_expect_eq(h, expected_sum(call, i / N, i % N), "h %d is %g", i, (double)h);
        cr_expect_eq(y, want, "%d: %g, not %g", i, (double)y, (double)want);
    }
}

Test(linear_add_rmsnorm, sum_takes_the_residuals_place)
{
    check(&(struct call){.dtype = TFOPS_F16, .eps = 1e-6});
    check(&(struct call){.dtype = TFOPS_BF16, .eps = 2});
}

Test(linear_add_rmsnorm, sum_goes_to_residual_out_when_given)
{
    check(&(struct call){.dtype = TFOPS_BF16, .with_sum = true, .eps = 1e-6});
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++)
            cr_expect_eq(host_load(residual, TFOPS_BF16, m * N + n), (float)(m - n));
}

Test(linear_add_rmsnorm, bias_and_variants_of_the_weight)
{
    check(&(struct call){TFOPS_F16, true, false, ONE_PLUS, 1e-5, 0});
    check(&(struct call){TFOPS_BF16, true, true, ROUND_BEFORE, 1e-5, 0});
}

Test(linear_add_rmsnorm, constant_weights_change_no_bit)
{
    check(&(struct call){.dtype = TFOPS_BF16, .eps = 1e-6, .flags = TFOPS_CONSTANT_WEIGHTS});
}

/* ---- the spec -------------------------------------------------------------------------------- */

static struct tfops_problem make(int64_t m, int64_t n, int64_t k, bool has_workspace)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(&linear_add_rmsnorm_spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_K] = k;
    problem.options[LINEAR_ADD_RMSNORM_WORKSPACE] = !has_workspace;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static struct tfops_config default_of(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    const struct tfops_spec *spec = &linear_add_rmsnorm_spec;
    char reason[TFOPS_REASON_BYTES] = "", text[512];
    struct tfops_config config;
    memset(&config, 0xff, sizeof config);
    spec->default_config(spec->user, problem, device, &config);
    tfops_config_format(spec, &config, text, sizeof text);
    cr_assert(spec->constraint(spec->user, problem, device, &config, reason), "%s: %s: %s",
        device->arch, text, reason);
    return config;
}

static size_t workspace_of(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    return linear_add_rmsnorm_spec.workspace(NULL, problem, device, config);
}

static const int64_t M_VALUES[] = {1, 16, 64, 65, 129, 257, 4096};
static const int64_t NK[][2] = {
    {1, 1}, {16, 16}, {77, 333}, {4096, 14336}, {16384, 64}, {65536, 128}, {1 << 20, 8}};
enum { N_M = sizeof M_VALUES / sizeof M_VALUES[0], N_NK = sizeof NK / sizeof NK[0] };

/* A row's tiles all run at a time for any number of tokens, on the whole device and on a part of it. */
static void check_exchange(const struct tfops_problem *chosen, const struct tfops_device *device)
{
    const struct tfops_config config = default_of(chosen, device);
    const int64_t *v = config.values;
    for (size_t i = 0; v[GEMM_EXCHANGE] && i < N_M; i++) {
        const struct tfops_problem problem =
            make(M_VALUES[i], chosen->dims[GEMM_N], chosen->dims[GEMM_K], true);
        const struct gemm_layout l = gemm_lay_out(&problem, &config);
        struct tfops_geometry geometry;
        gemm_geometry(NULL, &problem, device, &config, &geometry);
        const int64_t clusters = (int64_t)geometry.grid[0] / geometry.cluster;
        cr_expect(geometry.cooperative);
        cr_expect_leq(clusters, gemm_resident_clusters(device, l.cluster));
        cr_expect_geq(clusters, v[GEMM_SWAP] ? l.down : l.across);
        cr_expect_gt(workspace_of(&problem, device, &config), 0);
    }
}

Test(linear_add_rmsnorm, default_is_in_the_space_and_its_blocks_are_all_there)
{
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        struct tfops_device device;
        EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
        for (size_t i = 0; i < N_M * N_NK; i++) {
            const struct tfops_problem problem =
                make(M_VALUES[i / N_NK], NK[i % N_NK][0], NK[i % N_NK][1], true);
            check_exchange(&problem, &device);
        }
        device.sms = 16;
        const struct tfops_problem wide = make(64, 8192, 64, true);
        check_exchange(&wide, &device);
    }
}

Test(linear_add_rmsnorm, default_of_usual_widths_exchanges_sums)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal("sm_90a", &device));
    for (size_t i = 0; i < N_M; i++) {
        const struct tfops_problem problem = make(M_VALUES[i], 4096, 14336, true);
        const struct tfops_config config = default_of(&problem, &device);
        cr_expect_eq(config.values[GEMM_EXCHANGE], 1, "%lld", (long long)M_VALUES[i]);
        cr_expect_eq(config.values[GEMM_MAINLOOP], GEMM_WGMMA, "%lld", (long long)M_VALUES[i]);
    }
}

/* More tokens take longer, and so do blocks that have whole rows. */
Test(linear_add_rmsnorm, model_predicts_what_a_config_takes)
{
    const struct tfops_spec *spec = &linear_add_rmsnorm_spec;
    struct tfops_device device;
    EXPECT_OK(device_nominal("sm_90a", &device));
    double before = 0;
    for (int64_t m = 128; m <= 8192; m *= 4) {
        const struct tfops_problem problem = make(m, 4096, 4096, true);
        const struct tfops_problem alone = make(m, 4096, 4096, false);
        const struct tfops_config config = default_of(&problem, &device);
        const struct tfops_config whole = default_of(&alone, &device);
        const double ns = spec->predict(spec->user, &problem, &device, &config);
        cr_expect_gt(ns, before, "%lld", (long long)m);
        cr_expect_gt(spec->predict(spec->user, &alone, &device, &whole), ns, "%lld", (long long)m);
        before = ns;
    }
}

Test(linear_add_rmsnorm, nothing_is_needed_without_a_workspace)
{
    const struct tfops_config generic = {.generic = true};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        struct tfops_device device;
        EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
        for (size_t i = 0; i < N_M * N_NK; i++) {
            const struct tfops_problem problem =
                make(M_VALUES[i / N_NK], NK[i % N_NK][0], NK[i % N_NK][1], false);
            const struct tfops_config config = default_of(&problem, &device);
            cr_expect_eq(workspace_of(&problem, &device, &config), 0);
            cr_expect_eq(workspace_of(&problem, &device, &generic), 0);
        }
    }
}

/* A word for each row and tile, one for each band: 3 bands of 128 rows, 16 tiles across. */
Test(linear_add_rmsnorm, workspace_holds_a_word_for_each_row_and_tile)
{
    struct tfops_device device;
    struct tfops_config config = {0};
    EXPECT_OK(device_nominal("sm_90a", &device));
    EXPECT_OK(tfops_config_parse(&linear_add_rmsnorm_spec,
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=256,STAGES=4,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0,EXCHANGE=1",
        &config));
    const struct tfops_problem problem = make(300, 4096, 64, true);
    const size_t words = 3 * (1 + 16 * 128);
    cr_expect_eq(workspace_of(&problem, &device, &config), (4 * words + 255) / 256 * 256);
}

Test(linear_add_rmsnorm, parameters_and_maps_are_those_of_linear_whose_output_is_the_sum)
{
    static char memory[8], workspace[8];
    struct tfops_problem problem = make(3, 256, 64, true);
    problem.align = 16;
    problem.present |= 1u << LINEAR_ADD_RMSNORM_RESIDUAL_OUT;
    const struct tfops_view operands[TFOPS_MAX_OPERANDS] = {[GEMM_X] = {memory, {40, 1}},
        [GEMM_WEIGHT] = {memory + 1, {48, 1}},
        [GEMM_RESIDUAL] = {memory + 2, {264, 1}},
        [GEMM_OUT] = {memory + 3, {272, 1}},
        [LINEAR_ADD_RMSNORM_NORM_WEIGHT] = {memory + 4, {1}},
        [LINEAR_ADD_RMSNORM_RESIDUAL_OUT] = {memory + 5, {280, 1}}};
    const double scalars[] = {[LINEAR_ADD_RMSNORM_EPS] = 0.25};
    struct tfops_device device;
    EXPECT_OK(device_nominal("sm_90a", &device));
    const struct tfops_config config = default_of(&problem, &device);
    const struct tfops_launch_args launch = {.problem = &problem,
        .config = &config,
        .operands = operands,
        .scalars = scalars,
        .workspace = workspace};
    struct linear_add_rmsnorm_params params;
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    linear_add_rmsnorm_spec.pack(linear_add_rmsnorm_spec.user, &launch, &params);
    cr_expect_eq(params.gemm.residual, memory + 2);
    cr_expect_eq(params.gemm.out, memory + 5);
    cr_expect_eq(params.gemm.out_stride, 280);
    cr_expect_eq(params.norm_out, memory + 3);
    cr_expect_eq(params.norm_out_stride, 272);
    cr_expect_eq(params.norm_weight, memory + 4);
    cr_expect_eq((void *)params.exchange, workspace);
    cr_expect_eq(params.eps, 0.25f);
    cr_assert_eq(linear_add_rmsnorm_spec.tensor_maps(NULL, &launch, maps), 4);
    cr_expect_eq(maps[2].operand, LINEAR_ADD_RMSNORM_RESIDUAL_OUT);
    cr_expect_eq(maps[2].strides_bytes[0], 560);
    cr_expect_eq(maps[3].operand, GEMM_OUT);
    cr_expect_eq(maps[3].param_offset, offsetof(struct linear_add_rmsnorm_params, norm_out_map));
    cr_expect_eq(maps[3].strides_bytes[0], 544);
}
