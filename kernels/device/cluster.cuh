// cluster.cuh: thread-block clusters and distributed shared memory (sm_90 and later).
//
// Shared memory of a peer may be touched only after every block of the cluster has started, and a
// block must not exit while a peer may still write to it: both are ordered by the cluster barrier.
#pragma once
#include "device/core.cuh"

// PTX ISA 10 special registers: %cluster_ctarank
TF_DEV int cluster_rank()
{
#ifdef TF_HOST
    return (int)emu::me->rank;
#else
    u32 r;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return (int)r;
#endif
}

// PTX ISA 9.7.13.4 barrier.cluster; release and acquire order shared memory of all blocks.
TF_DEV void cluster_arrive()
{
#ifdef TF_HOST
    emu::cluster_arrive();
#else
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

TF_DEV void cluster_wait()
{
#ifdef TF_HOST
    emu::cluster_wait();
#else
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// Until every block of the cluster is here; orders no memory. Before it, a fence of the barriers' inits.
TF_DEV void cluster_meet()
{
#ifdef TF_HOST
    emu::cluster_arrive_relaxed();
    emu::cluster_wait();
#else
    asm volatile("barrier.cluster.arrive.relaxed.aligned;"
                 "barrier.cluster.wait.aligned;" ::
                     : "memory");
#endif
}

// Writes *p of block `rank` (the same offset in its shared memory). PTX ISA 9.7.8.23 mapa.
TF_DEV void cluster_store(float *p, int rank, float v)
{
#ifdef TF_HOST
    *static_cast<float *>(emu::cluster_map(p, rank)) = v;
#else
    const u32 own = (u32)__cvta_generic_to_shared(p);
    asm volatile("{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %0, %1;"
                 "  st.shared::cluster.f32 [peer], %2; }" ::"r"(own),
                 "r"(rank), "f"(v)
                 : "memory");
#endif
}

// Four floats at p, 16-byte aligned, of block `rank`. PTX ISA 9.7.8.23 mapa, 9.7.8.8 ld
TF_DEV void cluster_load(const float *p, int rank, float (&v)[4])
{
#ifdef TF_HOST
    emu::load<16>(v, emu::cluster_map(const_cast<float *>(p), rank));
#else
    const u32 own = (u32)__cvta_generic_to_shared(p);
    asm volatile("{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %4, %5;"
                 "  ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [peer]; }"
                 : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3])
                 : "r"(own), "r"(rank)
                 : "memory");
#endif
}
