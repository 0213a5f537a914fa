/* Cases of emulated checks (see emulate_case.h). */
#include "emulate_case.h"
#include "base/error.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/mem.h"
#include "key.h"
#include "tolerance.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SPECIAL_EVERY = 7, ROW_NAN = 1, ROW_ZERO = 2, ROW_INF = 4 };

const char *emulate_kind_name(enum emulate_kind kind)
{
    static const char *const NAMES[EMULATE_KINDS] = {
        "plain values", "special values and padded rows", "operands in place"};
    return NAMES[kind];
}

/* ---- operands ---------------------------------------------------------------------------------- */

/* In [-1, 1], triangular: sums of many neither cancel nor grow alike. */
static double random_value(uint64_t seed, int64_t i)
{
    uint64_t bits = hash_mix(hash_mix(seed, (uint64_t)i), 0x5eed);
    double a = (double)(bits >> 40) * 0x1p-24, b = (double)(bits >> 16 & 0xffffff) * 0x1p-24;
    return a - b;
}

static double special_value(uint64_t seed, int64_t i)
{
    static const double VALUES[] = {0.0, -0.0, 0x1p-24, -0x1p-24, 1e4, -1e4};
    return VALUES[hash_mix(seed, (uint64_t)i) % (sizeof VALUES / sizeof *VALUES)];
}

static bool is_weight(const struct tfops_spec *spec, size_t i)
{
    const struct tfops_operand_spec *operand = &spec->operands[i];
    return operand->rank == 1 && !(spec->dims[operand->dims[0]].flags & TFOPS_DIM_DYNAMIC);
}

/* What trials put into an operand: the spec's word, else by its shape. */
static struct tfops_values values_of(const struct tfops_problem *problem, size_t i)
{
    const struct tfops_spec *spec = problem->spec;
    const bool weight = is_weight(spec, i);
    struct tfops_values values = {weight ? 0.25f : 1.0f, weight ? 1.0f : 0.0f, !weight};
    if (spec->values)
        spec->values(spec->user, problem, i, &values);
    return values;
}

static bool starts_with_rows(const struct tfops_spec *spec, size_t i)
{
    return spec->operands[i].rank > 1 && spec->operands[i].dims[0] == key_dynamic_dim(spec);
}

static bool is_index(enum tfops_dtype dtype)
{
    return dtype == TFOPS_I32 || dtype == TFOPS_I64;
}

/* Downwards within their bound, as on a GPU; without one all different. */
static void fill_indices(struct emulate_case *ecase, size_t i)
{
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    unsigned char *data = ecase->init + operand->offset;
    int64_t bound = buffers_index_bound(&ecase->problem, i);
    bool distinct = ecase->problem.spec->operands[i].flags & TFOPS_OPERAND_DISTINCT;
    int64_t count = 0;
    if (!bound)
        bound = operand->rows * operand->cols;
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            int64_t at = row * operand->stride + col;
            int64_t value = distinct && count >= bound ? -1 : bound - 1 - count % bound;
            count++;
            if (operand->dtype == TFOPS_I32)
                ((int32_t *)(void *)data)[at] = (int32_t)value;
            else
                ((int64_t *)(void *)data)[at] = value;
        }
}

static void fill(struct emulate_case *ecase, size_t i, uint64_t seed)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    unsigned char *data = ecase->init + operand->offset;
    const struct tfops_values values = values_of(&ecase->problem, i);
    const bool special = ecase->kind == EMULATE_SPECIAL && values.special;
    seed = hash_mix(seed, i + 1);
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            int64_t at = row * operand->cols + col;
            double value = values.offset + values.scale * random_value(seed, at);
            if (special && (at + 1) % SPECIAL_EVERY == 0)
                value = special_value(seed, at);
            if (special && row == ROW_ZERO && starts_with_rows(spec, i))
                value = 0;
            half_store(data, operand->dtype, row * operand->stride + col, value);
        }
}

