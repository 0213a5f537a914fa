/* Matching of any shape (see match_wide.h). */
#include "match_wide.h"
#include "key.h"
#include "overlap.h"
#include "problem.h"

#define HOT __attribute__((hot, aligned(64)))
#define NOINLINE __attribute__((noinline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- once for a plan ---------------------------------------------------------------------------- */

static void add_operand(const struct tfops_problem *problem, size_t i, struct match_wide *match)
{
    const struct tfops_operand_spec *operand = &problem->spec->operands[i];
    struct wide_operand *row = &match->operands[match->n_operands];
    *row = (struct wide_operand){.index = (uint8_t)i,
        .dtype = problem->dtypes[operand->dtype],
        .elem_bytes = (uint8_t)problem_operand_bytes(problem, i),
        .rank = (uint8_t)operand->rank,
        .rows = operand->flags & TFOPS_OPERAND_ROWS,
        .aligned = !(operand->flags & TFOPS_OPERAND_ELEMENTS),
        .written = operand->access != TFOPS_IN};
    for (int d = 0; d < operand->rank; d++)
        row->dims[d] = (uint8_t)operand->dims[d];
    for (unsigned k = 0; k < match->n_operands && row->written; k++) {
        const struct wide_operand *other = &match->operands[k];
        const bool may = operand->may_alias >> other->index & 1 ||
                         problem->spec->operands[other->index].may_alias >> i & 1;
        if (may && other->rank == row->rank && other->elem_bytes == row->elem_bytes)
            row->may_alias |= (uint16_t)(1u << k);
    }
    match->n_operands++;
}

static void add_operands(
    const struct tfops_problem *problem, bool written, struct match_wide *match)
{
    for (size_t i = 0; i < problem->spec->n_operands; i++)
        if (problem->present >> i & 1 && (problem->spec->operands[i].access != TFOPS_IN) == written)
            add_operand(problem, i, match);
}

/* False: no operand tells it. */
static bool add_source(const struct tfops_dim_spec *dim, size_t i, struct match_wide *match)
{
    for (unsigned row = 0; row < match->n_operands; row++)
        for (unsigned d = 0; d < match->operands[row].rank; d++)
            if (match->operands[row].dims[d] == i) {
                match->sources[match->n_sources++] = (struct wide_source){.dim = (uint8_t)i,
                    .row = (uint8_t)row,
                    .at = (uint8_t)d,
                    .least = problem_least_extent(dim),
                    .most = dim->max};
                return true;
            }
    return false;
}

/* What no present operand tells, request_bind() takes to be what it is in a request without it. */
static bool all_told(const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    const uint32_t dims = problem_told_dims(problem);
    uint32_t dtypes = 1;
    for (size_t i = 0; i < spec->n_operands; i++)
        if (problem->present >> i & 1)
            dtypes |= 1u << spec->operands[i].dtype;
    for (size_t i = 0; i < spec->n_dtypes; i++)
        if (!(dtypes >> i & 1) && problem->dtypes[i] != problem_default_dtype(problem, i))
            return false;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!(dims >> i & 1) && problem->dims[i] && spec->dims[i].flags != TFOPS_DIM_DERIVED)
            return false;
    return true;
}

void match_wide_init(const struct tfops_problem *problem, struct match_wide *ret_match)
{
    const struct tfops_spec *spec = problem->spec;
    *ret_match = (struct match_wide){
        .usable = all_told(problem), .dynamic_dim = (uint8_t)key_dynamic_dim(spec)};
    for (size_t i = 0; i < spec->n_operands; i++)
        if (!(problem->present >> i & 1))
            ret_match->absent |= (uint16_t)(1u << i);
    add_operands(problem, false, ret_match);
    ret_match->first_written = ret_match->n_operands;
    add_operands(problem, true, ret_match);
    for (size_t i = 0; i < spec->n_dims; i++) {
        const uint32_t flags = spec->dims[i].flags;
        if (flags == TFOPS_DIM_DERIVED)
            ret_match->derived[ret_match->n_derived++] = (uint8_t)i;
        else if (flags && !add_source(&spec->dims[i], i, ret_match))
            ret_match->usable &= !(flags & TFOPS_DIM_DYNAMIC);
        ret_match->asks |= spec->accepts && flags & (TFOPS_DIM_FREE | TFOPS_DIM_DERIVED);
    }
}

