/*
 * Which configs of the matrix kernels are worth compiling, and the one to use when nothing was measured:
 * both by the model (gemm_model.c) and by what lost wherever it was tried.
 */
#include "gemm_config.h"
#include "gemm_specs.h"
#include <string.h>

/* How many stages there is shared memory for. */
static int64_t stages_that_fit(const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    const struct gemm_layout l = gemm_lay_out(problem, config);
    return (device->smem_per_block_bytes - l.fixed_bytes) / (l.stage_bytes + l.stage_extra_bytes);
}

/* As many stages as fit; two are the least. */
static void settle_stages(const struct tfops_problem *problem, const struct tfops_device *device,
    struct tfops_config *config)
{
    enum { MOST_MMA_STAGES = 4 };
    if (config->values[GEMM_MAINLOOP] == GEMM_STREAM)
        return; /* whether more of them or more blocks on a multiprocessor help is measured */
    const bool wgmma = config->values[GEMM_MAINLOOP] == GEMM_WGMMA;
    const int64_t most = wgmma ? GEMM_DEFAULT_STAGES : MOST_MMA_STAGES;
    const int64_t fit = stages_that_fit(problem, device, config);
    config->values[GEMM_STAGES] = fit < 2 ? 2 : fit > most ? most : fit;
}

/* The number that a default would have or, for the smallest tiles, the most there is. */
static bool stages_make_sense(const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    enum { MANY_STAGES = 12 };
    const int64_t stages = config->values[GEMM_STAGES];
    if (config->values[GEMM_MAINLOOP] == GEMM_STREAM)
        return true;
    if (stages >= MANY_STAGES) {
        const int64_t fit = stages_that_fit(problem, device, config);
        return stages <= fit && (stages == GEMM_MOST_STAGES || fit < GEMM_MOST_STAGES);
    }
    struct tfops_config settled = *config;
    settle_stages(problem, device, &settled);
    return stages == settled.values[GEMM_STAGES];
}

/* The smallest width that holds all tokens; a wgmma has 8 at least. */
static int64_t width_for(int64_t tokens)
{
    const struct tfops_tunable_spec *widths = &gemm_tunables[GEMM_BLOCK_N];
    size_t i = 0;
    while (i + 1 < widths->n_values && (widths->values[i] < tokens || widths->values[i] < 8))
        i++;
    return widths->values[i];
}

/* Several tiles of tokens across, of no fewer than this each. */
enum { LEAST_BAND = 64 };

/* Where no tile of 128 rows divides tokens, they lie better across, by eight; of more the rows that are
 * not there are few. */
static bool bands_across(int64_t tokens)
{
    enum { MOST = 2048, WHOLE = 128 };
    return tokens > 2 * LEAST_BAND && tokens <= MOST && tokens % WHOLE != 0;
}

/* Widths whose stores are boxes of 32 bytes, or none for the last columns, are worth it only where the next
 * narrower one takes more tiles. */
static bool wider_than_needed(
    const struct tfops_problem *problem, const struct tfops_config *config, int64_t across)
{
    enum { LEAST = 128, STEP = 16 };
    const int64_t width = config->values[GEMM_BLOCK_N], step = width % STEP ? STEP / 2 : STEP;
    if (width <= LEAST || width % (2 * STEP) == 0 || config->values[GEMM_SWAP])
        return false;
    struct tfops_config narrower = *config;
    narrower.values[GEMM_BLOCK_N] = width - step;
    return gemm_lay_out(problem, &narrower).across == across;
}

