/* Whether results are right: the GPU's, the cpu device's, the template's on the CPU. */
#include "cli_cancel.h"
#include "cli_operands.h"
#include "demo.h"
#include "demo_rows.h"
#include <stdio.h>
#include <string.h>

#define CHECKED_ROWS 16 /* on the cpu device; the fp64 reference is not made for speed */

static size_t operand_index(const struct tfops_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_operands; i++)
        if (strcmp(spec->operands[i].name, name) == 0)
            return i;
    return 0; /* not reached: the demo knows its operator */
}

static struct tfops_tensor *operand(
    struct cli_operands *operands, const struct tfops_spec *spec, const char *name)
{
    return &operands->tensors[operand_index(spec, name)];
}

/* Copies in, launches through the typed call, waits, copies out. */
static enum tfops_status launch(struct tfops_engine *engine, const struct tfops_problem *problem,
    struct cli_operands *operands, struct demo_rows *data, double *ret_ms)
{
    size_t row_bytes = (size_t)data->hidden * sizeof(uint16_t);
    size_t bytes = (size_t)data->rows * row_bytes;
    struct tfops_tensor *x = operand(operands, problem->spec, "x");
    struct tfops_tensor *w = operand(operands, problem->spec, "weight");
    struct tfops_tensor *y = operand(operands, problem->spec, "out");
    enum tfops_status status = tfops_device_write(engine, x->data, data->x, bytes);
    if (status == TFOPS_OK)
        status = tfops_device_write(engine, w->data, data->w, row_bytes);
    double start = cli_seconds();
    if (status == TFOPS_OK)
        status = tfops_rmsnorm(engine, x, w, y, DEMO_EPS, TFOPS_WEIGHT_PLAIN, NULL);
    if (status == TFOPS_OK)
        status = tfops_device_synchronize(engine);
    *ret_ms = (cli_seconds() - start) * 1e3;
    if (status == TFOPS_OK)
        status = tfops_device_read(engine, data->y, y->data, bytes);
    return status;
}

static int run_on(const struct demo *demo, struct tfops_engine *engine,
    const struct tfops_problem *problem, struct demo_rows *data, double *ret_ms)
{
    struct cli_operands operands = {0};
    enum tfops_status status = cli_operands_make(engine, problem, NULL, &operands);
    if (status == TFOPS_OK)
        status = launch(engine, problem, &operands, data, ret_ms);
    cli_operands_release(&operands);
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(&demo->cli, status, "launch");
}

static int judge(const struct demo *demo, const struct tfops_problem *problem,
    const struct demo_rows *data, const char *what)
{
    double error = 0;
    struct tfops_tolerance tolerance = {.relative = 0};
    problem->spec->tolerance(
        problem->spec->user, problem, operand_index(problem->spec, "out"), &tolerance);
    if (!demo_rows_error(data, &error))
        return cli_fail_memory(&demo->cli);
    bool right = error <= tolerance.relative;
    printf("  %s: %lld rows against the formula in fp64: relative error %.2e, at most %.2e: %s\n",
        what, (long long)data->rows, error, tolerance.relative, right ? "right" : "WRONG");
    if (right)
        return CLI_OK;
    struct tfops_error record;
    cli_error(&record, TFOPS_E_WRONG, what, NULL, NULL, "%s: the result is wrong", what);
    return cli_fail(&demo->cli, CLI_FAILED, &record);
}

int demo_check_launch(const struct demo *demo, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct demo_model *model, double *ret_ms, bool check)
{
    struct demo_rows data;
    int code =
        demo_rows_make(&data, DEMO_ROWS, model->hidden) ? CLI_OK : cli_fail_memory(&demo->cli);
    if (code == CLI_OK)
        code = run_on(demo, engine, problem, &data, ret_ms);
    if (code == CLI_OK && check)
        code = judge(demo, problem, &data, "GPU, warm");
    demo_rows_free(&data);
    return code;
}

int demo_check_cpu(const struct demo *demo, const struct demo_model *model)
{
    struct tfops_problem problem;
    struct demo_rows data;
    double ms = 0;
    int code = demo_problem(demo, demo->reference, CHECKED_ROWS, model, &problem);
    if (code != CLI_OK)
        return code;
    code =
        demo_rows_make(&data, CHECKED_ROWS, model->hidden) ? CLI_OK : cli_fail_memory(&demo->cli);
    if (code == CLI_OK)
        code = run_on(demo, demo->reference, &problem, &data, &ms);
    if (code == CLI_OK)
        code = judge(demo, &problem, &data, "cpu device");
    demo_rows_free(&data);
    return code;
}

/* The kernel itself, not the reference, on the same rows: what a GPU would run, on this CPU. */
static enum tfops_status execute(const struct demo *demo, const struct tfops_problem *problem,
    struct demo_rows *data, struct tfops_emulate_result *ret_result)
{
    const int64_t shape[] = {data->rows, data->hidden};
    const struct tfops_tensor x = tfops_tensor_contiguous(data->x, TFOPS_BF16, 2, shape);
    const struct tfops_tensor w = tfops_tensor_contiguous(data->w, TFOPS_BF16, 1, &shape[1]);
    const struct tfops_tensor y = tfops_tensor_contiguous(data->y, TFOPS_BF16, 2, shape);
    struct tfops_args args = {.size = sizeof args};
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        const char *name = problem->spec->operands[i].name;
        args.operands[i] = strcmp(name, "x") == 0        ? &x
                           : strcmp(name, "weight") == 0 ? &w
                           : strcmp(name, "out") == 0    ? &y
                                                         : NULL;
    }
    const struct tfops_emulate_options options = {
        .size = sizeof options, .arch = DEMO_ARCH, .args = &args, .cancel = cli_cancel_flag()};
    return tfops_emulate(demo->reference, problem, &options, ret_result);
}

int demo_check_template(const struct demo *demo, const struct demo_model *model)
{
    struct tfops_problem problem;
    struct demo_rows data = {0};
    struct tfops_emulate_result result = {.size = sizeof result};
    enum tfops_status status = TFOPS_OK;
    int code = demo_problem(demo, demo->reference, CHECKED_ROWS, model, &problem);
    if (code == CLI_OK)
        code = demo_rows_make(&data, CHECKED_ROWS, model->hidden) ? CLI_OK
                                                                  : cli_fail_memory(&demo->cli);
    if (code == CLI_OK)
        status = execute(demo, &problem, &data, &result);
    if (code == CLI_OK && status == TFOPS_E_UNSUPPORTED) {
        struct tfops_error error;
        cli_last_error(status, &error);
        printf("  the CUDA template was not executed: %s\n", error.message);
    } else if (code == CLI_OK) {
        code = status == TFOPS_OK
                   ? judge(demo, &problem, &data, "the CUDA template, executed on the CPU")
                   : cli_fail_last(&demo->cli, status, "the template on the CPU");
    }
    demo_rows_free(&data);
    return code;
}
