/* The rope specs as arithmetic: defaults in the space, grids that cover, parameters, refusals. */
#include "device.h"
#include "kernels/rope/rmsnorm_rope_params.h"
#include "kernels/rope/rope_params.h"
#include "kernels/rope/rope_space.h"
#include "kernels/rope/rope_specs.h"
#include "kernels/row/row_space.h"
#include "tests/support/expect.h"
#include "tuner/buffers.h"
#include <criterion/criterion.h>
#include <tfops/plan.h>

static struct tfops_problem parsed(const struct tfops_spec *spec, const char *const *words)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    for (; words[0]; words += 2)
        EXPECT_OK(tfops_problem_set(&problem, words[0], words[1]));
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static struct tfops_problem rope_of(int64_t batch, int64_t seq, int64_t head_dim, int64_t table_dim)
{
    struct tfops_problem problem = parsed(&rope_spec,
        (const char *[]){"batch", "2", "seq", "5", "q_heads", "32", "kv_heads", "8", "k", "1",
            "k_out", "1", "head_dim", "128", "table_dim", "128", "max_pos", "64", NULL});
    problem.dims[ROPE_BATCH] = batch;
    problem.dims[ROPE_SEQ] = problem.dims[ROPE_MAX_POS] = seq;
    problem.dims[ROPE_HEAD_DIM] = head_dim;
    problem.dims[ROPE_TABLE_DIM] = table_dim;
    return problem;
}

static struct tfops_device h200(void)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal("sm_90a", &device));
    return device;
}

static struct tfops_config default_of(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    char reason[TFOPS_REASON_BYTES] = "";
    struct tfops_config config;
    const struct tfops_spec *spec = problem->spec;
    spec->default_config(spec->user, problem, device, &config);
    cr_assert(spec->constraint(spec->user, problem, device, &config, reason),
        "%s: head_dim %lld, table_dim %lld, align %u, %s: %s", spec->name,
        (long long)problem->dims[ROPE_HEAD_DIM], (long long)problem->dims[ROPE_TABLE_DIM],
        problem->align, device->arch, reason);
    return config;
}

Test(rope_spec, default_is_in_the_space_for_every_head)
{
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        struct tfops_device device;
        EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
        for (int64_t head_dim = 2; head_dim <= 1024; head_dim += head_dim < 260 ? 2 : 34)
            for (int64_t table_dim = 2; table_dim <= head_dim; table_dim *= 2)
                for (uint32_t align = 2; align <= 16; align *= 2) {
                    struct tfops_problem problem = rope_of(1, 4096, head_dim, table_dim);
                    problem.align = align;
                    default_of(&problem, &device);
                }
    }
}

/* Where whole rows of that size are (test_rmsnorm_spec.c), pairs are not: they lose by it. */
Test(rope_spec, pairs_are_not_loaded_to_stay_in_l2)
{
    const struct tfops_device device = h200();
    const struct tfops_problem problem =
        parsed(&rmsnorm_rope_spec, (const char *[]){"rows", "16384", "num_heads", "32", "head_dim",
                                       "128", "table_dim", "128", "max_pos", "2048", NULL});
    EXPECT_INT(default_of(&problem, &device).values[ROW_LOAD_HINT], 0);
}

/* Of a prefill, not of few tokens or narrow accesses; batch, which a plan does not know, changes nothing. */
Test(rope_spec, heads_of_a_prefill_are_loaded_to_stay_in_l2)
{
    const struct tfops_device device = h200();
    struct tfops_problem problem = rope_of(1, 8192, 128, 128);
    EXPECT_INT(default_of(&problem, &device).values[ROPE_LOAD_HINT], 1);
    problem.align = 8;
    EXPECT_INT(default_of(&problem, &device).values[ROPE_LOAD_HINT], 0);
    problem = rope_of(64, 512, 128, 128);
    EXPECT_INT(default_of(&problem, &device).values[ROPE_LOAD_HINT], 0);
}

/* A thread whose units stand at one place of their heads loads the angles once. */
Test(rope_spec, threads_of_a_normalised_row_are_whole_heads)
{
    static const char *const DIMS[][2] = {{"30", "96"}, {"32", "80"}, {"32", "128"}, {"64", "64"}};
    const struct tfops_device device = h200();
    for (size_t i = 0; i < sizeof DIMS / sizeof DIMS[0]; i++) {
        const struct tfops_problem problem = parsed(&rmsnorm_rope_spec,
            (const char *[]){"rows", "16384", "num_heads", DIMS[i][0], "head_dim", DIMS[i][1],
                "table_dim", DIMS[i][1], "max_pos", "16384", "dtype", "f16", NULL});
        const struct tfops_config config = default_of(&problem, &device);
        const int64_t units = problem.dims[RMSNORM_ROPE_HEAD_DIM] / 16;
        EXPECT_INT(config.values[ROW_THREADS_PER_ROW] % units, 0);
    }
}

