/* The default config of the row family (row_space.h), by what was fastest on an H200 (docs/notes/). */
#include "row_layout.h"
#include <string.h>

/* A tensor from which size on is not kept in L2 for whom reads it next. */
enum { STREAMED_BYTES = 4 << 20 };

/* The least value of THREADS_PER_ROW that is at least `wish`. */
static int64_t threads_for(int64_t wish)
{
    const int64_t *values = row_tunables[ROW_THREADS_PER_ROW].values;
    size_t i = 0, last = row_tunables[ROW_THREADS_PER_ROW].n_values - 1;
    while (i < last && values[i] < wish)
        i++;
    return values[i];
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
        if (row_ceil_div(units, COUNTS[i]) * COUNTS[i] < row_ceil_div(units, best) * best)
            best = COUNTS[i];
    return best;
}

/* More than a sum and a product for each element: fewer threads, which hide it under more loads. */
static bool is_busy(const struct row_shape *shape)
{
    return shape->steps > 1 || (shape->group && shape->columns);
}

static bool shrinks(const struct row_shape *shape)
{
    return shape->out_bytes && shape->out_bytes < shape->elem_bytes;
}

/* Inputs that L2 does not hold are read 1 to 4% faster where it prefers to keep them (docs/notes/rmsnorm.md):
 * one that is weighed and those that nothing reduces from L2's size on, others from twice that; not one that
 * is written as fewer bytes, nor pairs of distant vectors, which lose 2 to 5%. */
static bool wants_l2(const struct row_shape *shape, const struct tfops_device *device)
{
    const bool simple =
        !shape->steps || (shape->steps == 1 && shape->columns == 1 && shape->inputs == 1);
    return row_in_bytes(shape) >= (simple ? 1 : 2) * device->l2_bytes && shape->unit == 1 &&
           !(shrinks(shape) && shape->inputs == 1);
}

/* Norms that read more than they write, or two tensors, gain 1 to 15% (docs/notes/rmsnorm.md, section 9);
 * others nothing. */
static bool wants_prefetch(
    const struct row_shape *shape, const struct tfops_device *device, const int64_t *v)
{
    return shape->steps && shape->columns == 1 && shape->unit == 1 &&
           (shape->inputs > 1 || shrinks(shape)) && row_may_prefetch(shape, device, v);
}

/* Two rows an SM at most, which are not streamed. */
static bool starts_at_once(const struct row_shape *shape, const struct tfops_device *device)
{
    return shape->rows > 0 && shape->rows <= 2 * device->sms &&
           shape->rows * shape->width * shape->elem_bytes < STREAMED_BYTES;
}

/*
 * Threads for a row of `units`, by what was fastest on an H200 (docs/notes/rmsnorm.md): few rows
 * want latency, one or two units a thread; many rows of halves want few, busy threads; f32 and a
 * second tensor, which bring more loads of their own, want more.
 */
static int64_t default_threads(
    const struct row_shape *shape, const struct tfops_device *device, const struct row_layout *l)
{
    int64_t units = l->units_block, threads;
    if (!shape->steps && units > 256 && starts_at_once(shape, device))
        return threads_for(row_ceil_div(units, row_ceil_div(units, 512)));
    if (!shape->steps && units > 32) /* lanes that reduce a group hide it under two units each */
        return threads_for(
            row_clamp(shape->group && shape->inputs == 1 ? units / 2 : units, 32, 256));
    if (units <= 32)
        threads = row_clamp(units > 16  ? 32
                            : units > 8 ? 16
                                        : 8,
            l->shifted || shape->group ? 16 : 8, 32);
    else if (shape->rows <= 2 * device->sms)
        threads = row_clamp(shape->unit > 1 ? units : units / 2, 32, 1024);
    else if (l->shifted)
        threads = units > 64 ? 128 : 64;
    else if (shape->inputs > 1)
        threads = units <= 512 ? row_clamp(is_busy(shape) ? units * 5 / 8 : units, 64, 512)
                               : least_idle(units);
    else if (shape->elem_bytes == 4)
        threads = row_clamp(units / 2, 32, 512);
    else if (shape->unit > 1)
        threads = units <= 1024 ? row_clamp(units / 2, 32, 256) : least_idle(units);
    else if (shape->columns && !is_busy(shape) && units > 960 && units <= 1024)
        threads = wants_l2(shape, device) ? 256 : 320;
    else if (shape->steps > 1 && shrinks(shape))
        threads = units <= 1024 ? row_clamp(units / 4, 32, 256) : least_idle(units);
    else
        threads = units <= 1024 ? row_clamp(units / (is_busy(shape) ? 4 : 3), 32, 224)
                                : least_idle(units);
    return threads_of_period(threads, shape->period);
}

