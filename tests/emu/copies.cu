// copies.cu: the wrappers of asynchronous copies, right ones and ones with a bug each, for
// test_copies.c. What lies in shared memory goes to `out` byte by byte.
#include "device/cluster.cuh"
#include "device/cp_async.cuh"
#include "device/thread.cuh"
#include "device/tma.cuh"

struct copies_params {
    struct tensor_map from_map, to_map;
    const u8 *in;
    u8 *out;
    int at[5];
};

enum {
    CP_ASYNC,
    CP_ASYNC_EARLY,
    CP_ASYNC_NO_BARRIER,
    CP_ASYNC_MISALIGNED,
    CP_ASYNC_ARRIVE,
    CP_ASYNC_ARRIVE_EARLY,
    BULK,
    BULK_REUSED,
    BULK_MISALIGNED,
    TILE,
    TILE_MISALIGNED,
    MULTICAST,
    MULTICAST_EARLY,
    MULTICAST_UNFENCED,
};

TF_DEV void copies_out(u8 *to, const u8 *from, int bytes)
{
    for (int i = thread_index(); i < bytes; i += 64)
        to[i] = from[i]; // copied
}

// Three groups; a thread waits for its first one, then for all, then for its neighbours'.
template <class C> TF_DEV void copies_cp_async(const copies_params &p)
{
    constexpr int W = C::WIDTH, GROUP = 64 * W;
    const int t = thread_index(), own = t * W;
    u8 *shared = smem_at<u8>(0);
    for (int group = 0; group < 3; group++) {
        const int at = group * GROUP + own, bytes = (t + group) % (W + 1);
        u8 *to = shared + at + (C::KIND == CP_ASYNC_MISALIGNED && t == 3 ? 2 : 0);
        cp_async<W>(to, p.in + at, bytes); // cp_async
        cp_async_commit();
    }
    cp_async_wait<2>();
    const int first = C::KIND == CP_ASYNC_EARLY ? GROUP : 0;
    for (int i = 0; i < W; i++)
        p.out[first + own + i] = shared[first + own + i]; // own
    cp_async_wait<0>();
    if constexpr (C::KIND != CP_ASYNC_NO_BARRIER)
        block_sync();
    copies_out(p.out + GROUP, shared + GROUP, 2 * GROUP);
}

TF_DEV MBar *copies_bar()
{
    return smem_at<MBar>(8192);
}

template <bool FENCE = true> TF_DEV void copies_begin(u32 arrivals = 1)
{
    if (thread_index() == 0) {
        mbar_init(copies_bar(), arrivals);
        if constexpr (FENCE)
            mbar_init_fence();
    }
    block_sync();
}

// A barrier hears of each thread's copies when they are there.
template <class C> TF_DEV void copies_arrive(const copies_params &p)
{
    constexpr int W = C::WIDTH;
    u8 *shared = smem_at<u8>(0);
    copies_begin(64);
    for (int at = thread_index() * W; at < 3 * 64 * W; at += 64 * W)
        cp_async<W>(shared + at, p.in + at, W);
    if constexpr (C::KIND == CP_ASYNC_ARRIVE)
        cp_async_arrive(copies_bar());
    else
        mbar_arrive(copies_bar());
    mbar_wait(copies_bar(), 0);
    copies_out(p.out, shared, 3 * 64 * W);
}

// In, a byte changed, and out again; then the buffer is used anew.
template <class C> TF_DEV void copies_bulk(const copies_params &p)
{
    u8 *shared = smem_at<u8>(128);
    copies_begin();
    if (thread_index() == 0) {
        mbar_expect(copies_bar(), 1024);
        bulk_load(shared, p.in + (C::KIND == BULK_MISALIGNED ? 8 : 0), 1024, copies_bar()); // load
    }
    mbar_wait(copies_bar(), 0);
    if (thread_index() != 0)
        return;
    shared[5] = 77;
    shared_fence_async();
    bulk_store(p.out, shared, 1024); // store
    bulk_commit();
    bulk_store(p.out + 1024, shared + 512, 512);
    bulk_commit();
    if constexpr (C::KIND != BULK_REUSED)
        bulk_wait_read<1>();
    shared[0] = 99; // reused
    bulk_wait<0>();
}

