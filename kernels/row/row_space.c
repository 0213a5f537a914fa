/*
 * The space of the row template (see row_space.h).
 */
#include "row_layout.h"
#include <stdio.h>

static const int64_t VEC_BYTES_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t THREADS_VALUES[] = {
    8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024};
static const int64_t ROWS_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t CLUSTER_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t THREE_VALUES[] = {0, 1, 2};
static const int64_t BLOCKS_VALUES[] = {0, 2, 4};
static const int64_t STAGES_VALUES[] = {1, 2};
static const int64_t PREFETCH_VALUES[] = {0, ROW_PREFETCH_AHEAD};

#define VALUES(array) array, sizeof array / sizeof array[0]

const struct tfops_tunable_spec row_tunables[ROW_TUNABLES] = {
    [ROW_VEC_BYTES] = {"VEC_BYTES", VALUES(VEC_BYTES_VALUES), "bytes of one access"},
    [ROW_THREADS_PER_ROW] = {"THREADS_PER_ROW", VALUES(THREADS_VALUES), "threads that share a row"},
    [ROW_ROWS_PER_BLOCK] = {"ROWS_PER_BLOCK", VALUES(ROWS_VALUES),
        "rows a block works on at a time"},
    [ROW_CLUSTER] = {"CLUSTER", VALUES(CLUSTER_VALUES), "blocks that share a row"},
    [ROW_RELOAD] = {"RELOAD", VALUES(THREE_VALUES),
        "where a row waits to be reduced: 0 registers, 1 shared memory, 2 read again"},
    [ROW_BLOCKS_PER_SM] = {"BLOCKS_PER_SM", VALUES(BLOCKS_VALUES),
        "0: a block per row group; k: k blocks an SM walk over all rows"},
    [ROW_STAGES] = {"STAGES", VALUES(STAGES_VALUES),
        "2: the next row is loaded before this one is done"},
    [ROW_WEIGHT_LOAD] = {"WEIGHT_LOAD", VALUES(THREE_VALUES),
        "weights and the like: 0 when used, 1 beside the row, 2 once a block"},
    [ROW_STORE_HINT] = {"STORE_HINT", THREE_VALUES, 2, "stores: 0 default, 1 streaming"},
    [ROW_LOAD_HINT] = {"LOAD_HINT", THREE_VALUES, 2,
        "a row's loads: 0 default, 1 L2 keeps them longer than what is written"},
    [ROW_PREFETCH] = {"PREFETCH", VALUES(PREFETCH_VALUES),
        "blocks of a large grid that fetch to L2 while the kernel before ends"},
};

/* ---- what follows from a config (RowLayout) -------------------------------------------------- */

struct row_shape row_shape_of(void *user, const struct tfops_problem *problem)
{
    const struct row_family *family = user;
    struct row_shape shape = {.unit = 1};
    family->shape(problem, &shape);
    return shape;
}

static bool may_shift(const struct row_shape *shape)
{
    return shape->unit == 1 && !shape->group && !shape->unshifted;
}

/* That of the class, which a tensor of smaller elements may lower below what every row has. */
static int64_t row_align(const struct row_shape *shape, uint32_t align)
{
    return align < shape->elem_bytes ? shape->elem_bytes : align;
}

/* GroupScratch::bytes of the template: two sets of `words` floats a warp of the group. */
static int64_t scratch_bytes(const struct row_shape *shape, const int64_t *v)
{
    int64_t parts = row_ceil_div(v[ROW_THREADS_PER_ROW], 32) * v[ROW_CLUSTER];
    if (parts == 1 || !shape->steps)
        return 0;
    return 2 * 4 * row_ceil_div(v[ROW_ROWS_PER_BLOCK] * parts * shape->words, 4) * 4;
}

/* Units that a thread loads at a time, but for rows that wait in registers. */
static int64_t chunk_units(const struct row_shape *shape)
{
    return (shape->steps ? 4 : 8 / shape->inputs) / shape->unit;
}

/* All units of a thread wait in shared memory, or as many as a block has room for. */
static void lay_out_slots(
    const struct row_shape *shape, const struct tfops_device *device, struct row_layout *l)
{
    const int64_t slot_bytes = l->unit * shape->held_bytes < 4 ? 4 : l->unit * shape->held_bytes;
    const int64_t offset = row_ceil_div(l->scratch_bytes, 128) * 128;
    const int64_t fit = (device->smem_per_block_bytes - offset) / (l->threads * slot_bytes);
    l->slots = fit < l->per_thread ? fit : l->per_thread;
    l->smem_bytes = offset + l->slots * l->threads * slot_bytes;
}

