/* Plans of emulated variants (see emu_plan.h). */
#include "emu_plan.h"
#include "base/hash.h"
#include "emu_shape.h"
#include "tuner/space.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

static const uint32_t ALIGNS[] = {16, 8, 4, 2, 1};
enum { N_ALIGNS = sizeof ALIGNS / sizeof *ALIGNS };

static void *grown(void *memory, size_t n, size_t size)
{
    void *bigger = realloc(memory, n * size);
    if (!bigger) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return bigger;
}

static void add(
    struct emu_plan *plan, const struct tfops_problem *problem, const struct tfops_config *config)
{
    for (size_t i = 0; i < plan->n; i++)
        if (!memcmp(&plan->variants[i].problem, problem, sizeof *problem) &&
            !memcmp(&plan->variants[i].config, config, sizeof *config))
            return;
    if (plan->n == plan->capacity) {
        plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
        plan->variants = grown(plan->variants, plan->capacity, sizeof *plan->variants);
    }
    plan->variants[plan->n++] = (struct emu_variant){*problem, *config};
}

/* ---- problems ---------------------------------------------------------------------------------- */

/* What a problem is made of, as digits: a factor each, then one for each tunable. */
enum { FACTOR_SHAPE, FACTOR_ALIGN, FACTOR_EXTENT, FIXED_FACTORS };
enum {
    MAX_PROBLEM_FACTORS = FIXED_FACTORS + TFOPS_MAX_DTYPES + TFOPS_MAX_OPTIONS + TFOPS_MAX_OPERANDS,
    MAX_FACTORS = MAX_PROBLEM_FACTORS + TFOPS_MAX_TUNABLES,
    DIGIT_VALUES = 64,
};

struct digits {
    uint8_t at[MAX_FACTORS];
};

static uint64_t next_random(uint64_t *state)
{
    *state = hash_mix(*state, 0x9d2c5680);
    return *state >> 20;
}

static uint8_t pick_dtype(uint32_t allowed, uint64_t random)
{
    unsigned n = (unsigned)__builtin_popcount(allowed & ~1u), skip = (unsigned)(random % n);
    for (uint8_t dtype = 1;; dtype++)
        if (allowed >> dtype & 1 && skip-- == 0)
            return dtype;
}

/* The digits of a problem, drawn at random; problems walk through extents. */
static struct digits draw(const struct tfops_spec *spec, size_t number, uint64_t *random)
{
    struct digits d = {{0}};
    size_t at = FIXED_FACTORS;
    d.at[FACTOR_SHAPE] = (uint8_t)(number % EMU_SHAPES);
    d.at[FACTOR_ALIGN] =
        (uint8_t)((number + number / EMU_SHAPES) % 2 ? next_random(random) % N_ALIGNS : 0);
    d.at[FACTOR_EXTENT] = (uint8_t)(number % EMU_EXTENTS);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        d.at[at++] = pick_dtype(spec->dtypes[i].allowed, next_random(random) + number);
    for (size_t i = 0; i < spec->n_options; i++)
        d.at[at++] = (uint8_t)(next_random(random) % spec->options[i].n_values);
    for (size_t i = 0; i < spec->n_operands; i++)
        d.at[at++] = (uint8_t)(next_random(random) % 2);
    return d;
}

