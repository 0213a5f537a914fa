// machine.cu: small kernels, right ones and ones with a bug each, for test_machine.c.
//
// The comment at the end of a line names it: the test looks for reports of that line.
#include "device/atomic.cuh"
#include "device/cluster.cuh"
#include "device/mem.cuh"
#include "device/thread.cuh"

struct machine_params {
    const float *in; // [64]
    float *out;      // [64]
    unsigned long long *counter;
};

enum {
    RIGHT_BLOCK,
    RIGHT_WARP,
    RIGHT_NAMED,
    RIGHT_CLUSTER,
    RIGHT_ATOMIC,
    RIGHT_SPIN,
    RACE_READ,
    RACE_REUSE,
    RACE_WARP,
    RACE_NAMED,
    RACE_PEER,
    RACE_MET,
    UNWRITTEN,
    SHARED_OVERRUN,
    GLOBAL_OVERRUN,
    INPUT_WRITTEN,
    MISALIGNED,
    SHARED_MISALIGNED,
    BLOCK_DEADLOCK,
    WARP_DEADLOCK,
    MIXED_WARP,
    PEER_EARLY,
    PEER_GONE,
    FAULT,
    ENDLESS,
    NEVER_DONE,
};

// Each thread reads what another one wrote.
template <class C> TF_DEV void machine_block(const machine_params &p)
{
    float *cell = smem_at<float>(0);
    const int t = thread_index(), other = C::THREADS - 1 - t;
    cell[t] = p.in[t]; // block write
    if constexpr (C::KIND != RACE_READ)
        block_sync();
    const float v = cell[other]; // block read
    if constexpr (C::KIND != RACE_REUSE)
        block_sync();
    cell[t] = v + 1; // block reuse
    block_sync();
    p.out[t] = cell[other];
}

// Lanes of a warp, ordered by warp_sync; a shuffle orders nothing.
template <class C> TF_DEV void machine_warp(const machine_params &p)
{
    float *cell = smem_at<float>(0);
    const int t = thread_index();
    cell[t] = p.in[t]; // warp write
    if constexpr (C::KIND == RIGHT_WARP)
        warp_sync();
    const float v = shfl_xor(1.0f, 1);
    p.out[t] = cell[t ^ 1] + v; // warp read
}

// Half of the block fills, the other half takes; two named barriers.
template <class C> TF_DEV void machine_named(const machine_params &p)
{
    constexpr int HALF = C::THREADS / 2;
    float *cell = smem_at<float>(0);
    const int t = thread_index() % HALF;
    for (int turn = 0; turn < 3; turn++) {
        if (thread_index() < HALF) {
            if (turn > 0 && C::KIND != RACE_NAMED)
                emu::named_sync(2, C::THREADS);
            cell[t] = p.in[t] + turn; // named write
            emu::named_arrive(1, C::THREADS);
        } else {
            emu::named_sync(1, C::THREADS);
            p.out[t] = cell[HALF - 1 - t]; // named read
            if (turn < 2 && C::KIND != RACE_NAMED)
                emu::named_arrive(2, C::THREADS);
        }
    }
}

// Each block of a cluster writes into the next one.
template <class C> TF_DEV void machine_cluster(const machine_params &p)
{
    float *cell = smem_at<float>(0);
    const int t = thread_index(), next = (cluster_rank() + 1) % C::CLUSTER;
    if constexpr (C::KIND != PEER_EARLY) {
        cluster_arrive();
        cluster_wait();
    }
    if (C::KIND == PEER_GONE && cluster_rank() == 0)
        return;                             // peer end
    cluster_store(cell + t, next, p.in[t]); // peer write
    if constexpr (C::KIND == PEER_GONE)
        return;
    if constexpr (C::KIND == RACE_MET) {
        cluster_meet(); // orders no memory
    } else if constexpr (C::KIND != RACE_PEER) {
        cluster_arrive();
        cluster_wait();
    }
    p.out[t] = cell[C::THREADS - 1 - t]; // peer read
    cluster_arrive();
    cluster_wait();
}

template <class C> TF_DEV void machine_memory(const machine_params &p)
{
    float *cell = smem_at<float>(0);
    const int t = thread_index();
    u32 w[4] = {0, 0, 0, 0};
    float v[4];
    if constexpr (C::KIND == UNWRITTEN)
        p.out[t] = cell[t]; // unwritten
    else if constexpr (C::KIND == SHARED_OVERRUN)
        cell[t + 1] = 0; // shared overrun
    else if constexpr (C::KIND == GLOBAL_OVERRUN)
        p.out[t + 1] = p.in[t]; // global overrun
    else if constexpr (C::KIND == INPUT_WRITTEN)
        const_cast<float *>(p.in)[t] = 0; // input written
    else if (C::KIND == MISALIGNED && t == 0)
        ld_words<LD_KEEP, 4>(p.in + 1, w); // misaligned
    else if (t == 0)
        cluster_load(cell + 1, 0, v); // shared misaligned
    if (w[0] == 1)
        p.out[t] = 0;
}

template <class C> TF_DEV void machine_wait(const machine_params &p)
{
    const int t = thread_index();
    if constexpr (C::KIND == BLOCK_DEADLOCK) {
        if (t != 40)
            block_sync(); // block deadlock
    } else if constexpr (C::KIND == WARP_DEADLOCK) {
        if (t % 32 < 7)
            warp_sync(); // warp deadlock
    } else if constexpr (C::KIND == MIXED_WARP) {
        if (t % 32 == 3)
            warp_sync(); // mixed barrier
        else
            p.out[t] = shfl_xor(1.0f, 1); // mixed shuffle
    } else if constexpr (C::KIND == FAULT) {
        *reinterpret_cast<volatile float *>(16) = 0; // fault
    } else if constexpr (C::KIND == ENDLESS) {
        for (volatile int turn = 1; turn;) // endless
            ;
    } else {
        while (true)
            block_sync(); // never done
    }
}

// Block 0 waits for the value that the last block writes.
template <class C> TF_DEV void machine_spin(const machine_params &p)
{
    const volatile u64 *counter = p.counter;
    if (block_index() == 0)
        while (*counter < (u64)(C::THREADS * (block_count() - 1)))
            emu::spin();
    else
        atomic_add(p.counter, 1);
}

template <class C> TF_DEV void machine(const machine_params &p)
{
    constexpr int K = C::KIND;
    if constexpr (K == RIGHT_BLOCK || K == RACE_READ || K == RACE_REUSE)
        machine_block<C>(p);
    else if constexpr (K == RIGHT_WARP || K == RACE_WARP)
        machine_warp<C>(p);
    else if constexpr (K == RIGHT_NAMED || K == RACE_NAMED)
        machine_named<C>(p);
    else if constexpr (K == RIGHT_CLUSTER || K == RACE_PEER || K == RACE_MET || K == PEER_EARLY ||
                       K == PEER_GONE)
        machine_cluster<C>(p);
    else if constexpr (K == RIGHT_ATOMIC)
        atomic_add(p.counter, 1);
    else if constexpr (K == RIGHT_SPIN)
        machine_spin<C>(p);
    else if constexpr (K >= UNWRITTEN && K <= SHARED_MISALIGNED)
        machine_memory<C>(p);
    else
        machine_wait<C>(p);
}
