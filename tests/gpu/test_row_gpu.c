/*
 * Row operators on a GPU against the CPU reference: tables of problems as on a command line, scalars
 * among them. Each is launched as the generic variant (a cold key) and as the default config (a
 * prepared one), with plain values, with special ones (zeros, subnormals, 1e4, rows of NaN, Inf and zeros) in padded rows, and in
 * place where the operator allows it; outputs poisoned, red zones around everything (gpu_case.h).
 */
#include <criterion/criterion.h>

#include "tests/support/gpu_case.h"
#include "tests/support/test_support.h"
#include <stdio.h>

static const char *const RMSNORM[] = {
    "rmsnorm rows=1 hidden=4096",
    "rmsnorm rows=1 hidden=65536 dtype=bf16",
    "rmsnorm rows=7 hidden=4096 weight_variant=one_plus eps=0.5",
    "rmsnorm rows=300 hidden=4096 dtype=bf16 weight_variant=round_before",
    "rmsnorm rows=133 hidden=2880 dtype=bf16 weight_dtype=f32",
    "rmsnorm rows=64 hidden=3584 weight_dtype=f32 weight_variant=round_before",
    "rmsnorm rows=37 hidden=4095 align=2",
    "rmsnorm rows=37 hidden=4095 dtype=f32 weight_variant=one_plus",
    "rmsnorm rows=37 hidden=4097 align=16",
    "rmsnorm rows=65 hidden=1",
    "rmsnorm rows=65 hidden=2 dtype=bf16",
    "rmsnorm rows=65 hidden=3 dtype=f32 align=4",
    "rmsnorm rows=2049 hidden=64",
    "rmsnorm rows=2049 hidden=128 dtype=bf16",
    "rmsnorm rows=129 hidden=1000 align=8",
    "rmsnorm rows=9 hidden=65535",
    "rmsnorm rows=9 hidden=65536 dtype=f32",
    "rmsnorm rows=1500 hidden=1024 batch_invariant=1",
};

static const char *const ADD_RMSNORM[] = {
    "add_rmsnorm rows=1 hidden=4096",
    "add_rmsnorm rows=300 hidden=4096 dtype=bf16 residual_out=1",
    "add_rmsnorm rows=133 hidden=2880 weight_dtype=f32 residual_round=yes",
    "add_rmsnorm rows=37 hidden=4095 dtype=bf16 weight_variant=one_plus residual_out=1",
    "add_rmsnorm rows=65 hidden=1 dtype=f32",
    "add_rmsnorm rows=65 hidden=7 weight_variant=round_before residual_round=yes",
    "add_rmsnorm rows=9 hidden=65536 dtype=f32",
    "add_rmsnorm rows=1025 hidden=128 align=4",
};

static const char *const LAYERNORM[] = {
    "layernorm rows=1 hidden=4096 bias=1",
    "layernorm rows=300 hidden=4096 dtype=bf16 bias=1 eps=1e-3",
    "layernorm rows=133 hidden=2880 weight_dtype=f32",
    "layernorm rows=37 hidden=4095 dtype=f32 bias=1 weight_variant=one_plus",
    "layernorm rows=65 hidden=1 bias=1",
    "layernorm rows=65 hidden=7 dtype=bf16 align=2",
    "layernorm rows=9 hidden=65536 dtype=f32 bias=1",
    "layernorm rows=9 hidden=65535",
    "layernorm rows=1025 hidden=128 bias=1",
    "add_layernorm rows=1 hidden=4096 bias=1",
    "add_layernorm rows=300 hidden=4096 dtype=bf16 bias=1 residual_out=1",
    "add_layernorm rows=37 hidden=4095 residual_round=yes",
    "add_layernorm rows=65 hidden=3 dtype=f32 bias=1 weight_variant=one_plus residual_out=1",
    "add_layernorm rows=9 hidden=65536 dtype=f32",
};

static const char *const RMSNORM_QUANT[] = {
    "rmsnorm_quant rows=1 hidden=4096",
    "rmsnorm_quant rows=300 hidden=4096 dtype=bf16 granularity=per_group",
    "rmsnorm_quant rows=64 hidden=7168 granularity=per_group scale_major=column",
    "rmsnorm_quant rows=37 hidden=4095 dtype=f32 out_dtype=e5m2",
    "rmsnorm_quant rows=65 hidden=1 weight_variant=one_plus",
    "rmsnorm_quant rows=65 hidden=7 dtype=bf16 weight_variant=round_before",
    "rmsnorm_quant rows=9 hidden=65536 dtype=f32",
    "rmsnorm_quant rows=1025 hidden=128 granularity=per_group align=4",
    "add_rmsnorm_quant rows=1 hidden=4096 dtype=bf16",
    "add_rmsnorm_quant rows=300 hidden=5120 granularity=per_group residual_out=1",
    "add_rmsnorm_quant rows=37 hidden=4095 residual_round=yes out_dtype=e5m2",
    "add_rmsnorm_quant rows=65 hidden=1 dtype=f32 residual_out=1",
    "add_rmsnorm_quant rows=9 hidden=65536 dtype=f32 granularity=per_group scale_major=column",
};

