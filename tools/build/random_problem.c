/* Problems by chance (see random_problem.h). */
#include "random_problem.h"
#include "shapes.h"

/* xorshift64*, Vigna 2016; below n. */
static uint64_t below(uint64_t *seed, uint64_t n)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (*seed * 2685821657736338717u >> 32) % n;
}

/* Widths of models; else a multiple of 8 or any number, short ones as often as long ones. */
static int64_t width(uint64_t *seed)
{
    static const int64_t MODELS[] = {512, 1024, 1536, 2048, 2112, 2560, 2880, 3072, 3584, 4096,
        4608, 5120, 6144, 7168, 8192, 11008, 14336, 16384, 18944, 24576, 28672};
    const uint64_t kind = below(seed, 8);
    if (kind < 5)
        return MODELS[below(seed, sizeof MODELS / sizeof *MODELS)];
    const int64_t any = 1 + (int64_t)below(seed, 16u << below(seed, 10));
    return kind < 7 ? 8 * any : any;
}

static int64_t rows(uint64_t *seed)
{
    const int64_t most = 1 << below(seed, 15);
    return below(seed, 2) ? most : 1 + (int64_t)below(seed, (uint64_t)most);
}

static void choose(const struct tfops_spec *spec, uint64_t *seed, struct tfops_problem *problem)
{
    const size_t shape = below(seed, SHAPES);
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        const bool at_run_time = dim->flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_FREE);
        const int64_t wish = at_run_time ? rows(seed) : shape_extent(dim->name, shape, width(seed));
        problem->dims[i] = wish < dim->min ? dim->min : wish > dim->max ? dim->max : wish;
    }
    for (size_t i = 0; i < spec->n_options; i++)
        problem->options[i] = (uint8_t)below(seed, spec->options[i].n_values);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        while (!(spec->dtypes[i].allowed >> problem->dtypes[i] & 1) || below(seed, 3) == 0)
            problem->dtypes[i] = (uint8_t)(1 + below(seed, TFOPS_DTYPE_COUNT - 1));
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL && below(seed, 2))
            problem->present ^= 1u << i;
    problem->flags = below(seed, 8) ? 0 : TFOPS_BATCH_INVARIANT;
}

bool random_problem(
    const struct tfops_spec *spec, uint64_t *seed, struct tfops_problem *ret_problem)
{
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        struct tfops_problem problem;
        if (tfops_problem_init(spec, &problem))
            return false;
        choose(spec, seed, &problem);
        if (!tfops_problem_check(&problem)) {
            *ret_problem = problem;
            return true;
        }
    }
    return false;
}
