/* Matrix operators on a GPU against the cpu device (see gpu_matrix.h). */
#include "gpu_matrix.h"
#include "host_data.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
}

void gpu_matrix_open(struct gpu_matrix *both)
{
    const struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    support_engine_open(&both->gpu, NULL, NULL);
    must(tfops_engine_open(&options, &both->cpu), "cpu");
}

void gpu_matrix_close(struct gpu_matrix *both)
{
    tfops_engine_close(both->cpu);
    support_engine_close(&both->gpu);
}

void gpu_matrix_give(struct gpu_matrix_run *run, struct tfops_engine *engine, int operand,
    enum tfops_dtype dtype, int64_t rows, int64_t cols, int64_t pad)
{
    const struct support_shape shape = {dtype, rows, cols, rows ? cols + pad : 0, 0};
    support_tensor_make(&run->tensors[operand], engine, &shape, 7u + (unsigned)operand);
    run->args.operands[operand] = &run->tensors[operand].tensor;
}

void gpu_matrix_free(struct gpu_matrix_run *run)
{
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++)
        if (run->tensors[i].bytes)
            support_tensor_free(&run->tensors[i]);
}

/* ---- the same call on the host ---------------------------------------------------------------- */

struct host_call {
    void *memory[TFOPS_MAX_OPERANDS]; /* copies of run's tensors */
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args;
};

/* Where the copies have what `data` is on the device. */
static void *on_host(const struct gpu_matrix_run *run, const struct host_call *host, void *data)
{
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++) {
        const struct support_tensor *tensor = &run->tensors[i];
        const uintptr_t offset = (uintptr_t)data - (uintptr_t)tensor->memory;
        if (tensor->bytes && (uintptr_t)data >= (uintptr_t)tensor->memory && offset < tensor->bytes)
            return (char *)host->memory[i] + offset;
    }
    cr_assert_fail("an operand is in no tensor");
    return NULL;
}

static void copy_call(const struct gpu_matrix_run *run, struct host_call *host)
{
    *host = (struct host_call){.args = run->args};
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++) {
        if (!run->tensors[i].bytes)
            continue;
        host->memory[i] = malloc(run->tensors[i].bytes);
        memcpy(host->memory[i], run->tensors[i].host, run->tensors[i].bytes);
    }
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++) {
        if (!run->args.operands[i])
            continue;
        host->tensors[i] = *run->args.operands[i];
        host->tensors[i].data = on_host(run, host, host->tensors[i].data);
        host->args.operands[i] = &host->tensors[i];
    }
}

/* ---- comparison ------------------------------------------------------------------------------- */

/* ‖a − b‖ / ‖b‖ of matrices in host memory; infinity when an element is not finite. */
static double distance(const struct tfops_tensor *shape, const void *a, const void *b)
{
    double difference = 0, size = 0;
    for (int64_t row = 0; row < shape->shape[0]; row++)
        for (int64_t k = 0; k < shape->shape[1]; k++) {
            const int64_t at = row * shape->strides[0] + k;
            const double x = (double)host_load(a, shape->dtype, at);
            const double y = (double)host_load(b, shape->dtype, at);
            if (!isfinite(x) || !isfinite(y))
                return INFINITY;
            difference += (x - y) * (x - y);
            size += y * y;
        }
    return difference > 0 ? sqrt(difference / size) : 0;
}

/* The GPU's result, read back into the host's side of the tensor that holds it. */
static const void *read_back(struct gpu_matrix_run *run, const void *data)
{
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++)
        if (run->tensors[i].bytes && run->tensors[i].tensor.data == data)
            return support_tensor_read(&run->tensors[i]);
    cr_assert_fail("the output is no tensor");
    return NULL;
}

/* ---- launches --------------------------------------------------------------------------------- */

