/*
 * Rows among many, on a GPU: the rows of a small case are put at the beginning, across element 2^31 and
 * at the end of tensors of more than 2^31 elements, and must come out as the CPU reference has the small
 * case; and with batch_invariant a row must have the same bits alone and among any number of others.
 */
#include <criterion/criterion.h>

#include "tests/support/gpu_case.h"
#include "tests/support/test_support.h"
#include <stdio.h>
#include <stdlib.h>

enum { PLACES = 3 };

/* A problem of many rows on the device, all zeros but for the small case's rows at some places. */
struct many {
    struct tfops_engine *engine;
    struct gpu_case *small;
    struct tfops_problem problem;
    struct buffers_layout layout;
    char *arena;
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args;
};

static size_t dynamic_dim(const struct tfops_spec *spec)
{
    size_t i = 0;
    while (!(spec->dims[i].flags & TFOPS_DIM_DYNAMIC))
        i++;
    return i;
}

/* How far apart an operand has what belongs to one of the dynamic dimension and to the next: rows of
 * its matrix, or columns where that is its only one. Both 0: it is the same for all. */
struct pitch {
    int64_t rows, cols;
};

static struct pitch pitch_of(const struct many *many, size_t i)
{
    const struct buffers_operand *from = &many->small->host.layout.operands[i];
    const struct buffers_operand *to = &many->layout.operands[i];
    const struct tfops_problem *small = &many->small->host.problem;
    const size_t dim = dynamic_dim(small->spec);
    const int64_t more = many->problem.dims[dim] - small->dims[dim];
    return (struct pitch){(to->rows - from->rows) / more, (to->cols - from->cols) / more};
}

static void move_rows(const struct many *many, size_t i, int64_t place, bool back)
{
    const struct buffers_operand *from = &many->small->host.layout.operands[i];
    const struct buffers_operand *to = &many->layout.operands[i];
    const struct pitch pitch = pitch_of(many, i);
    char *device = many->arena + to->offset +
                   (size_t)(place * (pitch.rows * to->stride + pitch.cols)) * to->elem_bytes;
    unsigned char *host = (back ? many->small->host.live : many->small->host.init) + from->offset;
    cr_assert(from->rows == 1 || (from->stride == to->stride && !pitch.cols),
        "%s: the small case is as wide", many->small->spec->operands[i].name);
    const enum tfops_status status =
        back ? tfops_device_read(many->engine, host, device, from->bytes)
             : tfops_device_write(many->engine, device, host, from->bytes);
    cr_assert_eq(status, TFOPS_OK, "copy of %s", many->small->spec->operands[i].name);
}

static bool is_given(const struct many *many, size_t i)
{
    return many->layout.operands[i].present;
}

/* `extent` of the dynamic dimension around the small case, which must be plain. */
static bool many_make(
    struct many *many, struct tfops_engine *engine, struct gpu_case *small, int64_t extent)
{
    *many = (struct many){.engine = engine, .small = small, .problem = small->host.problem};
    many->problem.spec = small->spec;
    many->problem.dims[dynamic_dim(small->spec)] = extent;
    cr_assert_eq(tfops_problem_check(&many->problem), TFOPS_OK, "%s", small->spec->name);
    cr_assert_eq(buffers_layout(&many->problem, &many->layout), TFOPS_OK);
    if (many->layout.bytes + (many->layout.bytes >> 3) > gpu_case_free_bytes(engine))
        return false;
    cr_assert_eq(tfops_device_alloc(engine, many->layout.bytes, (void **)&many->arena), TFOPS_OK);
    gpu_case_set(engine, many->arena, 0, many->layout.bytes);
    many->args = small->args;
    for (size_t i = 0; i < many->layout.n_operands; i++) {
        if (!is_given(many, i))
            continue;
        char *data = many->arena + many->layout.operands[i].offset;
        many->tensors[i] = gpu_case_tensor(&many->problem, &many->layout, i, data);
        many->args.operands[i] = &many->tensors[i];
    }
    return true;
}

/* Inputs of the small case to the places, outputs poisoned. */
static void many_fill(const struct many *many, const int64_t places[PLACES])
{
    const struct tfops_operand_spec *operands = many->small->spec->operands;
    for (size_t i = 0; i < many->layout.n_operands; i++) {
        const struct buffers_operand *operand = &many->layout.operands[i];
        if (is_given(many, i) && operands[i].access == TFOPS_OUT)
            gpu_case_set(
                many->engine, many->arena + operand->offset, BUFFERS_POISON_BYTE, operand->bytes);
        for (int p = 0; is_given(many, i) && operands[i].access != TFOPS_OUT && p < PLACES; p++)
            move_rows(many, i, places[p], false);
    }
}