/* ---- at every launch ---------------------------------------------------------------------------- */

/* A tensor as its operand has it: the tensor's own numbers where nothing collapses. */
struct wide_shape {
    const int64_t *extents, *strides;
    int64_t collapsed[2 * TFOPS_MAX_OPERAND_RANK];
};

/* The first `n` extents as one dimension. False: not in one common stride, or too many. */
static bool collapse(
    const struct tfops_tensor *tensor, int n, int64_t *ret_extent, int64_t *ret_stride)
{
    int64_t extent = 1, stride = 0, next;
    for (int i = n - 1; i >= 0; i--) {
        const int64_t one = tensor->shape[i];
        if (one == 1)
            continue;
        if (extent == 1)
            stride = tensor->strides[i];
        else if (__builtin_mul_overflow(stride, extent, &next) || tensor->strides[i] != next)
            return false;
        if (one < 1 || __builtin_mul_overflow(extent, one, &extent))
            return false;
    }
    *ret_extent = extent;
    *ret_stride = stride;
    return true;
}

static NOINLINE bool flatten(const struct wide_operand *operand, const struct tfops_tensor *tensor,
    struct wide_shape *ret_shape)
{
    const int extra = tensor->rank - operand->rank, rank = operand->rank;
    int64_t *extents = ret_shape->collapsed, *strides = extents + TFOPS_MAX_OPERAND_RANK;
    if (tensor->rank < 0 || tensor->rank > TFOPS_MAX_RANK || !operand->rows || extra < -1 ||
        !collapse(tensor, extra + 1, &extents[0], &strides[0]))
        return false;
    for (int d = 1; d < rank; d++) {
        extents[d] = tensor->shape[d + extra];
        strides[d] = tensor->strides[d + extra];
    }
    ret_shape->extents = extents;
    ret_shape->strides = strides;
    return true;
}

static inline bool take_shapes(
    const struct match_wide *match, const struct tfops_args *args, struct wide_shape *shapes)
{
    for (unsigned i = 0; i < match->n_operands; i++) {
        const struct wide_operand *operand = &match->operands[i];
        const struct tfops_tensor *tensor = args->operands[operand->index];
        if (UNLIKELY(!tensor || (unsigned)tensor->dtype != operand->dtype))
            return false;
        shapes[i].extents = tensor->shape;
        shapes[i].strides = tensor->strides;
        if (UNLIKELY(tensor->rank != operand->rank) && !flatten(operand, tensor, &shapes[i]))
            return false;
    }
    return true;
}

/*
 * Extents against the problem's, and strides into the view: those that an extent of 1 leaves open are
 * closed. Numbers from 2^31 on are far, so that products of two and sums of four stay below 2^64.
 * *ret_reach: from the first element to the last. Returns whether each stride goes beyond all that is
 * within it. `rank` is a constant where this is inlined.
 */
static inline __attribute__((always_inline)) bool bind_dims(const struct wide_operand *operand,
    const struct wide_shape *shape, int rank, const int64_t *dims, struct tfops_view *view,
    struct match_findings *found, uint64_t *ret_reach)
{
    uint64_t natural = 1, reach = 0, far = 0, wrong = 0, misfit = 0;
    bool ordered = true;
    for (int d = rank - 1; d >= 0; d--) {
        /* A tensor has as many extents as its operand, or flatten() gave it those. */
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
        const uint64_t extent = (uint64_t)shape->extents[d], many = -(uint64_t)(extent != 1);
        const uint64_t stride = ((uint64_t)shape->strides[d] & many) | (natural & ~many);
        wrong |= extent ^ (uint64_t)dims[operand->dims[d]];
        far |= extent | stride | natural;
        if (d == rank - 1)
            wrong |= stride ^ 1;
        else
            misfit |= stride;
        ordered &= (extent == 1) | (stride > reach);
        reach += (extent - 1) * stride;
        natural *= extent;
        view->strides[d] = (int64_t)stride;
    }
    found->wrong |= wrong | far >> 31 | reach >> 58;
    found->misfit |= operand->aligned ? misfit * operand->elem_bytes : 0;
    *ret_reach = reach;
    return ordered;
}

