/*
 * The specs of rmsnorm and add_rmsnorm: two operators, one template (norm/rmsnorm.cu), one table of
 * tunables. The arithmetic about a config here is the host's side of RmsnormLayout in the template,
 * which asserts that the two agree.
 */
#include "norm_specs.h"
#include "rmsnorm_params.h"
#include <stdio.h>
#include <string.h>

enum { MAX_HIDDEN = 65536, MAX_ROWS = INT32_MAX, GENERIC_THREADS = 256 };

/* ---- tables --------------------------------------------------------------------------------- */

#define FLOATS (1u << TFOPS_F32 | 1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {
    [NORM_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, MAX_ROWS, "rows, e.g. tokens"},
    [NORM_HIDDEN] = {"hidden", 0, 1, MAX_HIDDEN, "elements of a row"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [NORM_DTYPE] = {"dtype", FLOATS, "of x, residual and out"},
    [NORM_WEIGHT_DTYPE] = {"weight_dtype", FLOATS, "of weight; that of x by default"},
};

static const char *const WEIGHT_VARIANTS[] = {"plain", "one_plus", "round_before"};
static const char *const RESIDUAL_ROUNDS[] = {"no", "yes"};

static const struct tfops_option_spec OPTIONS[] = {
    [NORM_WEIGHT_VARIANT] = {"weight_variant", WEIGHT_VARIANTS, 3,
        "x·r·w; x·r·(1 + w), Gemma; round(x·r)·w, HF Llama"},
    [ADD_RMSNORM_RESIDUAL_ROUND] = {"residual_round", RESIDUAL_ROUNDS, 2,
        "whether the norm is of the sum as rounded to dtype"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [NORM_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

static const struct tfops_operand_spec RMSNORM_OPERANDS[] = {
    [RMSNORM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << RMSNORM_OUT, "input rows"},
    [RMSNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0, "gamma"},
    [RMSNORM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << RMSNORM_X, "normalised rows; may be x"},
};

static const struct tfops_operand_spec ADD_RMSNORM_OPERANDS[] = {
    [ADD_RMSNORM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << ADD_RMSNORM_OUT, "input rows"},
    [ADD_RMSNORM_RESIDUAL] = {"residual", TFOPS_INOUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2,
        {NORM_ROWS, NORM_HIDDEN}, 1u << ADD_RMSNORM_RESIDUAL_OUT,
        "added to x; takes the sum when residual_out is absent"},
    [ADD_RMSNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0, "gamma"},
    [ADD_RMSNORM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2,
        {NORM_ROWS, NORM_HIDDEN}, 1u << ADD_RMSNORM_X, "normalised sum; may be x"},
    [ADD_RMSNORM_RESIDUAL_OUT] = {"residual_out", TFOPS_OUT,
        TFOPS_OPERAND_ROWS | TFOPS_OPERAND_OPTIONAL, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << ADD_RMSNORM_RESIDUAL, "takes the sum instead of residual"},
};

enum {
    VEC_BYTES,
    THREADS_PER_ROW,
    ROWS_PER_BLOCK,
    CLUSTER,
    RELOAD,
    BLOCKS_PER_SM,
    STAGES,
    WEIGHT_LOAD,
    STORE_HINT,
};

static const int64_t VEC_BYTES_VALUES[] = {2, 4, 8, 16};
static const int64_t THREADS_VALUES[] = {
    8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024};
static const int64_t ROWS_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t CLUSTER_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t THREE_VALUES[] = {0, 1, 2};
static const int64_t BLOCKS_VALUES[] = {0, 2, 4};
static const int64_t STAGES_VALUES[] = {1, 2};

#define VALUES(array) array, sizeof array / sizeof array[0]

static const struct tfops_tunable_spec TUNABLES[] = {
    [VEC_BYTES] = {"VEC_BYTES", VALUES(VEC_BYTES_VALUES), "bytes of one access"},
    [THREADS_PER_ROW] = {"THREADS_PER_ROW", VALUES(THREADS_VALUES), "threads that share a row"},
    [ROWS_PER_BLOCK] = {"ROWS_PER_BLOCK", VALUES(ROWS_VALUES), "rows a block works on at a time"},
    [CLUSTER] = {"CLUSTER", VALUES(CLUSTER_VALUES), "blocks that share a row"},
    [RELOAD] = {"RELOAD", VALUES(THREE_VALUES),
        "where a row waits for its sum: 0 registers, 1 shared memory, 2 read again"},
    [BLOCKS_PER_SM] = {"BLOCKS_PER_SM", VALUES(BLOCKS_VALUES),
        "0: a block per row group; k: k blocks an SM walk over all rows"},
    [STAGES] = {"STAGES", VALUES(STAGES_VALUES),
        "2: the next row is loaded before this one is done"},
    [WEIGHT_LOAD] = {"WEIGHT_LOAD", VALUES(THREE_VALUES),
        "0 after the sum, 1 before it, 2 once a block"},
    [STORE_HINT] = {"STORE_HINT", THREE_VALUES, 2, "stores: 0 default, 1 streaming"},
};

static const struct tfops_constant_spec RMSNORM_CONSTANTS[] = {
    {"HAS_RESIDUAL", 0}, {"RESIDUAL_ROUND", 0}, {"LOAD_HINT", 0}};
static const struct tfops_constant_spec ADD_RMSNORM_CONSTANTS[] = {
    {"HAS_RESIDUAL", 1}, {"LOAD_HINT", 0}};

/* ---- what follows from a config (RmsnormLayout) ---------------------------------------------- */

struct layout {
    int64_t elem, vec, shifted, vecs, vecs_block, per_thread, edges, threads;
    int64_t scratch_bytes, smem_bytes;
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static bool is_add(const struct tfops_problem *problem)
{
    return problem->spec->n_operands == sizeof ADD_RMSNORM_OPERANDS / sizeof *ADD_RMSNORM_OPERANDS;
}

/* GroupSum::SCRATCH_BYTES of the template: two sets of one float a warp of the group. */
static int64_t scratch_bytes(int64_t threads_per_row, int64_t rows_per_block, int64_t cluster)
{
    int64_t parts = ceil_div(threads_per_row, 32) * cluster;
    return parts == 1 ? 0 : 2 * 4 * ceil_div(rows_per_block * parts, 4) * 4;
}

static struct layout lay_out(const struct tfops_problem *problem, const struct tfops_config *config)
{
    const int64_t *v = config->values;
    int64_t hidden = problem->dims[NORM_HIDDEN];
    struct layout l;
    l.elem = (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_DTYPE]);
    l.vec = v[VEC_BYTES] / l.elem;
    l.shifted = v[VEC_BYTES] > problem->align;
    l.vecs = l.vec ? hidden / l.vec : 0;
    l.vecs_block = ceil_div(l.vecs, v[CLUSTER]);
    l.per_thread = ceil_div(l.vecs_block, v[THREADS_PER_ROW]);
    l.edges = !l.vec ? 0 : l.shifted ? 2 * (l.vec - 1) : hidden % l.vec;
    l.threads = v[THREADS_PER_ROW] * v[ROWS_PER_BLOCK];
    l.scratch_bytes = scratch_bytes(v[THREADS_PER_ROW], v[ROWS_PER_BLOCK], v[CLUSTER]);
    l.smem_bytes = l.scratch_bytes;
    if (v[RELOAD] == 1) {
        bool wide = is_add(problem) && !problem->options[ADD_RMSNORM_RESIDUAL_ROUND];
        int64_t slot_bytes = wide ? l.vec * 4 : v[VEC_BYTES] < 4 ? 4 : v[VEC_BYTES];
        l.smem_bytes = ceil_div(l.scratch_bytes, 128) * 128 + l.per_thread * l.threads * slot_bytes;
    }
    return l;
}

/* The widest access: that of the alignment, or 16 bytes over shifted rows that are long enough. */
static int64_t widest(const struct tfops_problem *problem, int64_t elem)
{
    int64_t row_bytes = problem->dims[NORM_HIDDEN] * elem;
    if (problem->align < 16 && row_bytes >= 512)
        return 16;
    int64_t bytes = problem->align;
    while (bytes > row_bytes)
        bytes /= 2;
    return bytes;
}

static bool refuse(char reason[TFOPS_REASON_BYTES], const char *text)
{
    snprintf(reason, TFOPS_REASON_BYTES, "%s", text);
    return false;
}

/*
 * Registers a thread needs: fitted to what ptxas gave for sm_90a. For each vector: the row while it
 * waits, the weight beside it (the compiler starts all its loads at once), and the unpacked result;
 * a walking block adds its loop, a second stage the next row. What this refuses spills.
 */
static int64_t registers(
    const struct tfops_problem *problem, const struct tfops_config *config, const struct layout *l)
{
    enum { BASE = 16, WALK = 10 };
    const int64_t *v = config->values;
    int64_t weight_bytes =
        (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_WEIGHT_DTYPE]);
    bool add = is_add(problem);
    int64_t tensors = add ? 2 : 1;
    int64_t chunk = l->per_thread < 8 / tensors ? l->per_thread : 8 / tensors;
    int64_t vec = v[VEC_BYTES] < 4 ? 1 : v[VEC_BYTES] / 4;
    int64_t held = add && !problem->options[ADD_RMSNORM_RESIDUAL_ROUND] ? l->vec : vec;
    int64_t weight = l->vec * weight_bytes < 4 ? 1 : l->vec * weight_bytes / 4;
    int64_t unpacked = l->elem < 4 ? vec : 0;
    int64_t waiting = v[RELOAD] == 2 ? chunk : l->per_thread;
    int64_t weights = v[WEIGHT_LOAD] == 2 ? l->per_thread : waiting;
    int64_t need = BASE + (v[BLOCKS_PER_SM] ? WALK : 0) + weights * weight;
    need += waiting * ((v[RELOAD] ? vec : held) + unpacked);
    return need + (v[STAGES] == 2 ? l->per_thread * vec * tensors : 0);
}

static int64_t register_limit(const struct tfops_config *config, const struct layout *l)
{
    int64_t blocks = config->values[BLOCKS_PER_SM] ? config->values[BLOCKS_PER_SM] : 1;
    int64_t share = 65536 / (l->threads * blocks) / 8 * 8;
    return share < 255 ? share : 255;
}

/* What the template cannot do. */
static bool possible(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct layout *l, char reason[TFOPS_REASON_BYTES])
{
    const int64_t *v = config->values;
    if (l->vec < 1 || l->vecs < (l->shifted ? 2 : 1))
        return refuse(reason, "a row has fewer elements than VEC_BYTES holds");
    if (l->edges > v[THREADS_PER_ROW])
        return refuse(reason, "more single elements at the edges than THREADS_PER_ROW");
    if (l->threads > 1024 || l->threads % 32)
        return refuse(reason, "THREADS_PER_ROW · ROWS_PER_BLOCK is not whole warps up to 1024");
    if (v[CLUSTER] > device->max_cluster)
        return refuse(reason, "CLUSTER is more than the device has");
    if (v[CLUSTER] > 1 && (v[ROWS_PER_BLOCK] > 1 || v[THREADS_PER_ROW] < 32))
        return refuse(reason, "a cluster shares one row among whole warps");
    if ((v[CLUSTER] - 1) * l->vecs_block >= l->vecs)
        return refuse(reason, "CLUSTER leaves a block without work");
    if (!v[RELOAD] && l->per_thread * v[VEC_BYTES] > 256)
        return refuse(reason, "a thread's part of the row does not fit in registers");
    if (registers(problem, config, l) > register_limit(config, l))
        return refuse(reason, "the row and its weight do not fit in a thread's registers");
    if (v[WEIGHT_LOAD] == 1 && v[RELOAD])
        return refuse(reason, "an early weight waits in registers, beside the row");
    if (v[WEIGHT_LOAD] == 2 && !v[BLOCKS_PER_SM])
        return refuse(reason, "a kept weight needs a block that walks over rows");
    if (v[STAGES] == 2 && (!v[BLOCKS_PER_SM] || v[RELOAD]))
        return refuse(reason, "a second stage needs a walking block and rows in registers");
    if (v[BLOCKS_PER_SM] * l->threads > device->max_threads_per_sm)
        return refuse(reason, "BLOCKS_PER_SM blocks have more threads than an SM");
    if (l->smem_bytes > device->smem_per_block_bytes)
        return refuse(reason, "more shared memory than a block has");
    return true;
}

/*
 * What it can do but was never worth measuring (docs/notes/rmsnorm.md): kept out so that a sweep
 * takes seconds. The first rule also keeps blocks and clusters from being smaller than their row.
 */
static bool worthwhile(const struct tfops_problem *problem, const struct tfops_config *config,
    const struct layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { CLUSTER_VECS = 512, WAITING_VECS = 8, MOST_UNROLLED = 32, MOST_ROWS_THREADS = 512 };
    const int64_t *v = config->values;
    if (v[VEC_BYTES] != widest(problem, l->elem))
        return refuse(reason, "VEC_BYTES is not the widest access of these rows");
    if (v[THREADS_PER_ROW] > 8 && v[THREADS_PER_ROW] >= 2 * l->vecs_block && l->edges < 9)
        return refuse(reason, "half of THREADS_PER_ROW would have nothing to do");
    if (v[CLUSTER] > 1 && l->vecs_block < CLUSTER_VECS)
        return refuse(reason, "the row is too short to share it among blocks");
    if (v[RELOAD] && l->per_thread < WAITING_VECS)
        return refuse(reason, "the row fits in registers");
    if (l->per_thread > MOST_UNROLLED)
        return refuse(reason, "a thread's part of the row would unroll too far");
    if (v[ROWS_PER_BLOCK] > 1 && l->threads > MOST_ROWS_THREADS)
        return refuse(reason, "a block of several rows is larger than 512 threads");
    if (l->threads < 64 && l->vecs > 32)
        return refuse(reason, "blocks of one warp are too many");
    if (v[BLOCKS_PER_SM] && !v[RELOAD] && v[WEIGHT_LOAD] != 2)
        return refuse(reason, "a walking block with rows in registers keeps its weight");
    return true;
}

static bool constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    struct layout l = lay_out(problem, config);
    return possible(problem, device, config, &l, reason) && worthwhile(problem, config, &l, reason);
}

/* ---- the default ---------------------------------------------------------------------------- */

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* The least value of THREADS_PER_ROW that is at least `wish`. */
static int64_t threads_for(int64_t wish)
{
    size_t i = 0, last = sizeof THREADS_VALUES / sizeof THREADS_VALUES[0] - 1;
    while (i < last && THREADS_VALUES[i] < wish)
        i++;
    return THREADS_VALUES[i];
}

/* Of the larger thread counts, the one that leaves the fewest idle in a row's last turn. */
static int64_t least_idle(int64_t vecs)
{
    static const int64_t COUNTS[] = {512, 448, 384, 320};
    int64_t best = COUNTS[0];
    for (size_t i = 1; i < sizeof COUNTS / sizeof COUNTS[0]; i++)
        if (ceil_div(vecs, COUNTS[i]) * COUNTS[i] < ceil_div(vecs, best) * best)
            best = COUNTS[i];
    return best;
}

/*
 * Threads for a row of `vecs` vectors, by what was fastest on an H200 (docs/notes/rmsnorm.md): few
 * rows want latency, one or two vectors a thread; many rows of halves want few, busy threads; f32
 * and a second tensor, which bring more loads of their own, want more.
 */
static int64_t default_threads(const struct tfops_problem *problem,
    const struct tfops_device *device, int64_t vecs, const struct layout *l)
{
    int64_t threads;
    if (vecs <= 32)
        threads = clamp(vecs > 16 ? 32 : vecs > 8 ? 16 : 8, l->shifted ? 16 : 8, 32);
    else if (problem->dims[NORM_ROWS] <= 2 * device->sms)
        threads = clamp(vecs / 2, 32, 1024);
    else if (l->shifted)
        threads = vecs > 64 ? 128 : 64;
    else if (is_add(problem))
        threads = vecs <= 512 ? clamp(vecs, 64, 512) : least_idle(vecs);
    else if (l->elem == 4)
        threads = clamp(vecs / 2, 32, 512);
    else
        threads = vecs <= 1024 ? clamp(vecs / 3, 32, 224) : least_idle(vecs);
    return threads_for(threads);
}

static bool fits(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    char reason[TFOPS_REASON_BYTES];
    return constraint(NULL, problem, device, config, reason);
}

/* What a long row gives up, one after the other, until it fits. */
static void settle_long_row(const struct tfops_problem *problem, const struct tfops_device *device,
    struct tfops_config *config)
{
    int64_t *v = config->values;
    if (fits(problem, device, config))
        return;
    v[THREADS_PER_ROW] = 512;
    if (fits(problem, device, config))
        return;
    v[WEIGHT_LOAD] = 0;
    if (fits(problem, device, config))
        return;
    v[RELOAD] = 1;
    v[CLUSTER] = device->max_cluster >= 4 ? 4 : 1;
    if (fits(problem, device, config))
        return;
    v[RELOAD] = 0;
    if (fits(problem, device, config))
        return;
    v[RELOAD] = 2; /* longer than shared memory */
    v[CLUSTER] = 1;
}

static void default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user;
    int64_t *v = ret_config->values;
    int64_t elem = (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_DTYPE]);
    memset(ret_config, 0, sizeof *ret_config);
    v[VEC_BYTES] = widest(problem, elem);
    int64_t vecs = problem->dims[NORM_HIDDEN] * elem / v[VEC_BYTES];
    v[CLUSTER] = v[STAGES] = v[WEIGHT_LOAD] = v[THREADS_PER_ROW] = v[ROWS_PER_BLOCK] = 1;
    struct layout l = lay_out(problem, ret_config);
    v[THREADS_PER_ROW] = default_threads(problem, device, vecs, &l);
    v[ROWS_PER_BLOCK] = v[THREADS_PER_ROW] > 32 ? 1 : 128 / v[THREADS_PER_ROW];
    settle_long_row(problem, device, ret_config);
    uint64_t bytes = (uint64_t)(problem->dims[NORM_ROWS] * problem->dims[NORM_HIDDEN] * elem);
    v[STORE_HINT] = bytes >= 4u << 20 && v[VEC_BYTES] <= problem->align;
}