static void many_launch(const struct many *many, bool prepared)
{
    struct tfops_error error = {.size = sizeof error};
    enum tfops_status status =
        prepared ? tfops_engine_warm(many->engine, &many->problem, 1) : TFOPS_OK;
    if (!status)
        status = tfops_launch(many->engine, many->small->spec, &many->args, NULL);
    if (!status)
        status = tfops_device_synchronize(many->engine);
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", many->small->spec->name, error.message);
}

/* The outputs at a place, as the small case's own. */
static void many_read(const struct many *many, int64_t place)
{
    emulate_case_reset(&many->small->host);
    for (size_t i = 0; i < many->layout.n_operands; i++)
        if (is_given(many, i) && many->small->spec->operands[i].access != TFOPS_IN)
            move_rows(many, i, place, true);
}

static void many_free(struct many *many)
{
    tfops_device_free(many->engine, many->arena);
}

/* ---- 2^31 elements and more --------------------------------------------------------------------- */

#define BY_TABLE(op) op " head_dim=128 table_dim=128 max_pos=64 positions=1"

/* The first operand is as large as any; the last line's rows alone are 2^31. */
static const char *const LARGE[] = {
    "rmsnorm rows=5 hidden=4096",
    "add_rmsnorm rows=5 hidden=4096 dtype=bf16",
    "layernorm rows=5 hidden=8192 bias=1",
    "add_layernorm rows=5 hidden=4096 residual_out=1",
    "rmsnorm_quant rows=5 hidden=4096",
    "add_rmsnorm_quant rows=5 hidden=4096 granularity=per_group",
    "quantize rows=5 hidden=4096 granularity=per_token scales=1",
    "quantize rows=5 hidden=4096 granularity=per_tensor_dynamic scales=1",
    "quantize rows=128 hidden=4096 granularity=per_block scales=1",
    "dequantize rows=5 hidden=4096 granularity=per_token out_dtype=bf16",
    "gated_act rows=5 ffn=14336 dtype=bf16",
    "gated_act rows=5 ffn=4096 out_dtype=e4m3 scales=1",
    "softmax rows=5 width=32768",
    "softmax rows=5 width=1000 dtype=bf16",
    BY_TABLE("rope batch=1 seq=5 q_heads=32 kv_heads=8 k=1 k_out=1"),
    BY_TABLE("rmsnorm_rope rows=5 num_heads=32"),
    BY_TABLE("rmsnorm_rope rows=5 num_heads=32 norm=per_head"),
    "rmsnorm rows=5 hidden=1 weight_variant=one_plus",
};

/* Extent at which operand 0 reaches 2^31 elements. */
static int64_t extent_of_2_31(const struct gpu_case *small)
{
    const struct buffers_operand *operand = &small->host.layout.operands[0];
    const int64_t extent = small->host.problem.dims[dynamic_dim(small->spec)];
    return (INT64_C(1) << 31) / (operand->rows * operand->cols / extent);
}

static void check_large(struct tfops_engine *engine, const char *text, bool prepared)
{
    static struct gpu_case small;
    struct many many;
    struct tfops_problem problem;
    struct emulate_verdict verdict;
    double scalars[TFOPS_MAX_SCALARS];
    const struct gpu_case_options options = {.scalars = scalars};
    gpu_case_problem(engine, text, &problem, scalars);
    gpu_case_make(&small, engine, &problem, &options);
    const int64_t extent = small.host.problem.dims[dynamic_dim(small.spec)];
    const int64_t edge = extent_of_2_31(&small);
    const bool at_most = edge > INT32_MAX - 3 * extent; /* rows themselves are 2^31 - 1 at most */
    const int64_t total = at_most ? INT32_MAX / extent * extent : (edge / extent + 3) * extent;
    const int64_t last = total - extent, middle = edge / extent * extent - (at_most ? extent : 0);
    const int64_t places[PLACES] = {0, middle < last ? middle : last - extent, last};
    if (!many_make(&many, engine, &small, total)) {
        support_skip(text, "GPU with memory for tensors of 2^31 elements");
        gpu_case_free(&small);
        return;
    }
    many_fill(&many, places);
    many_launch(&many, prepared);
    for (int p = 0; p < PLACES; p++) {
        many_read(&many, places[p]);
        emulate_case_judge(&small.host, &verdict);
        cr_assert(!verdict.wrong, "%s, %s, rows from %lld of %lld: %s", text,
            prepared ? "prepared" : "cold", (long long)places[p], (long long)total, verdict.text);
    }
    many_free(&many);
    gpu_case_free(&small);
}

