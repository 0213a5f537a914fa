/* Verification of candidates (see verify.h). */
#include "verify.h"
#include "base/error.h"
#include "base/mem.h"
#include "key.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum check_kind {
    CHECK_VALUES = 0, /* an output against the reference's, within the tolerance */
    CHECK_INPUT,      /* an input is as it was */
    CHECK_PADDING,    /* between the rows nothing was written */
    CHECK_ZONE,       /* nor around the operands */
    CHECK_WORKSPACE,  /* nor around the workspace */
    CHECK_INVARIANT,  /* the same rows of another extent, bit for bit */
};

struct verify_check {
    enum check_kind kind;
    int8_t operand; /* −1: none */
    uint8_t zone;
    uint32_t vcase; /* index */
    int64_t stride; /* what `first` of the result counts rows by */
    struct compare_params params;
};

enum { SMALL_EXTENT = 37, CPU_ELEMENTS = 1 << 20, LADDER_START = 67, LADDER_STEP = 4 };
enum { LADDER_TAIL = 3, SAFE_CHECKS = VERIFY_MAX_CHECKS - 2 * (2 * TFOPS_MAX_OPERANDS + 20) };

/* ---- set-up -----------------------------------------------------------------------------------
 */

static enum tfops_status check_dtypes(const struct tfops_problem *problem)
{
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &problem->spec->operands[i];
        enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[operand->dtype];
        if (problem->present >> i & 1 && operand->access != TFOPS_IN && !gpu_knows(dtype))
            return error_set(TFOPS_E_UNSUPPORTED, "verify", operand->name,
                "an output of f32, f16 or bf16", tfops_dtype_name(dtype));
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

/* ---- extents ----------------------------------------------------------------------------------
 */

static int64_t full_extent(const struct verifier *verifier)
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
    int64_t *extent = &reduced.dims[key_dynamic_dim(spec)];
    for (*extent = LADDER_START; *extent < full;
         *extent = (*extent - LADDER_TAIL) * LADDER_STEP + LADDER_TAIL) {
        struct tfops_geometry geometry = {0};
        spec->geometry(spec->user, &reduced, device, &subject->launcher->config, &geometry);
        if ((uint64_t)geometry.grid[0] * geometry.grid[1] * geometry.grid[2] > wave)
            return *extent;
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

/* ---- enqueueing checks --------------------------------------------------------------------------
 */

static const void *device_pointer(CUdeviceptr memory)
{
    return (const void *)(uintptr_t)memory;
}

static enum tfops_status enqueue(struct verifier *verifier, struct verify_check check)
{
    assert(verifier->n_checks < VERIFY_MAX_CHECKS);
    if (check.params.rows <= 0 || check.params.cols <= 0)
        return TFOPS_OK;
    check.params.result =
        (struct compare_result *)(uintptr_t)verifier->results + verifier->n_checks;
    verifier->checks[verifier->n_checks++] = check;
    return gpu_compare(verifier->gpu, &check.params);
}

static struct compare_params pattern(CUdeviceptr memory, size_t bytes, uint8_t byte)
{
    return (struct compare_params){.a = device_pointer(memory),
        .rows = 1,
        .cols = (long long)bytes,
        .a_stride = (long long)bytes,
        .a_dtype = TFOPS_U8,
        .mode = COMPARE_PATTERN,
        .pattern = byte * 0x01010101u};
}

static struct compare_params tensors(
    const struct buffers_operand *operand, CUdeviceptr a, CUdeviceptr b, int64_t rows, int64_t cols)
{
    return (struct compare_params){.a = device_pointer(a),
        .b = device_pointer(b),
        .rows = rows,
        .cols = cols,
        .a_stride = operand->stride,
        .b_stride = operand->stride,
        .a_dtype = (int)operand->dtype,
        .b_dtype = (int)operand->dtype,
        .mode = COMPARE_TENSORS};
}

static enum tfops_status check_values(
    struct verifier *verifier, uint32_t index, size_t i, size_t place)
{
    const struct verify_case *vcase = &verifier->cases[index];
    const struct buffers_operand *operand = &vcase->layout.operands[i];
    const struct tfops_spec *spec = vcase->problem.spec;
    struct tfops_tolerance tolerance = {0};
    spec->tolerance(spec->user, &vcase->problem, &tolerance);
    struct verify_check check = {.kind = CHECK_VALUES,
        .operand = (int8_t)i,
        .vcase = index,
        .stride = operand->cols,
        .params = tensors(operand, vcase->live + vcase->layout.operands[place].offset,
            vcase->gold + operand->offset, operand->rows, operand->cols)};
    check.params.atol = (float)tolerance.atol;
    check.params.rtol = (float)tolerance.rtol;
    return enqueue(verifier, check);
}

/* Inputs whose values the compare kernel does not know were zeroed. */
static enum tfops_status check_input(struct verifier *verifier, uint32_t index, size_t i)
{
    const struct verify_case *vcase = &verifier->cases[index];
    const struct buffers_operand *operand = &vcase->layout.operands[i];
    int64_t span = (int64_t)buffers_span(operand);
    struct verify_check check = {.kind = CHECK_INPUT,
        .operand = (int8_t)i,
        .vcase = index,
        .stride = operand->stride,
        .params = tensors(
            operand, vcase->live + operand->offset, vcase->init + operand->offset, 1, span)};
    if (!gpu_knows(operand->dtype)) {
        check.params = pattern(vcase->live + operand->offset, operand->bytes, 0);
        check.stride *= (int64_t)operand->elem_bytes;
    }
    return enqueue(verifier, check);
}

/* Behind each row but the last: poison, or what was there when the operand is an input too. */
static enum tfops_status check_padding(
    struct verifier *verifier, uint32_t index, size_t i, bool poisoned)
{
    const struct verify_case *vcase = &verifier->cases[index];
    const struct buffers_operand *operand = &vcase->layout.operands[i];
    int64_t pad = operand->stride - operand->cols;
    size_t first = operand->offset + (size_t)operand->cols * operand->elem_bytes;
    struct verify_check check = {
        .kind = CHECK_PADDING, .operand = (int8_t)i, .vcase = index, .stride = pad};
    check.params =
        tensors(operand, vcase->live + first, vcase->init + first, operand->rows - 1, pad);
    if (poisoned) {
        int64_t bytes = (int64_t)operand->elem_bytes;
        check.params = pattern(vcase->live + first, (size_t)(pad * bytes), BUFFERS_POISON_BYTE);
        check.params.rows = operand->rows - 1;
        check.params.a_stride = operand->stride * bytes;
        check.stride = pad * bytes;
    }
    return enqueue(verifier, check);
}

static bool lies_under(const struct verify_case *vcase, size_t operand, size_t *ret_output)
{
    for (size_t i = 0; i < vcase->layout.n_operands && vcase->kind == VERIFY_ALIAS; i++)
        if (vcase->onto[i] == (int)operand) {
            *ret_output = i;
            return true;
        }
    return false;
}

static enum tfops_status check_operand(struct verifier *verifier, uint32_t index, size_t i)
{
    const struct verify_case *vcase = &verifier->cases[index];
    enum tfops_access access = vcase->problem.spec->operands[i].access;
    size_t output = i;
    if (!vcase->layout.operands[i].present || (vcase->kind == VERIFY_ALIAS && vcase->onto[i] >= 0))
        return TFOPS_OK;
    bool under = lies_under(vcase, i, &output);
    if (access == TFOPS_IN && !under)
        return check_input(verifier, index, i);
    enum tfops_status status = check_values(verifier, index, output, i);
    if (!status)
        status = check_padding(verifier, index, i, access == TFOPS_OUT);
    return status;
}

static enum tfops_status check_case(struct verifier *verifier, uint32_t index)
{
    const struct buffers_layout *layout = &verifier->cases[index].layout;
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < layout->n_operands && !status; i++)
        status = check_operand(verifier, index, i);
    for (size_t i = 0; i < layout->n_zones && !status; i++) {
        struct verify_check check = {
            .kind = CHECK_ZONE, .operand = -1, .zone = (uint8_t)i, .vcase = index};
        check.params = pattern(verifier->cases[index].live + layout->zones[i].offset,
            layout->zones[i].bytes, BUFFERS_ZONE_BYTE);
        status = enqueue(verifier, check);
    }
    return status;
}

static enum tfops_status check_workspace(
    struct verifier *verifier, const struct verify_subject *subject)
{
    CUdeviceptr sides[] = {
        subject->workspace - BUFFERS_ZONE_BYTES, subject->workspace + subject->workspace_bytes};
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < 2 && subject->workspace && !status; i++) {
        struct verify_check check = {.kind = CHECK_WORKSPACE, .operand = -1, .zone = (uint8_t)i};
        check.params = pattern(sides[i], BUFFERS_ZONE_BYTES, BUFFERS_ZONE_BYTE);
        status = enqueue(verifier, check);
    }
    return status;
}

