/* Launches of any operator in tests (see gpu_case.h). */
#include "gpu_case.h"
#include "engine_access.h"
#include "engine_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_ALIGN = 256 };

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    if (!status)
        return;
    tfops_error_last(&error);
    fprintf(stderr, "gpu_case: %s: %s\n", what, error.message);
    abort();
}

static bool set_scalar(
    const struct tfops_spec *spec, const char *name, const char *value, double *ret_scalars)
{
    for (size_t i = 0; i < spec->n_scalars; i++)
        if (!strcmp(name, spec->scalars[i].name)) {
            ret_scalars[i] = strtod(value, NULL);
            return true;
        }
    return false;
}

void gpu_case_problem(struct tfops_engine *engine, const char *text,
    struct tfops_problem *ret_problem, double ret_scalars[TFOPS_MAX_SCALARS])
{
    char line[GPU_CASE_TEXT_BYTES], *rest = line;
    snprintf(line, sizeof line, "%s", text);
    const struct tfops_spec *spec = tfops_engine_operator(engine, strsep(&rest, " "));
    must(tfops_problem_init(spec, ret_problem), text);
    for (size_t i = 0; i < spec->n_scalars; i++)
        ret_scalars[i] = spec->scalars[i].default_value;
    while (rest) {
        char *value = strsep(&rest, " "), *name = strsep(&value, "=");
        if (!set_scalar(spec, name, value, ret_scalars))
            must(tfops_problem_set(ret_problem, name, value), text);
    }
    must(tfops_problem_check(ret_problem), text);
}

/* ---- the engine's device ------------------------------------------------------------------------ */

/* The device of the engine: its driver's table with the context current. */
static const struct driver *enter(struct tfops_engine *engine, struct driver_scope *scope)
{
    struct engine_access access;
    must(engine_access(engine, &access), "engine_access");
    must(driver_enter(access.driver, engine->context, scope), "driver_enter");
    return access.driver;
}

void gpu_case_set(struct tfops_engine *engine, void *memory, unsigned char byte, size_t bytes)
{
    struct driver_scope scope;
    const struct driver *driver = enter(engine, &scope);
    must(driver_error(driver,
             driver->memset_d8_async((CUdeviceptr)(uintptr_t)memory, byte, bytes, NULL),
             "cuMemsetD8Async", "memory"),
        "memset");
    driver_leave(driver, &scope);
}

size_t gpu_case_free_bytes(struct tfops_engine *engine)
{
    size_t free_bytes = 0, total = 0;
    struct driver_scope scope;
    const struct driver *driver = enter(engine, &scope);
    must(driver_error(driver, driver->mem_get_info(&free_bytes, &total), "cuMemGetInfo", "device"),
        "memory");
    driver_leave(driver, &scope);
    return free_bytes;
}

/* ---- operands ----------------------------------------------------------------------------------- */

struct tfops_tensor gpu_case_tensor(const struct tfops_problem *problem,
    const struct buffers_layout *layout, size_t operand, void *data)
{
    const struct tfops_operand_spec *spec = &problem->spec->operands[operand];
    struct tfops_tensor tensor = {
        .data = data, .dtype = layout->operands[operand].dtype, .rank = spec->rank};
    for (int d = 0; d < spec->rank; d++) {
        tensor.shape[d] = problem->dims[spec->dims[d]];
        tensor.strides[d] = layout->operands[operand].strides[d];
    }
    return tensor;
}

/* An operand of its own keeps its place within 256 bytes: its alignment. */
static size_t lead(const struct gpu_case *gcase, size_t i)
{
    return gcase->host.layout.operands[i].offset % BASE_ALIGN;
}

static char *place_of(const struct gpu_case *gcase, size_t i)
{
    return gcase->apart ? (char *)gcase->memory[i] + lead(gcase, i)
                        : (char *)gcase->memory[0] + gcase->host.layout.operands[i].offset;
}

static void allocate(struct gpu_case *gcase)
{
    const struct buffers_layout *layout = &gcase->host.layout;
    if (!gcase->apart)
        must(tfops_device_alloc(gcase->engine, layout->bytes, &gcase->memory[0]), "arena");
    for (size_t i = 0; i < layout->n_operands && gcase->apart; i++)
        if (layout->operands[i].present)
            must(tfops_device_alloc(
                     gcase->engine, lead(gcase, i) + layout->operands[i].bytes, &gcase->memory[i]),
                gcase->spec->operands[i].name);
}

static void point(struct gpu_case *gcase)
{
    const struct emulate_case *host = &gcase->host;
    for (size_t i = 0; i < host->layout.n_operands; i++) {
        const bool onto = host->kind == EMULATE_ALIAS && host->onto[i] >= 0;
        const size_t at = onto ? (size_t)host->onto[i] : i;
        if (!host->layout.operands[i].present)
            continue;
        gcase->tensors[i] = gpu_case_tensor(&host->problem, &host->layout, at, place_of(gcase, at));
        gcase->args.operands[i] = &gcase->tensors[i];
    }
}