struct row_layout row_lay_out(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v)
{
    struct row_layout l = {.vec = v[ROW_VEC_BYTES] / shape->elem_bytes};
    l.shifted = v[ROW_VEC_BYTES] > row_align(shape, align) && may_shift(shape);
    l.unit = l.vec * shape->unit;
    l.units = l.unit ? shape->width / l.unit : 0;
    int64_t lanes = shape->group && l.vec ? shape->group / l.vec : 1;
    l.units_block = row_ceil_div(l.units, v[ROW_CLUSTER] * lanes) * lanes;
    l.per_thread = row_ceil_div(l.units_block, v[ROW_THREADS_PER_ROW]);
    l.edges = !l.vec ? 0 : l.shifted ? 2 * (l.vec - 1) : shape->width % l.vec;
    l.threads = v[ROW_THREADS_PER_ROW] * v[ROW_ROWS_PER_BLOCK];
    l.scratch_bytes = scratch_bytes(shape, v);
    l.smem_bytes = l.scratch_bytes;
    if (v[ROW_RELOAD] == 1 && l.per_thread)
        lay_out_slots(shape, device, &l);
    return l;
}

int64_t row_in_bytes(const struct row_shape *shape)
{
    return shape->rows * shape->width * shape->elem_bytes * shape->inputs;
}

static bool vec_divides(const struct row_shape *shape, int64_t vec)
{
    if (shape->vec_most && vec > shape->vec_most)
        return false;
    return may_shift(shape) || shape->width % (vec * shape->unit) == 0;
}

int64_t row_widest(const struct row_shape *shape, uint32_t align)
{
    int64_t row_bytes = shape->width * shape->elem_bytes;
    int64_t bytes = row_align(shape, align);
    if (!may_shift(shape) || row_bytes >= 512)
        bytes = 16;
    while (bytes > row_bytes || !vec_divides(shape, bytes / shape->elem_bytes))
        bytes /= 2;
    return bytes;
}

static bool refuse(char reason[TFOPS_REASON_BYTES], const char *text)
{
    snprintf(reason, TFOPS_REASON_BYTES, "%s", text);
    return false;
}

static int64_t words(int64_t bytes)
{
    return bytes < 4 ? 1 : bytes / 4;
}

/*
 * Registers a thread needs: fitted to what ptxas gave for sm_90a. For each unit: the row while it
 * waits, the columns beside it (the compiler starts all their loads at once), and the unpacked
 * result; a walking block adds its loop, a second stage the next row. What this refuses spills.
 */
static int64_t registers(
    const struct row_shape *shape, const int64_t *v, const struct row_layout *l)
{
    enum { BASE = 16, WALK = 10 };
    int64_t chunk = row_clamp(chunk_units(shape), 1, l->per_thread);
    int64_t unit = words(v[ROW_VEC_BYTES]) * shape->unit;
    int64_t held = words(l->unit * shape->held_bytes);
    int64_t column = shape->columns * words(l->unit * shape->column_bytes);
    int64_t unpacked = shape->elem_bytes < 4 ? unit : 0;
    bool waits = shape->steps && !v[ROW_RELOAD];
    int64_t waiting = waits ? l->per_thread : chunk;
    int64_t columns = v[ROW_WEIGHT_LOAD] == 2 ? l->per_thread : waiting;
    int64_t need = BASE + shape->own_words + (v[ROW_BLOCKS_PER_SM] ? WALK : 0) + columns * column;
    need += waiting * ((waits ? held : unit * shape->inputs) + unpacked);
    return need + (v[ROW_STAGES] == 2 ? l->per_thread * unit * shape->inputs : 0);
}

/* What a thread may have where so many blocks share an SM, each of whose quarters has warps of its own. */
static int64_t register_share(const struct tfops_device *device, int64_t threads, int64_t blocks)
{
    enum { QUARTERS = 4, WARP = 32, MOST = 255 };
    const int64_t warps = row_ceil_div(blocks * row_ceil_div(threads, WARP), QUARTERS);
    return row_clamp(device->regs_per_sm / QUARTERS / (warps * WARP) / 8 * 8, 0, MOST);
}

static int64_t register_limit(
    const struct tfops_device *device, const int64_t *v, const struct row_layout *l)
{
    return register_share(device, l->threads, v[ROW_BLOCKS_PER_SM] ? v[ROW_BLOCKS_PER_SM] : 1);
}

/* ---- the space ------------------------------------------------------------------------------ */