/* Rows of a small extent against the same rows of the full one: plain inputs have one seed, so
 * their rows are equal as long as both are strided alike. */
static enum tfops_status check_invariant(struct verifier *verifier, uint32_t small, uint32_t full)
{
    const struct verify_case *few = &verifier->cases[small], *all = &verifier->cases[full];
    const struct tfops_spec *spec = verifier->problem->spec;
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < spec->n_operands && !status; i++) {
        const struct buffers_operand *a = &few->layout.operands[i], *b = &all->layout.operands[i];
        if (!a->present || spec->operands[i].access == TFOPS_IN || spec->operands[i].rank < 2 ||
            spec->operands[i].dims[0] != key_dynamic_dim(spec) || a->stride != b->stride)
            continue;
        struct verify_check check = {.kind = CHECK_INVARIANT,
            .operand = (int8_t)i,
            .vcase = small,
            .stride = a->cols,
            .params = tensors(a, few->live + a->offset, all->live + b->offset, a->rows, a->cols)};
        status = enqueue(verifier, check);
    }
    return status;
}

/* ---- judging ------------------------------------------------------------------------------------
 */

double verify_value(enum tfops_dtype dtype, const void *element)
{
    uint32_t bits = 0;
    float value;
    memcpy(&bits, element, dtype == TFOPS_F32 ? 4 : 2);
    if (dtype == TFOPS_BF16)
        bits <<= 16;
    if (dtype == TFOPS_F32 || dtype == TFOPS_BF16) {
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    if (dtype != TFOPS_F16)
        return NAN;
    int exponent = bits >> 10 & 31;
    double magnitude = exponent == 31 ? (bits & 0x3ff ? NAN : INFINITY)
                       : exponent     ? ldexp((bits & 0x3ff) | 0x400, exponent - 25)
                                      : ldexp(bits & 0x3ff, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* "rows=37", "rows=37, in place". */
static void describe_case(const struct verify_case *vcase, char *text, size_t bytes)
{
    static const char *const KINDS[] = {
        [VERIFY_PLAIN] = "", [VERIFY_SPECIAL] = ", special values", [VERIFY_ALIAS] = ", in place"};
    const struct tfops_spec *spec = vcase->problem.spec;
    snprintf(text, bytes, "%s=%lld%s", spec->dims[key_dynamic_dim(spec)].name,
        (long long)vcase->extent, KINDS[vcase->kind]);
}

/* "out[3][17]": rows collapse all but the last dimension. */
static void describe_element(const struct verify_case *vcase, size_t operand, int64_t row,
    int64_t col, char *text, size_t bytes)
{
    const struct tfops_operand_spec *spec = &vcase->problem.spec->operands[operand];
    int64_t at[TFOPS_MAX_OPERAND_RANK] = {0};
    size_t length = (size_t)snprintf(text, bytes, "%s", spec->name);
    if (spec->rank)
        at[spec->rank - 1] = col;
    for (int i = spec->rank - 2; i >= 0; i--) {
        int64_t extent = vcase->problem.dims[spec->dims[i]];
        at[i] = row % extent;
        row /= extent;
    }
    for (int i = 0; i < spec->rank && length < bytes; i++)
        length += (size_t)snprintf(text + length, bytes - length, "[%lld]", (long long)at[i]);
}

static double relative_of(const struct compare_result *result)
{
    if (result->class_diffs)
        return NAN;
    if (result->diff_squares == 0)
        return 0;
    return sqrt(result->diff_squares / result->ref_squares);
}

static bool is_right(const struct verifier *verifier, uint32_t i)
{
    const struct verify_case *vcase = &verifier->cases[verifier->checks[i].vcase];
    const struct tfops_spec *spec = verifier->problem->spec;
    struct tfops_tolerance tolerance = {0};
    if (verifier->host[i].violations)
        return false;
    if (verifier->checks[i].kind != CHECK_VALUES)
        return true;
    spec->tolerance(spec->user, &vcase->problem, &tolerance);
    return relative_of(&verifier->host[i]) <= tolerance.relative;
}

/* An element of both tensors of a check, and whether the tested one is still poison. */
struct wrong_pair {
    double expected, actual;
    bool unwritten;
};

static enum tfops_status read_pair(const struct verifier *verifier,
    const struct compare_params *params, int64_t row, int64_t col, struct wrong_pair *ret_pair)
{
    enum tfops_dtype dtype = (enum tfops_dtype)params->a_dtype;
    size_t bytes = tfops_dtype_bytes(dtype);
    unsigned char a[8] = {0}, b[8] = {0}, poison[8];
    CUdeviceptr at_a = (CUdeviceptr)(uintptr_t)params->a, at_b = (CUdeviceptr)(uintptr_t)params->b;
    memset(poison, BUFFERS_POISON_BYTE, sizeof poison);
    at_a += (size_t)(row * params->a_stride + col) * bytes;
    at_b += (size_t)(row * params->b_stride + col) * bytes;
    CUresult result = verifier->gpu->driver->memcpy_dtoh(a, at_a, bytes);
    if (!result)
        result = verifier->gpu->driver->memcpy_dtoh(b, at_b, bytes);
    *ret_pair = (struct wrong_pair){
        verify_value(dtype, b), verify_value(dtype, a), !memcmp(a, poison, bytes)};
    return gpu_check(verifier->gpu, result, "cuMemcpyDtoH");
}

static enum tfops_status explain_values(const struct verifier *verifier, uint32_t i,
    const char *where, const char *element, int64_t row, int64_t col, char *text, size_t bytes)
{
    const struct verify_check *check = &verifier->checks[i];
    struct wrong_pair pair;
    char actual[32];
    if (!verifier->host[i].violations) {
        snprintf(text, bytes, "%s: relative error %.3g is above the tolerance (%s)",
            verifier->problem->spec->operands[check->operand].name, relative_of(&verifier->host[i]),
            where);
        return TFOPS_OK;
    }
    enum tfops_status status = read_pair(verifier, &check->params, row, col, &pair);
    snprintf(actual, sizeof actual, "%.6g", pair.actual);
    snprintf(text, bytes, "%s: expected %.6g, got %s (%s)", element, pair.expected,
        pair.unwritten ? "what was there before" : actual, where);
    return status;
}

/* Says what is wrong with check i. */
static enum tfops_status explain(
    const struct verifier *verifier, uint32_t i, char *text, size_t bytes)
{
    const struct verify_check *check = &verifier->checks[i];
    const struct verify_case *vcase = &verifier->cases[check->vcase];
    unsigned long long first = verifier->host[i].first;
    int64_t stride = check->stride > 0 ? check->stride : 1;
    int64_t row = (int64_t)first / stride, col = (int64_t)first % stride;
    char where[64], element[96] = "";
    describe_case(vcase, where, sizeof where);
    if (check->operand >= 0)
        describe_element(vcase, (size_t)check->operand, row, col, element, sizeof element);
    switch (check->kind) {
    case CHECK_VALUES:
        return explain_values(verifier, i, where, element, row, col, text, bytes);
    case CHECK_INPUT:
        snprintf(text, bytes, "%s: an input was written (%s)", element, where);
        break;
    case CHECK_PADDING:
        snprintf(text, bytes, "%s: written between rows %lld and %lld (%s)",
            verifier->problem->spec->operands[check->operand].name, (long long)row,
            (long long)row + 1, where);
        break;
    case CHECK_ZONE:
        snprintf(text, bytes,
            "red zone %u: written at byte %llu of %zu outside of all operands (%s)",
            (unsigned)check->zone, first, vcase->layout.zones[check->zone].bytes, where);
        break;
    case CHECK_WORKSPACE:
        snprintf(text, bytes, "workspace: written %s it", check->zone ? "behind" : "before");
        break;
    case CHECK_INVARIANT:
        snprintf(text, bytes, "%s: depends on how many rows there are (%s)", element, where);
        break;
    }
    return TFOPS_OK;
}

static enum tfops_status judge(struct verifier *verifier, struct verify_report *report)
{
    bool damaged = false, wrong = false;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < verifier->n_checks; i++) {
        double relative = relative_of(&verifier->host[i]);
        if (verifier->checks[i].kind == CHECK_VALUES && !(relative <= report->relative) &&
            !isnan(report->relative))
            report->relative = relative;
        if (is_right(verifier, i))
            continue;
        damaged |=
            verifier->checks[i].kind != CHECK_VALUES && verifier->checks[i].kind != CHECK_INVARIANT;
        if (!wrong && !status)
            status = explain(verifier, i, report->first_wrong, sizeof report->first_wrong);
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

/* ---- running ------------------------------------------------------------------------------------
 */

static enum tfops_status begin(struct verifier *verifier)
{
    verifier->n_checks = 0;
    return gpu_move(verifier->gpu, verifier->results, verifier->blank,
        VERIFY_MAX_CHECKS * sizeof *verifier->host);
}

static enum tfops_status end(struct verifier *verifier)
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

static enum tfops_status run_case(struct verifier *verifier, const struct verify_subject *subject,
    enum verify_kind kind, int64_t extent, const CUevent *events, uint32_t *ret_index)
{
    enum tfops_status status = find_case(verifier, kind, extent, ret_index);
    if (!status)
        status = verify_case_run(verifier->gpu, &verifier->cases[*ret_index], subject, events);
    if (!status)
        status = check_case(verifier, *ret_index);
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
    int64_t full = full_extent(verifier);
    *ret_wave = verify_wave_extent(problem, &verifier->gpu->device, subject, full);
    const int64_t wanted[] = {1, 3, SMALL_EXTENT, *ret_wave, full};
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
        status = run_case(
            verifier, subject, VERIFY_PLAIN, extents[i], i == n - 1 ? events : NULL, &index[i]);
    int64_t special = at_most(SMALL_EXTENT, extents[n - 1]);
    if (!status)
        status = run_case(verifier, subject, VERIFY_SPECIAL, special, NULL, &other);
    if (!status && verify_case_can_alias(verifier->problem))
        status = run_case(verifier, subject, VERIFY_ALIAS, wave, NULL, &other);
    if (!status && verifier->problem->flags & TFOPS_BATCH_INVARIANT)
        for (size_t i = 0; i + 1 < n && !status && verifier->n_checks < SAFE_CHECKS; i++)
            status = check_invariant(verifier, index[i], index[n - 1]);
    if (!status)
        status = check_workspace(verifier, subject);
    return status;
}

enum tfops_status verifier_run(struct verifier *verifier, const struct verify_subject *subject,
    struct verify_report *ret_report, double *ret_full_ns)
{
    const struct tfops_problem *problem = verifier->problem;
    bool whole = full_extent(verifier) == problem->dims[key_dynamic_dim(problem->spec)];
    float ms = 0;
    struct verify_report report = {0};
    enum tfops_status status = begin(verifier);
    if (!status)
        status = run_all(verifier, subject);
    if (!status)
        status = end(verifier);
    if (status)
        return status;
    status = gpu_check(verifier->gpu,
        verifier->gpu->driver->event_elapsed_time(&ms, verifier->start, verifier->end),
        "cuEventElapsedTime");
    if (status)
        return status;
    *ret_full_ns = whole ? (double)ms * 1e6 : 0;
    status = judge(verifier, &report);
    *ret_report = report;
    return status;
}

/* ---- the device reference against the CPU reference
 * ------------------------------------------------- */

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
    double diff_squares, ref_squares;
};

/* Whether one element is right; the rule of the compare kernel. */
static bool add_pair(
    struct host_sums *sums, const struct tfops_tolerance *tolerance, double out, double ref)
{
    if (!isfinite(out) || !isfinite(ref))
        return out == ref || (isnan(out) && isnan(ref));
    sums->diff_squares += (out - ref) * (out - ref);
    sums->ref_squares += ref * ref;
    return fabs(out - ref) <= tolerance->atol + tolerance->rtol * fabs(ref);
}

static enum tfops_status compare_operand(
    const struct verify_case *vcase, const struct host_case *host, size_t i)
{
    const struct buffers_operand *operand = &vcase->layout.operands[i];
    const struct tfops_spec *spec = vcase->problem.spec;
    struct tfops_tolerance tolerance = {0};
    struct host_sums sums = {0, 0};
    char element[96], where[64];
    describe_case(vcase, where, sizeof where);
    spec->tolerance(spec->user, &vcase->problem, &tolerance);
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            size_t at =
                operand->offset + (size_t)(row * operand->stride + col) * operand->elem_bytes;
            double out = verify_value(operand->dtype, host->gold + at);
            double ref = verify_value(operand->dtype, host->work + at);
            if (add_pair(&sums, &tolerance, out, ref))
                continue;
            describe_element(vcase, i, row, col, element, sizeof element);
            return error_setf(TFOPS_E_WRONG, 0, "device reference", spec->name,
                "%s: the CPU reference has %.6g, the device %.6g (%s)", element, ref, out, where);
        }
    double relative = sums.diff_squares > 0 ? sqrt(sums.diff_squares / sums.ref_squares) : 0;
    if (relative <= tolerance.relative)
        return TFOPS_OK;
    return error_setf(TFOPS_E_WRONG, 0, "device reference", spec->name,
        "%s: differs from the CPU reference by %.3g, at most %.3g (%s)", spec->operands[i].name,
        relative, tolerance.relative, where);
}

static enum tfops_status check_against_cpu(
    struct verifier *verifier, enum verify_kind kind, int64_t extent)
{
    struct host_case host = {NULL, NULL};
    uint32_t index = 0, unused;
    enum tfops_status status =
        run_case(verifier, &verifier->reference, kind, extent, NULL, &unused);
    if (!status)
        status = find_case(verifier, kind, extent, &index);
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
    int64_t extent = at_most(SMALL_EXTENT, full_extent(verifier));
    while (extent > 1 && extent > least &&
           verify_case_bytes(problem, extent) > (size_t)3 * 4 * CPU_ELEMENTS)
        extent /= 2;
    return extent;
}

enum tfops_status verifier_check_reference(struct verifier *verifier)
{
    struct verify_report report = {0};
    int64_t extent = cpu_extent(verifier);
    enum tfops_status status = begin(verifier);
    if (!status)
        status = check_against_cpu(verifier, VERIFY_PLAIN, extent);
    if (!status)
        status = check_against_cpu(verifier, VERIFY_SPECIAL, extent);
    if (!status)
        status = end(verifier);
    return status ? status : judge(verifier, &report);
}
