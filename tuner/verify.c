/* Verification of candidates (see verify.h): runs the cases and judges their checks. */
#include "base/error.h"
#include "base/mem.h"
#include "key.h"
#include "problem.h"
#include "verify_state.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { LADDER_START = 67, LADDER_STEP = 4 };
enum { LADDER_TAIL = 3, SAFE_CHECKS = VERIFY_MAX_CHECKS - 2 * (2 * TFOPS_MAX_OPERANDS + 20) };

/* ---- set-up ------------------------------------------------------------------------------ */

static enum tfops_status check_dtypes(const struct tfops_problem *problem)
{
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &problem->spec->operands[i];
        enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[operand->dtype];
        if (problem->present >> i & 1 && operand->access != TFOPS_IN && !gpu_compares(dtype))
            return error_set(TFOPS_E_UNSUPPORTED, "verify", operand->name,
                "an output of a float dtype, i32 or i64", tfops_dtype_name(dtype));
    }
    return TFOPS_OK;
}

/* Results start as zeros, `first` as all ones. */
static enum tfops_status make_results(struct verifier *verifier)
{
    const struct gpu *gpu = verifier->gpu;
    size_t bytes = VERIFY_MAX_CHECKS * sizeof *verifier->host;
    enum tfops_status status = gpu_alloc(gpu, bytes, &verifier->results);
    if (!status)
        status = gpu_alloc(gpu, bytes, &verifier->blank);
    for (int i = 0; i < VERIFY_MAX_CHECKS; i++)
        verifier->host[i] = (struct compare_result){.first = ~0ull};
    if (!status)
        status = gpu_check(
            gpu, gpu->driver->memcpy_htod(verifier->blank, verifier->host, bytes), "cuMemcpyHtoD");
    if (!status)
        status = gpu_check(
            gpu, gpu->driver->event_create(&verifier->start, CU_EVENT_DEFAULT), "cuEventCreate");
    if (!status)
        status = gpu_check(
            gpu, gpu->driver->event_create(&verifier->end, CU_EVENT_DEFAULT), "cuEventCreate");
    return status;
}

enum tfops_status verifier_init(struct verifier *verifier, const struct gpu *gpu,
    const struct tfops_problem *problem, const struct verify_subject *reference, uint64_t seed,
    size_t cap_bytes)
{
    *verifier = (struct verifier){.gpu = gpu,
        .problem = problem,
        .reference = *reference,
        .seed = seed,
        .cap_bytes = cap_bytes};
    enum tfops_status status = check_dtypes(problem);
    if (status)
        return status;
    verifier->cases = mem_new(gpu->env, VERIFY_MAX_CASES, sizeof *verifier->cases);
    verifier->checks = mem_new(gpu->env, VERIFY_MAX_CHECKS, sizeof *verifier->checks);
    verifier->host = mem_new(gpu->env, VERIFY_MAX_CHECKS, sizeof *verifier->host);
    status = !verifier->cases || !verifier->checks || !verifier->host ? TFOPS_E_MEMORY
                                                                      : make_results(verifier);
    if (status)
        verifier_release(verifier);
    return status;
}

static void release_cases(struct verifier *verifier)
{
    for (uint32_t i = 0; i < verifier->n_cases; i++)
        verify_case_release(verifier->gpu, &verifier->cases[i]);
    verifier->n_cases = 0;
}

void verifier_release(struct verifier *verifier)
{
    const struct gpu *gpu = verifier->gpu;
    if (!gpu)
        return;
    release_cases(verifier);
    if (verifier->start)
        gpu->driver->event_destroy(verifier->start);
    if (verifier->end)
        gpu->driver->event_destroy(verifier->end);
    gpu_free(gpu, &verifier->results);
    gpu_free(gpu, &verifier->blank);
    mem_free(gpu->env, verifier->cases);
    mem_free(gpu->env, verifier->checks);
    mem_free(gpu->env, verifier->host);
    memset(verifier, 0, sizeof *verifier);
}

/* ---- extents ----------------------------------------------------------------------------- */

int64_t verifier_full_extent(const struct verifier *verifier)
{
    const struct tfops_problem *problem = verifier->problem;
    int64_t extent = problem->dims[key_dynamic_dim(problem->spec)];
    while (extent > 1 && verify_case_bytes(problem, extent) > verifier->cap_bytes)
        extent = (extent + 1) / 2;
    return extent;
}

int64_t verify_wave_extent(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct verify_subject *subject, int64_t full)
{
    const struct tfops_spec *spec = problem->spec;
    uint64_t wave = (uint64_t)(device->sms > 0 ? device->sms : 1) *
                    (subject->blocks_per_sm ? subject->blocks_per_sm : 1);
    struct tfops_problem reduced = *problem;
    for (int64_t extent = LADDER_START; extent < full;
         extent = (extent - LADDER_TAIL) * LADDER_STEP + LADDER_TAIL) {
        struct tfops_geometry geometry = {0};
        problem_set_extent(&reduced, extent);
        spec->geometry(spec->user, &reduced, device, &subject->launcher->config, &geometry);
        if ((uint64_t)geometry.grid[0] * geometry.grid[1] * geometry.grid[2] > wave)
            return extent;
    }
    return full;
}

static enum tfops_status find_case(
    struct verifier *verifier, enum verify_kind kind, int64_t extent, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < verifier->n_cases; i++)
        if (verifier->cases[i].kind == kind && verifier->cases[i].extent == extent) {
            *ret_index = i;
            return TFOPS_OK;
        }
    assert(verifier->n_cases < VERIFY_MAX_CASES);
    enum tfops_status status = verify_case_make(verifier->gpu, verifier->problem, kind, extent,
        &verifier->reference, verifier->seed, &verifier->cases[verifier->n_cases]);
    if (!status)
        *ret_index = verifier->n_cases++;
    return status;
}

