// compare.cu: judges a tensor against a reference, or memory against a pattern, on the device.
//
// A block takes tiles of TILE columns of one row; any grid is right. Differences are fp64; the sums
// are reduced in a block, then added by atomics: their last bits depend on the order of blocks.
// Pattern mode looks at the elements' bits: what is not the repeated pattern is a violation, and
// the phase of the pattern starts anew at each row's column 0.
// Shared memory: none. Synchronisation: warp shuffles only, one set of atomics a warp.
#include "device/atomic.cuh"
#include "device/core.cuh"
#include "device/mem.cuh"
#include "device/num.cuh"
#include "device/reduce.cuh"
#include "device/thread.cuh"
#include "support/compare_params.h"

struct CompareTally {
    double diff_squares, ref_squares;
    u64 class_diffs, violations, first;
    u32 max_beyond_bits, largest_bits;
};

TF_DEV u32 compare_raw(const void *base, int dtype, long long i)
{
    const u8 *p = static_cast<const u8 *>(base);
    if (dtype_bytes(dtype) == 1)
        return ld_byte(p + i);
    if (dtype_bytes(dtype) == 2)
        return ld_half<LD_KEEP>(p + i * 2);
    u32 w;
    ld_words<LD_KEEP, 1>(p + i * 4, &w);
    return w;
}

// Every dtype's values are exact in fp64, counts up to 2^53.
TF_DEV double compare_value(const void *base, int dtype, long long i)
{
    if (dtype == DTYPE_I64)
        return (double)ld_elem<LD_KEEP>(static_cast<const long long *>(base) + i);
    const u32 raw = compare_raw(base, dtype, i);
    if (dtype == DTYPE_I32)
        return (double)(int)raw;
    if (dtype == DTYPE_F16)
        return to_f32(f16{(u16)raw});
    if (dtype == DTYPE_BF16)
        return to_f32(bf16{(u16)raw});
    if (dtype == DTYPE_E4M3)
        return to_f32(e4m3{(u8)raw});
    if (dtype == DTYPE_E5M2)
        return to_f32(e5m2{(u8)raw});
    if (dtype == DTYPE_U8) // bytes of what has no values here
        return (float)raw;
    return f32_from_bits(raw);
}

TF_DEV bool compare_finite(double v)
{
    return v - v == 0;
}

TF_DEV bool compare_nan(double v)
{
    return v != v;
}

TF_DEV void compare_violation(CompareTally &t, u64 at)
{
    t.violations++;
    t.first = at < t.first ? at : t.first;
}

TF_DEV void compare_pair(CompareTally &t, const compare_params &p, double a, double b, u64 at)
{
    if (!compare_finite(a) || !compare_finite(b)) {
        if (a == b || (compare_nan(a) && compare_nan(b)))
            return;
        t.class_diffs++;
        compare_violation(t, at);
        return;
    }
    const double diff = a - b, size = diff < 0 ? -diff : diff;
    const double ref = b < 0 ? -b : b;
    t.diff_squares += diff * diff;
    t.ref_squares += ref * ref;
    const double beyond = size - (double)p.rtol * ref;
    const u32 bits = beyond > 0 ? f32_bits((float)beyond) : 0;
    t.max_beyond_bits = bits > t.max_beyond_bits ? bits : t.max_beyond_bits;
    const u32 ref_bits = f32_bits((float)ref);
    t.largest_bits = ref_bits > t.largest_bits ? ref_bits : t.largest_bits;
    if (beyond > (double)p.atol)
        compare_violation(t, at);
}

TF_DEV u32 compare_pattern_at(const compare_params &p, long long col)
{
    if (dtype_bytes(p.a_dtype) == 1)
        return p.pattern >> (col % 4 * 8) & 0xffu;
    if (dtype_bytes(p.a_dtype) == 2)
        return p.pattern >> (col % 2 * 16) & 0xffffu;
    return p.pattern;
}

TF_DEV void compare_at(CompareTally &t, const compare_params &p, long long row, long long col)
{
    const u64 at = (u64)(row * p.cols + col);
    const long long a = row * p.a_stride + col;
    if (p.mode == COMPARE_PATTERN) {
        if (compare_raw(p.a, p.a_dtype, a) != compare_pattern_at(p, col))
            compare_violation(t, at);
        return;
    }
    const long long b = row * p.b_stride + col;
    compare_pair(t, p, compare_value(p.a, p.a_dtype, a), compare_value(p.b, p.b_dtype, b), at);
}

TF_DEV void compare_add(compare_result *r, CompareTally t)
{
    TF_UNROLL
    for (int mask = 16; mask; mask /= 2) {
        const u64 first = shfl_xor(t.first, mask);
        const u32 bits = shfl_xor(t.max_beyond_bits, mask);
        const u32 largest = shfl_xor(t.largest_bits, mask);
        t.first = first < t.first ? first : t.first;
        t.max_beyond_bits = bits > t.max_beyond_bits ? bits : t.max_beyond_bits;
        t.largest_bits = largest > t.largest_bits ? largest : t.largest_bits;
    }
    t.diff_squares = lanes_sum<32>(t.diff_squares);
    t.ref_squares = lanes_sum<32>(t.ref_squares);
    t.class_diffs = lanes_sum<32>(t.class_diffs);
    t.violations = lanes_sum<32>(t.violations);
    if (thread_index() % 32 != 0)
        return;
    atomic_add(&r->diff_squares, t.diff_squares);
    atomic_add(&r->ref_squares, t.ref_squares);
    atomic_max(&r->max_beyond_bits, t.max_beyond_bits);
    atomic_max(&r->largest_bits, t.largest_bits);
    if (t.violations == 0)
        return;
    atomic_add(&r->class_diffs, t.class_diffs);
    atomic_add(&r->violations, t.violations);
    atomic_min(&r->first, t.first);
}

template <class C> TF_DEV void compare(const compare_params &p)
{
    constexpr long long TILE = (long long)C::THREADS * 16;
    const long long tiles_row = (p.cols + TILE - 1) / TILE, tiles = tiles_row * p.rows;
    CompareTally t = {0, 0, 0, 0, ~0ull, 0, 0};
    for (long long tile = block_index(); tile < tiles; tile += block_count()) {
        const long long row = tile / tiles_row, first = tile % tiles_row * TILE;
        const long long end = first + TILE < p.cols ? first + TILE : p.cols;
        for (long long col = first + thread_index(); col < end; col += C::THREADS)
            compare_at(t, p, row, col);
    }
    compare_add(p.result, t);
}