static bool divides(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct row_layout *l, char reason[TFOPS_REASON_BYTES])
{
    if (l->vec < 1 || l->units < (l->shifted ? 2 : 1) || !vec_divides(shape, l->vec))
        return refuse(reason, "a row is not made of units of VEC_BYTES");
    if (l->edges > v[ROW_THREADS_PER_ROW])
        return refuse(reason, "more single elements at the edges than THREADS_PER_ROW");
    if (l->threads > 1024 || l->threads % 32)
        return refuse(reason, "THREADS_PER_ROW · ROWS_PER_BLOCK is not whole warps up to 1024");
    if (shape->group && (shape->group % l->vec || shape->group / l->vec > 32 ||
                            v[ROW_THREADS_PER_ROW] % (shape->group / l->vec)))
        return refuse(reason, "a scale group is not whole neighbouring lanes");
    if (shape->steps && v[ROW_CLUSTER] > device->max_cluster)
        return refuse(reason, "CLUSTER is more than the device has");
    if (v[ROW_CLUSTER] > 1 && (v[ROW_ROWS_PER_BLOCK] > 1 || v[ROW_THREADS_PER_ROW] < 32))
        return refuse(reason, "a cluster shares one row among whole warps");
    if ((v[ROW_CLUSTER] - 1) * l->units_block >= l->units)
        return refuse(reason, "CLUSTER leaves a block without work");
    return true;
}

/* What the template cannot do. */
static bool possible(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct row_layout *l, char reason[TFOPS_REASON_BYTES])
{
    bool in_registers = !v[ROW_RELOAD] && shape->steps;
    if (!divides(shape, device, v, l, reason))
        return false;
    if (in_registers && l->per_thread * shape->unit * v[ROW_VEC_BYTES] > 256)
        return refuse(reason, "a thread's part of the row does not fit in registers");
    if (registers(shape, v, l) > register_limit(device, v, l))
        return refuse(reason, "the row and its weight do not fit in a thread's registers");
    if (v[ROW_RELOAD] && !shape->steps)
        return refuse(reason, "nothing is reduced: a row never waits");
    if (v[ROW_WEIGHT_LOAD] && !shape->columns)
        return refuse(reason, "there is no weight to load early");
    if (v[ROW_WEIGHT_LOAD] == 1 && v[ROW_RELOAD])
        return refuse(reason, "an early weight waits in registers, beside the row");
    if (v[ROW_WEIGHT_LOAD] == 2 && !v[ROW_BLOCKS_PER_SM])
        return refuse(reason, "a kept weight needs a block that walks over rows");
    if (v[ROW_STAGES] == 2 && (!v[ROW_BLOCKS_PER_SM] || !in_registers))
        return refuse(reason, "a second stage needs a walking block and rows in registers");
    if (v[ROW_BLOCKS_PER_SM] * l->threads > device->max_threads_per_sm)
        return refuse(reason, "BLOCKS_PER_SM blocks have more threads than an SM");
    if (l->smem_bytes > device->smem_per_block_bytes || (v[ROW_RELOAD] == 1 && !l->slots))
        return refuse(reason, "more shared memory than a block has");
    return true;
}

bool row_may_prefetch(
    const struct row_shape *shape, const struct tfops_device *device, const int64_t *v)
{
    enum { FEW_BLOCKS = 256, PDL_CC = 90 };
    const int64_t blocks = row_ceil_div(shape->rows, v[ROW_ROWS_PER_BLOCK]) * v[ROW_CLUSTER];
    return device->cc >= PDL_CC && !v[ROW_BLOCKS_PER_SM] && !v[ROW_RELOAD] && blocks > FEW_BLOCKS &&
           row_in_bytes(shape) <= device->l2_bytes;
}

/*
 * What it can do but was never worth measuring (docs/notes/rmsnorm.md): kept out so that a sweep
 * takes seconds. The first rule also keeps blocks and clusters from being smaller than their row.
 */
