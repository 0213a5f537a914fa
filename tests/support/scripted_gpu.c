/* A GPU in a driver table (see scripted_gpu.h). */
#include "scripted_gpu.h"
#include "kernels/support/compare_params.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scripted_gpu scripted;
size_t scripted_workspace_bytes;
double scripted_reference_error;

enum { SMS = 4, OCCUPANCY = 2, THREADS = 128, L2_BYTES = 64 * 1024, MAX_OPS = 256 };

/* ---- the operator ------------------------------------------------------------------------ */

struct scale_params {
    const float *x, *w;
    float *acc, *out;
    int64_t rows, cols, x_stride, acc_stride, out_stride;
    char *workspace;
    uint64_t workspace_bytes;
};

static const struct tfops_dim_spec DIMS[] = {
    {"rows", TFOPS_DIM_DYNAMIC, 0, 1 << 20, ""}, {"cols", 0, 1, 65536, ""}};
static const struct tfops_dtype_spec DTYPES[] = {{"dtype", 1u << TFOPS_F32, ""}};
static const struct tfops_operand_spec OPERANDS[] = {
    [SCRIPTED_X] = {"x", TFOPS_IN, 0, 0, 2, {0, 1}, 0, ""},
    [SCRIPTED_W] = {"w", TFOPS_IN, 0, 0, 1, {1}, 0, ""},
    [SCRIPTED_ACC] = {"acc", TFOPS_INOUT, TFOPS_OPERAND_OPTIONAL, 0, 2, {0, 1}, 0, ""},
    [SCRIPTED_OUT] = {"out", TFOPS_OUT, 0, 0, 2, {0, 1}, 1u << SCRIPTED_X, ""},
};
static const int64_t THREAD_VALUES[] = {THREADS};
static const struct tfops_tunable_spec TUNABLES[] = {{"THREADS", THREAD_VALUES, 1, ""}};

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user, (void)device, (void)config;
    *ret_geometry = (struct tfops_geometry){.threads = THREADS,
        .min_blocks = 1,
        .cluster = 1,
        .grid = {(uint32_t)problem->dims[0], 1, 1}};
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_view *views = launch->operands;
    struct scale_params *params = ret_params;
    *params = (struct scale_params){views[SCRIPTED_X].data, views[SCRIPTED_W].data,
        views[SCRIPTED_ACC].data, views[SCRIPTED_OUT].data, launch->problem->dims[0],
        launch->problem->dims[1], views[SCRIPTED_X].strides[0], views[SCRIPTED_ACC].strides[0],
        views[SCRIPTED_OUT].strides[0], launch->workspace, launch->workspace_bytes};
}

static size_t workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)problem, (void)device, (void)config;
    return scripted_workspace_bytes;
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    uint64_t bytes = (uint64_t)(problem->dims[0] * problem->dims[1]) * 4;
    *ret_cost = (struct tfops_cost){bytes, bytes, 0};
}

static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)problem, (void)operand;
    *ret_tolerance = (struct tfops_tolerance){.relative = 1e-4, .atol = 1e-3, .rtol = 1e-3};
}

static void compute(const struct scale_params *p, double factor)
{
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->cols; col++) {
            float sum = p->x[row * p->x_stride + col];
            if (p->acc)
                sum = p->acc[row * p->acc_stride + col] += sum;
            p->out[row * p->out_stride + col] = (float)((double)sum * (double)p->w[col] * factor);
        }
}

static enum tfops_status reference(void *user, const struct tfops_launch_args *launch)
{
    struct scale_params params;
    pack(user, launch, &params);
    compute(&params, 1 + scripted_reference_error);
    return TFOPS_OK;
}

static const struct tfops_spec SPEC = {.size = sizeof SPEC,
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "scale",
    .dims = DIMS,
    .n_dims = 2,
    .dtypes = DTYPES,
    .n_dtypes = 1,
    .operands = OPERANDS,
    .n_operands = 4,
    .tunables = TUNABLES,
    .n_tunables = 1,
    .param_bytes = sizeof(struct scale_params),
    .geometry = geometry,
    .pack = pack,
    .workspace = workspace,
    .cost = cost,
    .tolerance = tolerance,
    .reference = reference};