/* A NaN in one row and an infinity in another. */
static void plant(struct emulate_case *ecase, size_t i)
{
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    unsigned char *data = ecase->init + operand->offset;
    int64_t col = (operand->cols / 2 + 3 * (int64_t)i) % operand->cols;
    if (operand->rows > ROW_NAN)
        half_store(data, operand->dtype, ROW_NAN * operand->stride + col, NAN);
    if (operand->rows > ROW_INF)
        half_store(data, operand->dtype, ROW_INF * operand->stride + col, INFINITY);
}

static unsigned char *row_of(
    unsigned char *arena, const struct buffers_operand *operand, int64_t row)
{
    return arena + operand->offset + (size_t)(row * operand->stride) * operand->elem_bytes;
}

static void poison(struct emulate_case *ecase, size_t i)
{
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    for (int64_t row = 0; row < operand->rows; row++)
        memset(row_of(ecase->init, operand, row), BUFFERS_POISON_BYTE,
            (size_t)operand->cols * operand->elem_bytes);
}

/* Everything that is no element is red zone: rows' padding too. */
static void paint(struct emulate_case *ecase, uint64_t seed)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    memset(ecase->init, BUFFERS_ZONE_BYTE, ecase->layout.bytes);
    for (size_t i = 0; i < spec->n_operands; i++) {
        if (!ecase->layout.operands[i].present)
            continue;
        if (spec->operands[i].access == TFOPS_OUT)
            poison(ecase, i);
        else if (is_index(ecase->layout.operands[i].dtype))
            fill_indices(ecase, i);
        else
            fill(ecase, i, seed);
        if (ecase->kind == EMULATE_SPECIAL && spec->operands[i].access != TFOPS_OUT &&
            values_of(&ecase->problem, i).special && starts_with_rows(spec, i))
            plant(ecase, i);
    }
}

/* ---- aliases ----------------------------------------------------------------------------------- */

static bool same_shape(const struct tfops_operand_spec *a, const struct tfops_operand_spec *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

/* Each output goes onto the first input it may be and that no other output lies on. */
static bool choose_aliases(const struct tfops_problem *problem, int8_t onto[TFOPS_MAX_OPERANDS])
{
    const struct tfops_operand_spec *operands = problem->spec->operands;
    uint32_t taken = 0;
    memset(onto, -1, TFOPS_MAX_OPERANDS);
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        if (!(problem->present >> i & 1) || operands[i].access != TFOPS_OUT)
            continue;
        for (size_t t = 0; t < problem->spec->n_operands && onto[i] < 0; t++)
            if (operands[i].may_alias >> t & 1 && problem->present >> t & 1 && !(taken >> t & 1) &&
                operands[t].access != TFOPS_OUT && same_shape(&operands[i], &operands[t])) {
                onto[i] = (int8_t)t;
                taken |= 1u << t;
            }
    }
    return taken != 0;
}

bool emulate_case_can_alias(const struct tfops_problem *problem)
{
    int8_t onto[TFOPS_MAX_OPERANDS];
    return choose_aliases(problem, onto);
}

/* ---- making ------------------------------------------------------------------------------------ */

enum { ARENA_ALIGN = 4096 };

static unsigned char *aligned(unsigned char *memory)
{
    return memory + (ARENA_ALIGN - (uintptr_t)memory % ARENA_ALIGN) % ARENA_ALIGN;
}

void emulate_case_views(const struct emulate_case *ecase, unsigned char *arena,
    struct tfops_view ret_views[TFOPS_MAX_OPERANDS])
{
    buffers_views(&ecase->layout, (CUdeviceptr)(uintptr_t)arena, ret_views);
    for (size_t i = 0; i < ecase->layout.n_operands; i++)
        if (ecase->kind == EMULATE_ALIAS && ecase->onto[i] >= 0)
            ret_views[i] = ret_views[ecase->onto[i]];
}

