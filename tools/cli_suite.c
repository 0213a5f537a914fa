/* The named lists of problems (see cli_suite.h). */
#include "cli_suite.h"
#include "cli_engine.h"
#include "cli_text.h"
#include <stdlib.h>
#include <string.h>

/* Square-ish model shapes first, then the hidden sizes of current models over all kinds of row
 * counts, then an odd size whose rows are not even aligned to four bytes. */
#define ROWWISE(op)                                                                                \
    op " rows=16384 hidden=4096,8192 dtype=f16,bf16,f32",                                          \
        op " rows=2048 hidden=4096 dtype=f16,bf16",                                                \
        op " rows=1,7,64,1000,16384 hidden=2880,3584,5120,7168,12288 dtype=f16,bf16",              \
        op " rows=16384 hidden=4095 dtype=f16,bf16"

static const char *const RMSNORM[] = {ROWWISE("rmsnorm"), ROWWISE("add_rmsnorm")};
/* Of every row operator: one row, the roof's shapes, current hidden sizes. */
#define ROWS_OF(op, options)                                                                       \
    op " rows=1,2048,16384 hidden=4096 dtype=f16,bf16" options,                                    \
        op " rows=16384 hidden=2048,2880,5120,8192 dtype=f16,bf16" options
/* fp8 values have no f16 and bf16. */
#define FP8_ROWS_OF(op, options)                                                                   \
    op " rows=1,2048,16384 hidden=4096 out_dtype=f16,bf16" options,                                \
        op " rows=16384 hidden=2048,2944,5120,8192 out_dtype=f16,bf16" options
#define ROPE_OF(problem) "rope batch=1 q_heads=32 max_pos=8192 " problem
#define NORM_ROPE_OF(problem) "rmsnorm_rope max_pos=2048 dtype=f16,bf16 " problem
static const char *const ROW[] = {ROWS_OF("layernorm", " bias=1"),
    ROWS_OF("add_layernorm", " bias=1"), ROWS_OF("rmsnorm_quant", ""),
    ROWS_OF("add_rmsnorm_quant", ""),
    "rmsnorm_quant rows=16384 hidden=4096 dtype=f16,bf16 granularity=per_group",
    "rmsnorm_quant rows=16384 hidden=4096 dtype=f16,bf16 granularity=per_group scale_major=column",
    ROWS_OF("quantize", " granularity=per_token scales=1"),
    "quantize rows=2048 hidden=14336 dtype=f16,bf16 granularity=per_token scales=1",
    "quantize rows=1,2048,16384 hidden=4096 dtype=f16,bf16 granularity=per_group scales=1",
    "quantize rows=2048,16384 hidden=4096 dtype=f16,bf16 granularity=per_block scales=1",
    "quantize rows=1,2048,16384 hidden=4096 granularity=per_tensor_dynamic scales=1",
    "quantize rows=1,2048,16384 hidden=4096 granularity=per_tensor_static static_scale=1",
    /* Weights as [k, n]. */
    "transpose rows=4096,14336 cols=4096 dtype=e4m3,bf16",
    FP8_ROWS_OF("dequantize", " granularity=per_token"),
    FP8_ROWS_OF("dequantize", " granularity=per_group"),
    /* One token, a batch and a prefill of what models have; then what the peers were measured at. */
    "gated_act rows=1,64,2048 ffn=4096,8192,11008,14336,18944,28672 dtype=f16,bf16",
    "gated_act rows=1,2048 ffn=14336 act=gelu,gelu_tanh dtype=bf16",
    "gated_act rows=2048 ffn=14336 out_dtype=e4m3 scales=1 granularity=per_token,per_group "
    "dtype=bf16",
    "softmax rows=1,128,4096 width=4096,32768 dtype=f16,bf16",
    "softmax rows=4096 width=1024 dtype=f16,bf16",
    "softmax rows=1,128 width=32000,151936,262144 dtype=f16,bf16",
    "softmax rows=4096 width=4096 causal=yes dtype=f16",
    /* A decoding token, a chunk and a prefill; every length of heads; keys and values to a cache. */
    ROPE_OF("seq=1,512,8192 head_dim=128 table_dim=128 kv_heads=8 k=1 k_out=1 dtype=f16,bf16"),
    ROPE_OF("seq=8192 head_dim=128 table_dim=128 dtype=f16,bf16,f32"),
    ROPE_OF("seq=8192 head_dim=64 table_dim=64 kv_heads=8 k=1 k_out=1 dtype=f16,bf16"),
    ROPE_OF("seq=8192 head_dim=96 table_dim=96 kv_heads=8 k=1 k_out=1 dtype=f16,bf16"),
    ROPE_OF("seq=8192 head_dim=256 table_dim=256 kv_heads=8 k=1 k_out=1 dtype=f16,bf16"),
    ROPE_OF("seq=1,8192 head_dim=128 table_dim=128 kv_heads=8 k=1 v=1 slots=1 "
            "k_cache=1 v_cache=1 num_blocks=512 block_size=16 dtype=f16,bf16"),
    NORM_ROPE_OF("rows=1,128,2048,16384 num_heads=32 head_dim=128 table_dim=128"),
    NORM_ROPE_OF("rows=128,2048,16384 num_heads=64 head_dim=64 table_dim=64"),
    NORM_ROPE_OF("rows=16384 num_heads=30 head_dim=96 table_dim=96"),
    NORM_ROPE_OF("rows=16384 num_heads=16 head_dim=256 table_dim=256"),
    NORM_ROPE_OF("rows=1,16384 num_heads=32 head_dim=128 table_dim=128 norm=per_head")};