/* Registers a thread has room for on an H200, as measured: docs/notes/rope.md, section 4. */
Test(rope_spec, rows_that_stream_share_a_multiprocessor)
{
    static const struct {
        const char *rows, *num_heads, *head_dim;
        int64_t registers;
    } CASES[] = {
        {"16384", "30", "96", 64},
        {"16384", "45", "64", 64},
        {"16384", "28", "128", 64},
        {"16384", "40", "128", 64},
        {"16384", "64", "128", 64},
        {"16384", "32", "128", 80},
        {"16384", "16", "256", 80},
        {"128", "30", "96", 80},
    };
    const struct tfops_device device = h200();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_problem problem = parsed(&rmsnorm_rope_spec,
            (const char *[]){"rows", CASES[i].rows, "num_heads", CASES[i].num_heads, "head_dim",
                CASES[i].head_dim, "table_dim", CASES[i].head_dim, "max_pos", "2048", NULL});
        const struct tfops_config config = default_of(&problem, &device);
        struct tfops_geometry g;
        problem.spec->geometry(problem.spec->user, &problem, &device, &config, &g);
        const int64_t registers = device.regs_per_sm / (g.min_blocks * g.threads) / 8 * 8;
        cr_expect_eq(registers, CASES[i].registers, "%s rows of %s heads of %s: %d", CASES[i].rows,
            CASES[i].num_heads, CASES[i].head_dim, (int)registers);
    }
}

/* Vectors never cross the middle of what rotates or of what passes. */
Test(rope_spec, vectors_divide_the_halves)
{
    static const int64_t CASES[][3] = {{128, 128, 16}, {80, 80, 16}, {80, 32, 16}, {6, 2, 4},
        {8, 4, 4}, {96, 48, 16}, {100, 100, 4}};
    const struct tfops_device device = h200();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_problem problem = rope_of(1, 64, CASES[i][0], CASES[i][1]);
        const int64_t bytes = default_of(&problem, &device).values[ROPE_VEC_BYTES];
        const int64_t vec = bytes / 2;
        cr_expect_eq(CASES[i][1] / 2 % vec, 0, "case %zu: %lld bytes", i, (long long)bytes);
        cr_expect_eq((CASES[i][0] - CASES[i][1]) / 2 % vec, 0, "case %zu", i);
        cr_expect_geq(bytes, 2);
    }
    const struct tfops_problem wide = rope_of(1, 64, 128, 128);
    EXPECT_INT(default_of(&wide, &device).values[ROPE_VEC_BYTES], 16);
}

/* Every slot of every token has its threads, and no block is without work. */
Test(rope_spec, grid_covers_tokens_of_any_batch)
{
    static const int64_t TOKENS[][2] = {{1, 1}, {64, 1}, {3, 7}, {1, 8192}, {5, 1000}};
    const struct tfops_device device = h200();
    for (size_t i = 0; i < sizeof TOKENS / sizeof TOKENS[0]; i++)
        for (int64_t heads = 1; heads <= 8; heads *= 2)
            for (int64_t next = 0; next < 2; next++) {
                const struct tfops_problem problem = rope_of(TOKENS[i][0], TOKENS[i][1], 128, 128);
                struct tfops_config config = default_of(&problem, &device);
                struct tfops_geometry g;
                config.values[ROPE_HEADS] = heads;
                config.values[ROPE_TOKENS_NEXT] = next;
                rope_spec.geometry(NULL, &problem, &device, &config, &g);
                const int64_t tokens = TOKENS[i][0] * TOKENS[i][1];
                const int64_t work = tokens * (32 + 8) / heads * 8; /* a head is 8 threads */
                const int64_t threads = (int64_t)g.grid[0] * g.threads;
                cr_expect_geq(threads, work);
                cr_expect_lt(threads - work, (next ? 40 / heads : 1) * (int64_t)g.threads);
                EXPECT_INT(g.extent_per_group, 0); /* batch is not in a plan: launches ask */
            }
}

Test(rope_spec, generic_geometry_is_that_of_every_problem)
{
    const struct tfops_device device = h200();
    const struct tfops_config generic = {.generic = true};
    const struct tfops_problem one = rope_of(1, 1, 2, 2), other = rope_of(7, 4096, 1024, 64);
    struct tfops_geometry a, b;
    rope_spec.geometry(NULL, &one, &device, &generic, &a);
    rope_spec.geometry(NULL, &other, &device, &generic, &b);
    EXPECT_INT(a.threads, b.threads);
    EXPECT_INT(a.smem_bytes, b.smem_bytes);
    EXPECT_INT(a.min_blocks, b.min_blocks);
    EXPECT_INT(a.grid[0], 1);
    cr_assert_gt(b.grid[0], 1u);
}