/* What it can do but lost wherever it was measured (docs/notes/gemm.md). */
static bool hopeless(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    const int64_t *v = config->values;
    enum { FEW_TOKENS = 32, LEAST_RUN_WIDTH = 96 };
    const bool promotes = gemm_promoted(problem, l);
    if (v[GEMM_MAINLOOP] == GEMM_STREAM)
        return v[GEMM_CONSUMERS] == 1;
    if (v[GEMM_MAINLOOP] != GEMM_WGMMA)
        return false;
    if ((v[GEMM_PINGPONG] && (promotes || (v[GEMM_SWAP] && l->across == 1))) ||
        wider_than_needed(problem, config, l->across))
        return true;
    if (v[GEMM_CONSUMERS] == 1 && l->slabs > (gemm_paired(problem) && v[GEMM_SWAP] ? 2 : 1))
        return true;
    if (v[GEMM_DEPTH] > 1 && (v[GEMM_STAGES] < 3 || v[GEMM_DEPTH] * v[GEMM_BLOCK_N] > 256 ||
                                 (v[GEMM_BLOCK_N] > 128 && !(promotes && l->slabs == 1))))
        return true;
    const bool wide = v[GEMM_BLOCK_N] > (v[GEMM_SPLIT_K] > 1 ? 96 : 112);
    if (v[GEMM_DEPTH] > 1 && promotes && wide && /* spills */
        (v[GEMM_SPLIT_K] > 1 || (v[GEMM_CONSUMERS] > 1 && l->cluster > 1)))
        return true;
    /* Two partial sums follow one another over stages, too: smaller ones are let go of sooner. */
    if (v[GEMM_DEPTH] > 1 && v[GEMM_CONSUMERS] == 2 && v[GEMM_BLOCK_N] >= LEAST_RUN_WIDTH &&
        gemm_two_sums(problem, v, l))
        return true;
    if (v[GEMM_SPLIT_K] > 1 && l->down * l->across * l->cluster > 2 * (int64_t)device->sms)
        return true;
    const int64_t tokens_across = v[GEMM_CLUSTER_N] * v[GEMM_BLOCK_N] - v[GEMM_BLOCK_N];
    const int64_t tokens_down = v[GEMM_CLUSTER_M] * v[GEMM_BLOCK_M] - v[GEMM_BLOCK_M];
    const int64_t tokens = problem->dims[GEMM_M];
    if (tokens <= (v[GEMM_SWAP] ? tokens_across : tokens_down)) /* a block has none */
        return true;
    if (gemm_normed(problem) && !v[GEMM_SWAP] && tokens <= FEW_TOKENS &&
        !(problem->flags & TFOPS_BATCH_INVARIANT)) /* to normalise in registers */
        return true;
    if (v[GEMM_SPLIT_TAIL]) /* is for tiles that do not come out even */
        return gemm_tail_of(l, gemm_resident_clusters(device, l->cluster)).tiles == 0;
    return l->cluster > 2 && l->down * l->across > gemm_resident_clusters(device, l->cluster);
}

/* The shapes the default is chosen from; a sweep adds what lies between. */
struct shape {
    int64_t block_m, consumers, pingpong, cluster_m, cluster_n, block_n;
};

static const struct shape WIDE[] = {
    {128, 2, 0, 2, 1, 256},
    {128, 2, 0, 1, 1, 256},
    {128, 2, 0, 2, 1, 192},
    {256, 2, 0, 2, 1, 128},
    {128, 2, 1, 2, 1, 128},
    {128, 2, 0, 2, 1, 128},
    {128, 2, 0, 1, 1, 128},
    {128, 2, 0, 1, 1, 160},
    {128, 2, 0, 1, 1, 96},
    {64, 2, 1, 1, 1, 128},
    {64, 2, 1, 1, 1, 192},
    {128, 2, 0, 1, 1, 64},
    {64, 1, 0, 2, 1, 128},
    {128, 2, 0, 2, 2, 80},
    {64, 1, 0, 2, 2, 80},
    {128, 2, 0, 2, 2, 64},
    {128, 2, 0, 1, 2, 64},
    {128, 2, 0, 2, 2, 128},
    {64, 1, 0, 1, 1, 128},
    {64, 1, 0, 1, 1, 64},
    {128, 2, 0, 1, 4, 80},
    {128, 2, 0, 2, 2, 160},
    {64, 1, 0, 2, 2, 160},
    {64, 1, 0, 1, 2, 80},
    {64, 1, 0, 1, 2, 160},
    {64, 1, 0, 1, 4, 96},
    {64, 2, 1, 1, 4, 256},
    {128, 2, 0, 1, 4, 96},
    {128, 2, 0, 1, 4, 256},
    {128, 2, 0, 2, 2, 112},
    {128, 2, 0, 2, 1, 224},
    {256, 2, 0, 1, 2, 80},
    {256, 2, 0, 1, 2, 96},
    {256, 2, 0, 1, 2, 112},
    {256, 2, 0, 1, 2, 128},
    {256, 2, 0, 2, 1, 160},
    {256, 2, 0, 1, 2, 192},
    {64, 1, 0, 1, 1, 32},
    {64, 1, 0, 1, 1, 48},
    {64, 1, 0, 1, 4, 48},
    {64, 1, 0, 2, 1, 64},
    {64, 1, 0, 2, 1, 80},
    {64, 1, 0, 1, 4, 80},
    {64, 1, 0, 2, 1, 96},
    {64, 1, 0, 1, 1, 112},
    {64, 1, 0, 1, 1, 160},
    {64, 1, 0, 2, 1, 160},
    {128, 2, 0, 1, 1, 80},
    {128, 2, 0, 2, 1, 80},
    {128, 2, 0, 2, 1, 96},
    {128, 2, 0, 1, 1, 112},
    {128, 2, 0, 2, 1, 160},
    {128, 2, 0, 1, 1, 136},
    {128, 2, 0, 1, 2, 136},
    {256, 2, 0, 1, 1, 136},
    {256, 2, 0, 1, 2, 136},
    {64, 1, 0, 1, 1, 136},
    {128, 2, 0, 1, 1, 144},
    {128, 2, 0, 2, 1, 144},
    {128, 2, 0, 1, 1, 176},
    {128, 2, 0, 2, 1, 176},
    {128, 2, 0, 1, 1, 208},
    {128, 2, 0, 2, 1, 208},
    {128, 2, 0, 1, 1, 240},
    {128, 2, 0, 2, 1, 240},
    {256, 2, 0, 1, 1, 144},
    {256, 2, 0, 2, 1, 144},
    {64, 1, 0, 1, 1, 144},
    {64, 1, 0, 1, 1, 176},
    {64, 2, 1, 2, 1, 128},
    {128, 2, 1, 1, 1, 64},
    {128, 2, 1, 1, 1, 80},
    {128, 2, 1, 1, 1, 112},
    {128, 2, 1, 1, 1, 128},
    {128, 2, 1, 1, 1, 192},
    {256, 2, 0, 1, 1, 64},
    {256, 2, 0, 1, 1, 80},
    {256, 2, 0, 1, 1, 128},
    {256, 2, 0, 1, 1, 176},
    {64, 1, 0, 2, 1, 256},
};