/* The reference sees operands that stand apart, in place or not. */
static enum tfops_status run_reference(struct emulate_case *ecase)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    struct tfops_config config = {.generic = true};
    memcpy(ecase->gold, ecase->init, ecase->layout.bytes);
    buffers_views(&ecase->layout, (CUdeviceptr)(uintptr_t)ecase->gold, views);
    const struct tfops_launch_args args = {.problem = &ecase->problem,
        .config = &config,
        .operands = views,
        .scalars = ecase->scalars};
    return spec->reference(spec->user, &args);
}

enum tfops_status emulate_case_make(const struct env *env, const struct tfops_problem *problem,
    enum emulate_kind kind, uint64_t seed, struct emulate_case *ret_case)
{
    struct emulate_case ecase = {.env = env, .kind = kind, .problem = *problem};
    enum tfops_status status = kind == EMULATE_SPECIAL
                                   ? buffers_layout_padded(problem, &ecase.layout)
                                   : buffers_layout(problem, &ecase.layout);
    if (status)
        return status;
    choose_aliases(problem, ecase.onto);
    for (size_t i = 0; i < problem->spec->n_scalars; i++)
        ecase.scalars[i] = problem->spec->scalars[i].default_value;
    ecase.memory = mem_new(env, 3, ecase.layout.bytes + ARENA_ALIGN);
    if (!ecase.memory)
        return TFOPS_E_MEMORY;
    size_t stride = ecase.layout.bytes + ARENA_ALIGN;
    ecase.init = aligned(ecase.memory);
    ecase.gold = aligned(ecase.memory + stride);
    ecase.live = aligned(ecase.memory + 2 * stride);
    paint(&ecase, seed);
    status = run_reference(&ecase);
    if (status)
        emulate_case_release(&ecase);
    else
        *ret_case = ecase;
    return status;
}

enum tfops_status emulate_case_around(const struct env *env, const struct tfops_problem *problem,
    const double *scalars, void *live, struct emulate_case *ret_case)
{
    struct emulate_case ecase = {.env = env, .problem = *problem, .live = live};
    enum tfops_status status = buffers_layout(problem, &ecase.layout);
    memset(ecase.onto, -1, sizeof ecase.onto);
    memcpy(ecase.scalars, scalars, problem->spec->n_scalars * sizeof *scalars);
    if (!status)
        *ret_case = ecase;
    return status;
}

void emulate_case_release(struct emulate_case *ecase)
{
    mem_free(ecase->env, ecase->memory);
    memset(ecase, 0, sizeof *ecase);
}

void emulate_case_reset(struct emulate_case *ecase)
{
    if (ecase->init)
        memcpy(ecase->live, ecase->init, ecase->layout.bytes);
}

/* ---- judging ----------------------------------------------------------------------------------- */

static double value_at(const unsigned char *data, enum tfops_dtype dtype, int64_t i)
{
    switch (dtype) {
    case TFOPS_I32:
        return ((const int32_t *)(const void *)data)[i];
    case TFOPS_I64:
        return (double)((const int64_t *)(const void *)data)[i];
    case TFOPS_U8:
        return data[i];
    default:
        return half_load(data, dtype, i);
    }
}

/* "out[3, 17]" by the operand's own dimensions. */
static void name_element(
    const struct emulate_case *ecase, size_t i, int64_t row, int64_t col, char *text, size_t bytes)
{
    const struct tfops_operand_spec *spec = &ecase->problem.spec->operands[i];
    int64_t index[TFOPS_MAX_OPERAND_RANK] = {0};
    int last = spec->rank - 1;
    size_t used;
    for (int k = last; k >= 0; k--) {
        int64_t extent = ecase->problem.dims[spec->dims[k]];
        index[k] = k == last ? col : row % extent;
        row = k == last ? row : row / extent;
    }
    used = (size_t)snprintf(text, bytes, "%s[", spec->name);
    for (int k = 0; k <= last && used < bytes; k++)
        used += (size_t)snprintf(
            text + used, bytes - used, "%s%lld", k ? ", " : "", (long long)index[k]);
    if (used < bytes)
        snprintf(text + used, bytes - used, "]");
}