const struct tfops_spec *scripted_spec(void)
{
    return &SPEC;
}

struct tfops_problem scripted_problem(int64_t rows, int64_t cols)
{
    return (struct tfops_problem){.size = sizeof(struct tfops_problem),
        .spec = &SPEC,
        .dims = {rows, cols},
        .dtypes = {TFOPS_F32},
        .present = 1u << SCRIPTED_X | 1u << SCRIPTED_W | 1u << SCRIPTED_OUT,
        .align = 16};
}

struct binary scripted_binary(const struct scripted_image *image)
{
    static const uint32_t PARAM_BYTES[] = {[SCRIPTED_FILL] = sizeof(struct fill_params),
        [SCRIPTED_COMPARE] = sizeof(struct compare_params),
        [SCRIPTED_COPY] = sizeof(struct copy_params)};
    static char entry[] = "entry", op[] = "scale", config[] = "THREADS=128 UNROLL=4";
    return (struct binary){.op = op,
        .entry = entry,
        .config = config,
        .threads = THREADS,
        .cluster = 1,
        .param_bytes = image->role <= SCRIPTED_COPY ? PARAM_BYTES[image->role]
                                                    : (uint32_t)sizeof(struct scale_params),
        .image = (void *)(uintptr_t)image,
        .image_bytes = sizeof *image};
}

/* ---- kernels ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static void run_fill(const struct fill_params *p)
{
    static const float SPECIALS[] = {0.0f, -0.0f, 1e-45f, 1e4f};
    for (uint64_t i = 0; i < p->n; i++) {
        uint64_t random = mix(p->seed + (i + 1) * 0x9e3779b97f4a7c15ull);
        float value = (float)(random >> 40) * 0x1p-23f - 1.0f;
        value = value * p->scale + p->offset;
        if (p->special_every && (i + 1) % p->special_every == 0)
            value = SPECIALS[random & 3];
        ((float *)p->data)[i] = value;
    }
}

static bool differs(const struct compare_params *p, int64_t row, int64_t col)
{
    int64_t at = row * p->a_stride + col;
    if (p->a_dtype == TFOPS_U8)
        return ((const uint8_t *)p->a)[at] != (uint8_t)(p->pattern >> (col % 4 * 8));
    return ((const uint32_t *)p->a)[at] != p->pattern;
}

static void violation(struct compare_result *result, uint64_t at)
{
    result->violations++;
    if (at < result->first)
        result->first = at;
}

static void compare_pair(const struct compare_params *p, int64_t row, int64_t col)
{
    double a = (double)((const float *)p->a)[row * p->a_stride + col];
    double b = (double)((const float *)p->b)[row * p->b_stride + col];
    if (!isfinite(a) || !isfinite(b)) {
        if (a == b || (isnan(a) && isnan(b)))
            return;
        p->result->class_diffs++;
        violation(p->result, (uint64_t)(row * p->cols + col));
        return;
    }
    p->result->diff_squares += (a - b) * (a - b);
    p->result->ref_squares += b * b;
    const float size = (float)fabs(b);
    uint32_t bits;
    memcpy(&bits, &size, sizeof bits);
    p->result->largest_bits = bits > p->result->largest_bits ? bits : p->result->largest_bits;
    if (fabs(a - b) > (double)p->atol + (double)p->rtol * fabs(b))
        violation(p->result, (uint64_t)(row * p->cols + col));
}

static void run_compare(const struct compare_params *p)
{
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->cols; col++) {
            if (p->mode == COMPARE_TENSORS)
                compare_pair(p, row, col);
            else if (differs(p, row, col))
                violation(p->result, (uint64_t)(row * p->cols + col));
        }
}

static void swallow_nans(const struct scale_params *p)
{
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->cols; col++)
            if (isnan(p->out[row * p->out_stride + col]))
                p->out[row * p->out_stride + col] = 0;
}

static void run_candidate(enum scripted_role role, const struct scale_params *params)
{
    struct scale_params p = *params;
    if (role == SCRIPTED_DROPS_LAST_ROW)
        p.rows--;
    if (role == SCRIPTED_PACKS_ROWS)
        p.out_stride = p.cols;
    if (role == SCRIPTED_SHARES_STRIDE)
        p.out_stride = p.x_stride;
    if (role == SCRIPTED_FAULT)
        scripted.faulted = true;
    compute(&p, role == SCRIPTED_SLIGHTLY_WRONG ? 1 + 5e-4 : 1);
    if (role == SCRIPTED_WRONG_VALUE)
        p.out[1] += 1;
    if (role == SCRIPTED_NAN)
        p.out[0] = NAN;
    if (role == SCRIPTED_SWALLOWS_NAN)
        swallow_nans(&p);
    if (role == SCRIPTED_WRITES_ROW_BEHIND)
        p.out[p.rows * p.out_stride] = 0;
    if (role == SCRIPTED_WRITES_BEFORE)
        p.out[-1] = 0;
    if (role == SCRIPTED_WRITES_PADDING && p.rows > 1 && p.out_stride > p.cols)
        p.out[p.cols] = 0;
    if (role == SCRIPTED_WRITES_INPUT && p.x != p.out)
        ((float *)(uintptr_t)p.x)[0] = 7;
    if (role == SCRIPTED_WRONG_IN_PLACE && p.x == p.out)
        p.out[0] += 1;
    if (role == SCRIPTED_WRONG_BEYOND_A_WAVE && p.rows > SMS * OCCUPANCY)
        p.out[SMS * OCCUPANCY * p.out_stride] += 1;
    if (role == SCRIPTED_DEPENDS_ON_ROWS && p.rows > 3)
        p.out[0] *= 1 + 1e-6f;
    if (role == SCRIPTED_WRITES_BEHIND_WORKSPACE && p.workspace)
        p.workspace[p.workspace_bytes] = 0;
}

/* ---- operations, done at once or recorded into a graph ----------------------------------- */