Test(row_large_gpu, tensors_of_2_to_the_31_elements_and_more, .timeout = 600)
{
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    for (int prepared = 0; prepared < 2; prepared++) {
        struct support_engine support;
        support_engine_open(&support, NULL, NULL);
        for (size_t i = 0; i < sizeof LARGE / sizeof *LARGE; i++)
            check_large(support.engine, LARGE[i], prepared);
        support_engine_close(&support);
    }
}

/* ---- batch_invariant ---------------------------------------------------------------------------- */

#define INVARIANT(problem) problem " batch_invariant=1"

static const char *const INVARIANTS[] = {
    INVARIANT("rmsnorm rows=1 hidden=4096"),
    INVARIANT("rmsnorm rows=1 hidden=65536 dtype=f32"),
    INVARIANT("add_rmsnorm rows=1 hidden=5120 dtype=bf16"),
    INVARIANT("layernorm rows=1 hidden=4096 bias=1 dtype=f32"),
    INVARIANT("add_layernorm rows=1 hidden=2880"),
    INVARIANT("rmsnorm_quant rows=1 hidden=4096"),
    INVARIANT("add_rmsnorm_quant rows=1 hidden=4096 granularity=per_group"),
    INVARIANT("quantize rows=1 hidden=4096 granularity=per_token scales=1"),
    INVARIANT("quantize rows=1 hidden=4096 granularity=per_group scales=1"),
    INVARIANT("quantize rows=1 hidden=4096 granularity=per_tensor_static static_scale=1"),
    INVARIANT("dequantize rows=1 hidden=4096 granularity=per_token"),
    INVARIANT("gated_act rows=1 ffn=14336 dtype=f32 act=gelu"),
    INVARIANT("gated_act rows=1 ffn=14336 out_dtype=e4m3 scales=1"),
    INVARIANT("softmax rows=1 width=32000 dtype=f32"),
    INVARIANT("softmax rows=1 width=151936 dtype=bf16 out_dtype=f32"),
    INVARIANT(BY_TABLE("rope batch=1 seq=1 q_heads=32 kv_heads=8 k=1 k_out=1 dtype=f32")),
    INVARIANT(BY_TABLE("rmsnorm_rope rows=1 num_heads=32 dtype=f32")),
    INVARIANT(BY_TABLE("rmsnorm_rope rows=1 num_heads=32 norm=per_head")),
};

/* The row alone, then among others: every copy of it has the bits of the first. */
static void check_invariant(struct tfops_engine *engine, const char *text, bool prepared)
{
    static const int64_t EXTENTS[] = {2, 17, 133, 1000, 4099};
    static struct gpu_case small;
    struct many many;
    struct tfops_problem problem;
    double scalars[TFOPS_MAX_SCALARS];
    const struct gpu_case_options options = {.scalars = scalars};
    gpu_case_problem(engine, text, &problem, scalars);
    gpu_case_make(&small, engine, &problem, &options);
    if (prepared)
        cr_assert_eq(tfops_engine_warm(engine, &problem, 1), TFOPS_OK, "%s", text);
    cr_assert_eq(tfops_launch(engine, small.spec, &small.args, NULL), TFOPS_OK, "%s", text);
    char wrong[GPU_CASE_TEXT_BYTES];
    cr_assert(gpu_case_right(&small, wrong), "%s: %s", text, wrong);
    const size_t bytes = small.host.layout.bytes;
    unsigned char *alone = malloc(bytes);
    cr_assert(alone);
    memcpy(alone, small.host.live, bytes);
    for (size_t e = 0; e < sizeof EXTENTS / sizeof *EXTENTS; e++) {
        const int64_t places[PLACES] = {0, EXTENTS[e] / 2, EXTENTS[e] - 1};
        cr_assert(many_make(&many, engine, &small, EXTENTS[e]));
        many_fill(&many, places);
        many_launch(&many, prepared);
        for (int p = 0; p < PLACES; p++) {
            many_read(&many, places[p]);
            cr_assert(!memcmp(alone, small.host.live, bytes),
                "%s, %s: row %lld of %lld has other bits than alone", text,
                prepared ? "prepared" : "cold", (long long)places[p], (long long)EXTENTS[e]);
        }
        many_free(&many);
    }
    free(alone);
    gpu_case_free(&small);
}

Test(row_large_gpu, batch_invariant_rows_have_the_same_bits_alone_and_among_others)
{
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    for (int prepared = 0; prepared < 2; prepared++) {
        struct support_engine support;
        support_engine_open(&support, NULL, NULL);
        for (size_t i = 0; i < sizeof INVARIANTS / sizeof *INVARIANTS; i++)
            check_invariant(support.engine, INVARIANTS[i], prepared);
        support_engine_close(&support);
    }
}
