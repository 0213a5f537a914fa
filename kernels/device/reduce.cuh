// reduce.cuh: sums over the threads that share a row: part of a warp, several warps, a cluster.
//
// Every thread of the group gets the sum, and all of them the same bits: the order of additions
// depends on the group's size alone. One barrier a call: two scratch sets are used in turn, so a
// set is written again only after everyone has passed the next call's barrier.
#pragma once
#include "device/cluster.cuh"
#include "device/thread.cuh"

// Sum over aligned groups of LANES lanes.
template <int LANES, class T> TF_DEV T lanes_sum(T v)
{
    static_assert(LANES >= 1 && LANES <= 32 && (LANES & (LANES - 1)) == 0, "part of a warp");
    TF_UNROLL
    for (int mask = LANES / 2; mask; mask /= 2)
        v += shfl_xor(v, mask);
    return v;
}

// Sum of COUNT floats in shared memory, in every lane.
template <int COUNT> TF_DEV float shared_sum(const float *part)
{
    if constexpr (COUNT <= 16) { // broadcast reads: shorter than a second round of shuffles
        float sum = 0;
        TF_UNROLL
        for (int i = 0; i < COUNT; i++)
            sum += part[i];
        return sum;
    } else {
        const int lane = thread_index() % 32;
        float sum = 0;
        TF_UNROLL
        for (int i = 0; i < COUNT; i += 32)
            sum += i + lane < COUNT ? part[i + lane] : 0.0f;
        return lanes_sum<32>(sum);
    }
}

// Threads [k * GROUP, (k + 1) * GROUP) of each of the CLUSTER blocks share a row.
//
// With a cluster: call cluster_arrive() at the start of the kernel; the first sum waits for it.
template <int THREADS, int GROUP, int CLUSTER> struct GroupSum {
    static_assert(GROUP <= 32 ? 32 % GROUP == 0 : GROUP % 32 == 0, "part of a warp or whole warps");
    static_assert(THREADS % GROUP == 0, "whole groups");
    static_assert(
        CLUSTER == 1 || (GROUP == THREADS && GROUP >= 32), "a clustered block is a group");
    static constexpr int WARPS = ceil_div(GROUP, 32);
    static constexpr int PARTS = WARPS * CLUSTER;
    static constexpr int SET_FLOATS = ceil_div(THREADS / GROUP * PARTS, 4) * 4;
    static constexpr int SCRATCH_BYTES = PARTS == 1 ? 0 : 2 * SET_FLOATS * 4;

    // The k-th call (from 0) of every thread; scratch is SCRATCH_BYTES of shared memory.
    TF_DEV float sum(float v, float *scratch, u32 k)
    {
        v = lanes_sum<min_int(GROUP, 32)>(v);
        if constexpr (PARTS == 1)
            return v;
        const int thread = thread_index(), group = thread / GROUP;
        const int lane = thread % 32, warp = thread % GROUP / 32;
        float *part = scratch + (k & 1) * SET_FLOATS + group * PARTS;
        if constexpr (CLUSTER == 1) {
            if (lane == 0)
                part[warp] = v;
            block_sync(); // the partial sums of all warps
        } else {
            if (k == 0)
                cluster_wait();
            if (lane < CLUSTER)
                cluster_store(part + cluster_rank() * WARPS + warp, lane, v);
            cluster_arrive();
            cluster_wait();
        }
        return shared_sum<PARTS>(part);
    }
};