template <class C> TF_DEV void copies_load(u8 *to, const copies_params &p)
{
    const int *at = p.at;
    if constexpr (C::RANK == 1)
        tma_load(to, p.from_map, copies_bar(), at[0]);
    if constexpr (C::RANK == 2)
        tma_load(to, p.from_map, copies_bar(), at[0], at[1]); // tile
    if constexpr (C::RANK == 3)
        tma_load(to, p.from_map, copies_bar(), at[0], at[1], at[2]);
    if constexpr (C::RANK == 4)
        tma_load(to, p.from_map, copies_bar(), at[0], at[1], at[2], at[3]);
    if constexpr (C::RANK == 5)
        tma_load(to, p.from_map, copies_bar(), at[0], at[1], at[2], at[3], at[4]);
}

template <class C> TF_DEV void copies_store(const u8 *from, const copies_params &p)
{
    const int *at = p.at;
    if constexpr (C::RANK == 1)
        tma_store(p.to_map, from, at[0]);
    if constexpr (C::RANK == 2)
        tma_store(p.to_map, from, at[0], at[1]);
    if constexpr (C::RANK == 3)
        tma_store(p.to_map, from, at[0], at[1], at[2]);
    if constexpr (C::RANK == 4)
        tma_store(p.to_map, from, at[0], at[1], at[2], at[3]);
    if constexpr (C::RANK == 5)
        tma_store(p.to_map, from, at[0], at[1], at[2], at[3], at[4]);
}

// A tile as it lies in shared memory, then stored where it came from, in another tensor.
template <class C> TF_DEV void copies_tile(const copies_params &p)
{
    u8 *tile = smem_at<u8>(C::KIND == TILE_MISALIGNED ? 64 : 0);
    copies_begin();
    if (thread_index() == 0) {
        tma_prefetch_map(p.from_map);
        mbar_expect(copies_bar(), C::BYTES);
        copies_load<C>(tile, p);
    }
    mbar_wait(copies_bar(), 0);
    copies_out(p.out, tile, C::BYTES);
    if (thread_index() == 0) {
        copies_store<C>(tile, p);
        bulk_commit();
        bulk_wait<0>();
    }
}

// Block 0 loads a tile for both blocks; each counts its own bytes. Barriers are there before.
template <class C> TF_DEV void copies_multicast(const copies_params &p)
{
    u8 *tile = smem_at<u8>(0);
    copies_begin<C::KIND != MULTICAST_UNFENCED>();
    if constexpr (C::KIND != MULTICAST_EARLY)
        cluster_meet();
    if (thread_index() == 0) {
        mbar_expect(copies_bar(), C::BYTES);
        if (cluster_rank() == 0)
            tma_load_multicast( // multicast
                tile, p.from_map, copies_bar(), 3, p.at[0], p.at[1]);
    }
    mbar_wait(copies_bar(), 0);
    copies_out(p.out + cluster_rank() * C::BYTES, tile, C::BYTES);
    cluster_meet();
}

template <class C> TF_DEV void copies(const copies_params &p)
{
    if constexpr (C::KIND <= CP_ASYNC_MISALIGNED)
        copies_cp_async<C>(p);
    else if constexpr (C::KIND <= CP_ASYNC_ARRIVE_EARLY)
        copies_arrive<C>(p);
    else if constexpr (C::KIND <= BULK_MISALIGNED)
        copies_bulk<C>(p);
    else if constexpr (C::KIND <= TILE_MISALIGNED)
        copies_tile<C>(p);
    else
        copies_multicast<C>(p);
}