struct op {
    enum { OP_KERNEL, OP_SET, OP_MOVE } kind;
    const struct scripted_image *image;
    unsigned char params[256];
    CUdeviceptr to, from;
    size_t bytes;
    unsigned value;
};

struct graph {
    struct op ops[MAX_OPS];
    int n;
};

static struct graph *capturing;

static double noise(const struct scripted_image *image)
{
    scripted.random = scripted.random * 6364136223846793005ull + 1442695040888963407ull;
    double factor = 1 + image->noise * (double)(scripted.random >> 11) * 0x1p-53;
    int read = scripted.nvml_reads;
    bool odd = scripted.disturb > 0 && read < 64 &&
               (scripted.reasons[read] || scripted.sm_clock_mhz[read]);
    return odd ? factor * scripted.disturb : factor;
}

static void note(struct scripted_set *set, const void *address)
{
    for (int i = 0; i < set->n; i++)
        if (set->addresses[i] == (uintptr_t)address)
            return;
    if (set->n < 256)
        set->addresses[set->n++] = (uintptr_t)address;
}

static void run_op(const struct op *op, bool replay)
{
    if (op->kind == OP_SET)
        memset((void *)(uintptr_t)op->to, (int)op->value, op->bytes);
    else if (op->kind == OP_MOVE)
        memmove((void *)(uintptr_t)op->to, (void *)(uintptr_t)op->from, op->bytes);
    if (op->kind != OP_KERNEL) {
        scripted.clock_ns += 100 + (double)op->bytes;
        return;
    }
    const void *params = op->params;
    const struct scale_params *candidate = params;
    scripted.clock_ns += op->image->ns * noise(op->image);
    switch (op->image->role) {
    case SCRIPTED_FILL:
        run_fill(params);
        break;
    case SCRIPTED_COMPARE:
        scripted.flushes += ((const struct compare_params *)params)->a_dtype == TFOPS_I32;
        run_compare(params);
        break;
    case SCRIPTED_COPY:
        break;
    default:
        if (replay) {
            note(&scripted.xs, candidate->x);
            note(&scripted.outs, candidate->out);
        }
        run_candidate(op->image->role, params);
    }
}