/* ---- judging ----------------------------------------------------------------------------- */

enum tfops_status verifier_judge(struct verifier *verifier, struct verify_report *report)
{
    bool damaged = false, wrong = false;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < verifier->n_checks; i++) {
        double relative = verify_relative(&verifier->host[i]);
        if (verifier->checks[i].kind == CHECK_VALUES && !(relative <= report->relative) &&
            !isnan(report->relative))
            report->relative = relative;
        if (verify_is_right(verifier, i))
            continue;
        damaged |=
            verifier->checks[i].kind != CHECK_VALUES && verifier->checks[i].kind != CHECK_INVARIANT;
        if (!wrong && !status)
            status = verify_explain(verifier, i, report->first_wrong, sizeof report->first_wrong);
        wrong = true;
    }
    /* What wrote where it must not may have hit the references as well. */
    if (damaged)
        release_cases(verifier);
    if (status || !wrong)
        return status;
    return error_setf(
        TFOPS_E_WRONG, 0, "verify", verifier->problem->spec->name, "%s", report->first_wrong);
}

/* ---- running ----------------------------------------------------------------------------- */

enum tfops_status verifier_begin(struct verifier *verifier)
{
    verifier->n_checks = 0;
    return gpu_move(verifier->gpu, verifier->results, verifier->blank,
        VERIFY_MAX_CHECKS * sizeof *verifier->host);
}

enum tfops_status verifier_end(struct verifier *verifier)
{
    const struct gpu *gpu = verifier->gpu;
    enum tfops_status status = gpu_check(gpu,
        gpu->driver->memcpy_dtoh_async(verifier->host, verifier->results,
            verifier->n_checks * sizeof *verifier->host, gpu->stream),
        "cuMemcpyDtoHAsync");
    /* Even then: the copy may be under way. */
    enum tfops_status synced = gpu_sync(gpu);
    return status ? status : synced;
}

enum tfops_status verifier_run_case(struct verifier *verifier, const struct verify_subject *subject,
    enum verify_kind kind, int64_t extent, const CUevent *events, uint32_t *ret_index)
{
    enum tfops_status status = find_case(verifier, kind, extent, ret_index);
    if (!status)
        status = verify_case_run(verifier->gpu, &verifier->cases[*ret_index], subject, events);
    if (!status)
        status = verifier_check_case(verifier, *ret_index);
    return status;
}

static int64_t at_most(int64_t extent, int64_t full)
{
    return extent < full ? extent : full;
}

/* Extents of the plain cases, small to full, each once; returns how many. */
static size_t choose_extents(const struct verifier *verifier, const struct verify_subject *subject,
    int64_t ret_extents[5], int64_t *ret_wave)
{
    const struct tfops_problem *problem = verifier->problem;
    int64_t least = problem->spec->dims[key_dynamic_dim(problem->spec)].min;
    int64_t full = verifier_full_extent(verifier);
    *ret_wave = verify_wave_extent(problem, &verifier->gpu->device, subject, full);
    const int64_t wanted[] = {1, 3, VERIFY_SMALL_EXTENT, *ret_wave, full};
    size_t n = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t extent = at_most(wanted[i] > least ? wanted[i] : least, full);
        if (!n || extent != ret_extents[n - 1])
            ret_extents[n++] = extent;
    }
    return n;
}

static enum tfops_status run_all(struct verifier *verifier, const struct verify_subject *subject)
{
    const CUevent events[] = {verifier->start, verifier->end};
    int64_t extents[5], wave;
    size_t n = choose_extents(verifier, subject, extents, &wave);
    uint32_t index[5], other;
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < n && !status; i++)
        status = verifier_run_case(
            verifier, subject, VERIFY_PLAIN, extents[i], i == n - 1 ? events : NULL, &index[i]);
    int64_t special = at_most(VERIFY_SMALL_EXTENT, extents[n - 1]);
    if (!status)
        status = verifier_run_case(verifier, subject, VERIFY_SPECIAL, special, NULL, &other);
    if (!status && verify_case_can_alias(verifier->problem))
        status = verifier_run_case(verifier, subject, VERIFY_ALIAS, wave, NULL, &other);
    if (!status && verifier->problem->flags & TFOPS_BATCH_INVARIANT)
        for (size_t i = 0; i + 1 < n && !status && verifier->n_checks < SAFE_CHECKS; i++)
            status = verifier_check_invariant(verifier, index[i], index[n - 1]);
    if (!status)
        status = verifier_check_workspace(verifier, subject);
    return status;
}

enum tfops_status verifier_run(struct verifier *verifier, const struct verify_subject *subject,
    struct verify_report *ret_report, double *ret_full_ns)
{
    const struct tfops_problem *problem = verifier->problem;
    bool whole = verifier_full_extent(verifier) == problem->dims[key_dynamic_dim(problem->spec)];
    float ms = 0;
    struct verify_report report = {0};
    enum tfops_status status = verifier_begin(verifier);
    if (!status)
        status = run_all(verifier, subject);
    if (!status)
        status = verifier_end(verifier);
    if (status)
        return status;
    status = gpu_check(verifier->gpu,
        verifier->gpu->driver->event_elapsed_time(&ms, verifier->start, verifier->end),
        "cuEventElapsedTime");
    if (status)
        return status;
    *ret_full_ns = whole ? (double)ms * 1e6 : 0;
    status = verifier_judge(verifier, &report);
    *ret_report = report;
    return status;
}
