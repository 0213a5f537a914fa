/*
 * Overlap of strided operands (see overlap.h). Two elements share a byte when a sum of step · index,
 * each index within its bounds, comes to the difference of their addresses: a bounded linear
 * Diophantine equation. It is searched from the largest step down; what the smaller steps can still
 * add bounds each index, so that layouts of rows within rows leave one or two values to try.
 */
#include "overlap.h"

enum {
    MOST_TERMS = 2 * TFOPS_MAX_OPERAND_RANK + 1,
    MOST_TRIES = 4096,
};

/* Spans beyond it count as overlapping: sums stay far from overflow. */
static const int64_t MOST_SPAN = 1ll << 60;

/* step · t, low ≤ t ≤ high, step > 0. */
struct term {
    int64_t step, low, high;
};

/* Terms by descending step; equal steps are one. */
struct sum {
    struct term terms[MOST_TERMS];
    int n;
};

static void add(struct sum *sum, int64_t step, int64_t low, int64_t high)
{
    int at = 0;
    while (at < sum->n && sum->terms[at].step > step)
        at++;
    if (at < sum->n && sum->terms[at].step == step) {
        sum->terms[at].low += low;
        sum->terms[at].high += high;
        return;
    }
    for (int i = sum->n++; i > at; i--)
        sum->terms[i] = sum->terms[i - 1];
    sum->terms[at] = (struct term){step, low, high};
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Whether the terms from `k` on can come to `target`; true as well when the tries run out. */
static bool reaches(const struct sum *sum, int k, int64_t target, int *tries)
{
    int64_t rest_low = 0, rest_high = 0;
    if (k == sum->n)
        return target == 0;
    for (int i = k + 1; i < sum->n; i++) {
        rest_low += sum->terms[i].step * sum->terms[i].low;
        rest_high += sum->terms[i].step * sum->terms[i].high;
    }
    const struct term *term = &sum->terms[k];
    int64_t from = -floor_div(rest_high - target, term->step);
    int64_t to = floor_div(target - rest_low, term->step);
    from = from < term->low ? term->low : from;
    to = to > term->high ? term->high : to;
    for (int64_t t = from; t <= to; t++)
        if (--*tries < 0 || reaches(sum, k + 1, target - term->step * t, tries))
            return true;
    return false;
}

/* Bytes from the first element's start to the last one's end; MOST_SPAN and more: too many. */
static int64_t span_of(const struct overlap_operand *operand)
{
    int64_t reach = 0, step;
    for (int d = 0; d < operand->rank; d++)
        if (__builtin_mul_overflow(operand->extents[d] - 1, operand->strides[d], &step) ||
            __builtin_add_overflow(reach, step, &reach) || reach > MOST_SPAN / 16)
            return MOST_SPAN;
    return (reach + 1) * (int64_t)operand->elem_bytes;
}

/*
 * The difference of two indices is not 0: one of its entries is the first that is not, and may be
 * taken to be positive. For each: that entry from 1 on, those before it 0, those behind it free.
 */
bool overlap_within(const struct overlap_operand *operand)
{
    int tries = MOST_TRIES;
    if (span_of(operand) >= MOST_SPAN)
        return true;
    for (int first = 0; first < operand->rank; first++) {
        struct sum sum = {.n = 0};
        if (operand->extents[first] == 1)
            continue;
        if (!operand->strides[first])
            return true;
        add(&sum, operand->strides[first], 1, operand->extents[first] - 1);
        for (int d = first + 1; d < operand->rank; d++)
            if (operand->strides[d])
                add(&sum, operand->strides[d], 1 - operand->extents[d], operand->extents[d] - 1);
        if (reaches(&sum, 0, 0, &tries))
            return true;
    }
    return false;
}

/* begin_a + Σ stride_a · i + byte_a = begin_b + Σ stride_b · k + byte_b, in bytes. */
bool overlap_between(const struct overlap_operand *a, const struct overlap_operand *b)
{
    struct sum sum = {.n = 0};
    int tries = MOST_TRIES;
    const int64_t a_bytes = (int64_t)a->elem_bytes, b_bytes = (int64_t)b->elem_bytes;
    const int64_t a_span = span_of(a), b_span = span_of(b);
    const int64_t shift = (int64_t)(b->begin - a->begin);
    if (a_span >= MOST_SPAN || b_span >= MOST_SPAN)
        return true;
    if (shift >= a_span || shift <= -b_span)
        return false;
    add(&sum, 1, 1 - b_bytes, a_bytes - 1);
    for (int d = 0; d < a->rank; d++)
        if (a->strides[d])
            add(&sum, a->strides[d] * a_bytes, 0, a->extents[d] - 1);
    for (int d = 0; d < b->rank; d++)
        if (b->strides[d])
            add(&sum, b->strides[d] * b_bytes, 1 - b->extents[d], 0);
    return reaches(&sum, 0, shift, &tries);
}
