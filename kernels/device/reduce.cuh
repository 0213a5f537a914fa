// reduce.cuh: reductions over the threads that share a row: part of a warp, several warps, a cluster.
//
// A reduction is a struct with WORDS, the floats of its value, none(), the value that changes nothing,
// and combine(a, b), which leaves in a what both hold. Or it is RELATIVE: f[1] of its values is a sum
// relative to a base, say a maximum; base(v) is what the reduction Base is made of, and relate(v, b)
// makes v relative to the base b of several. So that is reduced in two rounds, bases before sums, which
// is half the work of relating both sides at every step. Every thread of the group gets the result, and
// all of them the same bits: the order depends on the group's size alone. One barrier a call: two
// scratch sets are used in turn, so a set is written again only after everyone has passed the next
// call's barrier.
#pragma once
#include "device/cluster.cuh"
#include "device/math.cuh"
#include "device/thread.cuh"

template <int WORDS> struct Floats {
    float f[WORDS];
};

struct ReduceSum {
    static constexpr int WORDS = 1;
    using Value = Floats<1>;
    TF_DEV Value none()
    {
        return {{0.0f}};
    }
    TF_DEV void combine(Value &a, const Value &b)
    {
        a.f[0] += b.f[0];
    }
};

// The greatest, or NaN if there is one.
struct ReduceMax {
    static constexpr int WORDS = 1;
    using Value = Floats<1>;
    TF_DEV Value none()
    {
        return {{f32_from_bits(0xff800000u)}}; // -infinity
    }
    TF_DEV void combine(Value &a, const Value &b)
    {
        a.f[0] = max_nan(a.f[0], b.f[0]);
    }
};

// Whether R says RELATIVE.
template <class R, class = void> struct ReduceRelative {
    static constexpr bool VALUE = false;
};
template <class R> struct ReduceRelative<R, decltype((void)R::RELATIVE)> {
    static constexpr bool VALUE = R::RELATIVE;
};

// Over aligned groups of LANES lanes; every lane of the warp takes part.
template <class R, int LANES> TF_DEV typename R::Value lanes_reduce(typename R::Value v)
{
    static_assert(LANES >= 1 && LANES <= 32 && (LANES & (LANES - 1)) == 0, "part of a warp");
    if constexpr (ReduceRelative<R>::VALUE) {
        R::relate(v, lanes_reduce<typename R::Base, LANES>(R::base(v)));
        v.f[1] = lanes_reduce<ReduceSum, LANES>({{v.f[1]}}).f[0];
    } else {
        TF_UNROLL
        for (int mask = LANES / 2; mask; mask /= 2) {
            typename R::Value other;
            TF_UNROLL
            for (int i = 0; i < R::WORDS; i++)
                other.f[i] = shfl_xor(v.f[i], mask);
            R::combine(v, other);
        }
    }
    return v;
}

template <class R> TF_DEV void combine_parts(typename R::Value &a, typename R::Value b)
{
    if constexpr (ReduceRelative<R>::VALUE) {
        auto both = R::base(a);
        R::Base::combine(both, R::base(b));
        R::relate(a, both);
        R::relate(b, both);
        a.f[1] += b.f[1];
    } else {
        R::combine(a, b);
    }
}

// STEP: from one lane of a group to the next.
template <int LANES, int STEP = 1, class T> TF_DEV T lanes_sum(T v)
{
    static_assert(LANES >= 1 && LANES * STEP <= 32 && (LANES & (LANES - 1)) == 0, "part of a warp");
    TF_UNROLL
    for (int mask = LANES / 2; mask; mask /= 2)
        v += shfl_xor(v, mask * STEP);
    return v;
}

// Of COUNT values in shared memory, in every lane.
template <class R, int COUNT> TF_DEV typename R::Value shared_reduce(const typename R::Value *part)
{
    if constexpr (COUNT <= 16 && !ReduceRelative<R>::VALUE) { // broadcast reads: no second shuffles
        typename R::Value v = part[0];
        TF_UNROLL
        for (int i = 1; i < COUNT; i++)
            R::combine(v, part[i]);
        return v;
    } else {
        const int lane = (int)(thread_index() % 32u);
        typename R::Value v = lane < COUNT ? part[lane] : R::none();
        TF_UNROLL
        for (int i = 32; i < COUNT; i += 32)
            if (i + lane < COUNT)
                combine_parts<R>(v, part[i + lane]);
        return lanes_reduce<R, 32>(v);
    }
}

// Threads [k * GROUP, (k + 1) * GROUP) of each of the CLUSTER blocks share a row.
template <int THREADS, int GROUP, int CLUSTER> struct GroupScratch {
    static_assert(GROUP <= 32 ? 32 % GROUP == 0 : GROUP % 32 == 0, "part of a warp or whole warps");
    static_assert(THREADS % GROUP == 0, "whole groups");
    static_assert(
        CLUSTER == 1 || (GROUP == THREADS && GROUP >= 32), "a clustered block is a group");
    static constexpr int WARPS = ceil_div(GROUP, 32);
    static constexpr int PARTS = WARPS * CLUSTER;
    // A set holds values of at most `words` floats.
    TF_DEV constexpr int set_floats(int words)
    {
        return ceil_div(THREADS / GROUP * PARTS * words, 4) * 4;
    }
    TF_DEV constexpr int bytes(int words)
    {
        return PARTS == 1 ? 0 : 2 * set_floats(words) * 4;
    }
};

// The k-th call (from 0) of every thread. `scratch` is GroupScratch::bytes(WORDS) of shared memory,
// WORDS at least R's and the same in all calls. With a cluster: call cluster_arrive() at the start
// of the kernel; the first call waits for it.
template <class R, int WORDS, int THREADS, int GROUP, int CLUSTER>
TF_DEV typename R::Value group_reduce(typename R::Value v, float *scratch, u32 k)
{
    using S = GroupScratch<THREADS, GROUP, CLUSTER>;
    using V = typename R::Value;
    v = lanes_reduce<R, min_int(GROUP, 32)>(v);
    if constexpr (S::PARTS == 1) {
        return v;
    } else {
        const u32 thread = (u32)thread_index(), lane = thread % 32u, warp = thread % GROUP / 32u;
        V *part = reinterpret_cast<V *>(scratch + (k & 1) * S::set_floats(WORDS)) +
                  thread / GROUP * S::PARTS;
        if constexpr (CLUSTER == 1) {
            if (lane == 0)
                part[warp] = v;
            block_sync(); // the parts of all warps
        } else {
            if (k == 0)
                cluster_wait();
            if (lane < CLUSTER) {
                V *mine = part + (u32)cluster_rank() * S::WARPS + warp;
                TF_UNROLL
                for (int i = 0; i < R::WORDS; i++)
                    cluster_store(&mine->f[i], (int)lane, v.f[i]);
            }
            cluster_arrive();
            cluster_wait();
        }
        return shared_reduce<R, S::PARTS>(part);
    }
}