/* From one token to a prefill; of each model its projections: q, k and v; output; gate and up; down. */
#define TOKENS " m=1,16,64,128,256,1024,4096,8192"
#define GEMM_OF(n, k)                                                                              \
    "linear dtype=bf16" TOKENS " n=" n " k=" k, "fp8_gemm out_dtype=bf16" TOKENS " n=" n " k=" k
static const char *const GEMM[] = {
    /* Llama-3-8B, and once with scales by row */
    GEMM_OF("6144", "4096"), GEMM_OF("4096", "4096"), GEMM_OF("28672", "4096"),
    GEMM_OF("4096", "14336"), "fp8_gemm out_dtype=bf16 scaling=row" TOKENS " n=4096 k=14336",
    /* Llama-3-70B */
    GEMM_OF("10240", "8192"), GEMM_OF("8192", "8192"), GEMM_OF("57344", "8192"),
    GEMM_OF("8192", "28672"),
    /* Qwen2.5-7B */
    GEMM_OF("4608", "3584"), GEMM_OF("3584", "3584"), GEMM_OF("37888", "3584"),
    GEMM_OF("3584", "18944"),
    /* DeepSeek-V3, whose weights have block scales */
    GEMM_OF("2112", "7168"), GEMM_OF("24576", "1536"), GEMM_OF("7168", "16384"),
    GEMM_OF("4096", "7168"), GEMM_OF("7168", "2048"),
    "fp8_gemm out_dtype=bf16 scaling=block scale_major=column" TOKENS " n=4096 k=7168",
    "fp8_gemm out_dtype=bf16 scaling=block scale_major=column m=4096 n=4096 k=4096",
    "fp8_gemm out_dtype=bf16 m=1024,4096,8192 n=4096 k=4096"};
static const char *const LAUNCH[] = {
    "rmsnorm rows=16 hidden=4096",
    "rmsnorm rows=1 hidden=8192 dtype=bf16",
    "add_rmsnorm rows=16 hidden=4096",
    "layernorm rows=16 hidden=4096 bias=1",
    "rmsnorm_quant rows=16 hidden=4096",
    "quantize rows=16 hidden=4096 granularity=per_token scales=1",
    "dequantize rows=16 hidden=4096 granularity=per_token",
    "gated_act rows=16 ffn=14336",
    "gated_act rows=16 ffn=14336 out_dtype=e4m3 scales=1",
    "softmax rows=16 width=4096 mask=1 mask_rows=4",
    ROPE_OF("seq=16 head_dim=128 table_dim=128 kv_heads=8 k=1 k_out=1 positions=1"),
    ("rope batch=1 seq=16 q_heads=32 kv_heads=8 head_dim=128 table_dim=128 max_pos=8192 k=1 v=1 "
     "positions=1 slots=1 k_cache=1 v_cache=1 num_blocks=512 block_size=16"),
    "rmsnorm_rope rows=16 num_heads=32 head_dim=128 table_dim=128 max_pos=2048 positions=1",
    "linear m=16 n=4096 k=4096 bias=1",
    "fp8_gemm m=16 n=4096 k=4096 scaling=row",
};
static const char *const OPEN[] = {"rmsnorm rows=16 hidden=4096"};

