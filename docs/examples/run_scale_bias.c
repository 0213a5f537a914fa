/*
 * A program that embeds tfops and launches an operator of its own, scale_bias from a plug-in, on
 * the GPU where there is one, else on the cpu device; checks the result; exits 0 when it is right.
 *
 *   run_scale_bias [PLUGIN.so [DEVICE]]     default: scale_bias_plugin.so beside the program
 *
 *   cc -std=c11 docs/examples/run_scale_bias.c $(pkg-config --cflags --libs tfops) -lm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

enum { ROWS = 37, HIDDEN = 1000 };

static void say(const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    fprintf(stderr, "run_scale_bias: %s: %s\n", what, error.message);
}

/* ---- the operator ------------------------------------------------------------------------- */

enum { X, SCALE, BIAS, Y, N_OPERANDS }; /* as in the spec's table of operands */

struct buffers {
    float host[N_OPERANDS][ROWS * HIDDEN];
    void *device[N_OPERANDS];
    struct tfops_tensor tensors[N_OPERANDS];
};

static enum tfops_status make_buffers(struct tfops_engine *engine, struct buffers *b)
{
    for (int i = 0; i < N_OPERANDS; i++) {
        const bool vector = i == SCALE || i == BIAS;
        const int64_t shape[] = {vector ? HIDDEN : ROWS, HIDDEN};
        const size_t elems = vector ? HIDDEN : ROWS * HIDDEN;
        for (size_t k = 0; k < elems; k++)
            b->host[i][k] = i == Y ? NAN : (float)((k * 37 + (size_t)i * 11) % 101) / 50 - 1;
        enum tfops_status status = tfops_device_alloc(engine, elems * sizeof(float), &b->device[i]);
        if (!status)
            status = tfops_device_write(engine, b->device[i], b->host[i], elems * sizeof(float));
        if (status)
            return status;
        b->tensors[i] = tfops_tensor_contiguous(b->device[i], TFOPS_F32, vector ? 1 : 2, shape);
    }
    return TFOPS_OK;
}

static void free_buffers(struct tfops_engine *engine, struct buffers *b)
{
    for (int i = 0; i < N_OPERANDS; i++)
        tfops_device_free(engine, b->device[i]);
}

/* Both ways of launching: by a plan that was prepared ahead, and by look-up. */
static enum tfops_status launch(
    struct tfops_engine *engine, const struct tfops_spec *spec, const struct buffers *b)
{
    struct tfops_args args = {.size = sizeof args};
    struct tfops_problem problem;
    struct tfops_plan *plan = NULL;
    for (int i = 0; i < N_OPERANDS; i++)
        args.operands[i] = &b->tensors[i];
    enum tfops_status status = tfops_problem_from_args(spec, &args, &problem);
    if (!status)
        status = tfops_prepare(engine, &problem, &plan); /* compiles where nothing is cached */
    if (!status)
        status = tfops_plan_launch(plan, &args, NULL);
    if (!status)
        status = tfops_launch(engine, spec, &args, NULL);
    struct tfops_plan_info info = {.size = sizeof info};
    if (!status)
        status = tfops_plan_describe(plan, ROWS, &info);
    if (!status)
        printf("ran the %s variant, config \"%s\"\n", info.source, info.config);
    tfops_plan_release(plan);
    return status;
}

static bool is_right(struct tfops_engine *engine, struct buffers *b)
{
    if (tfops_device_synchronize(engine) ||
        tfops_device_read(engine, b->host[Y], b->device[Y], sizeof b->host[Y])) {
        say("cannot read the result");
        return false;
    }
    for (int i = 0; i < ROWS * HIDDEN; i++) {
        const float want = b->host[X][i] * b->host[SCALE][i % HIDDEN] + b->host[BIAS][i % HIDDEN];
        if (fabsf(b->host[Y][i] - want) <= 1e-6f)
            continue;
        fprintf(stderr, "run_scale_bias: y[%d] is %g, not %g\n", i, (double)b->host[Y][i],
            (double)want);
        return false;
    }
    return true;
}

static bool run(struct tfops_engine *engine)
{
    struct buffers *b = calloc(1, sizeof *b);
    const struct tfops_spec *spec = tfops_engine_operator(engine, "scale_bias");
    bool right = false;
    if (!b || !spec)
        fprintf(stderr, "run_scale_bias: %s\n", b ? "no operator scale_bias" : "no memory");
    else if (make_buffers(engine, b))
        say("cannot make the tensors");
    else if (launch(engine, spec, b))
        say("cannot launch");
    else
        right = is_right(engine, b);
    if (b)
        free_buffers(engine, b);
    free(b);
    return right;
}

/* ---- the program -------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    char beside[1024];
    const char *slash = strrchr(argv[0], '/');
    snprintf(beside, sizeof beside, "%.*sscale_bias_plugin.so",
        slash ? (int)(slash - argv[0]) + 1 : 0, argv[0]);
    const char *plugin = argc > 1 ? argv[1] : beside;
    const struct tfops_engine_options options = {
        .size = sizeof options,
        .device = argc > 2 ? argv[2] : NULL,
        .plugin_paths = &plugin,
        .n_plugins = 1,
    };
    struct tfops_engine *engine = NULL;
    if (tfops_engine_open(&options, &engine)) {
        say("cannot open the engine");
        return 1;
    }
    const bool right = run(engine);
    printf("scale_bias on %s: %s\n", tfops_engine_device(engine)->name, right ? "right" : "FAILED");
    tfops_engine_close(engine);
    return right ? 0 : 1;
}
