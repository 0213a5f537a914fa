// wrappers.cu: the wrappers of shuffles, atomics, global memory, clusters, barriers and reductions,
// for test_wrappers.c. Words that a thread has to say go to its place in `out`.
#include "device/atomic.cuh"
#include "device/barrier.cuh"
#include "device/cluster.cuh"
#include "device/grid.cuh"
#include "device/mem.cuh"
#include "device/reduce.cuh"
#include "device/thread.cuh"

struct wrappers_params {
    const u32 *in; // a word a thread of the grid
    u64 *out;      // eight words a thread of the grid
    u64 *sums;     // five, then the grid's state
};

enum { SHUFFLES, ATOMICS, GRID, CLUSTERS, ARRIVALS, MEMORY, REDUCE, REDUCE_CLUSTER };

TF_DEV int wrappers_thread()
{
    return (int)block_index() * 64 + thread_index();
}

TF_DEV void wrappers_shuffles(u32 own, u64 *out)
{
    double d = 0;
    out[0] = shfl_xor(own, 5);
    out[1] = shfl_xor((u64)own << 32 | own, 16);
    out[2] = f32_bits(shfl_xor(f32_from_bits(own), 1));
    d = shfl_xor((double)own, 31);
    out[3] = (u64)d;
    out[4] = (u32)warp_uniform((int)own);
    out[5] = warp_elect();
    out[6] = named_any(1, 64, thread_index() == 40 && block_index() % 2);
    out[7] = named_any(1, 64, thread_index() == 9 && !(block_index() % 2));
}

TF_DEV void wrappers_atomics(u32 own, u64 *sums)
{
    atomic_add(reinterpret_cast<double *>(sums), (double)own);
    atomic_add(sums + 1, (u64)own << 20);
    atomic_add(reinterpret_cast<u32 *>(sums + 2), own);
    atomic_min(sums + 3, (u64)own << 20);
    atomic_max(reinterpret_cast<u32 *>(sums + 4), own);
}

// Each block says its first word; all hear all; the first warp of the last one clears.
TF_DEV void wrappers_grid(const wrappers_params &p, u64 *out)
{
    u32 *state = reinterpret_cast<u32 *>(p.sums + 5);
    if (thread_index() == 0)
        grid_say(state, p.in[wrappers_thread()]);
    for (u32 block = 0; block < block_count(); block++)
        out[block] = grid_hear(state, block);
    block_sync();
    if (thread_index() >= 32)
        return;
    int last = 0;
    if (thread_index() == 0)
        last = grid_heard(state);
    if (warp_uniform(last))
        grid_clear(state);
}

// Four floats of every block's thread with the same index.
TF_DEV void wrappers_clusters(u32 own, u64 *out)
{
    float *mine = smem_at<float>(0) + thread_index() * 4;
    for (int i = 0; i < 4; i++)
        mine[i] = (float)(own + (u32)i);
    cluster_arrive();
    cluster_wait();
    for (int rank = 0; rank < 4; rank++) {
        float v[4];
        cluster_load(mine, rank, v);
        out[rank] = (u64)v[0] << 32 | (u64)v[3];
    }
    out[4] = (u64)cluster_rank();
    cluster_meet();
}

// In turn, one thread of each block lets all blocks go on.
TF_DEV void wrappers_arrivals(u64 *out)
{
    MBar *bar = smem_at<MBar>(1024);
    if (thread_index() == 0) {
        mbar_init(bar, 1);
        mbar_init_fence();
    }
    cluster_meet();
    for (int turn = 0; turn < 4; turn++) {
        if (thread_index() == 1 && cluster_rank() == turn)
            for (int rank = 0; rank < 4; rank++)
                if (rank == turn)
                    mbar_arrive(bar);
                else
                    mbar_arrive_at(bar, rank);
        mbar_wait(bar, turn & 1);
        out[turn] = (u64)turn + 1;
        cluster_meet(); // nobody still waits for this phase when the next but one begins
    }
}

// Sixteen bytes by accesses of WIDTH bytes, there and back.
template <class T, int N, int WIDTH> TF_DEV u64 wrappers_there(const u32 *from, u64 *to)
{
    const Vec<T, N> v = ld_vec<LD_CONST, WIDTH, T, N>(reinterpret_cast<const T *>(from));
    st_vec<ST_STREAM, WIDTH, T, N>(reinterpret_cast<T *>(to), v);
    return v.w[0];
}

TF_DEV void wrappers_memory(const u32 *in, u64 *out)
{
    if (thread_index() % 4 != 0)
        return;
    wrappers_there<f16, 8, 16>(in, out);
    wrappers_there<bf16, 8, 4>(in, out + 2);
    wrappers_there<e4m3, 16, 1>(in, out + 4);
    wrappers_there<f16, 8, 2>(in, out + 6);
    wrappers_there<float, 4, 8>(in, out + 8);
    out[10] = (u32)ld_elem<LD_KEEP>(reinterpret_cast<const int *>(in) + 1);
    out[11] = (u64)ld_elem<LD_KEEP>(reinterpret_cast<const long long *>(in) + 1);
    out[12] = ld_elem<LD_KEEP>(reinterpret_cast<const f16 *>(in) + 3).bits;
    out[13] = ld_elem<LD_CONST>(reinterpret_cast<const e5m2 *>(in) + 7).bits;
    st_elem(reinterpret_cast<float *>(out + 14), f32_from_bits(in[3]));
    st_elem(reinterpret_cast<f16 *>(out + 14) + 2, f16{(u16)in[2]});
    st_elem(reinterpret_cast<e4m3 *>(out + 14) + 6, e4m3{(u8)in[1]});
    st_byte(reinterpret_cast<u8 *>(out + 14) + 7, in[0]);
}

template <class C> TF_DEV void wrappers_reduce(u32 own, u64 *out)
{
    constexpr int CLUSTER = C::KIND == REDUCE_CLUSTER ? 4 : 1;
    float *scratch = smem_at<float>(0);
    const float v = (float)(int)own;
    if constexpr (CLUSTER > 1)
        cluster_arrive();
    const float sum = group_reduce<ReduceSum, 1, 64, 64, CLUSTER>({{v}}, scratch, 0).f[0];
    const float most = group_reduce<ReduceMax, 1, 64, 64, CLUSTER>({{v}}, scratch, 1).f[0];
    out[0] = (u64)sum;
    out[1] = (u64)most;
    out[2] = (u64)lanes_sum<8>(v);
    out[3] = (u64)lanes_reduce<ReduceMax, 4>({{v}}).f[0];
    if constexpr (CLUSTER > 1)
        cluster_meet();
}

template <class C> TF_DEV void wrappers(const wrappers_params &p)
{
    const u32 own = p.in[wrappers_thread()];
    u64 *out = p.out + wrappers_thread() * 8;
    if constexpr (C::KIND == SHUFFLES)
        wrappers_shuffles(own, out);
    else if constexpr (C::KIND == ATOMICS)
        wrappers_atomics(own, p.sums);
    else if constexpr (C::KIND == GRID)
        wrappers_grid(p, out);
    else if constexpr (C::KIND == CLUSTERS)
        wrappers_clusters(own, out);
    else if constexpr (C::KIND == ARRIVALS)
        wrappers_arrivals(out);
    else if constexpr (C::KIND == MEMORY)
        wrappers_memory(p.in + wrappers_thread(), out);
    else
        wrappers_reduce<C>(own, out);
}
