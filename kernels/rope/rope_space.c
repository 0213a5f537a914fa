/* The space of the rope template (see rope_space.h): the host's side of RopeKernel. */
#include "rope_space.h"
#include "rope_spec_tables.h"
#include <string.h>

static const int64_t VEC_BYTES_VALUES[] = {2, 4, 8, 16};
static const int64_t THREADS_VALUES[] = {64, 96, 128, 192, 256, 320, 384, 512};
static const int64_t HEADS_VALUES[] = {1, 2, 4, 8};
static const int64_t SWITCH_VALUES[] = {0, 1};

enum { LOAD_HINT_BYTES = 16 }; /* of an access that has a policy of L2's */

#define VALUES(array) array, sizeof array / sizeof array[0]

const struct tfops_tunable_spec rope_tunables[ROPE_TUNABLES] = {
    [ROPE_VEC_BYTES] = {"VEC_BYTES", VALUES(VEC_BYTES_VALUES), "bytes of one access"},
    [ROPE_THREADS] = {"THREADS", VALUES(THREADS_VALUES), "threads of a block"},
    [ROPE_HEADS] = {"HEADS", VALUES(HEADS_VALUES), "heads of a thread, loaded together"},
    [ROPE_TOKENS_NEXT] = {"TOKENS_NEXT", VALUES(SWITCH_VALUES),
        "neighbours in a block: 0 heads of a token, 1 tokens"},
    [ROPE_STORE_HINT] = {"STORE_HINT", VALUES(SWITCH_VALUES), "stores: 0 default, 1 streaming"},
    [ROPE_LOAD_HINT] = {"LOAD_HINT", VALUES(SWITCH_VALUES),
        "loads: 0 default, 1 L2 keeps them longer than what is written"},
};

/* ---- what follows from a config ------------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int64_t elem_bytes(const struct tfops_problem *problem)
{
    return (int64_t)spec_elem_bytes(problem, ROPE_DTYPE);
}

/* The widest access: of the alignment's bytes, halves of a head being whole vectors. */
static int64_t widest(const struct tfops_problem *problem)
{
    const int64_t elem = elem_bytes(problem);
    const int64_t most =
        rope_vec_most(problem, problem->dims[ROPE_HEAD_DIM], problem->dims[ROPE_TABLE_DIM]);
    int64_t bytes = problem->align < elem ? elem : problem->align;
    while (bytes / elem > most)
        bytes /= 2;
    return bytes;
}

/* Threads of one head. */
static int64_t units(const struct tfops_problem *problem, int64_t vec_bytes)
{
    return problem->dims[ROPE_HEAD_DIM] / 2 / (vec_bytes / elem_bytes(problem));
}

/* Sets of heads that a token's are dealt to. */
static int64_t slots(const struct tfops_problem *problem, int64_t heads)
{
    const int64_t kv = ceil_div(problem->dims[ROPE_KV_HEADS], heads);
    return ceil_div(problem->dims[ROPE_Q_HEADS], heads) + (spec_has(problem, ROPE_K) ? kv : 0) +
           (spec_has(problem, ROPE_V) ? kv : 0);
}

static int64_t tokens(const struct tfops_problem *problem)
{
    return problem->dims[ROPE_BATCH] * problem->dims[ROPE_SEQ];
}

/* Of one sequence's q, k and v. */
static int64_t in_bytes(const struct tfops_problem *problem)
{
    return problem->dims[ROPE_SEQ] * slots(problem, 1) * problem->dims[ROPE_HEAD_DIM] *
           elem_bytes(problem);
}

/* ---- the space ------------------------------------------------------------------------------ */

bool rope_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)device;
    const int64_t *v = config->values;
    const int64_t most =
        clamp(problem->dims[ROPE_KV_HEADS], problem->dims[ROPE_Q_HEADS], INT64_MAX);
    if (v[ROPE_VEC_BYTES] != widest(problem))
        return spec_refuse(reason, "VEC_BYTES is not the widest access of these heads");
    if (v[ROPE_THREADS] < units(problem, v[ROPE_VEC_BYTES]))
        return spec_refuse(reason, "THREADS are fewer than a head has units");
    if (v[ROPE_HEADS] == 8 && v[ROPE_THREADS] > 256)
        return spec_refuse(reason, "HEADS do not fit in the registers of so many THREADS");
    if (v[ROPE_HEADS] > most)
        return spec_refuse(reason, "HEADS are more than a token has");
    if (v[ROPE_LOAD_HINT] && v[ROPE_VEC_BYTES] < LOAD_HINT_BYTES)
        return spec_refuse(reason, "LOAD_HINT is for loads of 16 bytes");
    return true;
}

/*
 * By what was fastest on an H200 (docs/notes/rope.md): a head a thread, whose neighbours load the same
 * angles; two where angles are wider than the heads; inputs from half of L2 on kept longer there. Batch does
 * not decide: plans hold for any.
 */
void rope_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user;
    int64_t *v = ret_config->values;
    memset(ret_config, 0, sizeof *ret_config);
    v[ROPE_VEC_BYTES] = widest(problem);
    const int64_t of_head = units(problem, v[ROPE_VEC_BYTES]);
    const int64_t seq = problem->dims[ROPE_SEQ];
    const bool few = seq * slots(problem, 1) * of_head <= (int64_t)device->sms * 1024;
    const bool wide_angles =
        (int64_t)spec_elem_bytes(problem, ROPE_TABLE_DTYPE) > elem_bytes(problem);
    v[ROPE_HEADS] = !few && wide_angles && problem->dims[ROPE_Q_HEADS] > 1 ? 2 : 1;
    v[ROPE_THREADS] = of_head > 256 ? 512 : of_head > 128 ? 256 : 128;
    v[ROPE_STORE_HINT] = !few;
    v[ROPE_LOAD_HINT] =
        2 * in_bytes(problem) >= device->l2_bytes && v[ROPE_VEC_BYTES] == LOAD_HINT_BYTES;
}

/* ---- launching ------------------------------------------------------------------------------ */

static uint32_t tuned_grid(const struct tfops_problem *problem, const int64_t *v)
{
    const int64_t groups = v[ROPE_THREADS] / units(problem, v[ROPE_VEC_BYTES]);
    const int64_t of_token = slots(problem, v[ROPE_HEADS]);
    const int64_t blocks = v[ROPE_TOKENS_NEXT] ? ceil_div(tokens(problem), groups) * of_token
                                               : ceil_div(tokens(problem) * of_token, groups);
    return (uint32_t)clamp(blocks, 1, INT32_MAX);
}

/* The grid follows from batch too, which no plan knows: every launch asks. */
void rope_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user;
    enum { GENERIC_THREADS = 256, GENERIC_BLOCKS_PER_SM = 8 };
    *ret_geometry = (struct tfops_geometry){.threads = GENERIC_THREADS,
        .min_blocks = 1,
        .cluster = 1,
        .pdl = device->cc >= 90,
        .grid = {1, 1, 1}};
    if (config->generic) {
        ret_geometry->grid[0] =
            (uint32_t)clamp(tokens(problem), 1, (int64_t)GENERIC_BLOCKS_PER_SM * device->sms);
    } else {
        ret_geometry->threads = (uint32_t)config->values[ROPE_THREADS];
        ret_geometry->grid[0] = tuned_grid(problem, config->values);
    }
}