/* ---- launching ------------------------------------------------------------------------------ */

/* Groups of a walking grid. Rows that start anywhere: a step that keeps a block's rows at one shift. */
static int64_t walking_groups(
    const struct tfops_device *device, const int64_t *v, const struct layout *l)
{
    int64_t groups = clamp(v[BLOCKS_PER_SM] * device->sms / v[CLUSTER], 1, MAX_ROWS);
    int64_t period = l->shifted ? 16 / l->elem : 1;
    return groups < period ? period : groups / period * period;
}

/* Groups of rows: as many as there are, or as many as walk over them. */
static void group(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, struct tfops_geometry *geometry)
{
    const int64_t *v = config->values;
    geometry->extent_per_group = config->generic ? 1 : (uint32_t)v[ROWS_PER_BLOCK];
    geometry->most_groups = MAX_ROWS;
    if (config->generic) {
        geometry->most_groups = (uint32_t)(8 * device->sms);
    } else if (v[BLOCKS_PER_SM]) {
        struct layout l = lay_out(problem, config);
        geometry->most_groups = (uint32_t)walking_groups(device, v, &l);
    }
    int64_t groups = ceil_div(problem->dims[NORM_ROWS], geometry->extent_per_group);
    geometry->grid[0] = (uint32_t)clamp(groups, 1, geometry->most_groups) * geometry->cluster;
    geometry->grid[1] = geometry->grid[2] = 1;
}

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user;
    const int64_t *v = config->values;
    *ret_geometry = (struct tfops_geometry){.threads = GENERIC_THREADS,
        .min_blocks = 1,
        .cluster = 1,
        .smem_bytes = (uint32_t)scratch_bytes(GENERIC_THREADS, 1, 1)};
    if (!config->generic) {
        struct layout l = lay_out(problem, config);
        ret_geometry->threads = (uint32_t)l.threads;
        ret_geometry->min_blocks = (uint32_t)clamp(v[BLOCKS_PER_SM], 1, 32);
        ret_geometry->cluster = (uint32_t)v[CLUSTER];
        ret_geometry->smem_bytes = (uint32_t)l.smem_bytes;
    }
    group(problem, device, config, ret_geometry);
}

