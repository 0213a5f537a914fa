/*
 * The space of the row template (see row_space.h).
 */
#include "row_space.h"
#include <stdio.h>
#include <string.h>

static const int64_t VEC_BYTES_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t THREADS_VALUES[] = {
    8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024};
static const int64_t ROWS_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t CLUSTER_VALUES[] = {1, 2, 4, 8, 16};
static const int64_t THREE_VALUES[] = {0, 1, 2};
static const int64_t BLOCKS_VALUES[] = {0, 2, 4};
static const int64_t STAGES_VALUES[] = {1, 2};

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
};

/* ---- what follows from a config (RowLayout) -------------------------------------------------- */

struct layout {
    int64_t vec, unit, shifted, units, units_block, per_thread, edges, threads;
    int64_t slots; /* units of a thread that wait in shared memory */
    int64_t scratch_bytes, smem_bytes;
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static struct row_shape shape_of(void *user, const struct tfops_problem *problem)
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
    int64_t parts = ceil_div(v[ROW_THREADS_PER_ROW], 32) * v[ROW_CLUSTER];
    if (parts == 1 || !shape->steps)
        return 0;
    return 2 * 4 * ceil_div(v[ROW_ROWS_PER_BLOCK] * parts * shape->words, 4) * 4;
}

/* Units that a thread loads at a time, but for rows that wait in registers. */
static int64_t chunk_units(const struct row_shape *shape)
{
    return (shape->steps ? 4 : 8 / shape->inputs) / shape->unit;
}

/* All units of a thread wait in shared memory, or as many whole chunks as a block has room for. */
static void lay_out_slots(
    const struct row_shape *shape, const struct tfops_device *device, struct layout *l)
{
    const int64_t slot_bytes = l->unit * shape->held_bytes < 4 ? 4 : l->unit * shape->held_bytes;
    const int64_t offset = ceil_div(l->scratch_bytes, 128) * 128;
    const int64_t chunk = clamp(chunk_units(shape), 1, l->per_thread);
    const int64_t fit = (device->smem_per_block_bytes - offset) / (l->threads * slot_bytes);
    l->slots = fit >= l->per_thread ? l->per_thread : fit / chunk * chunk;
    l->smem_bytes = offset + l->slots * l->threads * slot_bytes;
}

static struct layout lay_out(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v)
{
    struct layout l = {.vec = v[ROW_VEC_BYTES] / shape->elem_bytes};
    l.shifted = v[ROW_VEC_BYTES] > row_align(shape, align) && may_shift(shape);
    l.unit = l.vec * shape->unit;
    l.units = l.unit ? shape->width / l.unit : 0;
    int64_t lanes = shape->group && l.vec ? shape->group / l.vec : 1;
    l.units_block = ceil_div(l.units, v[ROW_CLUSTER] * lanes) * lanes;
    l.per_thread = ceil_div(l.units_block, v[ROW_THREADS_PER_ROW]);
    l.edges = !l.vec ? 0 : l.shifted ? 2 * (l.vec - 1) : shape->width % l.vec;
    l.threads = v[ROW_THREADS_PER_ROW] * v[ROW_ROWS_PER_BLOCK];
    l.scratch_bytes = scratch_bytes(shape, v);
    l.smem_bytes = l.scratch_bytes;
    if (v[ROW_RELOAD] == 1 && l.per_thread)
        lay_out_slots(shape, device, &l);
    return l;
}

static bool vec_divides(const struct row_shape *shape, int64_t vec)
{
    if (shape->vec_most && vec > shape->vec_most)
        return false;
    return may_shift(shape) || shape->width % (vec * shape->unit) == 0;
}

/* The widest access: that of the alignment, or 16 bytes over shifted rows that are long enough. */
static int64_t widest(const struct row_shape *shape, uint32_t align)
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
static int64_t registers(const struct row_shape *shape, const int64_t *v, const struct layout *l)
{
    enum { BASE = 16, WALK = 10 };
    int64_t chunk = clamp(chunk_units(shape), 1, l->per_thread);
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

static int64_t register_limit(const int64_t *v, const struct layout *l)
{
    int64_t blocks = v[ROW_BLOCKS_PER_SM] ? v[ROW_BLOCKS_PER_SM] : 1;
    int64_t share = 65536 / (l->threads * blocks) / 8 * 8;
    return share < 255 ? share : 255;
}

/* ---- the space ------------------------------------------------------------------------------ */

static bool divides(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct layout *l, char reason[TFOPS_REASON_BYTES])
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
    const int64_t *v, const struct layout *l, char reason[TFOPS_REASON_BYTES])
{
    bool in_registers = !v[ROW_RELOAD] && shape->steps;
    if (!divides(shape, device, v, l, reason))
        return false;
    if (in_registers && l->per_thread * shape->unit * v[ROW_VEC_BYTES] > 256)
        return refuse(reason, "a thread's part of the row does not fit in registers");
    if (registers(shape, v, l) > register_limit(v, l))
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

/*
 * What it can do but was never worth measuring (docs/notes/rmsnorm.md): kept out so that a sweep
 * takes seconds. The first rule also keeps blocks and clusters from being smaller than their row.
 */
static bool worthwhile(const struct row_shape *shape, uint32_t align, const int64_t *v,
    const struct layout *l, char reason[TFOPS_REASON_BYTES])
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
    if (v[ROW_VEC_BYTES] != widest(shape, align))
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
    if (v[ROW_BLOCKS_PER_SM] && in_registers && shape->columns && v[ROW_WEIGHT_LOAD] != 2)
        return refuse(reason, "a walking block with rows in registers keeps its weight");
    return true;
}

