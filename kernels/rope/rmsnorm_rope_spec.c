/*
 * The spec of rmsnorm_rope: its tables, what it accepts, the row template's view, cost and tolerance.
 *
 * x is [rows, heads, head_dim]: a caller's [batch, seq, hidden] seen by head, so that head_dim need not
 * follow from the tables, which rotate its first part only where they are shorter. Without positions a
 * row's place in its sequence is its number modulo the length of the tables.
 */
#include "rmsnorm_rope_params.h"
#include "rope_spec_tables.h"
#include "row/row_space.h"
#include <string.h>

enum { MAX_ROWS = INT32_MAX, MAX_HEADS = 4096, MAX_HIDDEN = 65536 };

static const struct tfops_dim_spec DIMS[] = {
    [RMSNORM_ROPE_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, MAX_ROWS, "rows, e.g. tokens"},
    [RMSNORM_ROPE_HEADS] = {"num_heads", 0, 1, MAX_HEADS, "heads of a row"},
    [RMSNORM_ROPE_HEAD_DIM] = {"head_dim", 0, 1, ROPE_MAX_HEAD_DIM, "elements of a head, even"},
    [RMSNORM_ROPE_TABLE_DIM] = ROPE_TABLE_DIM_ROW,
    [RMSNORM_ROPE_MAX_POS] = ROPE_MAX_POS_ROW,
    [RMSNORM_ROPE_WEIGHT_HEADS] = {"weight_heads", TFOPS_DIM_DERIVED, 1, MAX_HEADS,
        "heads of weight: all, or one for norm=per_head"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [RMSNORM_ROPE_DTYPE] = {"dtype", SPEC_FLOATS, "of x and out"},
    [RMSNORM_ROPE_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FLOATS, "of weight; that of x by default"},
    [RMSNORM_ROPE_TABLE_DTYPE] = {"table_dtype", SPEC_FLOATS,
        "of cos and sin; that of x by default"},
    [RMSNORM_ROPE_POSITION_DTYPE] = {"position_dtype", SPEC_INDICES, "of positions"},
};

static const char *const NORMS[] = {"row", "per_head"};
static const char *const WEIGHT_VARIANTS[] = {"plain", "one_plus", "round_before"};

static const struct tfops_option_spec OPTIONS[] = {
    [ROPE_STYLE] = ROPE_STYLE_OPTION,
    [ROPE_TABLE] = ROPE_TABLE_OPTION,
    [RMSNORM_ROPE_NORM] = {"norm", NORMS, 2, "what is normalised together: a row, or each head"},
    [RMSNORM_ROPE_WEIGHT_VARIANT] = {"weight_variant", WEIGHT_VARIANTS, 3,
        "x·r·w; x·r·(1 + w), Gemma; round(x·r)·w, HF Llama"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [RMSNORM_ROPE_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

#define X_SHAPE                                                                                    \
    RMSNORM_ROPE_DTYPE, 3,                                                                         \
    {                                                                                              \
        RMSNORM_ROPE_ROWS, RMSNORM_ROPE_HEADS, RMSNORM_ROPE_HEAD_DIM                               \
    }
#define TABLE_SHAPE                                                                                \
    RMSNORM_ROPE_TABLE_DTYPE, 2,                                                                   \
    {                                                                                              \
        RMSNORM_ROPE_MAX_POS, RMSNORM_ROPE_TABLE_DIM                                               \
    }

static const struct tfops_operand_spec OPERANDS[] = {
    [RMSNORM_ROPE_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, X_SHAPE, 1u << RMSNORM_ROPE_OUT,
        "input rows"},
    [RMSNORM_ROPE_WEIGHT] = {"weight", TFOPS_IN, TFOPS_OPERAND_ROWS, RMSNORM_ROPE_WEIGHT_DTYPE, 2,
        {RMSNORM_ROPE_WEIGHT_HEADS, RMSNORM_ROPE_HEAD_DIM}, 0,
        "gamma: [num_heads, head_dim], or [head_dim] for norm=per_head"},
    [RMSNORM_ROPE_COS] = {"cos", TFOPS_IN, TFOPS_OPERAND_ROWS, TABLE_SHAPE, 0,
        "cosines by position"},
    [RMSNORM_ROPE_SIN] = {"sin", TFOPS_IN, TFOPS_OPERAND_ROWS, TABLE_SHAPE, 0, "sines by position"},
    [RMSNORM_ROPE_POSITIONS] = {"positions", TFOPS_IN,
        TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS |
            TFOPS_OPERAND_INDEX(RMSNORM_ROPE_MAX_POS),
        RMSNORM_ROPE_POSITION_DTYPE, 1, {RMSNORM_ROPE_ROWS}, 0,
        "row of cos and sin for each row of x, below max_pos"},
    [RMSNORM_ROPE_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, X_SHAPE, 1u << RMSNORM_ROPE_X,
        "normalised and rotated; may be x"},
};

static bool is_per_head(const struct tfops_problem *problem)
{
    return problem->options[RMSNORM_ROPE_NORM] == RMSNORM_ROPE_NORM_PER_HEAD;
}

static int64_t derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user, (void)dim;
    return is_per_head(problem) ? 1 : problem->dims[RMSNORM_ROPE_HEADS];
}

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const int64_t *dims = problem->dims;
    const int64_t rows = dims[RMSNORM_ROPE_ROWS], max_pos = dims[RMSNORM_ROPE_MAX_POS];
    const int64_t hidden = dims[RMSNORM_ROPE_HEADS] * dims[RMSNORM_ROPE_HEAD_DIM];
    if (hidden > MAX_HIDDEN)
        return spec_refuse(reason, "x: expected at most %d elements in a row, got %lld", MAX_HIDDEN,
            (long long)hidden);
    if (is_per_head(problem) && rows > MAX_ROWS / dims[RMSNORM_ROPE_HEADS])
        return spec_refuse(reason, "x: expected at most %d heads, got rows=%lld of num_heads=%lld",
            MAX_ROWS, (long long)rows, (long long)dims[RMSNORM_ROPE_HEADS]);
    if (!spec_has(problem, RMSNORM_ROPE_POSITIONS) && rows > max_pos && rows % max_pos)
        return spec_refuse(reason,
            "cos: expected a number of rows that divides rows=%lld without positions, got %lld",
            (long long)rows, (long long)max_pos);
    return rope_accepts_table(
        problem, "x", dims[RMSNORM_ROPE_HEAD_DIM], dims[RMSNORM_ROPE_TABLE_DIM], reason);
}

/* ---- the template's view -------------------------------------------------------------------- */

/* Of a head in whole 16-byte vectors: threads of the same place in it have the same angles. */
static int64_t head_units(const struct tfops_problem *problem)
{
    const int64_t *dims = problem->dims;
    const int64_t vec = 16 / (int64_t)spec_elem_bytes(problem, RMSNORM_ROPE_DTYPE);
    const int64_t most =
        rope_vec_most(problem, dims[RMSNORM_ROPE_HEAD_DIM], dims[RMSNORM_ROPE_TABLE_DIM]);
    const int64_t widest = vec < most ? vec : most;
    return widest ? dims[RMSNORM_ROPE_HEAD_DIM] / 2 / widest : 0;
}

static void shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const int64_t *dims = problem->dims;
    const int64_t heads = dims[RMSNORM_ROPE_HEADS], head_dim = dims[RMSNORM_ROPE_HEAD_DIM];
    const int64_t elem_bytes = (int64_t)spec_elem_bytes(problem, RMSNORM_ROPE_DTYPE);
    const int64_t each = is_per_head(problem) ? heads : 1;
    enum { ROW_REGISTERS = 64, STREAM_REGISTERS = 48, HEAD_REGISTERS = 48 };
    const bool wide = spec_elem_bytes(problem, RMSNORM_ROPE_TABLE_DTYPE) > 2; /* as floats */
    const int64_t angles = wide ? (problem->options[ROPE_TABLE] ? 8 : 16) : 0;
    const bool brief = problem->options[ROPE_STYLE] == ROPE_HALF_SPLIT &&
                       !spec_has(problem, RMSNORM_ROPE_POSITIONS) &&
                       problem->options[RMSNORM_ROPE_WEIGHT_VARIANT] == NORM_PLAIN &&
                       (int64_t)spec_elem_bytes(problem, RMSNORM_ROPE_WEIGHT_DTYPE) <= elem_bytes;
    const int64_t state = (is_per_head(problem) ? HEAD_REGISTERS : ROW_REGISTERS) + angles;
    const int64_t stream = brief ? STREAM_REGISTERS + angles : state; /* others would spill */
    *ret_shape = (struct row_shape){.rows = dims[RMSNORM_ROPE_ROWS] * each,
        .width = is_per_head(problem) ? head_dim : heads * head_dim,
        .elem_bytes = elem_bytes,
        .held_bytes = elem_bytes,
        .column_bytes = (int64_t)spec_elem_bytes(problem, RMSNORM_ROPE_WEIGHT_DTYPE),
        .inputs = 1,
        .columns = 1,
        .steps = 1,
        .words = 1,
        .unit = 2,
        .period = head_units(problem),
        .state_registers = state,
        .stream_registers = is_per_head(problem) ? 0 : stream,
        .rows_each = each,
        .own_words = 4 * (16 / elem_bytes), /* angles of a unit, in fp32 */
        .vec_most = rope_vec_most(problem, head_dim, dims[RMSNORM_ROPE_TABLE_DIM])};
}

static const struct row_family FAMILY = {shape};

static void pack_norm(const struct tfops_launch_args *launch, struct norm_params *params)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *views = launch->operands;
    const int64_t head_dim = problem->dims[RMSNORM_ROPE_HEAD_DIM];
    memset(params, 0, sizeof *params);
    params->x = views[RMSNORM_ROPE_X].data;
    params->weight = views[RMSNORM_ROPE_WEIGHT].data;
    params->out = views[RMSNORM_ROPE_OUT].data;
    params->x_stride = views[RMSNORM_ROPE_X].strides[0];
    params->out_stride = views[RMSNORM_ROPE_OUT].strides[0];
    params->hidden =
        (int)(is_per_head(problem) ? head_dim : problem->dims[RMSNORM_ROPE_HEADS] * head_dim);
    params->eps = (float)launch->scalars[RMSNORM_ROPE_EPS];
    params->dtype = problem->dtypes[RMSNORM_ROPE_DTYPE];
    params->weight_dtype = problem->dtypes[RMSNORM_ROPE_WEIGHT_DTYPE];
    params->weight_variant = problem->options[RMSNORM_ROPE_WEIGHT_VARIANT];
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *views = launch->operands;
    const int64_t *dims = problem->dims;
    struct rmsnorm_rope_params *params = ret_params;
    pack_norm(launch, &params->norm);
    params->heads = is_per_head(problem) ? (int)dims[RMSNORM_ROPE_HEADS] : 1;
    params->rows = params->norm.rows = dims[RMSNORM_ROPE_ROWS] * params->heads;
    params->cos = views[RMSNORM_ROPE_COS].data;
    params->sin = views[RMSNORM_ROPE_SIN].data;
    params->positions = views[RMSNORM_ROPE_POSITIONS].data;
    params->x_pitch = views[RMSNORM_ROPE_X].strides[1];
    params->out_pitch = views[RMSNORM_ROPE_OUT].strides[1];
    params->weight_pitch = views[RMSNORM_ROPE_WEIGHT].strides[0];
    params->cos_stride = views[RMSNORM_ROPE_COS].strides[0];
    params->sin_stride = views[RMSNORM_ROPE_SIN].strides[0];
    params->positions_stride = views[RMSNORM_ROPE_POSITIONS].strides[0];
    params->max_pos = (unsigned)dims[RMSNORM_ROPE_MAX_POS];
    params->head_dim = (int)dims[RMSNORM_ROPE_HEAD_DIM];
    params->rotary_dim = (int)rope_rotary_dim(problem, dims[RMSNORM_ROPE_TABLE_DIM]);
    params->interleaved = problem->options[ROPE_STYLE] == ROPE_INTERLEAVED;
    params->half = problem->options[ROPE_TABLE] == ROPE_TABLE_HALF;
    params->table_dtype = problem->dtypes[RMSNORM_ROPE_TABLE_DTYPE];
    params->position_dtype = problem->dtypes[RMSNORM_ROPE_POSITION_DTYPE];
}

