/* Softmax of rows in plain C: what the template is judged by, and the cpu device. Sums in fp64. */
#include "kernels/ref_rows.h"
#include "softmax_specs.h"
#include <math.h>

struct softmax {
    struct ref_rows x, mask, out; /* mask.view.data NULL: none */
    int64_t width, mask_rows, queries;
    double scale;
    bool causal;
};

/* Columns that a row sees: the last query sees all of them. */
static int64_t visible(const struct softmax *softmax, int64_t row)
{
    if (!softmax->causal)
        return softmax->width;
    int64_t columns = softmax->width - softmax->queries + row % softmax->queries + 1;
    return columns < 0 ? 0 : columns > softmax->width ? softmax->width : columns;
}

static double logit(const struct softmax *softmax, int64_t row, int64_t col)
{
    double value = softmax->scale * ref_get(&softmax->x, row, col);
    return softmax->mask.view.data ? value + ref_get(&softmax->mask, row % softmax->mask_rows, col)
                                   : value;
}

static void softmax_row(const struct softmax *softmax, int64_t row)
{
    const int64_t columns = visible(softmax, row);
    const bool masked = softmax->causal || softmax->mask.view.data;
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < columns; i++) {
        const double value = logit(softmax, row, i);
        most = value > most || isnan(value) ? value : most;
        if (isnan(most))
            break;
    }
    const bool nothing = masked && most == -INFINITY; /* no column is left: all of out is 0 */
    for (int64_t i = 0; i < columns && !nothing; i++)
        sum += exp(logit(softmax, row, i) - most);
    for (int64_t i = 0; i < softmax->width; i++) {
        const bool seen = i < columns && !nothing;
        ref_put(&softmax->out, row, i, seen ? exp(logit(softmax, row, i) - most) / sum : 0);
    }
}

enum tfops_status softmax_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const int64_t *dims = launch->problem->dims;
    const int64_t queries = (int64_t)launch->scalars[SOFTMAX_QUERIES];
    const struct softmax softmax = {.x = ref_rows(launch, SOFTMAX_X),
        .mask = ref_rows(launch, SOFTMAX_MASK),
        .out = ref_rows(launch, SOFTMAX_OUT),
        .width = dims[SOFTMAX_WIDTH],
        .mask_rows = dims[SOFTMAX_MASK_ROWS],
        .queries = queries > 0 ? queries : dims[SOFTMAX_ROWS],
        .scale = launch->scalars[SOFTMAX_SCALE],
        .causal = launch->problem->options[SOFTMAX_CAUSAL] != 0};
    for (int64_t row = 0; row < dims[SOFTMAX_ROWS]; row++)
        softmax_row(&softmax, row);
    return TFOPS_OK;
}