static void pack_common(const struct tfops_launch_args *launch, struct rmsnorm_params *params)
{
    const struct tfops_problem *problem = launch->problem;
    params->rows = problem->dims[NORM_ROWS];
    params->hidden = (int)problem->dims[NORM_HIDDEN];
    params->eps = (float)launch->scalars[NORM_EPS];
    params->dtype = problem->dtypes[NORM_DTYPE];
    params->weight_dtype = problem->dtypes[NORM_WEIGHT_DTYPE];
    params->weight_variant = problem->options[NORM_WEIGHT_VARIANT];
}

static void pack_rmsnorm(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct rmsnorm_params *params = ret_params;
    const struct tfops_view *operands = launch->operands;
    pack_common(launch, params);
    params->x = operands[RMSNORM_X].data;
    params->weight = operands[RMSNORM_WEIGHT].data;
    params->out = operands[RMSNORM_OUT].data;
    params->x_stride = operands[RMSNORM_X].strides[0];
    params->out_stride = operands[RMSNORM_OUT].strides[0];
    params->residual = params->residual_out = NULL;
    params->residual_stride = params->residual_out_stride = 0;
    params->residual_round = 0;
}

static void pack_add_rmsnorm(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct rmsnorm_params *params = ret_params;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *residual = &operands[ADD_RMSNORM_RESIDUAL];
    const struct tfops_view *sum =
        operands[ADD_RMSNORM_RESIDUAL_OUT].data ? &operands[ADD_RMSNORM_RESIDUAL_OUT] : residual;
    pack_common(launch, params);
    params->x = operands[ADD_RMSNORM_X].data;
    params->weight = operands[ADD_RMSNORM_WEIGHT].data;
    params->residual = residual->data;
    params->out = operands[ADD_RMSNORM_OUT].data;
    params->residual_out = sum->data;
    params->x_stride = operands[ADD_RMSNORM_X].strides[0];
    params->residual_stride = residual->strides[0];
    params->out_stride = operands[ADD_RMSNORM_OUT].strides[0];
    params->residual_out_stride = sum->strides[0];
    params->residual_round = launch->problem->options[ADD_RMSNORM_RESIDUAL_ROUND];
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

static uint64_t row_bytes(const struct tfops_problem *problem)
{
    return (uint64_t)problem->dims[NORM_ROWS] * (uint64_t)problem->dims[NORM_HIDDEN] *
           tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_DTYPE]);
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    uint64_t rows = row_bytes(problem), tensors = is_add(problem) ? 2 : 1;
    uint64_t weight = (uint64_t)problem->dims[NORM_HIDDEN] *
                      tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_WEIGHT_DTYPE]);
    uint64_t elems = (uint64_t)problem->dims[NORM_ROWS] * (uint64_t)problem->dims[NORM_HIDDEN];
    *ret_cost = (struct tfops_cost){.bytes_read = tensors * rows + weight,
        .bytes_written = tensors * rows,
        .flops = (3 + tensors) * elems};
}