static inline bool bind_ranks(const struct wide_operand *operand, const struct wide_shape *shape,
    const int64_t *dims, struct tfops_view *view, struct match_findings *found, uint64_t *ret_reach)
{
    _Static_assert(TFOPS_MAX_OPERAND_RANK == 4, "a case for each");
    switch (operand->rank) {
    case 1:
        return bind_dims(operand, shape, 1, dims, view, found, ret_reach);
    case 2:
        return bind_dims(operand, shape, 2, dims, view, found, ret_reach);
    case 3:
        return bind_dims(operand, shape, 3, dims, view, found, ret_reach);
    default:
        return bind_dims(operand, shape, 4, dims, view, found, ret_reach);
    }
}

/* The same in whatever order the dimensions are in memory. */
static NOINLINE bool is_spread(const struct wide_operand *operand, const struct wide_shape *shape,
    const struct tfops_view *view)
{
    uint32_t left = (1u << operand->rank) - 1;
    int64_t reach = 0;
    while (left) { /* extents and strides are below 2^31 */
        unsigned least = (unsigned)__builtin_ctz(left);
        for (unsigned d = least + 1; d < operand->rank; d++)
            if (left >> d & 1 && view->strides[d] < view->strides[least])
                least = d;
        if (shape->extents[least] > 1 && view->strides[least] <= reach)
            return false;
        reach += (shape->extents[least] - 1) * view->strides[least];
        /* A bit is left, so that `least` is below 32. */
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        left &= ~(1u << least);
    }
    return true;
}

/* Everything about one operand but overlap. */
static inline void bind_operand(const struct wide_operand *operand, const struct wide_shape *shape,
    void *data, struct request *request, struct match_range *range, struct match_findings *found)
{
    struct tfops_view *view = &request->operands[operand->index];
    uint64_t reach;
    view->data = data;
    const bool ordered = bind_ranks(operand, shape, request->problem.dims, view, found, &reach);
    if (UNLIKELY(!ordered && operand->written && !found->wrong))
        found->wrong |= !is_spread(operand, shape, view);
    range->begin = (uintptr_t)data;
    range->end = range->begin + (reach + 1) * operand->elem_bytes;
    found->misfit |= operand->aligned ? range->begin : 0;
    found->wrong |= (uint64_t)!data | (range->begin & (operand->elem_bytes - 1u));
    found->wrong |= (range->begin | range->end) >> 62; /* differences of two have a sign */
}

static void describe(const struct wide_operand *operand, const struct wide_shape *shape,
    const struct tfops_view *view, struct overlap_operand *ret_operand)
{
    *ret_operand = (struct overlap_operand){
        .begin = (uintptr_t)view->data, .rank = operand->rank, .elem_bytes = operand->elem_bytes};
    for (int d = 0; d < operand->rank; d++) {
        ret_operand->extents[d] = shape->extents[d];
        ret_operand->strides[d] = view->strides[d];
    }
}

/* Two operands whose ranges meet: one and the same where that is allowed, or rows within rows. */
static bool may_meet(const struct match_wide *match, const struct wide_shape *shapes, unsigned a,
    unsigned b, const struct request *request)
{
    const struct wide_operand *written = &match->operands[a], *other = &match->operands[b];
    const struct tfops_view *view = &request->operands[written->index];
    const struct tfops_view *beside = &request->operands[other->index];
    struct overlap_operand of_a, of_b;
    bool same = written->may_alias >> b & 1 && view->data == beside->data;
    for (int d = 0; same && d < written->rank; d++)
        same = view->strides[d] == beside->strides[d];
    if (same)
        return true;
    describe(written, &shapes[a], view, &of_a);
    describe(other, &shapes[b], beside, &of_b);
    return !overlap_between(&of_a, &of_b);
}