static bool worthwhile(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v, const struct row_layout *l,
    char reason[TFOPS_REASON_BYTES])
{
    enum {
        CLUSTER_UNITS = 256,
        SPLIT_UNITS = 64,
        WAITING_UNITS = 8,
        LEAST_SHARE = 4,
        MOST_UNROLLED = 32,
        MOST_ROWS_THREADS = 512
    };
    bool in_registers = !v[ROW_RELOAD] && shape->steps;
    if (v[ROW_VEC_BYTES] != row_widest(shape, align))
        return refuse(reason, "VEC_BYTES is not the widest access of these rows");
    if (v[ROW_THREADS_PER_ROW] > 32 && v[ROW_THREADS_PER_ROW] >= 2 * l->units_block && l->edges < 9)
        return refuse(reason, "half of THREADS_PER_ROW would have nothing to do");
    if (v[ROW_CLUSTER] > 1 && l->units_block < (shape->steps ? CLUSTER_UNITS : SPLIT_UNITS))
        return refuse(reason, "the row is too short to share it among blocks");
    if (v[ROW_RELOAD] && l->per_thread < WAITING_UNITS)
        return refuse(reason, "the row fits in registers");
    if (v[ROW_RELOAD] == 1 && l->slots * LEAST_SHARE < l->per_thread)
        return refuse(reason, "hardly any of the row fits in shared memory");
    if (l->per_thread > MOST_UNROLLED && (in_registers || v[ROW_THREADS_PER_ROW] < 1024))
        return refuse(reason, "a thread's part of the row would be too long");
    if (v[ROW_ROWS_PER_BLOCK] > 1 && l->threads > MOST_ROWS_THREADS)
        return refuse(reason, "a block of several rows is larger than 512 threads");
    if (l->threads < 64 && l->units > 32)
        return refuse(reason, "blocks of one warp are too many");
    if (v[ROW_LOAD_HINT] && (v[ROW_VEC_BYTES] < 16 || v[ROW_RELOAD] || v[ROW_BLOCKS_PER_SM] ||
                                row_in_bytes(shape) < device->l2_bytes))
        return refuse(reason, "LOAD_HINT is for inputs larger than L2, read once");
    if (v[ROW_PREFETCH] && !row_may_prefetch(shape, device, v))
        return refuse(reason, "PREFETCH is for grids of many blocks and inputs that L2 holds");
    if (v[ROW_BLOCKS_PER_SM] && in_registers && shape->columns && v[ROW_WEIGHT_LOAD] != 2)
        return refuse(reason, "a walking block with rows in registers keeps its weight");
    return true;
}

bool row_fits(const struct row_shape *shape, uint32_t align, const struct tfops_device *device,
    const int64_t *v)
{
    char reason[TFOPS_REASON_BYTES];
    struct row_layout l = row_lay_out(shape, align, device, v);
    return possible(shape, device, v, &l, reason) &&
           worthwhile(shape, align, device, v, &l, reason);
}

bool row_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    struct row_shape shape = row_shape_of(user, problem);
    const int64_t *v = config->values;
    struct row_layout l = row_lay_out(&shape, problem->align, device, v);
    return possible(&shape, device, v, &l, reason) &&
           worthwhile(&shape, problem->align, device, v, &l, reason);
}

/* ---- launching ------------------------------------------------------------------------------ */

/* Groups of a walking grid. Rows that start anywhere: a step that keeps a block's rows at one shift. */
static int64_t walking_groups(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct row_layout *l)
{
    int64_t groups =
        row_clamp(v[ROW_BLOCKS_PER_SM] * device->sms / v[ROW_CLUSTER], 1, ROW_MAX_ROWS);
    int64_t period = l->shifted ? 16 / shape->elem_bytes : 1;
    return groups < period ? period : groups / period * period;
}

/* Block, cluster and shared memory; groups of rows: as many as there are, or as walk over them. */
static void generic_geometry(const struct row_shape *shape, const struct tfops_device *device,
    struct tfops_geometry *geometry)
{
    enum { GENERIC_THREADS = 256, GENERIC_BLOCKS_PER_SM = 8 };
    const int64_t v[ROW_TUNABLES] = {
        [ROW_THREADS_PER_ROW] = GENERIC_THREADS, [ROW_ROWS_PER_BLOCK] = 1, [ROW_CLUSTER] = 1};
    struct row_shape reduced = *shape;
    if (shape->generic_words) {
        reduced.steps = 1;
        reduced.words = shape->generic_words;
    }
    *geometry = (struct tfops_geometry){.threads = GENERIC_THREADS,
        .min_blocks = 1,
        .cluster = 1,
        .smem_bytes = (uint32_t)scratch_bytes(&reduced, v),
        .extent_per_group = 1,
        .most_groups = (uint32_t)(GENERIC_BLOCKS_PER_SM * device->sms),
        .blocks_per_group = 1};
}

/* Columns beside the row that state_registers does not count: those of two that come early, and what one takes
 * more than the row's elements. */
static int64_t column_registers(
    const struct row_shape *shape, const int64_t *v, const struct row_layout *l)
{
    const int64_t column = words(l->unit * shape->column_bytes);
    const int64_t usual = words(l->unit * shape->elem_bytes);
    const int64_t wider = column > usual ? column - usual : 0;
    if (shape->columns > 1)
        return v[ROW_WEIGHT_LOAD] ? shape->columns * l->per_thread * column : wider;
    return v[ROW_WEIGHT_LOAD] ? l->per_thread * wider : 0;
}