bool row_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    struct row_shape shape = shape_of(user, problem);
    const int64_t *v = config->values;
    struct layout l = lay_out(&shape, problem->align, device, v);
    return possible(&shape, device, v, &l, reason) &&
           worthwhile(&shape, problem->align, v, &l, reason);
}

/* ---- the default ---------------------------------------------------------------------------- */

/* The least value of THREADS_PER_ROW that is at least `wish`. */
static int64_t threads_for(int64_t wish)
{
    size_t i = 0, last = sizeof THREADS_VALUES / sizeof THREADS_VALUES[0] - 1;
    while (i < last && THREADS_VALUES[i] < wish)
        i++;
    return THREADS_VALUES[i];
}

/* The like, a multiple of `period` if there is one below twice that. */
static int64_t threads_of_period(int64_t wish, int64_t period)
{
    const int64_t least = threads_for(wish);
    for (int64_t threads = least; period > 1 && threads <= 2 * least && threads < 1024;
         threads = threads_for(threads + 1))
        if (threads % period == 0)
            return threads;
    return least;
}

/* Of the larger thread counts, the one that leaves the fewest idle in a row's last turn. */
static int64_t least_idle(int64_t units)
{
    static const int64_t COUNTS[] = {512, 448, 384, 320};
    int64_t best = COUNTS[0];
    for (size_t i = 1; i < sizeof COUNTS / sizeof COUNTS[0]; i++)
        if (ceil_div(units, COUNTS[i]) * COUNTS[i] < ceil_div(units, best) * best)
            best = COUNTS[i];
    return best;
}

/* More than a sum and a product for each element: fewer threads, which hide it under more loads. */
static bool is_busy(const struct row_shape *shape)
{
    return shape->steps > 1 || (shape->group && shape->columns);
}

/*
 * Threads for a row of `units`, by what was fastest on an H200 (docs/notes/rmsnorm.md): few rows
 * want latency, one or two units a thread; many rows of halves want few, busy threads; f32 and a
 * second tensor, which bring more loads of their own, want more.
 */
static int64_t default_threads(
    const struct row_shape *shape, const struct tfops_device *device, const struct layout *l)
{
    int64_t units = l->units_block, threads;
    if (!shape->steps && units > 32) /* lanes that reduce a group hide it under two units each */
        return threads_for(clamp(shape->group && shape->inputs == 1 ? units / 2 : units, 32, 256));
    if (units <= 32)
        threads = clamp(units > 16  ? 32
                        : units > 8 ? 16
                                    : 8,
            l->shifted || shape->group ? 16 : 8, 32);
    else if (shape->rows <= 2 * device->sms)
        threads = clamp(units / 2, 32, 1024);
    else if (l->shifted)
        threads = units > 64 ? 128 : 64;
    else if (shape->inputs > 1)
        threads = units <= 512 ? clamp(is_busy(shape) ? units * 5 / 8 : units, 64, 512)
                               : least_idle(units);
    else if (shape->elem_bytes == 4)
        threads = clamp(units / 2, 32, 512);
    else if (shape->unit > 1)
        threads = units <= 1024 ? clamp(units / 2, 32, 256) : least_idle(units);
    else if (!is_busy(shape) && units > 960 && units <= 1024)
        threads = 320;
    else
        threads =
            units <= 1024 ? clamp(units / (is_busy(shape) ? 4 : 3), 32, 224) : least_idle(units);
    return threads_of_period(threads, shape->period);
}

/*
 * Blocks of a row that nothing reduces: each thread has one unit, as in the fastest copy, but a block
 * moves enough that starting it is no bottleneck: an H200 starts some 830 a microsecond.
 */