/* Widths at which consumers take turns, too, where tokens are many. */
static const struct shape TURNS[] = {
    {128, 2, 1, 1, 1, 144},
    {128, 2, 1, 1, 1, 160},
    {128, 2, 1, 1, 1, 176},
};

static const struct shape MMA_SHAPES[] = {
    {128, 2, 0, 1, 1, 128},
    {64, 2, 0, 1, 1, 128},
    {128, 2, 0, 1, 1, 64},
    {64, 2, 0, 1, 1, 64},
    {64, 1, 0, 1, 1, 64},
    {64, 1, 0, 1, 1, 32},
};

static void take_shape(
    const struct shape *shape, int mainloop, bool swap, int64_t split, struct tfops_config *config)
{
    int64_t *v = config->values;
    memset(config, 0, sizeof *config);
    v[GEMM_MAINLOOP] = mainloop;
    v[GEMM_BLOCK_M] = shape->block_m;
    v[GEMM_BLOCK_N] = shape->block_n;
    v[GEMM_CONSUMERS] = shape->consumers;
    v[GEMM_PINGPONG] = shape->pingpong;
    v[GEMM_CLUSTER_M] = shape->cluster_m;
    v[GEMM_CLUSTER_N] = shape->cluster_n;
    v[GEMM_SPLIT_K] = split;
    v[GEMM_DEPTH] = 1;
    v[GEMM_GROUP] = GEMM_USUAL_GROUP;
    v[GEMM_SWAP] = swap;
}

struct search {
    const struct tfops_problem *problem;
    const struct tfops_device *device;
    int64_t exchange; /* of the configs tried, where the operator has that */
    double ns;        /* of the best; 0: none yet */
    struct tfops_config best;
};

static void try_one(struct search *search, struct tfops_config *config)
{
    config->values[GEMM_EXCHANGE] = search->exchange;
    settle_stages(search->problem, search->device, config);
    const struct gemm_layout l = gemm_lay_out(search->problem, config);
    config->values[GEMM_GROUP] = gemm_best_group(search->problem, search->device, config, &l);
    if (!gemm_possible(search->problem, search->device, config, &l, NULL) ||
        hopeless(search->problem, search->device, config, &l))
        return;
    double ns = gemm_model_ns(search->problem, search->device, config);
    if (search->ns > 0 && ns >= search->ns)
        return;
    search->ns = ns;
    search->best = *config;
}

static void try(struct search *search, struct tfops_config *config)
{
    config->values[GEMM_SPLIT_TAIL] = 0;
    try_one(search, config);
    if (config->values[GEMM_MAINLOOP] != GEMM_WGMMA || !gemm_cuts_sums(search->problem))
        return;
    config->values[GEMM_SPLIT_TAIL] = 1;
    try_one(search, config);
}

/* One shape, its stages deep or not. */
static void try_depths(
    struct search *search, const struct shape *shape, bool swap, int64_t split, int64_t deepest)
{
    struct tfops_config config;
    take_shape(shape, GEMM_WGMMA, swap, split, &config);
    for (int64_t depth = 1; depth <= deepest; depth *= 2) {
        config.values[GEMM_DEPTH] = depth;
        try(search, &config);
    }
}