/*
 * The result is rounded once to dtype (round_before: twice); fp32 sums of up to 65536 squares add
 * less than 1e-5. The relative bound is that of rounding over a whole tensor, with room of 2.
 */
static void tolerance(
    void *user, const struct tfops_problem *problem, struct tfops_tolerance *ret_tolerance)
{
    (void)user;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {2e-6, 1e-6, 2e-5},
        [TFOPS_F16] = {6e-4, 1e-3, 2e-3},
        [TFOPS_BF16] = {5e-3, 8e-3, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[NORM_DTYPE]];
    if (problem->options[NORM_WEIGHT_VARIANT] == 2)
        ret_tolerance->relative *= 2;
}

/* ---- the specs ------------------------------------------------------------------------------ */

#define TABLE(field, array) .field = array, .n_##field = sizeof array / sizeof array[0]

#define COMMON                                                                                     \
    .size = sizeof(struct tfops_spec), .abi = TFOPS_SPEC_ABI, .version = 1, TABLE(dims, DIMS),     \
    TABLE(dtypes, DTYPES), TABLE(scalars, SCALARS), TABLE(tunables, TUNABLES),                     \
    .template_path = "norm/rmsnorm.cu", .body = "rmsnorm", .generic_body = "rmsnorm_generic",      \
    .params_type = "rmsnorm_params", .param_bytes = sizeof(struct rmsnorm_params),                 \
    .constraint = constraint, .default_config = default_config, .geometry = geometry,              \
    .cost = cost, .tolerance = tolerance

const struct tfops_spec rmsnorm_spec = {
    COMMON,
    .name = "rmsnorm",
    .summary = "root mean square layer normalisation of rows",
    .formula = "out = x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich 2019)",
    .options = OPTIONS,
    .n_options = 1,
    TABLE(operands, RMSNORM_OPERANDS),
    TABLE(constants, RMSNORM_CONSTANTS),
    .pack = pack_rmsnorm,
    .reference = rmsnorm_reference,
};

const struct tfops_spec add_rmsnorm_spec = {
    COMMON,
    .name = "add_rmsnorm",
    .summary = "residual addition and RMSNorm of the sum, in one pass",
    .formula = "h = x + residual; residual_out = h; out = h / sqrt(mean(h²) + eps) · weight",
    .options = OPTIONS,
    .n_options = 2,
    TABLE(operands, ADD_RMSNORM_OPERANDS),
    TABLE(constants, ADD_RMSNORM_CONSTANTS),
    .pack = pack_add_rmsnorm,
    .reference = add_rmsnorm_reference,
};