static size_t workspace_bytes(const struct gpu_case *gcase, const struct tfops_config *config)
{
    const struct tfops_spec *spec = gcase->spec;
    const struct tfops_problem *problem = &gcase->host.problem;
    const struct tfops_device *device = tfops_engine_device(gcase->engine);
    struct tfops_config tuned = {0};
    const struct tfops_config generic = {.generic = true};
    if (!spec->workspace)
        return 0;
    if (config)
        return spec->workspace(spec->user, problem, device, config);
    spec->default_config(spec->user, problem, device, &tuned);
    const size_t a = spec->workspace(spec->user, problem, device, &tuned);
    const size_t b = spec->workspace(spec->user, problem, device, &generic);
    return a > b ? a : b;
}

static void make_workspace(struct gpu_case *gcase, const struct tfops_config *config)
{
    const size_t bytes = workspace_bytes(gcase, config);
    if (!bytes)
        return;
    must(tfops_device_alloc(gcase->engine, bytes, &gcase->workspace), "workspace");
    gpu_case_set(gcase->engine, gcase->workspace, 0, bytes);
    gcase->args.workspace = gcase->workspace;
    gcase->args.workspace_bytes = bytes;
}

/* The reference takes the scalars' defaults: of a spec with others. */
static void take_scalars(struct gpu_case *gcase, const struct gpu_case_options *options)
{
    const struct tfops_spec *spec = gcase->spec;
    gcase->own = *spec;
    gcase->own.scalars = gcase->scalars;
    gcase->args.n_scalars = (uint32_t)spec->n_scalars;
    for (size_t i = 0; i < spec->n_scalars; i++) {
        gcase->scalars[i] = spec->scalars[i];
        if (options->scalars)
            gcase->scalars[i].default_value = options->scalars[i];
        gcase->args.scalars[i] = gcase->scalars[i].default_value;
    }
}

void gpu_case_make(struct gpu_case *gcase, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct gpu_case_options *options)
{
    struct engine_access access;
    struct tfops_problem own = *problem;
    memset(gcase, 0, sizeof *gcase);
    must(engine_access(engine, &access), "engine_access");
    gcase->engine = engine;
    gcase->spec = problem->spec;
    gcase->apart = options->apart;
    gcase->args = (struct tfops_args){.size = sizeof gcase->args, .flags = problem->flags};
    memcpy(gcase->args.options, problem->options, sizeof gcase->args.options);
    take_scalars(gcase, options);
    own.spec = &gcase->own;
    must(emulate_case_make(access.env, &own, options->kind, options->seed + 1, &gcase->host),
        problem->spec->name);
    allocate(gcase);
    point(gcase);
    make_workspace(gcase, options->config);
    gpu_case_reset(gcase);
}

void gpu_case_reset(struct gpu_case *gcase)
{
    const struct emulate_case *host = &gcase->host;
    if (!gcase->apart)
        must(tfops_device_write(gcase->engine, gcase->memory[0], host->init, host->layout.bytes),
            "write");
    for (size_t i = 0; i < host->layout.n_operands && gcase->apart; i++) {
        const struct buffers_operand *operand = &host->layout.operands[i];
        if (!operand->present)
            continue;
        if (gcase->spec->operands[i].access != TFOPS_OUT)
            must(tfops_device_write(gcase->engine, place_of(gcase, i), host->init + operand->offset,
                     operand->bytes),
                "write");
        else if (gcase->spec->tensor_maps) /* initcheck does not see what bulk copies write */
            gpu_case_set(gcase->engine, place_of(gcase, i), BUFFERS_POISON_BYTE, operand->bytes);
    }
}

/* Rows alone where there is something between them, which nobody has written. */
static void read_operand(const struct gpu_case *gcase, size_t i)
{
    const struct buffers_operand *operand = &gcase->host.layout.operands[i];
    const bool padded = operand->rows > 1 && operand->stride != operand->cols;
    const size_t step = (size_t)operand->stride * operand->elem_bytes;
    const size_t bytes = padded ? (size_t)operand->cols * operand->elem_bytes : operand->bytes;
    for (size_t row = 0; row < (padded ? (size_t)operand->rows : 1); row++)
        must(tfops_device_read(gcase->engine, gcase->host.live + operand->offset + row * step,
                 place_of(gcase, i) + row * step, bytes),
            "read");
}

static void read_back(struct gpu_case *gcase)
{
    struct emulate_case *host = &gcase->host;
    emulate_case_reset(host);
    if (!gcase->apart)
        must(tfops_device_read(gcase->engine, host->live, gcase->memory[0], host->layout.bytes),
            "read");
    for (size_t i = 0; i < host->layout.n_operands && gcase->apart; i++) {
        const bool onto = host->kind == EMULATE_ALIAS && host->onto[i] >= 0;
        if (host->layout.operands[i].present && !onto)
            read_operand(gcase, i);
    }
}

bool gpu_case_right(struct gpu_case *gcase, char ret_text[GPU_CASE_TEXT_BYTES])
{
    struct emulate_verdict verdict;
    must(tfops_device_synchronize(gcase->engine), "synchronize");
    read_back(gcase);
    emulate_case_judge(&gcase->host, &verdict);
    snprintf(ret_text, GPU_CASE_TEXT_BYTES, "%s", verdict.text);
    return !verdict.wrong;
}

void gpu_case_free(struct gpu_case *gcase)
{
    for (size_t i = 0; i < TFOPS_MAX_OPERANDS; i++)
        tfops_device_free(gcase->engine, gcase->memory[i]);
    tfops_device_free(gcase->engine, gcase->workspace);
    emulate_case_release(&gcase->host);
    memset(gcase, 0, sizeof *gcase);
}