/*
 * Blocks of a row that nothing reduces: each thread has one unit, as in the fastest copy, but a block
 * moves enough that starting it is no bottleneck: an H200 starts some 830 a microsecond. Few short
 * rows are split into blocks that all start at once, two an SM (docs/notes/gated_act.md, section 5).
 */
static int64_t default_split(
    const struct row_shape *shape, const struct tfops_device *device, int64_t vec_bytes)
{
    enum { MOST_UNITS = 256, MOST_BLOCKS = 16, LEAST_BYTES = 6 << 10 };
    const int64_t out_bytes = shape->out_bytes ? shape->out_bytes : shape->elem_bytes;
    const int64_t unit = vec_bytes * shape->inputs + vec_bytes / shape->elem_bytes * out_bytes;
    int64_t units = shape->width * shape->elem_bytes / vec_bytes / shape->unit, blocks = 1;
    const int64_t most = starts_at_once(shape, device)
                             ? row_clamp(2 * device->sms / shape->rows, 1, MOST_BLOCKS)
                             : MOST_BLOCKS;
    while (2 * blocks <= most && row_ceil_div(units, blocks) > MOST_UNITS &&
           row_ceil_div(units, 2 * blocks) * shape->unit * unit >= LEAST_BYTES)
        blocks *= 2;
    return blocks;
}

