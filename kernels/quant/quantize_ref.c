/*
 * quantize and dequantize in plain C: what the templates are judged by, and the cpu device. Values
 * and quotients in fp64, one rounding to fp8 and one for each scale.
 */
#include "quant_ref.h"
#include "quant_specs.h"
#include <math.h>

static double element(const void *context, int64_t row, int64_t col)
{
    return ref_get(context, row, col);
}

/* The largest magnitude of numbers, infinity among them. */
static double largest(const struct ref_rows *x, const struct quant_layout *layout)
{
    double most = 0;
    for (int64_t row = 0; row < layout->rows; row++)
        for (int64_t col = 0; col < layout->hidden; col++)
            most = fmax(most, fabs(ref_get(x, row, col)));
    return most;
}

/* The given scale, doubled until nothing saturates or max_retries times. */
static double settle_scale(const struct tfops_launch_args *launch,
    const struct quant_target *target, const struct ref_rows *x, int64_t *ret_retries)
{
    const struct ref_rows given = ref_rows(launch, QUANTIZE_STATIC_SCALE);
    const int64_t most_retries = launch->problem->options[QUANTIZE_OVERFLOW]
                                     ? (int64_t)launch->scalars[QUANTIZE_MAX_RETRIES]
                                     : 0;
    const double most = most_retries ? largest(x, &target->layout) : 0;
    double scale = ref_get(&given, 0, 0);
    for (*ret_retries = 0; *ret_retries < most_retries; ++*ret_retries) {
        if (most / fabs(scale) <= quant_saturates_above(target->out.dtype))
            break;
        scale = (double)(float)(2 * scale);
    }
    return scale;
}

/* `scale` takes the scale that was used, and becomes the target's. */
static void quantize_by_given_scale(const struct tfops_launch_args *launch,
    const struct quant_source *source, struct quant_target *target, float *scale)
{
    const struct ref_rows retries = ref_rows(launch, QUANTIZE_RETRIES);
    int64_t n_retries;
    *scale = (float)settle_scale(launch, target, source->context, &n_retries);
    if (target->scales.view.data)
        ref_put(&target->scales, 0, 0, (double)*scale);
    if (retries.view.data)
        ref_put_index(&retries, 0, n_retries);
    target->scales.view = (struct tfops_view){.data = scale};
    for (int64_t row = 0; row < target->layout.rows; row++)
        quant_put_scaled_row(target, source, row);
}

static void count_saturated(const struct tfops_launch_args *launch,
    const struct quant_target *target, const struct quant_source *source)
{
    const struct ref_rows saturated = ref_rows(launch, QUANTIZE_SATURATED);
    if (!saturated.view.data)
        return;
    int64_t count = ref_get_index(&saturated, 0);
    for (int64_t row = 0; row < target->layout.rows; row++)
        count += quant_count_saturated(target, source, row);
    ref_put_index(&saturated, 0, count);
}

enum tfops_status quantize_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct ref_rows x = ref_rows(launch, QUANTIZE_X);
    const struct quant_source source = {element, &x};
    float given;
    struct quant_target target = {
        .layout = {(enum quant_granularity)problem->options[QUANT_GRANULARITY],
            problem->options[QUANT_SCALE_MAJOR], problem->dims[QUANT_ROWS],
            problem->dims[QUANT_HIDDEN]},
        .out = ref_rows(launch, QUANTIZE_OUT),
        .scales = ref_rows(launch, QUANTIZE_SCALES)};
    if (target.layout.granularity == QUANT_PER_TENSOR_STATIC)
        quantize_by_given_scale(launch, &source, &target, &given);
    else
        quant_put_rows(&target, &source, 0, target.layout.rows);
    count_saturated(launch, &target, &source);
    return TFOPS_OK;
}

enum tfops_status dequantize_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct ref_rows x = ref_rows(launch, DEQUANTIZE_X);
    const struct ref_rows scales = ref_rows(launch, DEQUANTIZE_SCALES);
    const struct ref_rows out = ref_rows(launch, DEQUANTIZE_OUT);
    const struct quant_layout layout = {
        (enum quant_granularity)(QUANT_PER_TENSOR + problem->options[QUANT_GRANULARITY]),
        problem->options[QUANT_SCALE_MAJOR], problem->dims[QUANT_ROWS],
        problem->dims[QUANT_HIDDEN]};
    for (int64_t row = 0; row < layout.rows; row++)
        for (int64_t col = 0; col < layout.hidden; col++)
            ref_put(&out, row, col,
                ref_get(&x, row, col) * quant_scale_get(&layout, &scales, row, col));
    return TFOPS_OK;
}