/* Tokens across in one tile: one to three consumers, a sum split, token tiles shared, or both. */
static void try_narrow(struct search *search, int64_t tokens)
{
    enum { MOST_CONSUMERS = 3, MOST_SHARERS = 4, MOST_BLOCKS = 8, DEEPEST = 4, MOST_ROWS = 256 };
    const int64_t least = gemm_paired(search->problem) ? 2 * GEMM_SLAB_ROWS : GEMM_SLAB_ROWS;
    for (int64_t consumers = 1; consumers <= MOST_CONSUMERS; consumers++)
        for (int64_t rows = least * consumers; rows <= MOST_ROWS; rows += least * consumers)
            for (int64_t sharers = 1; sharers <= MOST_SHARERS; sharers *= 2)
                for (int64_t split = 1; split * sharers <= MOST_BLOCKS; split *= 2) {
                    const struct shape shape = {rows, consumers, 0, sharers, 1, width_for(tokens)};
                    try_depths(search, &shape, true, split, DEEPEST);
                }
}

/* Tokens across in several tiles, each as narrow as their number allows; a cluster shares them or
 * the weight. */
static void try_bands(struct search *search, int64_t tokens)
{
    static const struct shape SHAPES[] = {
        {128, 2, 0, 1, 1, 0},
        {128, 2, 0, 2, 1, 0},
        {128, 2, 0, 1, 2, 0},
        {256, 2, 0, 1, 1, 0},
        {256, 2, 0, 2, 1, 0},
        {256, 2, 0, 1, 2, 0},
        {192, 3, 0, 1, 1, 0},
        {64, 2, 1, 1, 1, 0},
        {64, 2, 1, 1, 2, 0},
        {128, 2, 1, 1, 1, 0},
        {128, 2, 1, 2, 1, 0},
        {128, 2, 1, 1, 2, 0},
    };
    int64_t last = 0;
    for (int64_t tiles = 2; tokens > tiles * LEAST_BAND; tiles++) {
        const int64_t width = width_for(gemm_ceil_div(tokens, tiles));
        for (size_t i = 0; width != last && i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
            struct shape shape = SHAPES[i];
            shape.block_n = width;
            try_depths(search, &shape, true, 1, 1);
        }
        last = width;
    }
}

static void try_wgmma(struct search *search)
{
    enum { DEEPEST = 2, FEW_TOKENS = 256, SPLIT_TOKENS = 512, MOST_SPLIT = 4 };
    const int64_t tokens = search->problem->dims[GEMM_M];
    const int64_t most_split = tokens <= SPLIT_TOKENS ? MOST_SPLIT : 1;
    for (size_t i = 0; i < sizeof WIDE / sizeof WIDE[0]; i++)
        for (int64_t split = 1; split <= most_split; split *= 2)
            try_depths(search, &WIDE[i], false, split, DEEPEST);
    for (size_t i = 0; tokens > FEW_TOKENS && i < sizeof TURNS / sizeof TURNS[0]; i++)
        try_depths(search, &TURNS[i], false, 1, 1);
    if (tokens <= FEW_TOKENS)
        try_narrow(search, tokens);
    if (bands_across(tokens))
        try_bands(search, tokens);
}

static void try_mma(struct search *search)
{
    struct tfops_config config;
    for (size_t i = 0; i < sizeof MMA_SHAPES / sizeof MMA_SHAPES[0]; i++) {
        take_shape(&MMA_SHAPES[i], GEMM_MMA, false, 1, &config);
        try(search, &config);
    }
}

/* Few tokens, the weight streamed past them: eight warps, all stages that fit and, where the next kernel
 * may begin beside this one, in half of a multiprocessor. */
static void try_stream(struct search *search, int64_t tokens)
{
    enum { MOST_TOKENS = 16, MOST = 7, LEAST = 4 };
    const struct shape shape = {16, 2, 0, 1, 1, gemm_stream_width(tokens)};
    const int64_t least_blocks = gemm_constant(search->problem) ? 2 : 1;
    struct tfops_config config;
    if (tokens > MOST_TOKENS)
        return;
    take_shape(&shape, GEMM_STREAM, true, 1, &config);
    for (int64_t stages = MOST; stages >= 2; stages--) {
        config.values[GEMM_STAGES] = stages;
        const struct gemm_layout l = gemm_lay_out(search->problem, &config);
        const int64_t bytes = gemm_smem_bytes(&l, &config);
        if (bytes <= search->device->smem_per_block_bytes &&
            (stages < LEAST || gemm_stream_blocks(search->device, &l, bytes) >= least_blocks))
            break;
    }
    try(search, &config);
}