#define STATIC "granularity=per_tensor_static static_scale=1"
#define RESCALE STATIC " overflow=rescale scales=1"

static const char *const QUANTIZE[] = {
    "quantize rows=1 hidden=4096 " STATIC,
    "quantize rows=300 hidden=4096 dtype=bf16 saturated=1 " STATIC,
    "quantize rows=37 hidden=4095 dtype=f32 out_dtype=e5m2 " STATIC,
    "quantize rows=300 hidden=4096 saturated=1 retries=1 " RESCALE,
    "quantize rows=37 hidden=1001 retries=1 count_dtype=i64 max_retries=2 " RESCALE,
    "quantize rows=1 hidden=4096 granularity=per_tensor_dynamic scales=1",
    "quantize rows=999 hidden=2049 dtype=bf16 granularity=per_tensor_dynamic scales=1",
    "quantize rows=65 hidden=1 dtype=f32 granularity=per_tensor_dynamic scales=1",
    "quantize rows=10000 hidden=2048 dtype=f32 granularity=per_tensor_dynamic scales=1",
    "quantize rows=1 hidden=4096 granularity=per_token scales=1",
    "quantize rows=300 hidden=4096 dtype=bf16 granularity=per_token scales=1 saturated=1",
    "quantize rows=37 hidden=4095 dtype=f32 granularity=per_token scales=1 out_dtype=e5m2",
    "quantize rows=65 hidden=1 granularity=per_token scales=1",
    "quantize rows=9 hidden=131072 granularity=per_token scales=1",
    "quantize rows=300 hidden=4096 granularity=per_group scales=1",
    "quantize rows=65 hidden=128 dtype=bf16 granularity=per_group scales=1 scale_major=column",
    "quantize rows=300 hidden=4096 granularity=per_block scales=1",
    "quantize rows=129 hidden=1000 dtype=f32 granularity=per_block scales=1 scale_major=column",
    "quantize rows=1 hidden=1 dtype=bf16 granularity=per_block scales=1",
};

static const char *const DEQUANTIZE[] = {
    "dequantize rows=1 hidden=4096 out_dtype=f16",
    "dequantize rows=300 hidden=4096 granularity=per_token out_dtype=bf16",
    "dequantize rows=37 hidden=4095 granularity=per_token dtype=e5m2",
    "dequantize rows=65 hidden=1 granularity=per_token",
    "dequantize rows=300 hidden=4096 granularity=per_group scale_major=column out_dtype=bf16",
    "dequantize rows=129 hidden=1000 granularity=per_block out_dtype=f16 align=1",
    "dequantize rows=9 hidden=131072 dtype=e5m2 out_dtype=f16",
};

/* Squares of 16 bytes and their rests, wide and narrow, at each alignment. */
static const char *const TRANSPOSE[] = {
    "transpose rows=1 cols=1 dtype=e4m3",
    "transpose rows=512 cols=1024 dtype=e4m3",
    "transpose rows=1000 cols=333 dtype=e4m3 align=1",
    "transpose rows=333 cols=1000 dtype=e5m2 align=16",
    "transpose rows=129 cols=1000 dtype=f16",
    "transpose rows=3000 cols=72 dtype=bf16 align=2",
    "transpose rows=77 cols=130 dtype=bf16 align=4",
    "transpose rows=513 cols=257 dtype=f32",
    "transpose rows=1 cols=4096 dtype=f32",
    "transpose rows=4096 cols=1 dtype=f32 align=16",
};