static int64_t default_split(const struct row_shape *shape, int64_t vec_bytes)
{
    enum { MOST_UNITS = 256, MOST_BLOCKS = 16, LEAST_BYTES = 6 << 10 };
    const int64_t out_bytes = shape->out_bytes ? shape->out_bytes : shape->elem_bytes;
    const int64_t unit = vec_bytes * shape->inputs + vec_bytes / shape->elem_bytes * out_bytes;
    int64_t units = shape->width * shape->elem_bytes / vec_bytes / shape->unit, blocks = 1;
    while (blocks < MOST_BLOCKS && ceil_div(units, blocks) > MOST_UNITS &&
           ceil_div(units, 2 * blocks) * shape->unit * unit >= LEAST_BYTES)
        blocks *= 2;
    return blocks;
}

static bool fits(const struct row_shape *shape, uint32_t align, const struct tfops_device *device,
    const int64_t *v)
{
    char reason[TFOPS_REASON_BYTES];
    struct layout l = lay_out(shape, align, device, v);
    return possible(shape, device, v, &l, reason) && worthwhile(shape, align, v, &l, reason);
}

/* What a long row gives up, one after the other, until it fits. */
static void settle_long_row(
    const struct row_shape *shape, uint32_t align, const struct tfops_device *device, int64_t *v)
{
    const struct {
        int64_t threads, weight, reload, cluster;
    } LADDER[] = {
        {512, v[ROW_WEIGHT_LOAD], 0, 1}, {512, 0, 0, 1}, {512, 0, 1, 4}, {512, 0, 0, 4},
        {1024, 0, 1, 8}, {1024, 0, 1, 16}, {512, 0, 2, 1}, /* longer than shared memory */
        {1024, 0, 2, 1}, {1024, 0, 0, 1},                  /* nothing waits */
    };
    for (size_t i = 0; i < sizeof LADDER / sizeof LADDER[0]; i++) {
        if (fits(shape, align, device, v))
            return;
        v[ROW_THREADS_PER_ROW] = LADDER[i].threads;
        v[ROW_WEIGHT_LOAD] = LADDER[i].weight;
        v[ROW_RELOAD] = LADDER[i].reload;
        v[ROW_CLUSTER] = LADDER[i].cluster > device->max_cluster ? 1 : LADDER[i].cluster;
    }
}

/* Blocks that fewer rows than SMs are spread over: two an SM, each with four units a thread or more. */
static int64_t default_cluster(
    const struct row_shape *shape, const struct tfops_device *device, int64_t units)
{
    enum { MOST_CLUSTER = 16, LEAST_UNITS = 256 };
    int64_t most = device->max_cluster < MOST_CLUSTER ? device->max_cluster : MOST_CLUSTER;
    int64_t blocks = 1;
    while (2 * blocks <= most && 2 * blocks * shape->rows <= 2 * device->sms &&
           units >= 2 * blocks * LEAST_UNITS)
        blocks *= 2;
    return blocks;
}

/* A row that no block's registers hold is read again, from L2; where it has an SM of its own, only what
 * shared memory does not hold. */
static void default_of_long_row(const struct row_shape *shape, const struct tfops_device *device,
    const struct layout *l, int64_t *v)
{
    enum { LONG_UNITS = 8192, LEAN_REGISTERS = 64 };
    const bool lean = shape->state_registers <= LEAN_REGISTERS;
    v[ROW_THREADS_PER_ROW] = ceil_div(l->units, 384) <= (lean ? LONG_UNITS / 384 : 32) ? 384
                             : lean && ceil_div(l->units, 768) <= 32                   ? 768
                                                                                       : 1024;
    v[ROW_RELOAD] = 2;
    if (shape->rows <= device->sms) {
        v[ROW_THREADS_PER_ROW] = 1024;
        v[ROW_RELOAD] = 1;
    }
}

/*
 * Operators whose arithmetic wants many warps beside the loads (docs/notes/softmax.md): four or five
 * units a thread; few rows are spread over clusters.
 */
static void default_of_busy_row(const struct row_shape *shape, const struct tfops_device *device,
    const struct layout *l, int64_t *v)
{
    enum { KEPT_UNITS = 2048, KEPT_EACH = 4 };
    const bool few = shape->rows <= 2 * device->sms;
    const int64_t cluster = default_cluster(shape, device, l->units);
    const int64_t of_block = ceil_div(l->units, cluster);
    if (l->units <= KEPT_UNITS) {
        if (few || l->units <= 32)
            return;
        v[ROW_THREADS_PER_ROW] = threads_for(clamp(l->units / 4, l->units < 128 ? 32 : 64, 384));
        v[ROW_ROWS_PER_BLOCK] = clamp(128 / v[ROW_THREADS_PER_ROW], 1, 4);
    } else if (of_block <= KEPT_UNITS) {
        v[ROW_THREADS_PER_ROW] = threads_for(clamp(ceil_div(of_block, KEPT_EACH), 256, 512));
        v[ROW_CLUSTER] = cluster;
    } else {
        default_of_long_row(shape, device, l, v);
    }
}

