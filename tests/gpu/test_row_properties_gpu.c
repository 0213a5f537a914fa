/*
 * Properties of row operators on a GPU, through the typed calls: rope preserves the norm of every pair
 * and is undone by −sin; rows of a softmax sum to 1; dequantize(quantize(x)) is within half a step.
 */
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <math.h>
#include <stdio.h>

static struct support_engine support;

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
}

static void make(struct support_tensor *tensor, enum tfops_dtype dtype, int64_t rows, int64_t cols,
    uint64_t seed)
{
    const struct support_shape shape = {dtype, rows, cols, 0, 0};
    support_tensor_make(tensor, support.engine, &shape, seed);
}

static void give_to_device(struct support_tensor *tensor)
{
    must(tfops_device_write(support.engine, tensor->memory, tensor->host, tensor->bytes), "write");
}

/* ---- rope --------------------------------------------------------------------------------------- */

enum { TOKENS = 77, HEADS = 5, HEAD_DIM = 96, PAIRS = HEAD_DIM / 2 };

static void make_tables(struct support_tensor *cosines, struct support_tensor *sines)
{
    make(cosines, TFOPS_F32, TOKENS, PAIRS, 1);
    make(sines, TFOPS_F32, TOKENS, PAIRS, 1);
    for (int64_t i = 0; i < TOKENS * PAIRS; i++) {
        const int64_t token = i / PAIRS, pair = i % PAIRS;
        const double angle = (double)token * pow(1e4, -(double)pair / (double)PAIRS);
        host_store(cosines->host, TFOPS_F32, i, (float)cos(angle));
        host_store(sines->host, TFOPS_F32, i, (float)sin(angle));
    }
    give_to_device(cosines);
    give_to_device(sines);
}

static struct tfops_tensor by_head(const struct support_tensor *tensor)
{
    static const int64_t SHAPE[] = {1, TOKENS, HEADS, HEAD_DIM};
    return tfops_tensor_contiguous(tensor->tensor.data, TFOPS_F32, 4, SHAPE);
}

static void rotate(const struct support_tensor *from, const struct support_tensor *to,
    const struct support_tensor *cosines, const struct support_tensor *sines, uint32_t flags)
{
    const struct tfops_tensor q = by_head(from), q_out = by_head(to);
    const struct tfops_rope_args args = {.size = sizeof args,
        .q = &q,
        .cos = &cosines->tensor,
        .sin = &sines->tensor,
        .q_out = &q_out,
        .flags = flags};
    must(tfops_rope(support.engine, &args, NULL), "rope");
}

static double pair_norm(const float *head, int pair, bool interleaved)
{
    const float a = head[interleaved ? 2 * pair : pair];
    const float b = head[interleaved ? 2 * pair + 1 : pair + PAIRS];
    return hypot((double)a, (double)b);
}

static void check_rope(uint32_t flags)
{
    struct support_tensor q, there, back, cosines, sines;
    make(&q, TFOPS_F32, TOKENS, HEADS * HEAD_DIM, 3);
    make(&there, TFOPS_F32, TOKENS, HEADS * HEAD_DIM, 4);
    make(&back, TFOPS_F32, TOKENS, HEADS * HEAD_DIM, 5);
    make_tables(&cosines, &sines);
    const float *before = q.host;
    rotate(&q, &there, &cosines, &sines, flags);
    for (int64_t i = 0; i < TOKENS * PAIRS; i++)
        host_store(sines.host, TFOPS_F32, i, -host_load(sines.host, TFOPS_F32, i));
    give_to_device(&sines);
    rotate(&there, &back, &cosines, &sines, flags);
    must(tfops_device_synchronize(support.engine), "rope");
    const float *turned = support_tensor_read(&there), *undone = support_tensor_read(&back);
    for (int64_t i = 0; i < TOKENS * HEADS * HEAD_DIM; i++)
        cr_assert(fabsf(undone[i] - before[i]) < 1e-6f, "element %lld: %g, was %g", (long long)i,
            (double)undone[i], (double)before[i]);
    for (int64_t head = 0; head < TOKENS * HEADS; head++)
        for (int pair = 0; pair < PAIRS; pair++) {
            const bool interleaved = flags & TFOPS_ROPE_INTERLEAVED;
            const double was = pair_norm(before + head * HEAD_DIM, pair, interleaved);
            const double is = pair_norm(turned + head * HEAD_DIM, pair, interleaved);
            cr_assert(fabs(is - was) < 1e-6, "head %lld, pair %d: %g, was %g", (long long)head,
                pair, is, was);
        }
    support_tensor_free(&q);
    support_tensor_free(&there);
    support_tensor_free(&back);
    support_tensor_free(&cosines);
    support_tensor_free(&sines);
}