/* Of the tables, what the rows touch. */
static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const int64_t *dims = problem->dims;
    const int64_t rows = dims[RMSNORM_ROPE_ROWS], max_pos = dims[RMSNORM_ROPE_MAX_POS];
    const uint64_t hidden = (uint64_t)(dims[RMSNORM_ROPE_HEADS] * dims[RMSNORM_ROPE_HEAD_DIM]);
    const uint64_t bytes = (uint64_t)rows * hidden * spec_elem_bytes(problem, RMSNORM_ROPE_DTYPE);
    const uint64_t weights =
        (uint64_t)(dims[RMSNORM_ROPE_WEIGHT_HEADS] * dims[RMSNORM_ROPE_HEAD_DIM]);
    const uint64_t table =
        2 * (uint64_t)(rows < max_pos ? rows : max_pos) * (uint64_t)dims[RMSNORM_ROPE_TABLE_DIM];
    *ret_cost = (struct tfops_cost){
        .bytes_read =
            bytes + weights * spec_elem_bytes(problem, RMSNORM_ROPE_WEIGHT_DTYPE) +
            table * spec_elem_bytes(problem, RMSNORM_ROPE_TABLE_DTYPE) +
            (spec_has(problem, RMSNORM_ROPE_POSITIONS)
                    ? (uint64_t)rows * spec_elem_bytes(problem, RMSNORM_ROPE_POSITION_DTYPE)
                    : 0),
        .bytes_written = bytes,
        .flops = 7 * (uint64_t)rows * hidden};
}

