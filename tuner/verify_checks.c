/* What is compared after a candidate ran (see verify_state.h): enqueued on the stream, read later.
 */
#include "base/error.h"
#include "key.h"
#include "verify_state.h"
#include <assert.h>
#include <string.h>

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
    spec->tolerance(spec->user, &vcase->problem, i, &tolerance);
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

/* Inputs whose values the compare kernel does not know are compared as bytes. */
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
    if (!gpu_compares(operand->dtype)) {
        check.params.a_dtype = check.params.b_dtype = TFOPS_U8;
        check.params.cols *= (int64_t)operand->elem_bytes;
        check.params.a_stride = check.params.b_stride = check.params.cols;
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

enum tfops_status verifier_check_case(struct verifier *verifier, uint32_t index)
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

enum tfops_status verifier_check_workspace(
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
enum tfops_status verifier_check_invariant(struct verifier *verifier, uint32_t small, uint32_t full)
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