/* Two units a thread of rows that stream: with fewer registers there are more of them on an SM, which makes them 1 to
 * 9% faster, but those of 256 units in periods of eight and more 1% slower (docs/notes/rope.md). Many warps take
 * more where not every thread has both units, or where a place in a period takes a division. */
static int64_t streaming_registers(
    const struct row_shape *shape, const int64_t *v, const struct row_layout *l)
{
    enum { MORE = 8, FEW_THREADS = 128, EVEN_UNITS = 256, EVEN_PERIOD = 8 };
    if (l->units == EVEN_UNITS && shape->period >= EVEN_PERIOD)
        return shape->state_registers;
    const bool guarded = l->units < 2 * v[ROW_THREADS_PER_ROW];
    const bool divides = shape->period & (shape->period - 1);
    const bool many = v[ROW_THREADS_PER_ROW] > FEW_THREADS;
    return shape->stream_registers + (many && (guarded || divides) ? MORE : 0);
}

/* Registers beside the row. */
static int64_t state_registers(
    const struct row_shape *shape, const int64_t *v, const struct row_layout *l)
{
    enum { MORE = 8 };
    if (v[ROW_CLUSTER] > 1)
        return shape->state_registers + shape->cluster_registers;
    if (!shape->stream_registers || l->per_thread != 2 || v[ROW_RELOAD])
        return shape->state_registers;
    if (v[ROW_ROWS_PER_BLOCK] > 1 || !shape->period || v[ROW_THREADS_PER_ROW] % shape->period)
        return shape->state_registers + MORE;
    return v[ROW_STORE_HINT] ? streaming_registers(shape, v, l) : shape->state_registers;
}

/* Blocks that an SM shall have room for: what the second launch bound holds the compiler to. */
static int64_t resident_blocks(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct row_layout *l)
{
    if (v[ROW_BLOCKS_PER_SM] || !shape->state_registers)
        return row_clamp(v[ROW_BLOCKS_PER_SM], 1, 32);
    int64_t chunk = row_clamp(chunk_units(shape), 1, l->per_thread);
    int64_t row = chunk * shape->inputs * words(v[ROW_VEC_BYTES]);
    if (!v[ROW_RELOAD])
        row = l->per_thread * words(l->unit * shape->held_bytes);
    int64_t state = state_registers(shape, v, l) + column_registers(shape, v, l);
    int64_t need = row_ceil_div(state + row, 8) * 8;
    int64_t most = device->max_threads_per_sm / l->threads;
    if (l->smem_bytes && device->smem_per_sm_bytes / l->smem_bytes < most)
        most = device->smem_per_sm_bytes / l->smem_bytes;
    int64_t blocks =
        row_clamp(row_clamp(device->regs_per_sm / (l->threads * need), 1, most), 1, 32);
    while (blocks > 1 && register_share(device, l->threads, blocks) < need)
        blocks--;
    return blocks;
}

static void tuned_geometry(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v, struct tfops_geometry *geometry)
{
    struct row_layout l = row_lay_out(shape, align, device, v);
    *geometry = (struct tfops_geometry){.threads = (uint32_t)l.threads,
        .min_blocks = (uint32_t)resident_blocks(shape, device, v, &l),
        .cluster = shape->steps ? (uint32_t)v[ROW_CLUSTER] : 1,
        .smem_bytes = (uint32_t)l.smem_bytes,
        .extent_per_group = (uint32_t)v[ROW_ROWS_PER_BLOCK],
        .most_groups = ROW_MAX_ROWS,
        .blocks_per_group = (uint32_t)v[ROW_CLUSTER]};
    if (v[ROW_BLOCKS_PER_SM])
        geometry->most_groups = (uint32_t)walking_groups(shape, device, v, &l);
}

void row_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    struct row_shape shape = row_shape_of(user, problem);
    if (config->generic)
        generic_geometry(&shape, device, ret_geometry);
    else
        tuned_geometry(&shape, problem->align, device, config->values, ret_geometry);
    ret_geometry->pdl = device->cc >= 90;
    int64_t groups = row_ceil_div(shape.rows, ret_geometry->extent_per_group);
    ret_geometry->grid[0] =
        (uint32_t)row_clamp(groups, 1, ret_geometry->most_groups) * ret_geometry->blocks_per_group;
    ret_geometry->grid[1] = ret_geometry->grid[2] = 1;
    if (shape.rows_each > 1) /* the grid does not follow from the extent alone: launches ask */
        ret_geometry->extent_per_group = ret_geometry->most_groups = 0;
}