/* What a long row gives up, one after the other, until it fits. */
static void settle_long_row(
    const struct row_shape *shape, uint32_t align, const struct tfops_device *device, int64_t *v)
{
    /* Of a row that no cluster shares: with 512 threads some operators spill, of two rows in f32 with 1024, of pairs
     * with 384. */
    const bool few = device->max_cluster == 1 && shape->unit == 1 &&
                     (shape->elem_bytes < 4 || shape->inputs == 1);
    const int64_t waiting = few ? 384 : 512;
    const struct {
        int64_t threads, weight, reload, cluster;
    } LADDER[] = {
        {512, v[ROW_WEIGHT_LOAD], 0, 1}, {512, 0, 0, 1}, {waiting, 0, 1, 4}, {512, 0, 0, 4},
        {1024, 0, 1, 8}, {1024, 0, 1, 16}, {512, 0, 2, 1}, /* longer than shared memory */
        {1024, 0, 2, 1}, {1024, 0, 0, 1},                  /* nothing waits */
    };
    for (size_t i = 0; i < sizeof LADDER / sizeof LADDER[0]; i++) {
        if (row_fits(shape, align, device, v))
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

/* Two long rows wait in an SM's registers, or they are read again, from L2; where a row has an SM of its
 * own, only what shared memory does not hold. */
static void default_of_long_row(const struct row_shape *shape, const struct tfops_device *device,
    const struct row_layout *l, int64_t *v)
{
    enum { LONG_UNITS = 8192, LEAN_REGISTERS = 64, PAIR_UNITS = 4096, PAIR_REGISTERS = 32 };
    const bool lean = shape->state_registers <= LEAN_REGISTERS;
    if (shape->state_registers <= PAIR_REGISTERS && l->units <= PAIR_UNITS &&
        shape->held_bytes == shape->elem_bytes && shape->rows > device->sms) {
        v[ROW_THREADS_PER_ROW] = 512;
        return;
    }
    v[ROW_THREADS_PER_ROW] = row_ceil_div(l->units, 384) <= (lean ? LONG_UNITS / 384 : 32) ? 384
                             : lean && row_ceil_div(l->units, 768) <= 32                   ? 768
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
    const struct row_layout *l, int64_t *v)
{
    enum { KEPT_UNITS = 2048, KEPT_EACH = 4 };
    const bool few = shape->rows <= 2 * device->sms;
    const int64_t cluster = default_cluster(shape, device, l->units);
    const int64_t of_block = row_ceil_div(l->units, cluster);
    if (l->units <= KEPT_UNITS) {
        if (few || l->units <= 32)
            return;
        v[ROW_THREADS_PER_ROW] =
            threads_for(row_clamp(l->units / 4, l->units < 128 ? 32 : 64, 384));
        v[ROW_ROWS_PER_BLOCK] = row_clamp(128 / v[ROW_THREADS_PER_ROW], 1, 4);
    } else if (of_block <= KEPT_UNITS) {
        v[ROW_THREADS_PER_ROW] =
            threads_for(row_clamp(row_ceil_div(of_block, KEPT_EACH), few ? 64 : 256, 512));
        v[ROW_CLUSTER] = cluster;
    } else {
        default_of_long_row(shape, device, l, v);
    }
}

/* Two columns beside a row: four units a thread, which leaves room for the columns and for as many rows on an
 * SM as rmsnorm has (docs/notes/rmsnorm.md, section 11); a row of more is read again. */
static void default_of_many_columns(
    const struct row_shape *shape, const struct row_layout *l, int64_t *v)
{
    enum { LEAST_THREADS = 96, MOST_THREADS = 256, MOST_HELD = 5, WIDE_THREADS = 128 };
    const bool lean = shape->state_registers > 0;
    v[ROW_THREADS_PER_ROW] =
        lean ? threads_for(row_clamp(row_ceil_div(l->units, 4), LEAST_THREADS, MOST_THREADS))
             : WIDE_THREADS;
    const int64_t held = row_ceil_div(l->units, v[ROW_THREADS_PER_ROW]);
    v[ROW_RELOAD] = held > MOST_HELD ? 2 : 0;
    v[ROW_WEIGHT_LOAD] = !lean && held == MOST_HELD;
}

/* A norm that is quantised in groups, from memory: few threads with eight units or more each, and a row is read
 * again rather than held, but for those of nine and ten units a thread (docs/notes/quant.md). */
static void default_of_grouped_norm(const struct row_shape *shape,
    const struct tfops_device *device, const struct row_layout *l, int64_t *v)
{
    enum { LEAST_UNITS = 512, MOST_HELD = 640, MANY_UNITS = 768, MOST_UNITS = 1024 };
    if (!shape->group || !shape->steps || shape->columns != 1 || shape->inputs != 1 || l->shifted ||
        l->units < LEAST_UNITS || l->units > MOST_UNITS || row_in_bytes(shape) < device->l2_bytes)
        return;
    const bool held = l->units > LEAST_UNITS && l->units <= MOST_HELD && shape->elem_bytes < 4;
    v[ROW_THREADS_PER_ROW] = l->units > MANY_UNITS ? 128 : 64;
    v[ROW_RELOAD] = held ? 0 : 2;
    v[ROW_WEIGHT_LOAD] = v[ROW_LOAD_HINT] = held;
}

/* One column beside a row of more units than registers hold well: it waits in shared memory, eight units
 * a thread (docs/notes/rmsnorm.md). */
static bool waits_in_shared_memory(
    const struct row_shape *shape, const struct tfops_device *device, const struct row_layout *l)
{
    return shape->steps == 1 && shape->columns == 1 && shape->inputs == 1 && !is_busy(shape) &&
           shape->unit == 1 && !l->shifted && l->units > 1024 && l->units <= 2048 &&
           shape->rows > 2 * device->sms;
}

void row_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    struct row_shape shape = row_shape_of(user, problem);
    int64_t *v = ret_config->values;
    memset(ret_config, 0, sizeof *ret_config);
    v[ROW_VEC_BYTES] = row_widest(&shape, problem->align);
    v[ROW_CLUSTER] = v[ROW_STAGES] = v[ROW_THREADS_PER_ROW] = v[ROW_ROWS_PER_BLOCK] = 1;
    if (!shape.steps)
        v[ROW_CLUSTER] = default_split(&shape, device, v[ROW_VEC_BYTES]);
    v[ROW_WEIGHT_LOAD] = shape.columns > 0;
    struct row_layout l = row_lay_out(&shape, problem->align, device, v);
    v[ROW_THREADS_PER_ROW] = default_threads(&shape, device, &l);
    v[ROW_ROWS_PER_BLOCK] = v[ROW_THREADS_PER_ROW] > 32 ? 1 : 128 / v[ROW_THREADS_PER_ROW];
    if (shape.state_registers && !shape.columns && !l.shifted)
        default_of_busy_row(&shape, device, &l, v);
    if (shape.columns > 1 && shape.inputs == 1 && shape.rows > 2 * device->sms && !l.shifted &&
        l.units > 256)
        default_of_many_columns(&shape, &l, v);
    default_of_grouped_norm(&shape, device, &l, v);
    if (waits_in_shared_memory(&shape, device, &l)) {
        v[ROW_THREADS_PER_ROW] = 192;
        v[ROW_RELOAD] = 1;
        v[ROW_WEIGHT_LOAD] = 0;
    }
    settle_long_row(&shape, problem->align, device, v);
    const int64_t bytes = shape.rows * shape.width * shape.elem_bytes;
    v[ROW_STORE_HINT] = bytes >= STREAMED_BYTES && v[ROW_VEC_BYTES] <= problem->align;
    v[ROW_LOAD_HINT] =
        (v[ROW_LOAD_HINT] || wants_l2(&shape, device)) && v[ROW_VEC_BYTES] <= problem->align;
    if (!row_fits(&shape, problem->align, device, v))
        v[ROW_LOAD_HINT] = 0;
    v[ROW_PREFETCH] = wants_prefetch(&shape, device, v) ? ROW_PREFETCH_AHEAD : 0;
    if (!row_fits(&shape, problem->align, device, v))
        v[ROW_PREFETCH] = 0;
    if (v[ROW_LOAD_HINT] && shape.inputs > 1 && shape.steps) /* written back where it was read */
        v[ROW_STORE_HINT] = 0;
}