#define LINES(table) (table), sizeof(table) / sizeof *(table)
const struct cli_suite CLI_SUITES[] = {
    {"rmsnorm", "rmsnorm and add_rmsnorm on model shapes, all row counts and an odd size",
        CLI_SUITE_KERNEL, LINES(RMSNORM)},
    {"row", "the other row-wise operators: one row, model shapes, all granularities",
        CLI_SUITE_KERNEL, LINES(ROW)},
    {"gemm", "linear and fp8_gemm: projections of four models, 1 to 8192 tokens", CLI_SUITE_KERNEL,
        LINES(GEMM)},
    {"launch", "the host's cost of a warm launch", CLI_SUITE_LAUNCH, LINES(LAUNCH)},
    {"open", "a process's start: engine, warm cache and first launch, beyond the CUDA context",
        CLI_SUITE_OPEN, LINES(OPEN)},
};
const size_t CLI_N_SUITES = sizeof CLI_SUITES / sizeof *CLI_SUITES;

size_t cli_suite_split(char *line, const char *ret_words[CLI_SUITE_WORDS])
{
    size_t n = 0;
    char *rest = line;
    while (n < CLI_SUITE_WORDS && *rest) {
        ret_words[n++] = rest;
        rest += strcspn(rest, " ");
        if (*rest)
            *rest++ = 0;
    }
    return n;
}

int cli_suite_find(const struct cli *cli, const char *name, const struct cli_suite **ret_suite)
{
    char known[128] = "", hint[96];
    struct cli_guess guess = cli_guess_start(name);
    for (size_t i = 0; i < CLI_N_SUITES; i++) {
        if (strcmp(CLI_SUITES[i].name, name) == 0) {
            *ret_suite = &CLI_SUITES[i];
            return CLI_OK;
        }
        cli_guess_try(&guess, CLI_SUITES[i].name);
        cli_text_list(known, sizeof known, CLI_SUITES[i].name);
    }
    cli_guess_text(&guess, hint, sizeof hint);
    return cli_usage(
        cli, name, known, name, "unknown suite '%.40s'%s (there is: %s)", name, hint, known);
}

/* Takes over what `more` holds. */
static int append(const struct cli *cli, struct cli_problems *problems, struct cli_problems *more)
{
    if (!more->items)
        return CLI_OK;
    struct tfops_problem *items =
        realloc(problems->items, (problems->count + more->count) * sizeof *items);
    if (items) {
        problems->items = items;
        memcpy(&items[problems->count], more->items, more->count * sizeof *items);
        problems->count += more->count;
    }
    cli_problems_release(more);
    return items ? CLI_OK : cli_fail_memory(cli);
}

int cli_suite_load(const struct cli *cli, const struct tfops_engine *engine,
    const struct cli_suite *suite, const char *dtypes, struct cli_problems *ret_problems)
{
    int code = CLI_OK;
    *ret_problems = (struct cli_problems){0};
    for (size_t i = 0; i < suite->n_lines && code == CLI_OK; i++) {
        const char *words[CLI_SUITE_WORDS];
        struct cli_problems more = {0};
        char *line = cli_strdup(suite->lines[i]);
        const struct cli_list list = {words, line ? cli_suite_split(line, words) : 0};
        code = line ? cli_problems_load(cli, engine, &list, dtypes, &more) : cli_fail_memory(cli);
        if (code == CLI_OK)
            code = append(cli, ret_problems, &more);
        free(line);
    }
    if (code != CLI_OK)
        cli_problems_release(ret_problems);
    return code;
}