static const char *const GATED_ACT[] = {
    "gated_act rows=1 ffn=4096",
    "gated_act rows=1 ffn=28672 dtype=bf16 act=gelu",
    "gated_act rows=7 ffn=11008 dtype=f32 act=gelu_tanh",
    "gated_act rows=133 ffn=4096 dtype=bf16",
    "gated_act rows=65 ffn=1",
    "gated_act rows=65 ffn=7 dtype=f32 act=gelu",
    "gated_act rows=37 ffn=4095 dtype=bf16 align=2",
    "gated_act rows=2049 ffn=64",
    "gated_act rows=33 ffn=14336 out_dtype=e4m3 scales=1 dtype=bf16",
    "gated_act rows=100 ffn=4096 out_dtype=e5m2 scales=1 dtype=f32 act=gelu",
    "gated_act rows=9 ffn=1001 out_dtype=e4m3 scales=1",
    "gated_act rows=33 ffn=14336 out_dtype=e4m3 scales=1 granularity=per_group dtype=bf16",
    "gated_act rows=1 ffn=28672 out_dtype=e4m3 scales=1 granularity=per_group "
    "scale_major=column",
    "gated_act rows=300 ffn=384 out_dtype=e5m2 scales=1 granularity=per_group dtype=f32",
};

static const char *const SOFTMAX[] = {
    "softmax rows=1 width=4096",
    "softmax rows=300 width=4096 dtype=bf16",
    "softmax rows=64 width=32768 scale=-0.5",
    "softmax rows=5 width=151936 dtype=bf16 scale=3",
    "softmax rows=3 width=1048576 dtype=f32 scale=2",
    "softmax rows=2 width=1048575",
    "softmax rows=65 width=1 dtype=f32",
    "softmax rows=65 width=7 dtype=bf16 out_dtype=f32",
    "softmax rows=37 width=4095 align=2",
    "softmax rows=2049 width=128 dtype=f32 out_dtype=f16",
    "softmax rows=512 width=512 causal=yes scale=0.125 queries=128",
    "softmax rows=512 width=100 causal=yes dtype=bf16 scale=-2 queries=256",
    "softmax rows=36 width=1000 mask=1 mask_rows=12 dtype=bf16 scale=0.25",
    "softmax rows=36 width=4095 mask=1 mask_rows=1 mask_dtype=f32",
    "softmax rows=64 width=4096 mask=1 mask_rows=64 causal=yes mask_dtype=f32 dtype=bf16 "
    "scale=0.125",
};

#define HEADS "q_heads=32 kv_heads=8"
#define CACHES "slots=1 k_cache=1 v=1 v_cache=1 num_blocks=40 block_size=16"

static const char *const ROPE[] = {
    "rope batch=1 seq=1 q_heads=32 kv_heads=8 head_dim=128 table_dim=128 max_pos=4096 k=1 k_out=1 "
    "positions=1",
    "rope batch=2 seq=133 q_heads=32 head_dim=128 table_dim=128 max_pos=133 dtype=bf16",
    "rope batch=3 seq=37 " HEADS " head_dim=64 table_dim=32 max_pos=50 table=half k=1 k_out=1",
    "rope batch=2 seq=65 " HEADS " head_dim=80 table_dim=80 max_pos=65 dtype=f32 k=1 k_out=1",
    "rope batch=2 seq=65 " HEADS " head_dim=96 table_dim=48 max_pos=99 table=half "
    "style=interleaved k=1 k_out=1 positions=1 position_dtype=i64 table_dtype=f32",
    "rope batch=1 seq=300 " HEADS " head_dim=256 table_dim=64 max_pos=300 k=1 k_out=1",
    "rope batch=4 seq=7 q_heads=1 head_dim=2 table_dim=2 max_pos=7",
    "rope batch=1 seq=65 q_heads=3 kv_heads=5 head_dim=6 table_dim=6 max_pos=65 k=1 k_out=1 "
    "align=2 style=interleaved",
    "rope batch=5 seq=1 " HEADS " head_dim=128 table_dim=128 max_pos=64 k=1 positions=1 " CACHES,
    "rope batch=2 seq=100 " HEADS " head_dim=128 table_dim=128 max_pos=100 k=1 k_out=1 dtype=bf16 "
    "slot_dtype=i64 " CACHES,
};

static const char *const RMSNORM_ROPE[] = {
    "rmsnorm_rope rows=1 num_heads=32 head_dim=128 table_dim=128 max_pos=64 positions=1",
    "rmsnorm_rope rows=256 num_heads=32 head_dim=128 table_dim=128 max_pos=64 dtype=bf16",
    "rmsnorm_rope rows=66 num_heads=14 head_dim=64 table_dim=32 max_pos=33 table=half",
    "rmsnorm_rope rows=33 num_heads=8 head_dim=80 table_dim=80 max_pos=33 dtype=f32 eps=1e-3",
    "rmsnorm_rope rows=33 num_heads=40 head_dim=96 table_dim=96 max_pos=33 style=interleaved",
    "rmsnorm_rope rows=65 num_heads=16 head_dim=256 table_dim=64 max_pos=65 positions=1",
    "rmsnorm_rope rows=129 num_heads=32 head_dim=128 table_dim=128 max_pos=129 norm=per_head",
    "rmsnorm_rope rows=65 num_heads=4 head_dim=64 table_dim=32 max_pos=70 norm=per_head "
    "table=half dtype=bf16 weight_variant=one_plus positions=1 position_dtype=i64",
    "rmsnorm_rope rows=65 num_heads=1 head_dim=2 table_dim=2 max_pos=65",
    "rmsnorm_rope rows=9 num_heads=512 head_dim=128 table_dim=128 max_pos=9 dtype=f32",
    "rmsnorm_rope rows=33 num_heads=3 head_dim=6 table_dim=6 max_pos=33 align=2 "
    "weight_variant=round_before",
};

