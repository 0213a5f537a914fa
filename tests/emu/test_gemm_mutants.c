/*
 * The matrix kernels with one line of synchronisation wrong: each mutant is found by the emulated
 * machine under some order of threads, with the words for its kind; the kernels as they are run clean
 * under all of them. A mutant whose line is not in the template any more fails here: write it anew.
 *
 * All mutants are in one copy of the templates, chosen by a constant of Cfg, so that one run of the
 * compiler builds as many as a processor's share is.
 */
#include "base/error.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "device.h"
#include "kernels/registry.h"
#include "problem.h"
#include "tests/support/emu_rig.h"
#include "tuner/emulate_build.h"
#include "tuner/emulate_run.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tfops/engine.h>
#include <tfops/plan.h>
#include <unistd.h>

/* Configs that between them have every kind of synchronisation. */
enum {
    PLAIN,
    PROMOTED,
    SCALED,
    SCALED_BULK,
    TURNS,
    SHARED,
    SPLIT,
    MMA,
    EXCHANGE,
    WHOLE_ROWS,
    HELD,
    STREAM,
    CUT,
    EDGE,
    BANDS,
    N_SETUPS
};
static const struct setup {
    const char *name, *op, *problem, *config;
} SETUPS[N_SETUPS] = {
    [PLAIN] = {"two consumers", "linear", "m=200 n=160 k=640 dtype=bf16",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [PROMOTED] = {"promoted sums", "fp8_gemm", "m=100 n=160 k=1200",
        "MAINLOOP=1,BLOCK_M=64,BLOCK_N=64,STAGES=2,DEPTH=2,CONSUMERS=1,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [SCALED] = {"block scales", "fp8_gemm", "m=100 n=160 k=1008 scaling=block out_dtype=f32",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=2,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [SCALED_BULK] = {"block scales in bulk", "fp8_gemm",
        "m=100 n=160 k=1008 scaling=block scale_major=column out_dtype=f32",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=2,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [TURNS] = {"turns", "linear", "m=300 n=160 k=384 dtype=f16",
        "MAINLOOP=1,BLOCK_M=64,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=1,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [SHARED] = {"multicast", "linear", "m=200 n=160 k=640 dtype=f16",
        "MAINLOOP=1,BLOCK_M=64,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=1,PINGPONG=0,CLUSTER_M=2,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [SPLIT] = {"split sum", "linear", "m=100 n=64 k=640 dtype=bf16",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=4,GROUP=8,SWAP=0"},
    [MMA] = {"mma.sync", "linear", "m=100 n=72 k=500 dtype=bf16",
        "MAINLOOP=0,BLOCK_M=64,BLOCK_N=32,STAGES=3,DEPTH=1,CONSUMERS=1,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [EXCHANGE] = {"sums of rows exchanged", "linear_add_rmsnorm", "m=200 n=160 k=256 dtype=bf16",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0,EXCHANGE=1"},
    [WHOLE_ROWS] = {"whole rows", "linear_add_rmsnorm", "m=100 n=72 k=500 dtype=bf16 workspace=no",
        "MAINLOOP=0,BLOCK_M=64,BLOCK_N=32,STAGES=3,DEPTH=1,CONSUMERS=1,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0,EXCHANGE=0"},
    [HELD] = {"x from registers", "rmsnorm_linear", "m=200 n=160 k=640 dtype=bf16 norm_weight=1",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [STREAM] = {"streamed weight", "rmsnorm_linear", "m=20 n=72 k=520 dtype=bf16 norm_weight=1",
        "MAINLOOP=2,BLOCK_M=16,BLOCK_N=16,STAGES=3,DEPTH=1,CONSUMERS=1,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=1"},
    [CUT] = {"a tail of parts", "linear", "m=300 n=160 k=640 dtype=bf16 workspace=yes",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=64,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0,SPLIT_TAIL=1"},
    [EDGE] = {"columns behind the boxes", "linear",
        "m=100 n=280 k=128 dtype=bf16 bias=1 residual=1",
        "MAINLOOP=1,BLOCK_M=64,BLOCK_N=136,STAGES=2,DEPTH=1,CONSUMERS=1,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0"},
    [BANDS] = {"bands of tokens across", "linear", "m=300 n=160 k=256 dtype=bf16 residual=1",
        "MAINLOOP=1,BLOCK_M=128,BLOCK_N=160,STAGES=2,DEPTH=1,CONSUMERS=2,PINGPONG=0,CLUSTER_M=1,"
        "CLUSTER_N=2,SPLIT_K=1,GROUP=8,SWAP=1"},
};

/* `line`, a statement or an expression, becomes `with` in the mutant; `text`: some order of threads
 * makes a finding of that kind. */
static const struct mutant {
    const char *name;
    int setup;
    const char *file, *line, *with, *text;
} MUTANTS[] = {
    {"wrong phase", PLAIN, "gemm/gemm_load.cuh",
        "mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);",
        "mbar_wait(Ring::empty(cursor.stage), cursor.parity);", "deadlock: "},
    {"no wait for a free stage", PLAIN, "gemm/gemm_load.cuh",
        "mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);", "", "race on shared memory"},
    {"missing wait", PLAIN, "gemm/gemm_mainloop.cuh", "mbar_wait(from.full, cursor.parity);", "",
        "race on shared memory"},
    {"missing wait, promoted", PROMOTED, "gemm/gemm_mainloop.cuh",
        "mbar_wait(p.from.full, cursor.parity);", "", "race on shared memory"},
    {"early release", PLAIN, "gemm/gemm_mainloop.cuh", "wgmma_wait<1>();", "wgmma_wait<2>();",
        "race on shared memory"},
    {"early release, promoted", PROMOTED, "gemm/gemm_mainloop.cuh", "wgmma_wait<TWO ? 1 : 0>();",
        "wgmma_wait<2>();", "race on shared memory"},
    {"the other partial sum", PROMOTED, "gemm/gemm_mainloop.cuh", "p.part[N % L::PARTS]",
        "p.part[0]", "expected"},
    {"the stages behind a run left out", PROMOTED, "gemm/gemm_mainloop.cuh", "L::EACH % L::RUN",
        "0", "arrivals and 0 bytes are missing"},
    {"no release", PLAIN, "gemm/gemm_pipeline.cuh", "mbar_arrive(bar);",
        "if (bar != empty(0)) mbar_arrive(bar);", "arrivals and 0 bytes are missing"},
    {"scales not waited for", SCALED, "gemm/gemm_scales.cuh",
        "cp_async_arrive(GemmRing<C>::full(cursor.stage));",
        "mbar_arrive(GemmRing<C>::full(cursor.stage));", "shared memory"},
    {"weight scales not waited for", SCALED_BULK, "gemm/gemm_scales.cuh",
        "cp_async_arrive(GemmRing<C>::full(stage));", "mbar_arrive(GemmRing<C>::full(stage));",
        "expected"},
    {"scales not expected", SCALED_BULK, "gemm/gemm_load.cuh",
        "return bytes + C::DEPTH * GemmScales<C>::bulk_bytes(p, tile);", "return bytes;",
        "bytes are missing"},
    {"rows without scales not cleared", SCALED_BULK, "gemm/gemm_scales.cuh", "place(0, 0)[i] = 0;",
        "", "which nobody wrote"},
    {"rows without scales cleared without a fence", SCALED_BULK, "gemm/gemm_scales.cuh",
        "shared_fence_async();", "", "a copy writes shared memory"},
    {"no wait for a free stage, scales", SCALED, "gemm/gemm_scales.cuh",
        "mbar_wait(GemmRing<C>::empty(cursor.stage), cursor.parity ^ 1);", "",
        "race on shared memory"},
    {"early release, scales", SCALED, "gemm/gemm_mainloop.cuh",
        "warp_sync(); // its lanes have read", "", "race on shared memory"},
    {"expects too little", PLAIN, "gemm/gemm_load.cuh",
        "mbar_expect(Ring::full(cursor.stage), bytes);",
        "mbar_expect(Ring::full(cursor.stage), L::R_BYTES);", "race on shared memory"},
    {"expects too much", PLAIN, "gemm/gemm_load.cuh",
        "mbar_expect(Ring::full(cursor.stage), bytes);",
        "mbar_expect(Ring::full(cursor.stage), bytes + 16);", "16 bytes are missing"},
    {"another consumer's rows", PLAIN, "gemm/gemm_mainloop.cuh", "(row + slab * 64)",
        "(row / 2 + slab * 64)", "expected"},
    {"another stage's barrier", PLAIN, "gemm/gemm_pipeline.cuh", "slot.full += stages;", "",
        "race on shared memory"},
    {"another stage's tiles", PROMOTED, "gemm/gemm_pipeline.cuh",
        "stages * GemmLayout<C>::STAGE_BYTES", "GemmLayout<C>::STAGE_BYTES",
        "of shared memory; the block has"},
    {"parity not turned", PLAIN, "gemm/gemm_pipeline.cuh", "cursor.parity ^= 1;", "",
        "race on shared memory"},
    {"missing barrier behind the inits", PLAIN, "gemm/gemm_sm90.cuh", "block_sync();", "",
        "mbarrier"},
    {"box not complete", PLAIN, "gemm/gemm_epilogue.cuh",
        "named_sync(1 + e.consumer, L::WARPGROUP); // the box is complete", "",
        "a copy or wgmma reads shared memory"},
    {"no fence before a store", PLAIN, "gemm/gemm_epilogue.cuh", "shared_fence_async();", "",
        "no fence for the asynchronous proxy"},
    {"buffer used too early", PLAIN, "gemm/gemm_epilogue.cuh",
        "named_sync(1 + e.consumer, L::WARPGROUP); // the buffer's last store has read it", "",
        "race on shared memory"},
    {"stores not waited for", PLAIN, "gemm/gemm_epilogue.cuh", "bulk_wait_read<0>();", "",
        "may still read shared memory"},
    {"no turn taken", TURNS, "gemm/gemm_turn.cuh",
        "named_sync(FIRST_BARRIER + turn.consumer, 2 * L::WARPGROUP);", "",
        "race on shared memory"},
    {"peers not counted", SHARED, "gemm/gemm_pipeline.cuh",
        "mbar_init(empty(s), L::READERS * L::PEERS);", "mbar_init(empty(s), L::READERS);",
        "race on shared memory"},
    {"leaves before its tiles are let go of", SHARED, "gemm/gemm_load.cuh", "drain(cursor);", "",
        "may still touch its shared memory"},
    {"cluster leaves too early", SPLIT, "gemm/gemm_sm90.cuh",
        "warp_sync();\n        cluster_meet();", "warp_sync();",
        "may still touch its shared memory"},
    {"partial tile over the stages", SPLIT, "gemm/gemm_split.cuh",
        "named_sync(STAGES_DONE, OWNERS);", "", "race on shared memory"},
    {"rows without tokens waited for", SPLIT, "gemm/gemm_load.cuh", "min_int(p.m, L::X_ROWS)",
        "L::X_ROWS", "bytes are missing"},
    {"a residual added twice", BANDS, "gemm/gemm_tiles.cuh", "p.residual != p.out", "true",
        "expected"},
    {"one box over the other", BANDS, "gemm/gemm_epilogue.cuh",
        "PART / L::LINE_BOXES * L::BOX_ROWS", "0", "expected"},
    {"one box for the other", BANDS, "gemm/gemm_epilogue.cuh", "TOKENS * L::BOX_ROWS", "0",
        "expected"},
    {"no barrier a block of K", MMA, "gemm/gemm_mma.cuh",
        "block_sync(); // the stage is there, and nobody reads the one that is filled next", "",
        "race on shared memory"},
    {"parts of sums not waited for", EXCHANGE, "gemm/gemm_row_sums.cuh",
        "named_sync(BARRIER, THREADS); // every part is there", "", "race on shared memory"},
    {"rows not heard of", EXCHANGE, "gemm/gemm_row_sums.cuh",
        "named_sync(BARRIER, THREADS); // every row was heard of", "", "race on shared memory"},
    {"said without a sign", EXCHANGE, "gemm/gemm_row_sums.cuh",
        "f32_bits(of_warps(row)) | GRID_SAID", "f32_bits(of_warps(row))", "deadlock: "},
    {"words cleared too early", EXCHANGE, "gemm/gemm_row_sums.cuh", "sums.before == TILES - 1",
        "sums.before == 0", "deadlock: "},
    {"sums of tiles mixed up", EXCHANGE, "gemm/gemm_row_sums.cuh", "sums.words + tile * ROWS + row",
        "sums.words + row", "deadlock: "},
    {"parts added up too early", WHOLE_ROWS, "gemm/gemm_row_sums.cuh",
        "named_sync(BARRIER, THREADS); // every part of the tile is there", "",
        "race on shared memory"},
    {"copies waited for too late", MMA, "gemm/gemm_mma.cuh", "cp_async_wait<C::STAGES - 2>();",
        "cp_async_wait<C::STAGES - 1>();", "reads shared memory"},
    {"early release, x from registers", HELD, "gemm/gemm_held.cuh", "wgmma_wait<1>();",
        "wgmma_wait<2>();", "race on shared memory"},
    {"missing wait, x from registers", HELD, "gemm/gemm_held.cuh",
        "mbar_wait(walk.slot.full, walk.cursor.parity);", "", "race on shared memory"},
    {"one set of registers", HELD, "gemm/gemm_held.cuh",
        "step(p, acc, odd, weight, squares, walk, row, at);",
        "step(p, acc, even, weight, squares, walk, row, at);", "expected"},
    {"tokens not there", STREAM, "gemm/gemm_stream.cuh", "block_sync(); // the tokens are there",
        "", "race on shared memory"},
    {"tokens overwritten", STREAM, "gemm/gemm_stream.cuh",
        "block_sync(); // nobody reads the tokens and sums before these any more", "",
        "race on shared memory"},
    {"sums not there", STREAM, "gemm/gemm_stream.cuh",
        "block_sync(); // the sums of all warps are there", "", "race on shared memory"},
    {"copies waited for too late, streamed", STREAM, "gemm/gemm_stream.cuh",
        "cp_async_wait<C::STAGES - 2>();", "cp_async_wait<C::STAGES - 1>();",
        "reads shared memory"},
    {"part not said", CUT, "gemm/gemm_tail.cuh", "grid_release(word(p, to, consumer), GRID_SAID);",
        "", "deadlock: "},
    {"a part too many", CUT, "gemm/gemm_tail.cuh", "part < piece.parts", "part <= piece.parts",
        "deadlock: "},
    {"another part", CUT, "gemm/gemm_tail.cuh", "slot(tiles, piece.tile, part)",
        "slot(tiles, piece.tile, part + 1)", "deadlock: "},
    {"a part stored as a tile", CUT, "gemm/gemm_sm90.cuh", "piece.part > 0", "piece.part > 1",
        "deadlock: "},
    {"a part too late", CUT, "gemm/gemm_walk.cuh", "walk.first = Tail::begin(tail, walk.part);",
        "walk.first = Tail::begin(tail, walk.part) + (walk.part > 0);", "expected"},
    {"columns behind the boxes left out", EDGE, "gemm/gemm_epilogue.cuh",
        "store_edge(e, params, values, down, SLAB, acc[SLAB]);", "", "expected"},
    {"columns behind the boxes in another row", EDGE, "gemm/gemm_epilogue.cuh",
        "store_two(params, row + 8, col, v[2], v[3]);", "store_two(params, row, col, v[2], v[3]);",
        "expected"},
};
#define ALL_KERNELS "gemm/all.cu"
enum { N_MUTANTS = sizeof MUTANTS / sizeof *MUTANTS, N_KERNELS = N_SETUPS + N_MUTANTS };

/* ---- the copy of the templates -------------------------------------------------------------------- */

static void *needed(void *memory)
{
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void fail_with(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, error_message());
    exit(1);
}

/* Every place of the statement or expression has both; the constant says which. */
static char *mutated(const char *text, const struct mutant *mutant, size_t number)
{
    const char *form = strchr(mutant->line, ';')
                           ? "if constexpr (C::MUTANT == %zu) {\n%s\n} else {\n%s\n}"
                           : "(C::MUTANT == %zu ? %s : %s)";
    struct strbuf out;
    const char *at = text, *found;
    strbuf_init(&out, NULL);
    if (!strstr(text, mutant->line)) {
        fprintf(stderr, "%s: %s has no line\n    %s\nany more\n", mutant->name, mutant->file,
            mutant->line);
        exit(1);
    }
    while ((found = strstr(at, mutant->line))) {
        strbuf_add_bytes(&out, at, (size_t)(found - at));
        strbuf_addf(&out, form, number, mutant->with, mutant->line);
        at = found + strlen(mutant->line);
    }
    strbuf_addf(&out, "%s", at);
    return needed(strbuf_take(&out));
}

static void write_file(const char *dir, const char *file, const char *text)
{
    char path[256], command[256];
    snprintf(command, sizeof command, "mkdir -p '%s/gemm'", dir);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *out = emulate_shell(command) ? NULL : fopen(path, "we");
    if (!out || fputs(text, out) < 0 || fclose(out)) {
        perror(path);
        exit(1);
    }
}

/* Mutants are numbered from 1. A file that is there is found before the built-in one; ALL_KERNELS, which
 * a batch of several operators needs, is nowhere else. */
static void write_templates(const char *dir)
{
    write_file(dir, ALL_KERNELS,
        "#include \"gemm/gemm.cu\"\n#include \"gemm/linear_add_rmsnorm.cu\"\n"
        "#include \"gemm/rmsnorm_linear.cu\"\n");
    for (size_t i = 0; i < N_MUTANTS; i++) {
        const char *text;
        char *owned;
        if (render_file(NULL, MUTANTS[i].file, &text, &owned) || !text)
            fail_with(MUTANTS[i].file);
        char *mutant = mutated(text, &MUTANTS[i], i + 1);
        write_file(dir, MUTANTS[i].file, mutant);
        mem_free(NULL, mutant);
        mem_free(NULL, owned);
    }
}

/* ---- variants ------------------------------------------------------------------------------------- */

struct variant {
    struct tfops_problem problem;
    struct tfops_config config;
};

/* Processes build and run a part of the kernels each: every n_shares-th. */
struct counts {
    atomic_uint passed, failed;
};

struct test {
    char dir[64];
    struct tfops_device device;
    struct variant setups[N_SETUPS];
    struct emulate_library library;
    size_t share, n_shares;
    struct counts *counts; /* of all processes */
};

static int setup_of(size_t kernel)
{
    return kernel < N_SETUPS ? (int)kernel : MUTANTS[kernel - N_SETUPS].setup;
}

static void make_setup(const struct setup *setup, struct variant *variant)
{
    char copy[128], *save = NULL;
    const struct tfops_spec *spec = NULL;
    for (size_t i = 0; i < registry_count; i++)
        if (!strcmp(registry_specs[i]->name, setup->op))
            spec = registry_specs[i];
    if (!spec || tfops_problem_init(spec, &variant->problem))
        fail_with(setup->op);
    snprintf(copy, sizeof copy, "%s", setup->problem);
    for (char *pair = strtok_r(copy, " ", &save); pair; pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        if (tfops_problem_set(&variant->problem, pair, value))
            fail_with(setup->name);
    }
    memset(&variant->config, 0, sizeof variant->config);
    if (tfops_problem_check(&variant->problem) ||
        tfops_config_parse(spec, setup->config, &variant->config))
        fail_with(setup->name);
}

/* The rendered source with the number of the mutant in its Cfg. */
static void render(struct test *test, size_t kernel, struct build_job *ret_job)
{
    static const char CFG[] = "struct Cfg {", INCLUDE[] = "#include \"" ALL_KERNELS "\"";
    const struct variant *variant = &test->setups[setup_of(kernel)];
    const size_t mutant = kernel < N_SETUPS ? 0 : kernel - N_SETUPS + 1;
    struct strbuf source;
    if (render_job(
            NULL, &variant->problem, &test->device, &variant->config, RENDER_TUNED, 0, ret_job))
        fail_with("render");
    const char *cfg = strstr(ret_job->source, CFG), *rest = strchr(ret_job->source, '\n');
    strbuf_init(&source, NULL);
    strbuf_add(&source, INCLUDE);
    strbuf_add_bytes(&source, rest, (size_t)(cfg - rest));
    strbuf_addf(
        &source, "%s\n    static constexpr int MUTANT = %zu;%s", CFG, mutant, cfg + strlen(CFG));
    mem_free(NULL, (void *)(uintptr_t)ret_job->source);
    ret_job->source = needed(strbuf_take(&source));
}

static void build(struct test *test, const struct emulate_builder *builder)
{
    struct build_job *jobs = needed(calloc(N_KERNELS, sizeof *jobs));
    char path[EMULATE_PATH_BYTES], name[32];
    size_t n = 0;
    for (size_t i = test->share; i < N_KERNELS; i += test->n_shares)
        render(test, i, &jobs[n++]);
    snprintf(name, sizeof name, "mutants-%zu", test->share);
    const struct emulate_batch batch = {jobs, n, 90, name};
    if (emulate_build(builder, &batch, path) || emulate_open(path, &test->library))
        fail_with("build");
    while (n)
        build_job_release(NULL, &jobs[--n]);
    free(jobs);
}

/* ---- running -------------------------------------------------------------------------------------- */

/* One order of threads; what was found is added to `text`. */
static void run(struct test *test, size_t kernel, struct emulate_case *ecase,
    const struct emulate_schedule *schedule, char *text, size_t bytes)
{
    const struct variant *variant = &test->setups[setup_of(kernel)];
    struct emu_report report;
    struct emulate_verdict verdict = {.text = ""};
    const size_t used = strlen(text);
    if (emulate_run(&test->library, kernel / test->n_shares, &test->device, &variant->config, ecase,
            schedule, &report))
        fail_with("run");
    if (!report.findings)
        emulate_case_judge(ecase, &verdict);
    snprintf(text + used, bytes - used, "%s", report.findings ? report.text : verdict.text);
}

static void try_kernel(struct test *test, size_t kernel)
{
    const struct mutant *mutant = kernel < N_SETUPS ? NULL : &MUTANTS[kernel - N_SETUPS];
    static char text[2 * EMU_ORDERS * EMU_TEXT_BYTES];
    struct emulate_case ecase;
    const struct tfops_problem *problem = &test->setups[setup_of(kernel)].problem;
    const int kind = emulate_case_can_alias(problem) ? EMULATE_ALIAS : EMULATE_PLAIN;
    if (emulate_case_make(NULL, problem, kind, 1, &ecase))
        fail_with("case");
    text[0] = '\0';
    for (int order = 0; order < EMU_ORDERS; order++)
        for (int late = 0; late < 2 && !(mutant && strstr(text, mutant->text)); late++) {
            const struct emulate_schedule schedule = {(enum emu_order)order, 1, late};
            run(test, kernel, &ecase, &schedule, text, sizeof text);
        }
    emulate_case_release(&ecase);
    const bool right = mutant ? strstr(text, mutant->text) != NULL : !text[0];
    atomic_fetch_add(right ? &test->counts->passed : &test->counts->failed, 1);
    if (!right)
        fprintf(stderr, "%s: wanted %s, found:\n%s\n", mutant ? mutant->name : SETUPS[kernel].name,
            mutant ? mutant->text : "nothing", text);
}

static void run_share(struct test *test, const struct emulate_builder *builder)
{
    build(test, builder);
    for (size_t kernel = test->share; kernel < N_KERNELS; kernel += test->n_shares)
        try_kernel(test, kernel);
    emulate_close(&test->library);
}

/* A process that ends otherwise than by itself is a failure. */
static void run_all(struct test *test)
{
    enum { MOST_SHARES = 8 };
    const struct emulate_builder builder = {.dir = test->dir, .mode = EMULATE_TRACE};
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    test->n_shares = cpus > MOST_SHARES ? MOST_SHARES : cpus > 1 ? (size_t)cpus : 1;
    for (size_t i = 0; i < N_SETUPS; i++)
        make_setup(&SETUPS[i], &test->setups[i]);
    if (emulate_build_runtime(&builder))
        fail_with("build");
    for (size_t i = 1; i < test->n_shares; i++) {
        const pid_t child = fork();
        if (child < 0)
            fail_with("fork");
        if (!child) {
            test->share = i;
            run_share(test, &builder);
            _exit(0);
        }
    }
    run_share(test, &builder);
    for (int status; wait(&status) > 0;)
        if (status)
            atomic_fetch_add(&test->counts->failed, 1);
}

int main(void)
{
    enum { FEW_SMS = 2 };
    static struct test test;
    char command[128];
    test.counts =
        mmap(NULL, sizeof *test.counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (test.counts == MAP_FAILED)
        return 1;
    emu_rig_skip_under_tsan();
    snprintf(test.dir, sizeof test.dir, "%.40s/tfops-emu-XXXXXX",
        getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(test.dir) || device_nominal("sm_90a", &test.device))
        return 1;
    test.device.sms = FEW_SMS;
    setenv("TFOPS_KERNEL_DIR", test.dir, 1);
    write_templates(test.dir);
    run_all(&test);
    snprintf(command, sizeof command, "rm -rf '%s'", test.dir);
    if (emulate_shell(command))
        atomic_fetch_add(&test.counts->failed, 1);
    printf("%u passed, %u failed, 0 skipped\n", test.counts->passed, test.counts->failed);
    return test.counts->failed != 0;
}