static CUresult step(void)
{
    return ++scripted.calls == scripted.fail_at ? scripted.failure : CUDA_SUCCESS;
}

static CUresult submit(const struct op *op)
{
    CUresult result = step();
    if (result)
        return result;
    if (!capturing) {
        run_op(op, false);
        return CUDA_SUCCESS;
    }
    if (capturing->n == MAX_OPS)
        return CUDA_ERROR_INVALID_VALUE;
    capturing->ops[capturing->n++] = *op;
    scripted.captured++;
    return CUDA_SUCCESS;
}

static CUresult handle_new(void **ret_handle, size_t bytes)
{
    CUresult result = step();
    if (result)
        return result;
    *ret_handle = calloc(1, bytes);
    scripted.live++;
    return CUDA_SUCCESS;
}

static CUresult handle_free(void *handle)
{
    free(handle);
    scripted.live--;
    return CUDA_SUCCESS;
}

/* ---- the table --------------------------------------------------------------------------- */

#define HANDLE(pointer) ((void **)(void *)(pointer))

static CUresult get_error_name(CUresult error, const char **name)
{
    *name = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR";
    return CUDA_SUCCESS;
}

static CUresult get_error_string(CUresult error, const char **text)
{
    (void)error;
    *text = "scripted";
    return CUDA_SUCCESS;
}

static CUresult device_get(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return step();
}

static CUresult device_get_name(char *name, int length, CUdevice device)
{
    (void)device;
    strncpy(name, "Scripted GPU", (size_t)length);
    return step();
}