/* ---- running ------------------------------------------------------------------------------------ */

struct engines {
    struct support_engine cold, prepared;
};

/* As the generic variant, then as the default config, on the same values. */
static void check_kind(struct engines *engines, const char *c, enum emulate_kind kind)
{
    static const char *const WHAT[] = {"cold", "prepared"};
    for (int prepared = 0; prepared < 2; prepared++) {
        static struct gpu_case gcase;
        double scalars[TFOPS_MAX_SCALARS];
        const struct gpu_case_options options = {
            .kind = kind, .scalars = scalars, .seed = (uint64_t)kind};
        char text[GPU_CASE_TEXT_BYTES];
        struct tfops_problem problem;
        struct tfops_error error = {.size = sizeof error};
        struct tfops_engine *engine = prepared ? engines->prepared.engine : engines->cold.engine;
        gpu_case_problem(engine, c, &problem, scalars);
        gpu_case_make(&gcase, engine, &problem, &options);
        enum tfops_status status = prepared ? tfops_engine_warm(engine, &problem, 1) : TFOPS_OK;
        if (!status)
            status = tfops_launch(engine, gcase.spec, &gcase.args, NULL);
        tfops_error_last(&error);
        cr_assert_eq(status, TFOPS_OK, "%s, %s: %s", c, WHAT[prepared], error.message);
        cr_assert(gpu_case_right(&gcase, text), "%s, %s, %s: %s", c, WHAT[prepared],
            emulate_kind_name(kind), text);
        gpu_case_free(&gcase);
    }
}

static bool can(struct engines *engines, const char *c, enum emulate_kind kind)
{
    struct tfops_problem problem;
    double scalars[TFOPS_MAX_SCALARS];
    gpu_case_problem(engines->cold.engine, c, &problem, scalars);
    return kind != EMULATE_ALIAS || emulate_case_can_alias(&problem);
}

static void check_all(const char *const *cases, size_t n)
{
    struct engines engines;
    struct tfops_engine_stats stats = {.size = sizeof stats};
    support_engine_open(&engines.cold, NULL, NULL);
    support_engine_open(&engines.prepared, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        for (int kind = 0; kind < EMULATE_KINDS; kind++)
            if (can(&engines, cases[i], (enum emulate_kind)kind))
                check_kind(&engines, cases[i], (enum emulate_kind)kind);
    cr_assert_eq(tfops_engine_stats(engines.cold.engine, &stats), TFOPS_OK);
    cr_assert_eq(stats.generic_plans, stats.plans, "a cold key was not served by the generic");
    cr_assert_eq(tfops_engine_stats(engines.prepared.engine, &stats), TFOPS_OK);
    cr_assert_eq(stats.generic_plans, 0, "a prepared key was served by the generic variant");
    support_engine_close(&engines.prepared);
    support_engine_close(&engines.cold);
}

#define AGREES(name, cases)                                                                        \
    Test(row_gpu, name##_agrees_with_the_reference)                                                \
    {                                                                                              \
        SUPPORT_NEEDS_GPU();                                                                       \
        SUPPORT_NEEDS_NVRTC();                                                                     \
        check_all(cases, sizeof(cases) / sizeof *(cases));                                         \
    }

AGREES(rmsnorm, RMSNORM)
AGREES(add_rmsnorm, ADD_RMSNORM)
AGREES(layernorm, LAYERNORM)
AGREES(rmsnorm_quant, RMSNORM_QUANT)
AGREES(quantize, QUANTIZE)
AGREES(dequantize, DEQUANTIZE)
AGREES(transpose, TRANSPOSE)
AGREES(gated_act, GATED_ACT)
AGREES(softmax, SOFTMAX)
AGREES(rope, ROPE)
AGREES(rmsnorm_rope, RMSNORM_ROPE)