/* The norm's error, through a rotation whose products may cancel, and one rounding to dtype. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {2e-6, 8e-6, 2e-5},
        [TFOPS_F16] = {6e-4, 1e-3, 2e-3},
        [TFOPS_BF16] = {5e-3, 8e-3, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[RMSNORM_ROPE_DTYPE]];
    if (problem->options[RMSNORM_ROPE_WEIGHT_VARIANT] == 2) { /* rounded before too */
        ret_tolerance->relative *= 2;
        ret_tolerance->atol *= 4;
    }
}

/* The weight is around 1, tables are tame: no zeros, subnormals or large numbers among them. */
static void values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    (void)user, (void)problem;
    *ret_values = operand == RMSNORM_ROPE_WEIGHT
                      ? (struct tfops_values){0.25f, 1, false}
                      : (struct tfops_values){1, 0, operand == RMSNORM_ROPE_X};
}

const struct tfops_spec rmsnorm_rope_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "rmsnorm_rope",
    .summary = "RMSNorm of rows or heads, then rotary embedding, in one pass",
    .formula =
        "y = x / sqrt(mean(x²) + eps) · weight; (a, b) → (a·cos − b·sin, b·cos + a·sin) of y",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(scalars, SCALARS),
    SPEC_TABLE(operands, OPERANDS),
    ROW_SPACE(FAMILY),
    .template_path = "rope/rmsnorm_rope.cu",
    .body = "rmsnorm_rope",
    .generic_body = "rmsnorm_rope_generic",
    .params_type = "rmsnorm_rope_params",
    .param_bytes = sizeof(struct rmsnorm_rope_params),
    .pack = pack,
    .derive = derive,
    .accepts = accepts,
    .cost = cost,
    .tolerance = tolerance,
    .values = values,
    .reference = rmsnorm_rope_reference,
};
