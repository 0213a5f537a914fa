/*
 * The device reference against the CPU reference, on a reduced problem: what candidates are
 * compared with must itself be right.
 */
#include "base/error.h"
#include "base/mem.h"
#include "key.h"
#include "tolerance.h"
#include "verify_state.h"
#include <math.h>
#include <string.h>

enum { CPU_ELEMENTS = 1 << 20 };

/* Host copies of a case: `work` the inputs, for the CPU reference to run on; `gold` from the
 * device. */
struct host_case {
    unsigned char *work, *gold;
};

static enum tfops_status download(
    const struct gpu *gpu, const struct verify_case *vcase, struct host_case *host)
{
    size_t bytes = vcase->layout.bytes;
    host->work = mem_new(gpu->env, bytes, 1);
    host->gold = mem_new(gpu->env, bytes, 1);
    if (!host->work || !host->gold)
        return TFOPS_E_MEMORY;
    enum tfops_status status = gpu_sync(gpu);
    if (!status)
        status = gpu_check(
            gpu, gpu->driver->memcpy_dtoh(host->work, vcase->init, bytes), "cuMemcpyDtoH");
    if (!status)
        status = gpu_check(
            gpu, gpu->driver->memcpy_dtoh(host->gold, vcase->gold, bytes), "cuMemcpyDtoH");
    return status;
}

static enum tfops_status run_cpu(const struct verify_case *vcase, unsigned char *arena)
{
    const struct tfops_spec *spec = vcase->problem.spec;
    const struct tfops_config config = {.generic = true};
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    double scalars[TFOPS_MAX_SCALARS] = {0};
    buffers_views(&vcase->layout, (CUdeviceptr)(uintptr_t)arena, views);
    verify_scalars(spec, scalars);
    const struct tfops_launch_args args = {
        .problem = &vcase->problem, .config = &config, .operands = views, .scalars = scalars};
    return spec->reference(spec->user, &args);
}

struct host_sums {
    double diff_squares, ref_squares, largest, n, beyond;
};

/* Whether one element is right; the rule of the compare kernel. */
static bool add_pair(
    struct host_sums *sums, const struct tfops_tolerance *tolerance, double out, double ref)
{
    if (!isfinite(out) || !isfinite(ref))
        return out == ref || (isnan(out) && isnan(ref));
    sums->diff_squares += (out - ref) * (out - ref);
    sums->ref_squares += ref * ref;
    sums->largest = fmax(sums->largest, fabs(ref));
    sums->n++;
    const double beyond = fabs(out - ref) - tolerance->rtol * fabs(ref);
    sums->beyond = fmax(sums->beyond, beyond);
    return beyond <= tolerance->atol;
}

static enum tfops_status compare_operand(
    const struct verify_case *vcase, const struct host_case *host, size_t i)
{
    const struct buffers_operand *operand = &vcase->layout.operands[i];
    const struct tfops_spec *spec = vcase->problem.spec;
    struct tfops_tolerance tolerance = {0};
    struct host_sums sums = {0};
    char element[VERIFY_TEXT_BYTES], where[VERIFY_TEXT_BYTES];
    verify_describe_case(vcase, where);
    spec->tolerance(spec->user, &vcase->problem, i, &tolerance);
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            size_t at =
                operand->offset + (size_t)(row * operand->stride + col) * operand->elem_bytes;
            double out = verify_value(operand->dtype, host->gold + at);
            double ref = verify_value(operand->dtype, host->work + at);
            if (add_pair(&sums, &tolerance, out, ref))
                continue;
            verify_describe_element(vcase, i, row, col, element);
            return error_setf(TFOPS_E_WRONG, 0, "device reference", spec->name,
                "%s: the CPU reference has %.6g, the device %.6g (%s)", element, ref, out, where);
        }
    const bool special = vcase->kind == VERIFY_SPECIAL;
    const double relative = sums.diff_squares > 0 ? sqrt(sums.diff_squares / sums.ref_squares) : 0;
    const double most = tolerance_of_element(&tolerance, special, sums.ref_squares, sums.n);
    const double most_relative =
        tolerance_of_norm(&tolerance, operand->dtype, special, sums.largest, sums.ref_squares);
    if (sums.beyond > most)
        return error_setf(TFOPS_E_WRONG, 0, "device reference", spec->name,
            "%s: an element differs from the CPU reference by %.3g, at most %.3g (%s)",
            spec->operands[i].name, sums.beyond, most, where);
    if (relative <= most_relative)
        return TFOPS_OK;
    return error_setf(TFOPS_E_WRONG, 0, "device reference", spec->name,
        "%s: differs from the CPU reference by %.3g, at most %.3g (%s)", spec->operands[i].name,
        relative, most_relative, where);
}

static enum tfops_status check_against_cpu(
    struct verifier *verifier, enum verify_kind kind, int64_t extent)
{
    struct host_case host = {NULL, NULL};
    uint32_t index = 0;
    enum tfops_status status =
        verifier_run_case(verifier, &verifier->reference, kind, extent, NULL, &index);
    const struct verify_case *vcase = &verifier->cases[index];
    if (!status)
        status = download(verifier->gpu, vcase, &host);
    if (!status)
        status = run_cpu(vcase, host.work);
    for (size_t i = 0; i < vcase->layout.n_operands && !status; i++)
        if (vcase->layout.operands[i].present &&
            vcase->problem.spec->operands[i].access != TFOPS_IN)
            status = compare_operand(vcase, &host, i);
    mem_free(verifier->gpu->env, host.work);
    mem_free(verifier->gpu->env, host.gold);
    return status;
}

/* The largest of the small extents whose CPU reference is cheap. */
static int64_t cpu_extent(const struct verifier *verifier)
{
    const struct tfops_problem *problem = verifier->problem;
    int64_t least = problem->spec->dims[key_dynamic_dim(problem->spec)].min;
    int64_t full = verifier_full_extent(verifier);
    int64_t extent = full < VERIFY_SMALL_EXTENT ? full : VERIFY_SMALL_EXTENT;
    while (extent > 1 && extent > least &&
           verify_case_bytes(problem, extent) > (size_t)3 * 4 * CPU_ELEMENTS)
        extent /= 2;
    return extent;
}

enum tfops_status verifier_check_reference(struct verifier *verifier)
{
    struct verify_report report = {0};
    int64_t extent = cpu_extent(verifier);
    enum tfops_status status = verifier_begin(verifier);
    if (!status)
        status = check_against_cpu(verifier, VERIFY_PLAIN, extent);
    if (!status)
        status = check_against_cpu(verifier, VERIFY_SPECIAL, extent);
    if (!status)
        status = verifier_end(verifier);
    return status ? status : verifier_judge(verifier, &report);
}