static NOINLINE bool keeps_off(const struct match_wide *match, const struct wide_shape *shapes,
    const struct match_range *ranges, unsigned written, const struct request *request)
{
    for (unsigned k = 0; k < written; k++)
        if (ranges[written].begin < ranges[k].end && ranges[k].begin < ranges[written].end &&
            !may_meet(match, shapes, written, k, request))
            return false;
    return true;
}

/* Ranges first, without a branch for each pair: two addresses less each other's end are both below 0
 * where they meet. */
static inline bool keep_apart(const struct match_wide *match, const struct wide_shape *shapes,
    const struct match_range *ranges, const struct request *request)
{
    for (unsigned i = match->first_written; i < match->n_operands; i++) {
        const struct match_range range = ranges[i];
        uint64_t meets = 0;
        for (unsigned k = 0; k < i; k++)
            meets |= (range.begin - ranges[k].end) & (ranges[k].begin - range.end);
        if (UNLIKELY(meets >> 63) && !keeps_off(match, shapes, ranges, i, request))
            return false;
    }
    return true;
}

/* The extents that this launch has of its own. Non-zero when one is out of its range. */
static inline uint64_t take_extents(
    const struct match_wide *match, const struct wide_shape *shapes, struct tfops_problem *problem)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < match->n_sources; i++) {
        const struct wide_source *source = &match->sources[i];
        const int64_t extent = shapes[source->row].extents[source->at];
        wrong |= extent < source->least || extent > source->most || extent < 1;
        problem->dims[source->dim] = extent;
    }
    if (wrong)
        return wrong;
    const struct tfops_spec *spec = problem->spec;
    for (unsigned i = 0; i < match->n_derived; i++)
        problem->dims[match->derived[i]] = spec->derive(spec->user, problem, match->derived[i]);
    return 0;
}

static inline uint64_t take_scalars(
    const struct tfops_spec *spec, const struct tfops_args *args, double *ret_scalars)
{
    uint64_t wrong = args->n_scalars > spec->n_scalars;
    for (size_t i = 0; i < spec->n_scalars; i++) {
        const struct tfops_scalar_spec *scalar = &spec->scalars[i];
        const double value = i < args->n_scalars ? args->scalars[i] : scalar->default_value;
        wrong |= !((value >= scalar->min) & (value <= scalar->max));
        ret_scalars[i] = value;
    }
    return wrong;
}

HOT bool match_wide_bind(const struct match_wide *match, const struct tfops_problem *problem,
    const struct tfops_args *args, enum match_align align, struct request *ret_request)
{
    struct wide_shape shapes[TFOPS_MAX_OPERANDS];
    struct match_range ranges[TFOPS_MAX_OPERANDS];
    struct match_findings found = {.misfit = 16};
    char reason[TFOPS_REASON_BYTES];
    if (UNLIKELY(!match->usable || !args || args->size != sizeof *args))
        return false;
    if (UNLIKELY(!take_shapes(match, args, shapes)))
        return false;
    ret_request->problem = *problem;
    found.wrong = take_extents(match, shapes, &ret_request->problem);
    if (UNLIKELY(found.wrong))
        return false;
    for (unsigned i = 0; i < match->n_operands; i++)
        bind_operand(&match->operands[i], &shapes[i],
            args->operands[match->operands[i].index]->data, ret_request, &ranges[i], &found);
    for (unsigned absent = match->absent; absent; absent &= absent - 1) {
        const int i = __builtin_ctz(absent);
        found.wrong |= (uintptr_t)args->operands[i];
        ret_request->operands[i].data = NULL;
    }
    found.wrong |= args->flags ^ problem->flags;
    found.wrong |= match_options(args->options, problem->options);
    found.wrong |= take_scalars(problem->spec, args, ret_request->scalars);
    const uint64_t low = found.misfit & (~found.misfit + 1); /* the class: the lowest set bit */
    found.wrong |= align == MATCH_ALIGN_EXACT ? low ^ problem->align : low < problem->align;
    if (UNLIKELY(found.wrong || !keep_apart(match, shapes, ranges, ret_request)))
        return false;
    return !match->asks ||
           problem->spec->accepts(problem->spec->user, &ret_request->problem, reason);
}