/* Two columns beside a row leave few threads' registers: fewer, and a long row is read again. Where the
 * row takes most of them, columns beside it hide their own latency (docs/notes/quant.md). */
static void default_of_many_columns(const struct layout *l, int64_t *v)
{
    enum { THREADS = 128, MOST_HELD = 5 };
    v[ROW_THREADS_PER_ROW] = THREADS;
    v[ROW_RELOAD] = ceil_div(l->units, THREADS) > MOST_HELD ? 2 : 0;
    v[ROW_WEIGHT_LOAD] = ceil_div(l->units, THREADS) == MOST_HELD;
}

void row_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    struct row_shape shape = shape_of(user, problem);
    int64_t *v = ret_config->values;
    memset(ret_config, 0, sizeof *ret_config);
    v[ROW_VEC_BYTES] = widest(&shape, problem->align);
    v[ROW_CLUSTER] = v[ROW_STAGES] = v[ROW_THREADS_PER_ROW] = v[ROW_ROWS_PER_BLOCK] = 1;
    if (!shape.steps)
        v[ROW_CLUSTER] = default_split(&shape, v[ROW_VEC_BYTES]);
    v[ROW_WEIGHT_LOAD] = shape.columns == 1;
    struct layout l = lay_out(&shape, problem->align, device, v);
    v[ROW_THREADS_PER_ROW] = default_threads(&shape, device, &l);
    v[ROW_ROWS_PER_BLOCK] = v[ROW_THREADS_PER_ROW] > 32 ? 1 : 128 / v[ROW_THREADS_PER_ROW];
    if (shape.state_registers && !shape.columns && !l.shifted)
        default_of_busy_row(&shape, device, &l, v);
    if (shape.columns > 1 && shape.rows > 2 * device->sms && !l.shifted && l.units > 128)
        default_of_many_columns(&l, v);
    settle_long_row(&shape, problem->align, device, v);
    uint64_t bytes = (uint64_t)(shape.rows * shape.width * shape.elem_bytes);
    v[ROW_STORE_HINT] = bytes >= 4u << 20 && v[ROW_VEC_BYTES] <= problem->align;
}

/* ---- launching ------------------------------------------------------------------------------ */

/* Groups of a walking grid. Rows that start anywhere: a step that keeps a block's rows at one shift. */
static int64_t walking_groups(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct layout *l)
{
    int64_t groups = clamp(v[ROW_BLOCKS_PER_SM] * device->sms / v[ROW_CLUSTER], 1, ROW_MAX_ROWS);
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

/* Blocks that an SM shall have room for: what the second launch bound holds the compiler to. */
static int64_t resident_blocks(const struct row_shape *shape, const struct tfops_device *device,
    const int64_t *v, const struct layout *l)
{
    if (v[ROW_BLOCKS_PER_SM] || !shape->state_registers)
        return clamp(v[ROW_BLOCKS_PER_SM], 1, 32);
    int64_t chunk = clamp(chunk_units(shape), 1, l->per_thread);
    int64_t row = chunk * shape->inputs * words(v[ROW_VEC_BYTES]);
    if (!v[ROW_RELOAD])
        row = l->per_thread * words(l->unit * shape->held_bytes);
    int64_t need = ceil_div(shape->state_registers + row, 8) * 8;
    int64_t most = device->max_threads_per_sm / l->threads;
    if (l->smem_bytes && device->smem_per_sm_bytes / l->smem_bytes < most)
        most = device->smem_per_sm_bytes / l->smem_bytes;
    return clamp(clamp(device->regs_per_sm / (l->threads * need), 1, most), 1, 32);
}

static void tuned_geometry(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v, struct tfops_geometry *geometry)
{
    struct layout l = lay_out(shape, align, device, v);
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
    struct row_shape shape = shape_of(user, problem);
    if (config->generic)
        generic_geometry(&shape, device, ret_geometry);
    else
        tuned_geometry(&shape, problem->align, device, config->values, ret_geometry);
    ret_geometry->pdl = device->cc >= 90;
    int64_t groups = ceil_div(shape.rows, ret_geometry->extent_per_group);
    ret_geometry->grid[0] =
        (uint32_t)clamp(groups, 1, ret_geometry->most_groups) * ret_geometry->blocks_per_group;
    ret_geometry->grid[1] = ret_geometry->grid[2] = 1;
    if (shape.rows_each > 1) /* the grid does not follow from the extent alone: launches ask */
        ret_geometry->extent_per_group = ret_geometry->most_groups = 0;
}