/* False when the operator does not take it. */
static bool problem_of(
    const struct tfops_spec *spec, const struct digits *d, struct tfops_problem *ret_problem)
{
    size_t at = FIXED_FACTORS;
    if (tfops_problem_init(spec, ret_problem))
        exit(1);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        ret_problem->dtypes[i] = d->at[at++];
    for (size_t i = 0; i < spec->n_options; i++)
        ret_problem->options[i] = d->at[at++];
    for (size_t i = 0; i < spec->n_operands; i++, at++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
            ret_problem->present = (ret_problem->present & ~(1u << i)) | (uint32_t)d->at[at] << i;
    emu_shape_set(ret_problem, d->at[FACTOR_SHAPE], d->at[FACTOR_EXTENT]);
    if (tfops_problem_check(ret_problem))
        return false;
    /* An alignment below what contiguous operands have is a problem of its own. */
    uint32_t elem = (uint32_t)tfops_dtype_bytes((enum tfops_dtype)ret_problem->dtypes[0]);
    uint32_t align = ALIGNS[d->at[FACTOR_ALIGN]];
    if (align < ret_problem->align && align >= elem && elem)
        ret_problem->align = align;
    return !tfops_problem_check(ret_problem);
}

/* Values of dtypes, options and optional operands that problems have had. */
struct values {
    bool seen[MAX_PROBLEM_FACTORS][DIGIT_VALUES];
};

static size_t problem_factors(const struct tfops_spec *spec)
{
    return FIXED_FACTORS + spec->n_dtypes + spec->n_options + spec->n_operands;
}

/* Whether factor `at` has such a value. */
static bool is_value(const struct tfops_spec *spec, size_t at, unsigned value)
{
    const size_t dtype = at - FIXED_FACTORS;
    if (dtype < spec->n_dtypes)
        return value && spec->dtypes[dtype].allowed >> value & 1;
    const size_t option = dtype - spec->n_dtypes;
    if (option < spec->n_options)
        return value < spec->options[option].n_values;
    const size_t operand = option - spec->n_options;
    return value < 2 && spec->operands[operand].flags & TFOPS_OPERAND_OPTIONAL;
}

/* Gives each factor a value that no problem had, where there is one and the operator takes it. */
static void freshen(const struct tfops_spec *spec, const struct values *values,
    struct digits *digits, struct tfops_problem *problem)
{
    for (size_t at = FIXED_FACTORS; at < problem_factors(spec); at++)
        for (uint8_t v = 0; v < 32 && values->seen[at][digits->at[at]]; v++) {
            struct digits other = *digits;
            other.at[at] = v;
            if (is_value(spec, at, v) && !values->seen[at][v] && problem_of(spec, &other, problem))
                *digits = other;
        }
    problem_of(spec, digits, problem);
}

/* Draws until the operator takes one: where operands need each other, most combinations are none. */
static bool draw_problem(const struct tfops_spec *spec, size_t number, struct values *values,
    uint64_t *random, struct digits *ret_digits, struct tfops_problem *ret_problem)
{
    enum { DRAWS = 200 };
    for (int i = 0; i < DRAWS; i++) {
        *ret_digits = draw(spec, number, random);
        if (!problem_of(spec, ret_digits, ret_problem))
            continue;
        freshen(spec, values, ret_digits, ret_problem);
        for (size_t at = FIXED_FACTORS; at < problem_factors(spec); at++)
            values->seen[at][ret_digits->at[at]] = true;
        return true;
    }
    return false;
}

/* ---- the covering array ------------------------------------------------------------------------ */

struct candidate {
    struct emu_variant variant;
    struct digits digits;
};

struct pool {
    struct candidate *items;
    size_t n, capacity;
    size_t first_tunable, n_factors;
};

enum { CONFIGS_A_PROBLEM = 400 };

static void pool_add(struct pool *pool, const struct tfops_problem *problem,
    const struct tfops_config *config, const struct digits *digits)
{
    const struct tfops_spec *spec = problem->spec;
    const size_t fixed = problem_factors(spec);
    if (pool->n == pool->capacity) {
        pool->capacity = pool->capacity ? 2 * pool->capacity : 1024;
        pool->items = grown(pool->items, pool->capacity, sizeof *pool->items);
    }
    struct candidate *item = &pool->items[pool->n++];
    *item = (struct candidate){{*problem, *config}, *digits};
    for (size_t i = 0; i < spec->n_tunables; i++)
        for (size_t k = 0; k < spec->tunables[i].n_values; k++)
            if (spec->tunables[i].values[k] == config->values[i])
                item->digits.at[fixed + i] = (uint8_t)(k % DIGIT_VALUES);
    pool->first_tunable = fixed;
    pool->n_factors = fixed + spec->n_tunables;
}

/* Configs of a problem's space, evenly. */
static void pool_add_space(struct pool *pool, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct digits *digits)
{
    struct space space;
    if (space_build(NULL, problem, device, &space))
        return;
    uint32_t step = space.n / CONFIGS_A_PROBLEM + 1;
    for (uint32_t i = 0; i < space.n; i += step)
        pool_add(pool, problem, &space.configs[i], digits);
    space_release(NULL, &space);
}

/* Which pairs of digits have been seen: [factor a][factor b][digit a][digit b]; a digit is a pair with
 * itself. */
struct pairs {
    uint8_t *seen;
    size_t first_tunable, n_factors;
};

static struct pairs no_pairs(const struct pool *pool)
{
    struct pairs pairs = {NULL, pool->first_tunable, pool->n_factors};
    pairs.seen = calloc(pool->n_factors * pool->n_factors, DIGIT_VALUES * DIGIT_VALUES);
    if (!pairs.seen)
        exit(1);
    return pairs;
}

static bool is_new(const struct pairs *pairs, const struct digits *d, size_t a, size_t b, bool take)
{
    size_t factors = a * pairs->n_factors + b;
    uint8_t *seen = &pairs->seen[(factors * DIGIT_VALUES + d->at[a]) * DIGIT_VALUES + d->at[b]];
    bool result = !*seen;
    *seen |= take;
    return result;
}

/* What a candidate would add: values of tunables, pairs of any two factors. */
struct gain {
    size_t values, pairs;
};

static struct gain gain_of(const struct pairs *pairs, const struct digits *d, bool take)
{
    struct gain gain = {0, 0};
    for (size_t a = 0; a < pairs->n_factors; a++) {
        if (a >= pairs->first_tunable)
            gain.values += is_new(pairs, d, a, a, take);
        for (size_t b = a + 1; b < pairs->n_factors; b++)
            gain.pairs += is_new(pairs, d, a, b, take);
    }
    return gain;
}

static bool is_more(struct gain a, struct gain b)
{
    return a.values != b.values ? a.values > b.values : a.pairs > b.pairs;
}

static void add_gain(struct emu_coverage *coverage, struct gain gain)
{
    coverage->values += gain.values;
    coverage->pairs += gain.pairs;
}

/* The candidate that adds most. What one adds only falls as others are taken: where the last count was
 * no more than the best so far, it is not counted again. */
static size_t best_candidate(const struct pool *pool, const struct pairs *done, struct gain *last)
{
    struct gain best = {0, 0};
    size_t at = 0;
    for (size_t i = 0; i < pool->n; i++) {
        if (!is_more(last[i], best))
            continue;
        last[i] = gain_of(done, &pool->items[i].digits, false);
        if (is_more(last[i], best)) {
            best = last[i];
            at = i;
        }
    }
    return at;
}

/* Greedy: again and again the candidate with the most values of tunables that no earlier one had, and
 * of those the one with the most pairs. */
static void cover(struct emu_plan *plan, const struct pool *pool, size_t most)
{
    struct pairs all = no_pairs(pool), done = no_pairs(pool);
    struct gain *last = grown(NULL, pool->n, sizeof *last);
    for (size_t i = 0; i < pool->n; i++) {
        last[i] = (struct gain){SIZE_MAX, SIZE_MAX};
        add_gain(&plan->all, gain_of(&all, &pool->items[i].digits, true));
    }
    free(all.seen);
    for (size_t taken = 0; taken < most && plan->covered.pairs < plan->all.pairs; taken++) {
        size_t at = best_candidate(pool, &done, last);
        add_gain(&plan->covered, gain_of(&done, &pool->items[at].digits, true));
        add(plan, &pool->items[at].variant.problem, &pool->items[at].variant.config);
    }
    free(last);
    free(done.seen);
}

/* ---- the plan ---------------------------------------------------------------------------------- */

static void add_default(
    struct emu_plan *plan, const struct tfops_problem *problem, const struct tfops_device *device)
{
    struct tfops_config config = {0};
    problem->spec->default_config(problem->spec->user, problem, device, &config);
    add(plan, problem, &config);
}

/* Each tunable at its least and greatest value that the constraint admits beside the default's. */
static void add_extremes(
    struct emu_plan *plan, const struct tfops_problem *problem, const struct tfops_device *device)
{
    const struct tfops_spec *spec = problem->spec;
    char reason[TFOPS_REASON_BYTES];
    struct tfops_config base = {0};
    spec->default_config(spec->user, problem, device, &base);
    for (size_t i = 0; i < spec->n_tunables; i++)
        for (int end = 0; end < 2; end++) {
            const struct tfops_tunable_spec *tunable = &spec->tunables[i];
            struct tfops_config config = base;
            bool found = false;
            for (size_t k = 0; k < tunable->n_values && !found; k++) {
                config.values[i] = tunable->values[end ? tunable->n_values - 1 - k : k];
                found = space_allows(problem, device, &config, reason);
            }
            if (found)
                add(plan, problem, &config);
        }
}

static void add_generic(struct emu_plan *plan, const struct tfops_problem *problem)
{
    struct tfops_config config;
    memset(&config, 0, sizeof config);
    config.generic = true;
    if (problem->spec->generic_body)
        add(plan, problem, &config);
}

void emu_plan_make(const struct tfops_spec *spec, const struct tfops_device *device,
    const struct emu_share *share, struct emu_plan *ret_plan)
{
    struct emu_plan plan = {0};
    struct pool pool = {0};
    struct values values = {{{false}}};
    uint64_t random = 0xe30;
    bool extremes = share->extremes;
    for (size_t i = 0; i < share->problems; i++) {
        struct digits digits;
        struct tfops_problem problem;
        if (!draw_problem(spec, i, &values, &random, &digits, &problem))
            continue;
        add_generic(&plan, &problem);
        if (i < EMU_SHAPES || share->most == SIZE_MAX)
            add_default(&plan, &problem, device);
        if (extremes)
            add_extremes(&plan, &problem, device);
        extremes = false;
        pool_add_space(&pool, &problem, device, &digits);
    }
    if (pool.n)
        cover(&plan, &pool, share->most);
    free(pool.items);
    *ret_plan = plan;
}

void emu_plan_release(struct emu_plan *plan)
{
    free(plan->variants);
    *plan = (struct emu_plan){0};
}