struct sums {
    double diff_squares, ref_squares, largest;
    uint64_t beyond, n; /* elements beyond the bound, and all */
    /* The worst element. */
    double off, out, ref;
    int64_t row, col;
};

/* Not-finite values must be the same: else they are off by infinity. */
static double distance(double out, double ref)
{
    if (isfinite(out) && isfinite(ref))
        return fabs(out - ref);
    return out == ref || (isnan(out) && isnan(ref)) ? 0 : INFINITY;
}

/* Whether the element is within its bound. */
static bool add_pair(struct sums *sums, const struct tfops_tolerance *tolerance, double out,
    double ref, int64_t row, int64_t col)
{
    double off = distance(out, ref);
    if (!sums->n++ || off > sums->off) {
        sums->off = off;
        sums->out = out;
        sums->ref = ref;
        sums->row = row;
        sums->col = col;
    }
    if (!isfinite(out) || !isfinite(ref))
        return off == 0;
    sums->diff_squares += off * off;
    sums->ref_squares += ref * ref;
    sums->largest = fmax(sums->largest, fabs(ref));
    return off <= tolerance->atol + tolerance->rtol * fabs(ref);
}

/* "out[3, 17] is 0.5, expected 1.25" */
static void add_element(const struct emulate_case *ecase, size_t i, int64_t row, int64_t col,
    double out, double ref, struct emulate_verdict *verdict)
{
    char place[128];
    size_t used = strlen(verdict->text);
    name_element(ecase, i, row, col, place, sizeof place);
    snprintf(verdict->text + used, sizeof verdict->text - used, "%s is %.9g, expected %.9g", place,
        out, ref);
}

static void add_worst(const struct emulate_case *ecase, size_t i, const struct sums *sums,
    struct emulate_verdict *verdict)
{
    size_t used = strlen(verdict->text);
    snprintf(verdict->text + used, sizeof verdict->text - used, "; worst: ");
    add_element(ecase, i, sums->row, sums->col, sums->out, sums->ref, verdict);
}

/* Every element of an output; the first one beyond its bound is said, unless something else was. */
static struct sums compare(const struct emulate_case *ecase, size_t i,
    const struct tfops_tolerance *tolerance, struct emulate_verdict *verdict)
{
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    int8_t onto = ecase->kind == EMULATE_ALIAS ? ecase->onto[i] : -1;
    const struct buffers_operand *place = onto >= 0 ? &ecase->layout.operands[onto] : operand;
    struct sums sums = {0};
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            double out =
                value_at(ecase->live + place->offset, operand->dtype, row * place->stride + col);
            double ref = value_at(
                ecase->gold + operand->offset, operand->dtype, row * operand->stride + col);
            if (add_pair(&sums, tolerance, out, ref, row, col) || sums.beyond++ || verdict->wrong)
                continue;
            add_element(ecase, i, row, col, out, ref, verdict);
        }
    return sums;
}

/* What this trial's elements are held to. */
static struct tfops_tolerance tolerance_of(const struct emulate_case *ecase, size_t i)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    const struct buffers_operand *operand = &ecase->layout.operands[i];
    struct tfops_tolerance tolerance = {0};
    double squares = 0;
    spec->tolerance(spec->user, &ecase->problem, i, &tolerance);
    for (int64_t row = 0; row < operand->rows; row++)
        for (int64_t col = 0; col < operand->cols; col++) {
            double ref = value_at(
                ecase->gold + operand->offset, operand->dtype, row * operand->stride + col);
            squares += isfinite(ref) ? ref * ref : 0;
        }
    tolerance.atol = tolerance_of_element(&tolerance, ecase->kind == EMULATE_SPECIAL, squares,
        (double)operand->rows * (double)operand->cols);
    return tolerance;
}