Test(row_properties_gpu, rope_preserves_norms_and_is_undone_by_negative_sines)
{
    SUPPORT_NEEDS_GPU();
    support_engine_open(&support, NULL, NULL);
    check_rope(0);
    check_rope(TFOPS_ROPE_INTERLEAVED);
    support_engine_close(&support);
}

/* ---- softmax ------------------------------------------------------------------------------------ */

Test(row_properties_gpu, rows_of_a_softmax_sum_to_1)
{
    static const int64_t WIDTHS[] = {1, 7, 128, 5000, 151936};
    enum { ROWS = 9 };
    SUPPORT_NEEDS_GPU();
    support_engine_open(&support, NULL, NULL);
    for (size_t w = 0; w < sizeof WIDTHS / sizeof *WIDTHS; w++) {
        struct support_tensor x, out;
        make(&x, TFOPS_F32, ROWS, WIDTHS[w], w);
        make(&out, TFOPS_F32, ROWS, WIDTHS[w], 0);
        must(tfops_softmax(support.engine, &x.tensor, NULL, &out.tensor, 11, false, NULL),
            "softmax");
        must(tfops_device_synchronize(support.engine), "softmax");
        const float *got = support_tensor_read(&out);
        for (int64_t row = 0; row < ROWS; row++) {
            double sum = 0;
            for (int64_t i = 0; i < WIDTHS[w]; i++)
                sum += (double)got[row * WIDTHS[w] + i];
            cr_assert(fabs(sum - 1) < 1e-5, "width %lld, row %lld: %.9g", (long long)WIDTHS[w],
                (long long)row, sum);
        }
        support_tensor_free(&x);
        support_tensor_free(&out);
    }
    support_engine_close(&support);
}

/* ---- fp8 ---------------------------------------------------------------------------------------- */

/* Half of the distance between neighbours of e4m3 about a magnitude: 3 bits, subnormal below 2^-6. */
static double half_step(double magnitude)
{
    int exponent = -6;
    if (magnitude > 0x1p-6)
        exponent = ilogb(magnitude);
    return ldexp(1, exponent - 4);
}

Test(row_properties_gpu, what_was_quantised_is_within_half_a_step)
{
    enum { ROWS = 133, HIDDEN = 1024 };
    struct support_tensor x, q, scales, back;
    SUPPORT_NEEDS_GPU();
    support_engine_open(&support, NULL, NULL);
    make(&x, TFOPS_F32, ROWS, HIDDEN, 1);
    make(&q, TFOPS_E4M3, ROWS, HIDDEN, 2);
    make(&scales, TFOPS_F32, ROWS, 1, 3);
    make(&back, TFOPS_F32, ROWS, HIDDEN, 4);
    const struct tfops_quantize_args args = {.size = sizeof args,
        .x = &x.tensor,
        .out = &q.tensor,
        .scales = &scales.tensor,
        .scaling = TFOPS_SCALES_PER_TOKEN};
    must(tfops_quantize(support.engine, &args, NULL), "quantize");
    must(tfops_dequantize(
             support.engine, &q.tensor, &scales.tensor, &back.tensor, TFOPS_SCALES_PER_TOKEN, NULL),
        "dequantize");
    must(tfops_device_synchronize(support.engine), "dequantize");
    const float *before = x.host, *after = support_tensor_read(&back);
    const float *scale = support_tensor_read(&scales);
    for (int64_t i = 0; i < ROWS * HIDDEN; i++) {
        const double by = (double)scale[i / HIDDEN];
        const double bound = by * half_step(fabs((double)before[i]) / by) * (1 + 1e-5);
        cr_assert(fabs((double)after[i] - (double)before[i]) <= bound,
            "element %lld: %g, was %g, scale %g", (long long)i, (double)after[i], (double)before[i],
            by);
    }
    support_tensor_free(&x);
    support_tensor_free(&q);
    support_tensor_free(&scales);
    support_tensor_free(&back);
    support_engine_close(&support);
}