static CUresult device_get_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    (void)device;
    *value = 0;
    if (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
        *value = SMS;
    if (attribute == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
        *value = L2_BYTES;
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
        *value = 9;
    return step();
}

static CUresult device_total_mem(size_t *bytes, CUdevice device)
{
    (void)device;
    *bytes = 1u << 30;
    return step();
}

static CUresult device_get_pci_bus_id(char *id, int length, CUdevice device)
{
    (void)device;
    strncpy(id, "0000:01:00.0", (size_t)length);
    return step();
}

static CUresult primary_ctx_retain(CUcontext *context, CUdevice device)
{
    (void)device;
    CUresult result = step();
    if (result)
        return result;
    *context = (CUcontext)(void *)&scripted;
    scripted.live++;
    return CUDA_SUCCESS;
}

static CUresult primary_ctx_release(CUdevice device)
{
    (void)device;
    scripted.live--;
    return CUDA_SUCCESS;
}

static CUcontext current;

static CUresult ctx_get_current(CUcontext *context)
{
    *context = current;
    return step();
}

static CUresult ctx_push_current(CUcontext context)
{
    CUresult result = step();
    if (!result)
        current = context;
    return result;
}

static CUresult ctx_pop_current(CUcontext *context)
{
    *context = current;
    current = NULL;
    return CUDA_SUCCESS;
}

static CUresult exchange_mode(CUstreamCaptureMode *mode)
{
    (void)mode;
    return CUDA_SUCCESS;
}

static CUresult module_load_data_ex(
    CUmodule *module, const void *image, unsigned n, CUjit_option *options, void **values)
{
    (void)n, (void)options, (void)values;
    CUresult result = handle_new(HANDLE(module), sizeof image);
    if (!result)
        memcpy(*module, &image, sizeof image);
    return result;
}

static CUresult module_unload_fake(CUmodule module)
{
    return handle_free(module);
}

static CUresult module_get_function(CUfunction *function, CUmodule module, const char *name)
{
    (void)name;
    memcpy(function, module, sizeof *function);
    return step();
}

static CUresult func_load(CUfunction function)
{
    (void)function;
    return step();
}

static CUresult occupancy_max_active_blocks(
    int *blocks, CUfunction function, int threads, size_t smem_bytes)
{
    (void)function, (void)threads, (void)smem_bytes;
    *blocks = OCCUPANCY;
    return step();
}

static CUresult launch_kernel(CUfunction function, unsigned grid_x, unsigned grid_y,
    unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned smem_bytes,
    CUstream stream, void **params, void **extra)
{
    (void)grid_y, (void)grid_z, (void)block_y, (void)block_z, (void)smem_bytes, (void)extra;
    struct op op = {.kind = OP_KERNEL, .image = (const void *)function};
    size_t bytes = scripted_binary(op.image).param_bytes;
    if (!grid_x || !block_x || !stream)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(op.params, params[0], bytes);
    scripted.launches++;
    return submit(&op);
}

static CUresult mem_alloc(CUdeviceptr *memory, size_t bytes)
{
    CUresult result = step();
    if (scripted.no_memory)
        result = CUDA_ERROR_OUT_OF_MEMORY;
    if (result)
        return result;
    *memory = (CUdeviceptr)(uintptr_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset((void *)(uintptr_t)*memory, 0x77, bytes);
    scripted.live++;
    return CUDA_SUCCESS;
}

static CUresult mem_free_fake(CUdeviceptr memory)
{
    return handle_free((void *)(uintptr_t)memory);
}

static CUresult mem_get_info(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = 256u << 20;
    return step();
}

static CUresult memcpy_htod(CUdeviceptr to, const void *from, size_t bytes)
{
    CUresult result = step();
    if (!result)
        memcpy((void *)(uintptr_t)to, from, bytes);
    return result;
}

static CUresult memcpy_dtoh(void *to, CUdeviceptr from, size_t bytes)
{
    CUresult result = step();
    if (!result)
        memcpy(to, (void *)(uintptr_t)from, bytes);
    return result;
}

static CUresult memcpy_htod_async(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    (void)stream;
    return memcpy_htod(to, from, bytes);
}

static CUresult memcpy_dtoh_async(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    (void)stream;
    return memcpy_dtoh(to, from, bytes);
}

static CUresult memcpy_dtod_async(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    (void)stream;
    struct op op = {.kind = OP_MOVE, .to = to, .from = from, .bytes = bytes};
    return submit(&op);
}

static CUresult memset_d8_async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    (void)stream;
    struct op op = {.kind = OP_SET, .to = to, .value = value, .bytes = n};
    return submit(&op);
}

static CUresult stream_create(CUstream *stream, unsigned flags)
{
    (void)flags;
    return handle_new(HANDLE(stream), 1);
}

static CUresult stream_destroy(CUstream stream)
{
    return handle_free(stream);
}

static CUresult stream_synchronize(CUstream stream)
{
    (void)stream;
    scripted.syncs++;
    CUresult result = step();
    return scripted.faulted ? CUDA_ERROR_ILLEGAL_ADDRESS : result;
}

static CUresult event_create(CUevent *event, unsigned flags)
{
    (void)flags;
    return handle_new(HANDLE(event), sizeof(double));
}

static CUresult event_destroy(CUevent event)
{
    return handle_free(event);
}

static CUresult event_record(CUevent event, CUstream stream)
{
    (void)stream;
    memcpy(event, &scripted.clock_ns, sizeof scripted.clock_ns);
    return step();
}

static CUresult event_elapsed_time(float *ms, CUevent start, CUevent end)
{
    double from, to;
    memcpy(&from, start, sizeof from);
    memcpy(&to, end, sizeof to);
    *ms = (float)((to - from) / 1e6);
    return step();
}

static CUresult stream_begin_capture(CUstream stream, CUstreamCaptureMode mode)
{
    (void)stream, (void)mode;
    return handle_new(HANDLE(&capturing), sizeof *capturing);
}

static CUresult stream_end_capture(CUstream stream, CUgraph *graph)
{
    (void)stream;
    CUresult result = step();
    if (result) /* an invalidated capture leaves no graph */
        handle_free(capturing);
    else
        *graph = (CUgraph)(void *)capturing;
    capturing = NULL;
    return result;
}

static CUresult graph_destroy(CUgraph graph)
{
    return handle_free(graph);
}

static CUresult graph_instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    (void)flags;
    CUresult result = handle_new(HANDLE(exec), sizeof(struct graph));
    if (!result)
        memcpy(*exec, graph, sizeof(struct graph));
    return result;
}

