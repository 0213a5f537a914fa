/* The named lists of problems (see cli_suite.h). */
#include "cli_suite.h"
#include <string.h>

/* Square-ish model shapes first, then the hidden sizes of current models over all kinds of row
 * counts, then an odd size whose rows are not even aligned to four bytes. */
#define ROWWISE(op)                                                                                \
    op " rows=16384 hidden=4096,8192 dtype=f16,bf16,f32",                                          \
        op " rows=2048 hidden=4096 dtype=f16,bf16",                                                \
        op " rows=1,7,64,1000,16384 hidden=2880,3584,5120,7168,12288 dtype=f16,bf16",              \
        op " rows=16384 hidden=4095 dtype=f16,bf16"

static const char *const RMSNORM[] = {ROWWISE("rmsnorm"), ROWWISE("add_rmsnorm")};
/* One token, a batch and a prefill of what models have; then what the peers were measured at. */
static const char *const ROW[] = {
    "gated_act rows=1,64,2048 ffn=4096,8192,11008,14336,18944,28672 dtype=f16,bf16",
    "gated_act rows=1,2048 ffn=14336 act=gelu,gelu_tanh dtype=bf16",
    "gated_act rows=2048 ffn=14336 out_dtype=e4m3 scales=1 granularity=per_token,per_group "
    "dtype=bf16",
    "softmax rows=1,128,4096 width=4096,32768 dtype=f16,bf16",
    "softmax rows=4096 width=1024 dtype=f16,bf16",
    "softmax rows=1,128 width=32000,151936,262144 dtype=f16,bf16",
    "softmax rows=4096 width=4096 causal=yes dtype=f16",
};
static const char *const LAUNCH[] = {
    "rmsnorm rows=16 hidden=4096",
    "rmsnorm rows=1 hidden=8192 dtype=bf16",
    "add_rmsnorm rows=16 hidden=4096",
};
static const char *const OPEN[] = {"rmsnorm rows=16 hidden=4096"};

#define LINES(table) (table), sizeof(table) / sizeof *(table)
const struct cli_suite CLI_SUITES[] = {
    {"rmsnorm", "rmsnorm and add_rmsnorm on model shapes, all row counts and an odd size",
        CLI_SUITE_KERNEL, LINES(RMSNORM)},
    {"row", "gated_act and softmax on model shapes", CLI_SUITE_KERNEL, LINES(ROW)},
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
