/* The reference of linear and fp8_gemm: small products whose results are known. */
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>
#include <tfops/tfops.h>

static struct tfops_engine *engine;
enum { M = 2, N = 3, K = 4 };

/* x[m][k] = m + k, weight[n][k] = n - k: every product is an integer. */
static uint8_t x[4 * M * K], weight[4 * N * K];
static float bias[N] = {10, 20, 30}, residual[M * N] = {1, 2, 3, 4, 5, 6}, out[M * N];
static float x_scales[M] = {2, 0.5f}, weight_scales[N] = {1, -1, 4};

static void begin(void)
{
    struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    EXPECT_OK(tfops_engine_open(&options, &engine));
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(gemm_ref, .init = begin, .fini = end);

static void fill(enum tfops_dtype dtype)
{
    for (int64_t k = 0; k < K; k++) {
        for (int64_t m = 0; m < M; m++)
            host_store(x, dtype, m * K + k, (float)(m + k));
        for (int64_t n = 0; n < N; n++)
            host_store(weight, dtype, n * K + k, (float)(n - k));
    }
}

static float product(int m, int n)
{
    float sum = 0;
    for (int k = 0; k < K; k++)
        sum += (float)((m + k) * (n - k));
    return sum;
}

struct call {
    enum tfops_dtype dtype;
    bool with_bias, with_residual;
    int activation, scaling; /* of gemm_params.h */
};

static enum tfops_status launch(const struct call *call)
{
    const bool scaled = call->scaling != GEMM_UNSCALED, rows = call->scaling == GEMM_PER_ROW;
    const int64_t x_shape[] = {M, K}, weight_shape[] = {N, K}, out_shape[] = {M, N};
    const int64_t bias_shape[] = {N}, one[] = {1, 1};
    const int64_t x_scale_shape[] = {M, 1}, weight_scale_shape[] = {N, 1};
    struct tfops_tensor tensors[] = {[GEMM_X] = tfops_tensor_contiguous(x, call->dtype, 2, x_shape),
        [GEMM_WEIGHT] = tfops_tensor_contiguous(weight, call->dtype, 2, weight_shape),
        [GEMM_BIAS] = tfops_tensor_contiguous(bias, TFOPS_F32, 1, bias_shape),
        [GEMM_RESIDUAL] = tfops_tensor_contiguous(residual, TFOPS_F32, 2, out_shape),
        [GEMM_OUT] = tfops_tensor_contiguous(out, TFOPS_F32, 2, out_shape),
        [GEMM_X_SCALE] =
            tfops_tensor_contiguous(x_scales, TFOPS_F32, 2, rows ? x_scale_shape : one),
        [GEMM_WEIGHT_SCALE] =
            tfops_tensor_contiguous(weight_scales, TFOPS_F32, 2, rows ? weight_scale_shape : one)};
    struct tfops_args args = {.size = sizeof args};
    for (int i = 0; i <= GEMM_WEIGHT_SCALE; i++)
        if ((i != GEMM_BIAS || call->with_bias) && (i != GEMM_RESIDUAL || call->with_residual) &&
            (i < GEMM_X_SCALE || scaled))
            args.operands[i] = &tensors[i];
    args.options[GEMM_ACTIVATION] = (uint8_t)call->activation;
    if (scaled)
        args.options[GEMM_SCALING] = (uint8_t)call->scaling;
    fill(call->dtype);
    return tfops_launch(
        engine, tfops_engine_operator(engine, scaled ? "fp8_gemm" : "linear"), &args, NULL);
}

Test(gemm_ref, sums_products_of_rows)
{
    EXPECT_OK(launch(&(struct call){TFOPS_F16, .scaling = GEMM_UNSCALED}));
    for (int i = 0; i < M * N; i++)
        cr_expect_eq(out[i], product(i / N, i % N), "%d: %g", i, (double)out[i]);
}

Test(gemm_ref, bias_comes_before_the_activation_and_residual_after)
{
    EXPECT_OK(launch(&(struct call){TFOPS_BF16, true, true, GEMM_RELU, GEMM_UNSCALED}));
    for (int i = 0; i < M * N; i++) {
        const float biased = product(i / N, i % N) + bias[i % N];
        cr_expect_eq(out[i], fmaxf(biased, 0) + residual[i], "%d: %g", i, (double)out[i]);
    }
}

Test(gemm_ref, activations_are_the_published_functions)
{
    for (int activation = GEMM_SILU; activation <= GEMM_GELU_TANH; activation++) {
        EXPECT_OK(
            launch(&(struct call){TFOPS_BF16, .activation = activation, .scaling = GEMM_UNSCALED}));
        for (int i = 0; i < M * N; i++) {
            const double v = (double)product(i / N, i % N);
            const double tanh_arg = sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v);
            const double want = activation == GEMM_SILU   ? v / (1 + exp(-v))
                                : activation == GEMM_GELU ? v / 2 * (1 + erf(v / sqrt(2)))
                                                          : v / 2 * (1 + tanh(tanh_arg));
            cr_expect_float_eq((double)out[i], want, 1e-5 * (1 + fabs(want)), "%d %d: %g, not %g",
                activation, i, (double)out[i], want);
        }
    }
}