static CUresult graph_launch(CUgraphExec exec, CUstream stream)
{
    (void)stream;
    const struct graph *graph = (const void *)exec;
    CUresult result = step();
    for (int i = 0; i < graph->n && !result; i++)
        run_op(&graph->ops[i], true);
    scripted.replays++;
    return result;
}

static CUresult graph_exec_destroy(CUgraphExec exec)
{
    return handle_free(exec);
}

static const struct driver TABLE = {
    .version = 13000,
    .get_error_name = get_error_name,
    .get_error_string = get_error_string,
    .device_get = device_get,
    .device_get_name = device_get_name,
    .device_get_attribute = device_get_attribute,
    .device_total_mem = device_total_mem,
    .device_get_pci_bus_id = device_get_pci_bus_id,
    .primary_ctx_retain = primary_ctx_retain,
    .primary_ctx_release = primary_ctx_release,
    .ctx_get_current = ctx_get_current,
    .ctx_push_current = ctx_push_current,
    .ctx_pop_current = ctx_pop_current,
    .thread_exchange_capture_mode = exchange_mode,
    .module_load_data_ex = module_load_data_ex,
    .module_unload = module_unload_fake,
    .module_get_function = module_get_function,
    .func_load = func_load,
    .occupancy_max_active_blocks = occupancy_max_active_blocks,
    .launch_kernel = launch_kernel,
    .mem_alloc = mem_alloc,
    .mem_free = mem_free_fake,
    .mem_get_info = mem_get_info,
    .memcpy_htod = memcpy_htod,
    .memcpy_dtoh = memcpy_dtoh,
    .memcpy_htod_async = memcpy_htod_async,
    .memcpy_dtoh_async = memcpy_dtoh_async,
    .memcpy_dtod_async = memcpy_dtod_async,
    .memset_d8_async = memset_d8_async,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_elapsed_time = event_elapsed_time,
    .stream_begin_capture = stream_begin_capture,
    .stream_end_capture = stream_end_capture,
    .graph_destroy = graph_destroy,
    .graph_instantiate = graph_instantiate,
    .graph_launch = graph_launch,
    .graph_exec_destroy = graph_exec_destroy,
};

const struct driver *scripted_open(void)
{
    scripted = (struct scripted_gpu){.failure = CUDA_ERROR_UNKNOWN, .random = 1};
    scripted_workspace_bytes = 0;
    scripted_reference_error = 0;
    return &TABLE;
}

/* ---- NVML -------------------------------------------------------------------------------- */

static int device_by_pci(const char *pci_bus_id, struct nvmlDevice_st **device)
{
    (void)pci_bus_id;
    *device = (struct nvmlDevice_st *)(void *)&scripted;
    return 0;
}

static int clock_info(struct nvmlDevice_st *device, int type, unsigned *mhz)
{
    (void)device;
    int read = scripted.nvml_reads;
    *mhz = type == 1 && read < 64 && scripted.sm_clock_mhz[read]
               ? (unsigned)scripted.sm_clock_mhz[read]
               : 1980;
    return 0;
}

/* The last thing nvml_read() asks for. */
static int throttle_reasons(struct nvmlDevice_st *device, unsigned long long *reasons)
{
    (void)device;
    *reasons = scripted.nvml_reads < 64 ? scripted.reasons[scripted.nvml_reads] : 0;
    scripted.nvml_reads++;
    return 0;
}

const struct nvml *scripted_nvml(void)
{
    static const struct nvml NVML = {.library = (void *)(uintptr_t)1,
        .device_by_pci = device_by_pci,
        .clock_info = clock_info,
        .throttle_reasons = throttle_reasons};
    return &NVML;
}
