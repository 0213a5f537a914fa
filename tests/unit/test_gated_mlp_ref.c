/* The reference of the gated products: small sums whose results are known. */
#include "kernels/gemm/gated_mlp_params.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>
#include <tfops/tfops.h>

static struct tfops_engine *engine;
enum { M = 2, N = 3, K = 4 };

/* x[m][k] = m + k, gate[n][k] = n - k, up[n][k] = k - 1: every sum is an integer. Gate and up are the
 * halves of one tensor. */
static uint8_t x[4 * M * K], packed[4 * 2 * N * K];
static float out[M * N], x_scales[M] = {0.25f, 0.5f}, gate_scales[N] = {1, -1, 2};
static float up_scales[N] = {2, 4, 0.5f}, out_scale = 0.125f;

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

TestSuite(gated_mlp_ref, .init = begin, .fini = end);

struct call {
    enum tfops_dtype dtype;
    int act, activates, scaling; /* of the params' headers */
    bool with_out_scale;
};

static void fill(enum tfops_dtype dtype)
{
    for (int64_t k = 0; k < K; k++) {
        for (int64_t m = 0; m < M; m++)
            host_store(x, dtype, m * K + k, (float)(m + k));
        for (int64_t n = 0; n < N; n++) {
            host_store(packed, dtype, n * K + k, (float)(n - k));
            host_store(packed, dtype, (N + n) * K + k, (float)(k - 1));
        }
    }
}

static double gate_sum(int m, int n)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += (m + k) * (n - k);
    return sum;
}

static double up_sum(int m)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += (m + k) * (k - 1);
    return sum;
}

static enum tfops_status launch(const struct call *call)
{
    const bool scaled = call->scaling != GEMM_UNSCALED, rows = call->scaling == GEMM_PER_ROW;
    const int64_t x_shape[] = {M, K}, weight_shape[] = {N, K}, out_shape[] = {M, N};
    const int64_t one[] = {1, 1}, m_shape[] = {M, 1}, n_shape[] = {N, 1};
    void *up = packed + tfops_dtype_bytes(call->dtype) * N * K;
    struct tfops_tensor tensors[] = {
        [GATED_MLP_X] = tfops_tensor_contiguous(x, call->dtype, 2, x_shape),
        [GATED_MLP_GATE_WEIGHT] = tfops_tensor_contiguous(packed, call->dtype, 2, weight_shape),
        [GATED_MLP_UP_WEIGHT] = tfops_tensor_contiguous(up, call->dtype, 2, weight_shape),
        [GATED_MLP_OUT] = tfops_tensor_contiguous(out, TFOPS_F32, 2, out_shape),
        [GATED_MLP_OUT_SCALE] = tfops_tensor_contiguous(&out_scale, TFOPS_F32, 2, one),
        [GATED_MLP_X_SCALE] = tfops_tensor_contiguous(x_scales, TFOPS_F32, 2, rows ? m_shape : one),
        [GATED_MLP_GATE_SCALE] =
            tfops_tensor_contiguous(gate_scales, TFOPS_F32, 2, rows ? n_shape : one),
        [GATED_MLP_UP_SCALE] =
            tfops_tensor_contiguous(up_scales, TFOPS_F32, 2, rows ? n_shape : one)};
    struct tfops_args args = {.size = sizeof args};
    for (int i = 0; i <= (scaled ? GATED_MLP_UP_SCALE : GATED_MLP_OUT_SCALE); i++)
        if (i != GATED_MLP_OUT_SCALE || call->with_out_scale)
            args.operands[i] = &tensors[i];
    args.options[0] = (uint8_t)call->act;
    args.options[scaled ? 3 : 1] = (uint8_t)call->activates;
    if (scaled)
        args.options[GEMM_SCALING] = (uint8_t)call->scaling;
    fill(call->dtype);
    return tfops_launch(
        engine, tfops_engine_operator(engine, scaled ? "fp8_gated_mlp" : "gated_mlp"), &args, NULL);
}

static double activated(int act, double v)
{
    if (act == GATED_MLP_BY_GELU)
        return v / 2 * (1 + erf(v / sqrt(2)));
    if (act == GATED_MLP_BY_GELU_TANH)
        return v / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v)));
    return v / (1 + exp(-v));
}

static void expect_near(int i, double want)
{
    cr_expect_float_eq(
        (double)out[i], want, 1e-5 * (1 + fabs(want)), "%d: %g, not %g", i, (double)out[i], want);
}

Test(gated_mlp_ref, gate_is_activated_and_multiplies_up)
{
    for (int act = GATED_MLP_BY_SILU; act <= GATED_MLP_BY_GELU_TANH; act++) {
        EXPECT_OK(launch(&(struct call){TFOPS_F16, act, GATED_MLP_GATE, GEMM_UNSCALED, false}));
        for (int i = 0; i < M * N; i++)
            expect_near(i, activated(act, gate_sum(i / N, i % N)) * up_sum(i / N));
    }
}

Test(gated_mlp_ref, up_may_be_activated_instead)
{
    EXPECT_OK(
        launch(&(struct call){TFOPS_BF16, GATED_MLP_BY_GELU, GATED_MLP_UP, GEMM_UNSCALED, false}));
    for (int i = 0; i < M * N; i++)
        expect_near(i, gate_sum(i / N, i % N) * activated(GATED_MLP_BY_GELU, up_sum(i / N)));
}

Test(gated_mlp_ref, each_sum_has_its_scales)
{
    for (int scaling = GEMM_PER_TENSOR; scaling <= GEMM_PER_ROW; scaling++) {
        EXPECT_OK(launch(&(struct call){TFOPS_E4M3, 0, GATED_MLP_GATE, scaling, false}));
        for (int i = 0; i < M * N; i++) {
            const int m = scaling == GEMM_PER_ROW ? i / N : 0, n = m || scaling ? i % N : 0;
            const double by = (double)x_scales[m];
            expect_near(i, activated(0, gate_sum(i / N, i % N) * by * (double)gate_scales[n]) *
                               up_sum(i / N) * by * (double)up_scales[n]);
        }
    }
}

Test(gated_mlp_ref, the_result_is_divided_by_out_scale)
{
    EXPECT_OK(launch(&(struct call){TFOPS_F16, 0, GATED_MLP_GATE, GEMM_UNSCALED, true}));
    for (int i = 0; i < M * N; i++)
        expect_near(i, activated(0, gate_sum(i / N, i % N)) * up_sum(i / N) / (double)out_scale);
}

Test(gated_mlp_ref, a_missing_scale_is_named)
{
    const int64_t shape[] = {M, K}, out_shape[] = {M, M};
    struct tfops_tensor tensor = tfops_tensor_contiguous(x, TFOPS_E4M3, 2, shape);
    struct tfops_tensor result = tfops_tensor_contiguous(out, TFOPS_F32, 2, out_shape);
    struct tfops_args args = {.size = sizeof args,
        .operands = {[GATED_MLP_X] = &tensor,
            [GATED_MLP_GATE_WEIGHT] = &tensor,
            [GATED_MLP_UP_WEIGHT] = &tensor,
            [GATED_MLP_OUT] = &result}};
    EXPECT_REFUSED(
        tfops_launch(engine, tfops_engine_operator(engine, "fp8_gated_mlp"), &args, NULL),
        TFOPS_E_ARGUMENT, "x_scale");
}