static void launch(struct gpu_matrix *both, const char *op, const struct gpu_matrix_run *run,
    bool prepared, char *ret_name, size_t bytes)
{
    struct tfops_problem problem;
    struct tfops_engine *gpu = both->gpu.engine;
    const struct tfops_spec *spec = tfops_engine_operator(gpu, op);
    must(tfops_problem_from_args(spec, &run->args, &problem), op);
    const int n = snprintf(ret_name, bytes, "%s ", prepared ? "default" : "cold");
    tfops_problem_format(&problem, ret_name + n, bytes - (size_t)n);
    if (prepared)
        must(tfops_engine_warm(gpu, &problem, 1), ret_name);
    must(tfops_launch(gpu, spec, &run->args, NULL), ret_name);
    must(tfops_device_synchronize(gpu), ret_name);
}

static void launch_on_host(
    struct gpu_matrix *both, const char *op, const struct host_call *host, const char *name)
{
    must(tfops_launch(both->cpu, tfops_engine_operator(both->cpu, op), &host->args, NULL), name);
}

static void free_call(struct host_call *host)
{
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++)
        free(host->memory[i]);
}

void gpu_matrix_check(struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out,
    double most, bool prepared)
{
    char name[512];
    struct host_call host;
    copy_call(run, &host);
    launch(both, op, run, prepared, name, sizeof name);
    launch_on_host(both, op, &host, name);
    const double d = distance(
        &host.tensors[out], read_back(run, run->args.operands[out]->data), host.tensors[out].data);
    cr_expect(d <= most, "%s: off by %g, allowed %g", name, d, most);
    free_call(&host);
    gpu_matrix_free(run);
}

void gpu_matrix_check_bits(
    struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out)
{
    enum { LAUNCHES = 4 };
    char name[512];
    struct support_tensor *tensor = &run->tensors[out];
    const struct tfops_tensor *shape = &tensor->tensor;
    const size_t elem = tfops_dtype_bytes(shape->dtype);
    const size_t stride = (size_t)shape->strides[0] * elem, row = (size_t)shape->shape[1] * elem;
    char *first = malloc(tensor->bytes);
    for (int i = 0; i < LAUNCHES; i++) {
        memset(tensor->host, 0x11 * (i + 1), tensor->bytes);
        must(tfops_device_write(tensor->engine, tensor->memory, tensor->host, tensor->bytes), op);
        launch(both, op, run, true, name, sizeof name);
        const char *now = support_tensor_read(tensor);
        for (int64_t m = 0; m < shape->shape[0] && i > 0; m++)
            cr_assert(!memcmp(first + (size_t)m * stride, now + (size_t)m * stride, row),
                "%s: row %lld has other bits at launch %d", name, (long long)m, i);
        if (i == 0)
            memcpy(first, now, (size_t)(shape->shape[0] - 1) * stride + row);
    }
    free(first);
    gpu_matrix_free(run);
}

/* ---- what is not finite ------------------------------------------------------------------------ */

static const char *kind_of(double x)
{
    if (isnan(x))
        return "NaN";
    return isfinite(x) ? "finite" : x > 0 ? "+inf" : "-inf";
}

static void count_kind(struct gpu_matrix_kinds *kinds, double x)
{
    kinds->nan += isnan(x);
    kinds->infinite += isinf(x) != 0;
    kinds->finite += isfinite(x) != 0;
}

struct gpu_matrix_kinds gpu_matrix_check_kinds(
    struct gpu_matrix *both, const char *op, struct gpu_matrix_run *run, int out, bool prepared)
{
    struct gpu_matrix_kinds kinds = {0};
    char name[512];
    struct host_call host;
    copy_call(run, &host);
    launch(both, op, run, prepared, name, sizeof name);
    launch_on_host(both, op, &host, name);
    const struct tfops_tensor *shape = &host.tensors[out];
    const void *got = read_back(run, run->args.operands[out]->data);
    for (int64_t m = 0; m < shape->shape[0]; m++)
        for (int64_t n = 0; n < shape->shape[1]; n++) {
            const int64_t at = m * shape->strides[0] + n;
            const double x = (double)host_load(got, shape->dtype, at);
            const double want = (double)host_load(shape->data, shape->dtype, at);
            count_kind(&kinds, want);
            cr_assert_str_eq(kind_of(x), kind_of(want), "%s: [%lld, %lld] is %g, expected %g", name,
                (long long)m, (long long)n, x, want);
        }
    free_call(&host);
    gpu_matrix_free(run);
    return kinds;
}