Test(gemm_ref, one_scale_a_tensor)
{
    EXPECT_OK(launch(&(struct call){TFOPS_E4M3, .scaling = GEMM_PER_TENSOR}));
    for (int i = 0; i < M * N; i++)
        cr_expect_eq(out[i], product(i / N, i % N) * x_scales[0] * weight_scales[0]);
}

Test(gemm_ref, one_scale_a_row_of_either_side)
{
    EXPECT_OK(launch(&(struct call){TFOPS_E5M2, true, .scaling = GEMM_PER_ROW}));
    for (int i = 0; i < M * N; i++)
        cr_expect_eq(
            out[i], product(i / N, i % N) * x_scales[i / N] * weight_scales[i % N] + bias[i % N]);
}

/* Ones with k = 130: the sum of a group is its length times its scales. */
static void block_scaled(bool transposed)
{
    enum { LONG = 130, WIDE = 129 };
    static uint8_t ones[WIDE * LONG];
    static float sums[M * WIDE], x_group[2 * M], weight_group[4] = {1, 10, 100, 1000};
    const int64_t x_shape[] = {M, LONG}, weight_shape[] = {WIDE, LONG}, out_shape[] = {M, WIDE};
    const int64_t plain[] = {M, 2}, flipped[] = {2, M}, blocks[] = {2, 2};
    for (int64_t i = 0; i < WIDE * LONG; i++)
        host_store(ones, TFOPS_E4M3, i, 1);
    for (int m = 0; m < M; m++)
        for (int g = 0; g < 2; g++)
            x_group[transposed ? g * M + m : m * 2 + g] = (float)(m + 1 + 4 * g);
    struct tfops_tensor tensors[] = {
        [GEMM_X] = tfops_tensor_contiguous(ones, TFOPS_E4M3, 2, x_shape),
        [GEMM_WEIGHT] = tfops_tensor_contiguous(ones, TFOPS_E4M3, 2, weight_shape),
        [GEMM_OUT] = tfops_tensor_contiguous(sums, TFOPS_F32, 2, out_shape),
        [GEMM_X_SCALE] =
            tfops_tensor_contiguous(x_group, TFOPS_F32, 2, transposed ? flipped : plain),
        [GEMM_WEIGHT_SCALE] = tfops_tensor_contiguous(weight_group, TFOPS_F32, 2, blocks)};
    struct tfops_args args = {.size = sizeof args};
    for (int i = 0; i <= GEMM_WEIGHT_SCALE; i++)
        args.operands[i] = i == GEMM_BIAS || i == GEMM_RESIDUAL ? NULL : &tensors[i];
    args.options[GEMM_SCALING] = GEMM_PER_BLOCK;
    args.options[GEMM_SCALE_MAJOR] = transposed;
    EXPECT_OK(tfops_launch(engine, tfops_engine_operator(engine, "fp8_gemm"), &args, NULL));
    for (int i = 0; i < M * WIDE; i++) {
        const int m = i / WIDE, block = i % WIDE / 128;
        const float want = 128 * (float)(m + 1) * weight_group[2 * block] +
                           2 * (float)(m + 5) * weight_group[2 * block + 1];
        cr_expect_eq(sums[i], want, "%d: %g, not %g", i, (double)sums[i], (double)want);
    }
}

Test(gemm_ref, one_scale_a_group_of_x_and_a_block_of_weight)
{
    block_scaled(false);
    block_scaled(true);
}

Test(gemm_ref, a_missing_scale_is_named)
{
    const int64_t shape[] = {M, K};
    struct tfops_tensor tensor = tfops_tensor_contiguous(x, TFOPS_E4M3, 2, shape);
    struct tfops_tensor result =
        tfops_tensor_contiguous(out, TFOPS_F32, 2, (const int64_t[]){M, M});
    struct tfops_args args = {.size = sizeof args,
        .operands = {[GEMM_X] = &tensor, [GEMM_WEIGHT] = &tensor, [GEMM_OUT] = &result}};
    EXPECT_REFUSED(tfops_launch(engine, tfops_engine_operator(engine, "fp8_gemm"), &args, NULL),
        TFOPS_E_ARGUMENT, "x_scale");
}
