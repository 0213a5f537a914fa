/* Contiguous operands of a problem (see cli_operands.h). */
#include "cli_operands.h"
#include "cli.h"
#include "cli_problem.h"
#include <stdlib.h>
#include <string.h>

static enum tfops_status make_memory(struct tfops_engine *engine, size_t bytes, void **ret_memory)
{
    void *zeros = cli_new(bytes, 1);
    if (!zeros)
        return TFOPS_E_MEMORY;
    enum tfops_status status = tfops_device_alloc(engine, bytes ? bytes : 1, ret_memory);
    if (status == TFOPS_OK && bytes)
        status = tfops_device_write(engine, *ret_memory, zeros, bytes);
    free(zeros);
    return status;
}

static enum tfops_status make_operand(
    struct cli_operands *operands, const struct tfops_problem *problem, size_t index)
{
    const struct tfops_operand_spec *operand = &problem->spec->operands[index];
    enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[operand->dtype];
    int64_t shape[TFOPS_MAX_OPERAND_RANK] = {0};
    size_t bytes = tfops_dtype_bytes(dtype);
    for (int d = 0; d < operand->rank; d++) {
        shape[d] = problem->dims[operand->dims[d]];
        if (__builtin_mul_overflow(bytes, (size_t)shape[d], &bytes))
            return TFOPS_E_RANGE;
    }
    struct tfops_tensor *tensor = &operands->tensors[index];
    *tensor = tfops_tensor_contiguous(NULL, dtype, operand->rank, shape);
    operands->bytes[index] = bytes;
    operands->args.operands[index] = tensor;
    return make_memory(operands->engine, bytes, &tensor->data);
}

static void fill_args(struct tfops_args *args, const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    args->size = sizeof *args;
    args->flags = problem->flags;
    args->n_scalars = (uint32_t)spec->n_scalars;
    for (size_t i = 0; i < spec->n_scalars; i++)
        args->scalars[i] = spec->scalars[i].default_value;
    memcpy(args->options, problem->options, sizeof args->options);
}

enum tfops_status cli_operands_make(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_plan *plan,
    struct cli_operands *ret_operands)
{
    const struct tfops_spec *spec = problem->spec;
    enum tfops_status status = TFOPS_OK;
    *ret_operands = (struct cli_operands){.engine = engine};
    fill_args(&ret_operands->args, problem);
    for (size_t i = 0; i < spec->n_operands && status == TFOPS_OK; i++)
        if (problem->present >> i & 1)
            status = make_operand(ret_operands, problem, i);
    size_t workspace = plan ? tfops_plan_workspace(plan, cli_problem_extent(problem)) : 0;
    if (status == TFOPS_OK && workspace > 0) {
        status = make_memory(engine, workspace, &ret_operands->workspace);
        ret_operands->args.workspace = ret_operands->workspace;
        ret_operands->args.workspace_bytes = workspace;
    }
    return status;
}

void cli_operands_release(struct cli_operands *operands)
{
    for (size_t i = 0; i < TFOPS_MAX_OPERANDS; i++)
        if (operands->tensors[i].data)
            tfops_device_free(operands->engine, operands->tensors[i].data);
    if (operands->workspace)
        tfops_device_free(operands->engine, operands->workspace);
    *operands = (struct cli_operands){0};
}