Test(rope_spec, pack_fills_every_field)
{
    static struct rope_params one, two;
    struct tfops_problem problem = rope_of(2, 5, 128, 128);
    const struct tfops_config config = {0};
    struct tfops_view views[TFOPS_MAX_OPERANDS] = {[ROPE_Q] = {(void *)16, {50, 10, 5, 1}},
        [ROPE_K] = {(void *)32, {51, 11, 6, 1}},
        [ROPE_Q_OUT] = {(void *)48, {52, 12, 7, 1}},
        [ROPE_K_OUT] = {(void *)64, {53, 13, 8, 1}},
        [ROPE_COS] = {(void *)80, {130, 1}},
        [ROPE_SIN] = {(void *)96, {140, 1}}};
    memset(&one, 0x00, sizeof one);
    memset(&two, 0xff, sizeof two);
    const struct tfops_launch_args launch = {&problem, &config, views, NULL, NULL, 0};
    rope_spec.pack(NULL, &launch, &one);
    rope_spec.pack(NULL, &launch, &two);
    for (size_t i = 0; i < sizeof one; i++)
        cr_assert_eq(((const unsigned char *)&one)[i], ((const unsigned char *)&two)[i],
            "byte %zu of the parameters is not filled", i);
    const struct rope_heads *k = &one.heads[ROPE_PARAMS_K];
    cr_assert(k->from == (void *)32 && k->out == (void *)64 && !k->cache);
    EXPECT_INT(k->from_strides[1], 11);
    EXPECT_INT(k->out_strides[2], 8);
    EXPECT_INT(one.cos_stride, 130);
    EXPECT_INT(one.sin_stride, 140);
    EXPECT_INT(one.tokens, 10);
    EXPECT_INT(one.seq, 5);
    EXPECT_INT(one.n_heads[ROPE_PARAMS_K], 8);
    EXPECT_INT(one.n_heads[ROPE_PARAMS_V], 0);
    EXPECT_INT(one.rotary_dim, 128);
}

Test(rope_spec, indices_count_in_what_their_flags_name)
{
    struct tfops_problem problem = rope_of(2, 5, 128, 128);
    problem.dims[ROPE_NUM_BLOCKS] = 7;
    problem.dims[ROPE_BLOCK_SIZE] = 16;
    EXPECT_INT(buffers_index_bound(&problem, ROPE_POSITIONS), 5);
    EXPECT_INT(buffers_index_bound(&problem, ROPE_SLOTS), 7 * 16);
    EXPECT_INT(buffers_index_bound(&problem, ROPE_Q), 0);
    problem.dims[ROPE_NUM_BLOCKS] = problem.dims[ROPE_BLOCK_SIZE] = INT64_MAX / 2;
    EXPECT_INT(buffers_index_bound(&problem, ROPE_SLOTS), INT64_MAX);
}

static struct tfops_problem norm_of(bool per_head)
{
    return parsed(&rmsnorm_rope_spec,
        (const char *[]){"rows", "48", "num_heads", "32", "head_dim", "128", "table_dim", "128",
            "max_pos", "16", "norm", per_head ? "per_head" : "row", NULL});
}

Test(rope_spec, heads_normalised_alone_are_rows)
{
    const struct tfops_device device = h200();
    for (int per_head = 0; per_head < 2; per_head++) {
        const struct tfops_problem problem = norm_of(per_head);
        const struct tfops_config config = default_of(&problem, &device);
        struct tfops_geometry g;
        rmsnorm_rope_spec.geometry(rmsnorm_rope_spec.user, &problem, &device, &config, &g);
        EXPECT_INT(g.grid[0], per_head ? 48 * 32 / 16 : 48); /* 16 heads a block of 128 threads */
        cr_assert_eq(g.extent_per_group == 0, per_head);
    }
}

Test(rope_spec, pack_of_rmsnorm_rope_counts_rows_of_the_norm)
{
    const struct tfops_config config = {0};
    const double eps = 0.5;
    struct tfops_view views[TFOPS_MAX_OPERANDS] = {[RMSNORM_ROPE_X] = {(void *)16, {5000, 128, 1}},
        [RMSNORM_ROPE_OUT] = {(void *)32, {6000, 130, 1}},
        [RMSNORM_ROPE_WEIGHT] = {(void *)64, {136, 1}}};
    for (int per_head = 0; per_head < 2; per_head++) {
        const struct tfops_problem problem = norm_of(per_head);
        struct rmsnorm_rope_params p;
        memset(&p, 0xff, sizeof p);
        rmsnorm_rope_spec.pack(
            NULL, &(struct tfops_launch_args){&problem, &config, views, &eps, NULL, 0}, &p);
        EXPECT_INT(p.rows, per_head ? 48 * 32 : 48);
        EXPECT_INT(p.norm.hidden, per_head ? 128 : 4096);
        EXPECT_INT(p.heads, per_head ? 32 : 1);
        EXPECT_INT(p.norm.x_stride, 5000);
        EXPECT_INT(p.out_pitch, 130);
        EXPECT_INT(p.weight_pitch, 136);
        EXPECT_INT(p.max_pos, 16);
        cr_assert_eq(p.norm.eps, 0.5f);
        cr_assert_null(p.positions);
    }
}
