/* RMSNorm and rotary embedding in one pass, in plain C: what the template is judged by. */
#include "kernels/norm/norm_ref.h"
#include "rope_rotate_ref.h"
#include "rope_spec_tables.h"
#include <math.h>

struct rmsnorm_rope {
    struct ref_rows x, weight, out;
    struct rope_tables tables;
    int64_t heads, head_dim, max_pos;
    double eps;
    int variant;
    bool per_head;
};

static double element(const struct rmsnorm_rope *op, int64_t row, int64_t head, int64_t i)
{
    const int64_t *strides = op->x.view.strides;
    return half_load(op->x.view.data, op->x.dtype, row * strides[0] + head * strides[1] + i);
}

/* 1 / sqrt(mean(x²) + eps) over `n` heads from `first` on. */
static double scale_of(const struct rmsnorm_rope *op, int64_t row, int64_t first, int64_t n)
{
    double squares = 0;
    for (int64_t head = first; head < first + n; head++)
        for (int64_t i = 0; i < op->head_dim; i++)
            squares += element(op, row, head, i) * element(op, row, head, i);
    return 1 / sqrt(squares / (double)(n * op->head_dim) + op->eps);
}

static void put_head(
    const struct rmsnorm_rope *op, int64_t row, int64_t head, int64_t position, double scale)
{
    double values[ROPE_MAX_HEAD_DIM] = {0};
    const int64_t *strides = op->out.view.strides;
    for (int64_t i = 0; i < op->head_dim; i++)
        values[i] = norm_weighted(op->x.dtype, op->variant, element(op, row, head, i) * scale,
            ref_get(&op->weight, op->per_head ? 0 : head, i));
    rope_rotate(&op->tables, position, values);
    for (int64_t i = 0; i < op->head_dim; i++)
        half_store(
            op->out.view.data, op->out.dtype, row * strides[0] + head * strides[1] + i, values[i]);
}

static void put_row(const struct rmsnorm_rope *op, int64_t row)
{
    const int64_t position = op->tables.positions.view.data
                                 ? ref_get_index(&op->tables.positions, row)
                                 : row % op->max_pos;
    const double whole = op->per_head ? 0 : scale_of(op, row, 0, op->heads);
    for (int64_t head = 0; head < op->heads; head++)
        put_head(op, row, head, position, op->per_head ? scale_of(op, row, head, 1) : whole);
}

enum tfops_status rmsnorm_rope_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const int64_t *dims = problem->dims;
    const struct rmsnorm_rope op = {.x = ref_rows(launch, RMSNORM_ROPE_X),
        .weight = ref_rows(launch, RMSNORM_ROPE_WEIGHT),
        .out = ref_rows(launch, RMSNORM_ROPE_OUT),
        .tables = rope_tables(launch, RMSNORM_ROPE_COS, RMSNORM_ROPE_SIN, RMSNORM_ROPE_POSITIONS,
            dims[RMSNORM_ROPE_TABLE_DIM]),
        .heads = dims[RMSNORM_ROPE_HEADS],
        .head_dim = dims[RMSNORM_ROPE_HEAD_DIM],
        .max_pos = dims[RMSNORM_ROPE_MAX_POS],
        .eps = launch->scalars[RMSNORM_ROPE_EPS],
        .variant = problem->options[RMSNORM_ROPE_WEIGHT_VARIANT],
        .per_head = problem->options[RMSNORM_ROPE_NORM] == RMSNORM_ROPE_NORM_PER_HEAD};
    for (int64_t row = 0; row < dims[RMSNORM_ROPE_ROWS]; row++)
        put_row(&op, row);
    return TFOPS_OK;
}