/* Whole rows of a block where blocks cannot exchange sums of rows. */
static struct search find_best(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    struct search search = {
        .problem = problem, .device = device, .exchange = gemm_add_normed(problem)};
    try_wgmma(&search);
    if (search.ns <= 0)
        try_mma(&search);
    if (search.ns <= 0 && search.exchange) {
        search.exchange = 0;
        try_mma(&search);
    }
    try_stream(&search, problem->dims[GEMM_M]);
    return search;
}

void gemm_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user;
    *ret_config = find_best(problem, device).best;
}

/* What the default should take. A sweep asks for each config of one problem: the last answer is kept. */
static double best_ns(const struct tfops_problem *problem, const struct tfops_device *device)
{
    static _Thread_local struct {
        struct tfops_problem problem;
        struct tfops_device device;
        double ns; /* 0: none yet */
    } last;
    if (last.ns <= 0 || memcmp(&last.problem, problem, sizeof *problem) != 0 ||
        memcmp(&last.device, device, sizeof *device) != 0) {
        memcpy(&last.problem, problem, sizeof *problem);
        memcpy(&last.device, device, sizeof *device);
        last.ns = find_best(problem, device).ns;
    }
    return last.ns;
}

/* Of a tile whose columns are tokens: no wider than its share of them. */
static bool holds_tokens(int64_t tokens, const int64_t *v)
{
    const int64_t width = v[GEMM_BLOCK_N], tiles = gemm_ceil_div(tokens, width);
    if (v[GEMM_MAINLOOP] == GEMM_STREAM)
        return width == gemm_stream_width(tokens);
    if (tiles > 1 && (width < LEAST_BAND || !bands_across(tokens)))
        return false;
    return width == width_for(gemm_ceil_div(tokens, tiles));
}

static bool worthwhile(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    /* In all 16 whole spaces of 2048 tokens and more the fastest one is within the first (docs/notes/gemm.md, section 18). */
    static const double MARGIN_OF_MANY = 1.15, MARGIN = 1.3;
    enum { MANY_TOKENS = 2048 };
    const int64_t *v = config->values;
    const double margin = problem->dims[GEMM_M] >= MANY_TOKENS ? MARGIN_OF_MANY : MARGIN;
    if (!stages_make_sense(problem, device, config))
        return gemm_refuse(reason, "STAGES is not the number that fits");
    if (hopeless(problem, device, config, l))
        return gemm_refuse(reason, "never worth measuring for such a problem");
    if (!gemm_group_makes_sense(problem, device, config, l))
        return gemm_refuse(reason, "GROUP makes no difference, or brings more bytes from memory");
    if (v[GEMM_SWAP] && !holds_tokens(problem->dims[GEMM_M], v))
        return gemm_refuse(reason, "BLOCK_N is not the least width for all tokens, or their share");
    if (gemm_model_ns(problem, device, config) > margin * best_ns(problem, device))
        return gemm_refuse(reason, "the model says it is much slower than the default");
    return true;
}

/* Before all else: these are many millions, and a layout takes time. */
static bool plausible(const int64_t *v, char reason[TFOPS_REASON_BYTES])
{
    const bool wgmma = v[GEMM_MAINLOOP] == GEMM_WGMMA;
    if (!wgmma && (v[GEMM_PINGPONG] || v[GEMM_SPLIT_K] > 1 || v[GEMM_DEPTH] > 1 ||
                      v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] > 1))
        return gemm_refuse(reason, "a choice of the wgmma kernel");
    if (v[GEMM_STAGES] > GEMM_DEFAULT_STAGES && (!wgmma || v[GEMM_DEPTH] > 1))
        return gemm_refuse(reason, "so many STAGES are for wgmma, with one tile of K each");
    if (v[GEMM_GROUP] != GEMM_USUAL_GROUP && v[GEMM_GROUP] != 2 * GEMM_USUAL_GROUP &&
        (!wgmma || v[GEMM_SWAP] || v[GEMM_SPLIT_K] > 1))
        return gemm_refuse(reason, "so few or many tiles of a band are for whole sums of wgmma");
    return true;
}

bool gemm_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const int64_t *v = config->values;
    if (!plausible(v, reason))
        return false;
    const struct gemm_layout l = gemm_lay_out(problem, config);
    return gemm_possible(problem, device, config, &l, reason) &&
           worthwhile(problem, device, config, &l, reason);
}