static void judge_output(
    const struct emulate_case *ecase, size_t i, struct emulate_verdict *verdict)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    const struct tfops_tolerance tolerance = tolerance_of(ecase, i);
    const struct sums sums = compare(ecase, i, &tolerance, verdict);
    double relative =
        sums.ref_squares > 0 ? sqrt(sums.diff_squares / sums.ref_squares) : sqrt(sums.diff_squares);
    if (relative > verdict->error)
        verdict->error = relative;
    const double most = tolerance_of_norm(&tolerance, ecase->layout.operands[i].dtype,
        ecase->kind == EMULATE_SPECIAL, sums.largest, sums.ref_squares);
    const bool norm = relative > most;
    if (verdict->wrong || (!sums.beyond && !norm))
        return;
    verdict->wrong = true;
    size_t used = strlen(verdict->text);
    if (sums.beyond)
        snprintf(verdict->text + used, sizeof verdict->text - used,
            " (%llu of %llu elements of %s beyond the bound)", (unsigned long long)sums.beyond,
            (unsigned long long)sums.n, spec->operands[i].name);
    else
        snprintf(verdict->text, sizeof verdict->text,
            "%s differs by %.3g of its norm, more than %.3g", spec->operands[i].name, relative,
            most);
    add_worst(ecase, i, &sums, verdict);
}

/* A byte that no output owns: an input's, of the padding of rows, between operands. */
static void say_changed(
    const struct emulate_case *ecase, size_t at, struct emulate_verdict *verdict)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    verdict->wrong = true;
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct buffers_operand *operand = &ecase->layout.operands[i];
        if (!operand->present || at < operand->offset || at >= operand->offset + operand->bytes)
            continue;
        int64_t elem = (int64_t)((at - operand->offset) / operand->elem_bytes);
        int64_t row = elem / operand->stride, col = elem % operand->stride;
        snprintf(verdict->text, sizeof verdict->text, "%s %s: row %lld, column %lld",
            col < operand->cols ? "changes its input" : "writes behind a row of",
            spec->operands[i].name, (long long)row, (long long)col);
        return;
    }
    snprintf(verdict->text, sizeof verdict->text, "writes between the operands, at byte %zu", at);
}

/* Its result stands: no output was put onto it. */
static bool is_output(const struct emulate_case *ecase, size_t i)
{
    for (size_t k = 0; k < ecase->layout.n_operands; k++)
        if (ecase->kind == EMULATE_ALIAS && ecase->onto[k] == (int)i)
            return false;
    return ecase->layout.operands[i].present && ecase->problem.spec->operands[i].access != TFOPS_IN;
}

/* Live with the outputs' rows as they were, against what was. */
static void judge_rest(const struct emulate_case *ecase, struct emulate_verdict *verdict)
{
    unsigned char *rest = mem_copy(ecase->env, ecase->live, ecase->layout.bytes);
    for (size_t i = 0; rest && i < ecase->layout.n_operands; i++) {
        if (!is_output(ecase, i))
            continue;
        int8_t onto = ecase->kind == EMULATE_ALIAS ? ecase->onto[i] : -1;
        const struct buffers_operand *place = &ecase->layout.operands[onto >= 0 ? onto : (int)i];
        for (int64_t row = 0; row < place->rows; row++)
            memcpy(row_of(rest, place, row), row_of(ecase->init, place, row),
                (size_t)place->cols * place->elem_bytes);
    }
    for (size_t at = 0; rest && at < ecase->layout.bytes; at++)
        if (rest[at] != ecase->init[at]) {
            say_changed(ecase, at, verdict);
            break;
        }
    mem_free(ecase->env, rest);
}

void emulate_case_judge(const struct emulate_case *ecase, struct emulate_verdict *ret_verdict)
{
    *ret_verdict = (struct emulate_verdict){.text = ""};
    for (size_t i = 0; i < ecase->problem.spec->n_operands; i++)
        if (is_output(ecase, i))
            judge_output(ecase, i, ret_verdict);
    if (!ret_verdict->wrong)
        judge_rest(ecase, ret_verdict);
}
